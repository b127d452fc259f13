"""A sweep from settings to its end: the study, its windows, its workers, its view."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from datasets import LeaveOneOut

from ..backend import load_keras
from .cluster import Cluster, RayPool
from .driver import Budget, Driver, SweepError
from .evaluate import Evaluation
from .front import front_of
from .known import enqueue_front, enqueue_known
from .ledger import Ledger
from .local import LocalPool
from .pool import Pool
from .settings import SweepSettings
from .storage import StudyPlace, load_study, open_study, opened
from .view import View
from .windows import SweepWindows, open_windows
from .worker import Assignment, Evaluate

LOGS = "logs"
MakePool = Callable[[Assignment, tuple[int, ...]], Pool]
"""(what to work on, key of the draws) -> workers."""


@dataclass(frozen=True, slots=True)
class Resources:
    """How a study is run, which decides nothing of what it finds.

    Parameters
    ----------
    budget : when the run is over; n_workers : that run trials; make_pool : makes them.
    """

    budget: Budget
    n_workers: int
    make_pool: MakePool


def sweep_study(
    place: StudyPlace,
    settings: SweepSettings,
    protocol: LeaveOneOut,
    resources: Resources,
    warm_start: Path | None = None,
) -> None:
    """Begin or go on with a search, until the budget is used up.

    Parameters
    ----------
    protocol : the door to the recordings, without the surrogate class.
    warm_start : folder of another study, whose front a new study tries after the families'
        hand-picked candidates.

    Raises
    ------
    ValueError : the study was begun with other settings, or the recordings do not fit them.
    OSError : the storage fails, or no worker can go on.
    KeyboardInterrupt : Ctrl-C; what was running is queued again.
    """
    place.folder.mkdir(parents=True, exist_ok=True)

    def begin(study: optuna.Study) -> None:
        enqueue_known(study, settings)
        if warm_start is not None:
            other_place = StudyPlace(warm_start)
            with opened(other_place) as storage:
                other, other_settings = load_study(other_place, storage)
                enqueue_front(study, other.study_name, front_of(other, other_settings).trials)

    with opened(place, new=True) as storage:
        open_study(place, settings, storage)  # refuses other settings before windows are made
    windows = open_windows(place.folder, settings, protocol)
    run_study(place, settings, windows, resources, begin)


def run_study(
    place: StudyPlace,
    settings: SweepSettings,
    windows: SweepWindows,
    resources: Resources,
    begin: Callable[[optuna.Study], None] = lambda study: None,
    repeat: int = 0,
) -> None:
    """Run trials of a study on windows that are there.

    Parameters
    ----------
    begin : called with a study that has no trial yet.
    repeat : of one search; every repeat draws differently.

    Raises
    ------
    ValueError, OSError, KeyboardInterrupt : as `sweep_study`.
    """
    with opened(place, new=True) as storage, _reachable(place):
        study = open_study(place, settings, storage)
        if not study.get_trials(deepcopy=False):
            begin(study)
        make = partial(make_evaluation, settings, windows)
        key = (repeat, len(study.trials))
        pool = resources.make_pool(Assignment(place, settings, make), key)
        ledger = Ledger(study, storage, place)
        with View(study, settings, resources.budget, resources.n_workers) as view:
            Driver(study, ledger, pool, resources.budget, view).run()


@contextmanager
def _reachable(place: StudyPlace) -> Iterator[None]:
    """Say in one sentence that a database has gone."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SweepError(
            f"the storage of {place} must stay reachable, got: {reason}; the same command goes on"
        ) from error


def local_pool(folder: Path, n_workers: int) -> MakePool:
    """Return what makes workers on this machine, with their logs in `folder`."""
    return lambda assignment, key: LocalPool(assignment, n_workers, folder / LOGS, key)


def ray_pool(place: StudyPlace, address: str, n_gpus: float, n_workers: int) -> MakePool:
    """Return what makes workers on a Ray cluster.

    Raises
    ------
    ValueError : the study is in a journal, which belongs to one machine.
    """
    if place.url is None:
        raise ValueError("a Ray cluster needs a study in a database: --storage, got a journal")
    cluster = Cluster(address, n_gpus=n_gpus)
    return lambda assignment, key: RayPool(cluster, assignment, n_workers, key)


def make_evaluation(settings: SweepSettings, windows: SweepWindows) -> Evaluate:
    """Return what evaluates trials; called once in every worker, which then has Keras."""
    load_keras()
    return Evaluation(settings, windows)
