"""Runs the slots that have no cell yet, and says which those are."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets.command_line import CheckFailed
from datasets.progress import progress

from .cells import STATES, Cell, CellFiles, ScoredRecords
from .study import ROWS, Setting, Slot, Study
from .workers import Outcome, run_tasks

UNCHECKED = "unchecked"
"""State of a cell with scores where no recordings are at hand to compare it with."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Parameters
    ----------
    work : folder of training runs and the workers' log.
    n_jobs : processes; budget_s : no slot is started later than this, None for no limit.
    retry : run slots that failed again.
    """

    work: Path
    n_jobs: int = 1
    budget_s: float | None = None
    retry: bool = False


def list_states(study: Study, files: CellFiles, slots: Sequence[Slot]) -> dict[Slot, str]:
    """Return the state of every slot, one of `STATES`; nothing is run."""
    return {slot: files.state(files.read(slot), study.keys(slot)) for slot in slots}


def unchecked_states(files: CellFiles, slots: Sequence[Slot]) -> dict[Slot, str]:
    """Return the state of the cells there are and of `slots`, without any recordings.

    Whether a cell is stale only the recordings tell, so one that has scores is `UNCHECKED`.

    Raises
    ------
    ValueError : as `kept_slots`.
    """
    states = {}
    for slot in dict.fromkeys((*kept_slots(None, files), *slots)):
        cell = files.read(slot)
        if cell is None:
            states[slot] = "missing"
        else:
            states[slot] = UNCHECKED if cell.error is None else "failed"
    return states


def kept_slots(study: Study | None, files: CellFiles) -> list[Slot]:
    """Return the slots that have a cell, all of one table.

    Parameters
    ----------
    study : of that table; None: that of the first cell.

    Raises
    ------
    ValueError : a cell is of another data set or test split than the table, or of no slot there is.
    """
    asked: dict[str, Any] = {}
    if study is not None:
        asked = {"dataset": study.dataset.name, "rehearsal": study.setting.rehearsal}
    slots = []
    for cell in files.cells():
        # A cell that failed does not say what it is of.
        found = {n: cell.details[n] for n in ("dataset", "rehearsal") if n in cell.details}
        asked = asked or found
        if found not in ({}, asked):
            raise ValueError(
                f"{files.folder} must hold cells of one table, {cell.slot.name} is of {found}, "
                f"not of {asked}: choose another --out"
            )
        if cell.slot.row not in ROWS:
            raise ValueError(
                f"{files.folder} holds {cell.slot.name}, of no row there is: delete it"
            )
        slots.append(cell.slot)
    return slots


def run_slots(study: Study, files: CellFiles, slots: Sequence[Slot], options: Options) -> None:
    """Run the slots that have no cell of their key, and keep each cell as soon as it is there.

    Raises
    ------
    CheckFailed : slots failed; their cells say why.
    """
    states = list_states(study, files, slots)
    again = {"missing", "stale"} | ({"failed"} if options.retry else set())
    todo = [slot for slot in slots if states[slot] in again]
    start_s, failed = time.monotonic(), []
    if not todo:
        return
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def in_budget() -> bool:
        return options.budget_s is None or time.monotonic() - start_s < options.budget_s

    with progress("Benchmark", total=len(todo)) as advance:
        outcomes = run_tasks(
            todo,
            group_of=lambda slot: slot.data,
            make=partial(_runner, study.setting, options.work),
            n_workers=options.n_jobs,
            log=options.work / "workers.log",
            may_start=in_budget,
            on_start=lambda running: advance(0, ", ".join(slot.name for slot in running)),
        )
        for outcome in outcomes:
            if not _keep(study, files, outcome):
                failed.append(outcome.task.name)
            advance()
    if failed:
        raise CheckFailed(
            f"{len(failed)} of {len(todo)} slots failed ({', '.join(failed)}); "
            f"{options.work / 'workers.log'} has the tracebacks"
        )


def summary(states: dict[Slot, str]) -> str:
    """Return how many slots are in which state."""
    n = Counter(states.values())
    return ", ".join(f"{n[state]} {state}" for state in dict.fromkeys((*STATES, *n)))


def _keep(
    study: Study, files: CellFiles, outcome: Outcome[Slot, tuple[Cell, ScoredRecords]]
) -> bool:
    """Write the cell of an outcome; return whether it has scores."""
    slot = outcome.task
    if outcome.result is None:
        files.write(Cell(slot, study.keys(slot), error=outcome.error))
        print(f"{slot.name}: failed, {outcome.error}", file=sys.stderr)
        return False
    cell, records = outcome.result
    known = files.read_records()
    if known is None or known.sha256 != records.sha256:
        files.write_records(records)
    files.write(cell)
    seconds = cell.details["training_s"] + cell.details["evaluation_s"]
    print(f"{slot.name}: done in {seconds:.0f} s", file=sys.stderr)
    return True


def _runner(setting: Setting, work: Path) -> Callable[[Slot], tuple[Cell, ScoredRecords]]:
    """Return what runs slots in a worker."""
    from export.quiet import quiet

    with quiet():  # TensorFlow's first lines heed no log level
        import keras

        from .runs import Runner

    runner = Runner(Study(setting), work)

    def run(slot: Slot) -> tuple[Cell, ScoredRecords]:
        # Restarts the names of layers, which end up in the .tflite: the blob of a slot is the one
        # that the command line makes, whatever this process made before.
        keras.utils.clear_session()
        return runner.run(slot)

    return run
