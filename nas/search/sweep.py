"""A sweep from settings to its end: the study, its windows, its workers, its view."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from datasets import LeaveOneOut

from ..backend import load_keras
from .driver import Budget, Driver
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
class Sweep:
    """What one command does.

    Parameters
    ----------
    place : where the study is; settings : what decides it; budget : when it is over.
    n_workers : that run trials.
    warm_start : folder of another study whose front is tried first.
    """

    place: StudyPlace
    settings: SweepSettings
    budget: Budget
    n_workers: int
    warm_start: Path | None = None

    def run(self, protocol: LeaveOneOut, make_pool: MakePool) -> None:
        """Run trials until the budget is used up.

        Parameters
        ----------
        protocol : the door to the recordings, without the surrogate class.

        Raises
        ------
        ValueError : the study was begun with other settings, or the recordings do not fit them.
        OSError : the storage fails, or no worker can go on.
        KeyboardInterrupt : Ctrl-C; what was running is queued again.
        """
        with opened(self.place, new=True) as storage:
            self._run(storage, protocol, make_pool)

    def _run(self, storage: BaseStorage, protocol: LeaveOneOut, make_pool: MakePool) -> None:
        study = open_study(self.place, self.settings, storage)
        windows = open_windows(self.place.folder, self.settings, protocol)
        self._seed_study(study)
        make = partial(make_evaluation, self.settings, windows)
        pool = make_pool(Assignment(self.place, self.settings, make), (len(study.trials),))
        ledger = Ledger(study, storage, self.place)
        with View(study, self.settings, self.budget, self.n_workers) as view:
            Driver(study, ledger, pool, self.budget, view).run()

    def _seed_study(self, study: optuna.Study) -> None:
        if study.get_trials(deepcopy=False):
            return
        enqueue_known(study, self.settings)
        if self.warm_start is not None:
            place = StudyPlace(self.warm_start)
            with opened(place) as storage:
                other, settings = load_study(place, storage)
                enqueue_front(study, other.study_name, front_of(other, settings).trials)


def local_pool(folder: Path, n_workers: int) -> MakePool:
    """Return what makes workers on this machine, with their logs in `folder`."""
    return lambda assignment, key: LocalPool(assignment, n_workers, folder / LOGS, key)


def make_evaluation(settings: SweepSettings, windows: SweepWindows) -> Evaluate:
    """Return what evaluates trials; called once in every worker, which then has Keras."""
    load_keras()
    return Evaluation(settings, windows)
