"""`python -m nas benchmark`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets import DATASETS
from datasets.command_line import CacheOption, JsonOption, print_json, split_names

from .cells import CellFiles
from .execution import (
    UNCHECKED,
    Options,
    kept_slots,
    list_states,
    run_slots,
    summary,
    unchecked_states,
)
from .study import HOLD_OUTS, LEADS, ROWS, Setting, Slot, Study, slots_of

RESULTS = Path("docs/results")
WORK = Path("build/benchmark")


def benchmark(
    dataset: Annotated[str, typer.Option(help=f"Data set: {', '.join(DATASETS)}.")] = "ptbxl",
    data: Annotated[str | None, typer.Option(help="Folder it was downloaded to.")] = None,
    noise_data: Annotated[
        Path | None,
        typer.Option(help="Folder of the Noise Stress Test Database; default no noise."),
    ] = None,
    detectors: Annotated[
        str, typer.Option(help=f"Rows with commas between, of {', '.join(ROWS)}; default all.")
    ] = ",".join(ROWS),
    hold_outs: Annotated[
        str, typer.Option("--hold-out", help="Superclasses to hold out, with commas between.")
    ] = ",".join(HOLD_OUTS),
    leads: Annotated[
        str, typer.Option(help=f"Sets of leads with commas between, of {', '.join(LEADS)}.")
    ] = ",".join(LEADS),
    seeds: Annotated[int, typer.Option(help="Trainings of each filter, seeds 0, 1, ...")] = 1,
    fold_10: Annotated[
        bool, typer.Option("--fold-10", help="Test on fold 10, not on a third of fold 9.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of cells and results.")] = RESULTS,
    work: Annotated[Path, typer.Option(help="Folder of trained networks and the log.")] = WORK,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 1,
    budget_minutes: Annotated[
        float | None, typer.Option(help="Start no cell later than this; default no limit.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed cells again.")] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="Say what is done, stale and missing; run nothing.")
    ] = False,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Make the table of the cells there are; no recordings needed."
        ),
    ] = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold out each superclass in turn: every detector, every baseline, leads, seeds, noise.

    Each cell of the table is kept as soon as it is there, and only what is stale or missing is run:
    stopped by Ctrl-C or by its budget, the same command goes on. The results are written to OUT
    and, as Markdown, beside it.

    Examples
    --------
    python -m nas benchmark --data ~/ptbxl --noise-data ~/nstdb --jobs 2
    python -m nas benchmark --data ~/ptbxl --noise-data ~/nstdb --list
    python -m nas benchmark --data ~/ptbxl --leads I --detectors deep_svdd,flow --seeds 3
    python -m nas benchmark --table
    """
    files = CellFiles(out)
    slots = slots_of(split_names(detectors), split_names(hold_outs), split_names(leads), seeds)
    if table:
        _say(_table_alone(files, slots, out, listing), listing, as_json)
        return
    study = Study(Setting(dataset, data, cache, not fold_10, noise_data))
    kept = kept_slots(study, files)
    try:
        if not listing:
            budget_s = None if budget_minutes is None else 60 * budget_minutes
            run_slots(study, files, slots, Options(work, jobs, budget_s, retry))
    finally:
        # Also after Ctrl-C or a failed cell: the table shows all there is, asked for or not.
        states = list_states(study, files, slots)
        if not listing:
            _write(files, {**list_states(study, files, kept), **states}, out)
    _say(states, listing, as_json)


def _table_alone(files: CellFiles, slots: list[Slot], out: Path, listing: bool) -> dict[Slot, str]:
    """Write the table of the cells there are; return the slots' states."""
    if listing:
        raise ValueError("--list says what is stale, which --table cannot: give one of them")
    states = unchecked_states(files, slots)
    if UNCHECKED not in states.values():
        raise ValueError(f"{out} holds no cell with scores, so there is no table to make")
    _write(files, states, out)
    return states


def _say(states: dict[Slot, str], listing: bool, as_json: bool) -> None:
    if as_json:
        print_json({slot.name: state for slot, state in states.items()})
        return
    if listing:
        for slot, state in states.items():
            print(f"{state:8}{slot.name}")
    print(summary(states))


def _write(files: CellFiles, states: dict[Slot, str], out: Path) -> None:
    """Write the results of what is there, if anything is."""
    from .table import read_results, write_results  # Bokeh and scikit-learn take a second

    results = read_results(files, states)
    if results is None:
        print("no cell has scores yet, so there is no table", file=sys.stderr)
        return
    document = out.with_suffix(".md")
    write_results(results, out, document)
    print(f"the table: {document} and {out / 'results.html'}", file=sys.stderr)
