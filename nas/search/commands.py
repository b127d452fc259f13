"""The commands of a search: `sweep`, `pareto` and `compare-samplers`.

What runs them is imported when they are called: it loads Optuna, which the other commands of
`python -m nas` do without.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from datasets import LeaveOneOut, leave_one_out, open_dataset
from datasets.command_line import App, CacheOption, JsonOption, print_json, split_names
from datasets.dataset import Dataset

from ..detectors import DETECTORS
from ..options import (
    DataOption,
    DatasetOption,
    FsOption,
    FsTargetOption,
    HighpassOption,
    HoldOutOption,
    LeadsOption,
    MainsOption,
    RehearsalOption,
)
from ..training_data import describe_data
from .settings import (
    BASELINE,
    BOARD,
    COSTS,
    HEARTBEAT_S,
    NOISE,
    SAMPLERS,
    Gate,
    SweepSettings,
)

SURROGATE_CLASSES = ("MI", "STTC", "CD", "HYP")
"""Superclasses that may stand in for the unseen one, in the order in which they are taken."""

StudyOption = Annotated[Path, typer.Option(help="Folder of the study, such as runs/NAME.")]
StudyArgument = Annotated[Path, typer.Argument(help="Folder of the study, such as runs/NAME.")]
StorageOption = Annotated[
    str | None,
    typer.Option(help="Database for many machines, as Optuna names it; default a journal file."),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for pareto.html and pareto.json; default none.")
]
TrialsOption = Annotated[int, typer.Option(help="Trials of the study, earlier runs included.")]
SecondsOption = Annotated[
    float | None, typer.Option(help="Begin no trial later than this; default no limit.")
]
JobsOption = Annotated[int, typer.Option(min=1, help="Workers, one core each.")]
DetectorsOption = Annotated[
    str | None, typer.Option(help=f"Families of {', '.join(DETECTORS)}; default all.")
]
PairOption = Annotated[
    str | None, typer.Option(help="Families of a second gate, which noise alone judges.")
]
SurrogatesOption = Annotated[
    str | None, typer.Option(help="What judges: noise, a superclass; default both, the first free.")
]
NoiseOption = Annotated[
    str | None, typer.Option(help="Folder of the Noise Stress Test; default made noise.")
]
ObjectivesOption = Annotated[
    str | None,
    typer.Option(help=f"Costs to make small beside the AUROC: {', '.join(COSTS)}; default all."),
]
BoardOption = Annotated[
    str, typer.Option(help="Board whose costs count, and whose flash, RAM and clock are the bound.")
]
SamplerOption = Annotated[str, typer.Option(help=f"Who draws: {', '.join(SAMPLERS)}.")]
SweepSeedOption = Annotated[int, typer.Option(help="Of the sampler and of every training.")]
MacsOption = Annotated[
    float, typer.Option(help="Millions of multiply-accumulates of a window, at most.")
]
WindowsOption = Annotated[int, typer.Option(help="Training windows of 10 s, at most.")]
WarmStartOption = Annotated[
    Path | None, typer.Option(help="Folder of a study whose front is tried first.")
]
RayOption = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster that places the workers; default none.")
]
GpusOption = Annotated[float, typer.Option(min=0.0, help="Of a worker on the Ray cluster.")]
CompareOption = Annotated[Path, typer.Option(help="Folder for the searches and comparison.json.")]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Searches by each sampler.")]
SamplersOption = Annotated[
    str | None, typer.Option(help="Samplers with commas between; default all.")
]
HeartbeatOption = Annotated[
    int, typer.Option(help="Seconds between a worker's signs of life in a database.")
]


def add_commands(app: App) -> None:
    """Give `app` the commands of a search."""
    app.command()(sweep)
    app.command()(pareto)
    app.command("compare-samplers")(compare)


def sweep(
    study: StudyOption,
    trials: TrialsOption,
    dataset: DatasetOption = "synthetic",
    data: DataOption = None,
    leads: LeadsOption = "I",
    hold_out: HoldOutOption = None,
    rehearsal: RehearsalOption = False,
    detectors: DetectorsOption = None,
    pair: PairOption = None,
    surrogates: SurrogatesOption = None,
    noise_data: NoiseOption = None,
    objectives: ObjectivesOption = None,
    board: BoardOption = BOARD,
    sampler: SamplerOption = SAMPLERS[0],
    seed: SweepSeedOption = 0,
    mmacs_max: MacsOption = 10.0,
    windows_max: WindowsOption = 15_000,
    seconds: SecondsOption = None,
    jobs: JobsOption = 1,
    warm_start: WarmStartOption = None,
    storage: StorageOption = None,
    heartbeat: HeartbeatOption = HEARTBEAT_S,
    ray: RayOption = None,
    gpus: GpusOption = 0.0,
    fs: FsOption = 100.0,
    fs_target: FsTargetOption = 100.0,
    mains: MainsOption = None,
    highpass_hz: HighpassOption = 0.5,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for filters: high AUROC on surrogates of the unseen class, low cost on the board.

    Interrupted or killed, the same command goes on. More trials and other workers may be asked for.

    Examples
    --------
    python -m nas sweep --study runs/demo --trials 20
    python -m nas sweep --study runs/hyp --dataset ptbxl --data ~/ptbxl --hold-out HYP --trials 200
    """
    from .driver import Budget
    from .storage import StudyPlace
    from .sweep import Resources, local_pool, ray_pool, sweep_study

    gates = _gates(hold_out, detectors, pair, surrogates)
    protocol = _protocol(open_dataset(dataset, data, fs, cache), hold_out, rehearsal, gates)
    settings = SweepSettings(
        data=describe_data(protocol, data, split_names(leads), fs_target, highpass_hz, mains),
        gates=gates,
        costs=COSTS if objectives is None else split_names(objectives),
        board=board,
        sampler=sampler,
        seed=seed,
        macs_max=round(mmacs_max * 1e6),
        windows_max=windows_max,
        noise_data=noise_data,
    )
    place = StudyPlace(study, storage, heartbeat)
    make_pool = local_pool(study, jobs) if ray is None else ray_pool(place, ray, gpus, jobs)
    resources = Resources(Budget(trials, seconds), jobs, make_pool)
    try:
        sweep_study(place, settings, protocol, resources, warm_start)
    except KeyboardInterrupt:
        pareto(study, storage)
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    pareto(study, storage, as_json=as_json)


def pareto(
    study: StudyArgument,
    storage: StorageOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a sweep has found, also while it runs; with --out, as a page with plots.

    Examples
    --------
    python -m nas pareto runs/hyp
    python -m nas pareto runs/hyp --out runs/hyp/pareto
    """
    from .front import front_of
    from .storage import StudyPlace, load_study, opened
    from .table import print_front

    place = StudyPlace(study, storage)
    with opened(place) as opened_storage:
        front = front_of(*load_study(place, opened_storage))
        if out is not None:
            from .page import write_page

            print(f"the page: {write_page(front, out)}", file=sys.stderr)
        if as_json:
            print_json(front.to_json())
        else:
            print_front(front)


def compare(
    study: StudyArgument,
    out: CompareOption,
    trials: TrialsOption = 40,
    repeats: RepeatsOption = 3,
    samplers: SamplersOption = None,
    windows_max: WindowsOption = 2000,
    jobs: JobsOption = 1,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare samplers with random search on a study's space and windows, at equal trials.

    Interrupted or killed, the same command goes on.

    Examples
    --------
    python -m nas compare-samplers runs/hyp --out runs/samplers --trials 40 --repeats 3
    """
    from .compare import compare_samplers
    from .driver import Budget
    from .storage import StudyPlace, load_study, opened
    from .sweep import Resources, local_pool
    from .windows import written_windows

    place = StudyPlace(study, storage)
    with opened(place) as opened_storage:
        _, settings = load_study(place, opened_storage)
    names = SAMPLERS if samplers is None else split_names(samplers)
    if BASELINE not in names:
        raise ValueError(f"samplers must have {BASELINE} among them, got {', '.join(names)}")
    windows = written_windows(study, settings)
    resources = Resources(Budget(trials), jobs, local_pool(out, jobs))
    smaller = replace(settings, windows_max=windows_max)
    comparison = compare_samplers(smaller, windows, out, names, repeats, resources)
    if as_json:
        print_json(comparison.to_json())
    else:
        Console().print(comparison.table())


def _gates(
    hold_out: str | None, detectors: str | None, pair: str | None, surrogates: str | None
) -> tuple[Gate, ...]:
    """Return the gates that the options describe."""
    families = split_names(detectors) if detectors is not None else tuple(DETECTORS)
    free = next(name for name in SURROGATE_CLASSES if name != hold_out)
    judges = split_names(surrogates) if surrogates is not None else (free, NOISE)
    if pair is None:
        return (Gate("filter", families, judges),)
    classes = tuple(name for name in judges if name != NOISE)
    return (
        Gate("quality", split_names(pair), (NOISE,)),
        Gate("familiarity", families, classes),
    )


def _protocol(
    dataset: Dataset, hold_out: str | None, rehearsal: bool, gates: tuple[Gate, ...]
) -> LeaveOneOut:
    """Return the door to the recordings: its test sealed, the surrogate class left out."""
    judges = [name for gate in gates for name in gate.surrogates if name != NOISE]
    surrogate = judges[0] if judges else None
    return leave_one_out(dataset, hold_out, surrogate=surrogate, rehearsal=rehearsal)
