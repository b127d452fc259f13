"""One worker: asks the study for a trial, evaluates it and tells the study, again and again."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from .journal import JournalError
from .ledger import FAILURE, OWNER, Kind
from .owners import this_process
from .samplers import make_sampler
from .settings import SweepSettings
from .storage import StudyPlace, calm, close_storage, open_storage

TEXT_MAX = 2000
"""Of a traceback: its end is kept, which a database's column holds."""
STORAGE_ERRORS = (JournalError, StorageInternalError, SQLAlchemyError)


class Stopped(Exception):  # noqa: N818 - a verdict, not an error
    """Raised by an evaluation that a rung ended."""


Evaluate = Callable[[optuna.Trial], tuple[float, ...]]
"""Trial -> values of the study's objectives. An infeasible trial sets constraints above 0."""
MakeEvaluate = Callable[[], Evaluate]
"""What a worker calls once, when it starts; it has to be picklable."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker works on.

    Parameters
    ----------
    place : where the study is; settings : what it searches.
    make_evaluate : how a trial is evaluated.
    """

    place: StudyPlace
    settings: SweepSettings
    make_evaluate: MakeEvaluate


class Worker:
    """Runs one trial of the study after the other.

    Parameters
    ----------
    assignment : what to work on.
    key : tells the draws of this worker from those of every other, given the seed.
    """

    def __init__(self, assignment: Assignment, key: tuple[int, ...]) -> None:
        place, settings = assignment.place, assignment.settings
        self._storage = open_storage(place)
        self._study = optuna.load_study(
            study_name=place.name,
            storage=self._storage,
            sampler=make_sampler(settings.sampler, (settings.seed, *key)),
        )
        self._owner = this_process().to_json()
        self._trial: optuna.Trial | None = None
        self._alive = ExitStack()
        self._evaluate = assignment.make_evaluate()

    def close(self) -> None:
        """Give no further sign of life, and close the connections to a database."""
        self._alive.close()
        close_storage(self._storage)

    def begin(self) -> int:
        """Take the next trial of the study and return its number; `finish` has to follow.

        Raises
        ------
        Exception : the storage failed.
        """
        with calm():
            self._trial = self._study.ask()
        self._alive.enter_context(_heartbeat(self._storage, self._trial._trial_id))
        self._trial.set_user_attr(OWNER, self._owner)
        return self._trial.number

    def finish(self) -> str | None:
        """See the trial through and return what its evaluation raised, in a line.

        Raises
        ------
        Exception : the storage failed. What fails in the evaluation fails the trial alone.
        """
        assert self._trial is not None
        with self._alive:
            return self._settle(self._trial)

    def _settle(self, trial: optuna.Trial) -> str | None:
        state, values, failure = TrialState.COMPLETE, None, None
        try:
            values = self._evaluate(trial)
        except Stopped:
            state = TrialState.PRUNED
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            state, failure = TrialState.FAIL, f"{type(error).__name__}: {error}"
            text = traceback.format_exc()[-TEXT_MAX:]
            trial.set_user_attr(FAILURE, {"kind": Kind.ERROR, "text": text})
        # Taken for dead, as after a long sleep, it was failed meanwhile: another worker has it now.
        with suppress(UpdateFinishedTrialError):
            self._study.tell(trial, values, state, skip_if_finished=True)
        return failure


@contextmanager
def _heartbeat(storage: BaseStorage, trial_id: int) -> Iterator[None]:
    """Tell a database now and then that the trial's worker lives; a journal needs no telling."""
    if not isinstance(storage, RDBStorage):
        yield
        return
    storage.record_heartbeat(trial_id)
    done = Event()

    def beat() -> None:
        while not done.wait(storage.get_heartbeat_interval()):
            # The worker itself meets a database that stays away; one that comes back is well.
            with suppress(*STORAGE_ERRORS):
                storage.record_heartbeat(trial_id)

    thread = Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
