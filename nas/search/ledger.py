"""Which trials a study has, which of them are lost, and what becomes of those.

A trial whose worker died is failed and queued again with the same parameters, once. Trials that
are tries of one *point* name the first of them, so that a point counts once however often its
workers were killed. Everything is read from the study; nothing of it is kept in a process.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from .owners import Owner
from .storage import StudyPlace, calm

OWNER, FAILURE = "owner", "failure"
"""User attributes of a trial that runs, and of one that failed."""
POINT, DEATHS = "point", "deaths"
"""User attributes of a further try: number of the first one, tries that died before it."""
SOURCE = "source"
"""User attribute of a point that no sampler drew: where it is from."""
DEATHS_MAX = 1  # tries that may die before a point is given up


class Outcome(StrEnum):
    """What became of a point."""

    DONE = "done"
    INFEASIBLE = "infeasible"
    STOPPED = "stopped"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"


SETTLED = (Outcome.DONE, Outcome.INFEASIBLE, Outcome.STOPPED, Outcome.FAILED)


class Kind(StrEnum):
    """Why a trial failed; a point whose try was interrupted is tried again without counting it."""

    ERROR = "error"
    DIED = "died"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Point:
    """All tries of one set of parameters, in the order in which they began."""

    tries: tuple[FrozenTrial, ...]

    @property
    def last(self) -> FrozenTrial:
        """The try that counts."""
        return self.tries[-1]

    @property
    def to_be_retried(self) -> bool:
        """Whether its last try was lost, and another is due."""
        if self.last.state != TrialState.FAIL:
            return False
        kind = self.last.user_attrs.get(FAILURE, {"kind": Kind.DIED})["kind"]
        return kind == Kind.INTERRUPTED or (kind == Kind.DIED and deaths_of(self.last) < DEATHS_MAX)

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.to_be_retried:
            return Outcome.WAITING
        return outcome_of(self.last)


def outcome_of(trial: FrozenTrial) -> Outcome:
    """Return what became of a trial, taken by itself."""
    if trial.state == TrialState.COMPLETE:
        feasible = all(value <= 0 for value in trial.constraints.values())
        return Outcome.DONE if feasible else Outcome.INFEASIBLE
    return {
        TrialState.PRUNED: Outcome.STOPPED,
        TrialState.FAIL: Outcome.FAILED,
        TrialState.RUNNING: Outcome.RUNNING,
        TrialState.WAITING: Outcome.WAITING,
    }[trial.state]


def deaths_of(trial: FrozenTrial) -> int:
    """Return how many tries of the trial's point had died before it."""
    return int(trial.user_attrs.get(DEATHS, 0))


def points_of(trials: list[FrozenTrial]) -> list[Point]:
    """Return the points that the trials are tries of, in order of their first tries."""
    tries: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        tries.setdefault(trial.user_attrs.get(POINT, trial.number), []).append(trial)
    return [Point(tuple(of_point)) for of_point in tries.values()]


def tally(study: optuna.Study) -> Counter[Outcome]:
    """Return how many points of the study came to what."""
    return Counter(point.outcome for point in points_of(study.get_trials(deepcopy=False)))


def settled(counts: Counter[Outcome]) -> int:
    """Return how many points need nothing more."""
    return sum(counts[outcome] for outcome in SETTLED)


class Ledger:
    """Finds the trials that lost their worker.

    Parameters
    ----------
    study : the study; storage : its storage; place : where that is.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage, place: StudyPlace) -> None:
        self._study, self._storage, self._place = study, storage, place

    def recover(self, everything: bool = False) -> None:
        """Fail the running trials whose workers are dead, and queue them once more.

        Parameters
        ----------
        everything : also queue what another process failed without queueing it, killed in between.
        """
        for trial, reason in list(self._lost()):
            self._fail(trial, Kind.DIED, reason)
        if self._place.url is not None:
            self._recover_without_heartbeat()
        if everything:
            for point in points_of(self._study.get_trials(deepcopy=False)):
                self._retry(point.last)

    def interrupt(self, owner: Owner) -> None:
        """Queue again what `owner`, which was stopped on purpose, had begun."""
        for trial in self._running():
            if trial.user_attrs.get(OWNER) == owner.to_json():
                self._fail(trial, Kind.INTERRUPTED, f"{owner} was stopped")

    def has_orphans(self) -> bool:
        """Return whether a trial runs of which no process has said yet that it is its own."""
        return any(OWNER not in trial.user_attrs for trial in self._running())

    def _running(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _lost(self) -> Iterator[tuple[FrozenTrial, str]]:
        """Yield running trials that nobody works on, and why that is known.

        A process of another machine cannot be seen. Its heartbeat in the database can; a journal
        has none, and belongs to the machine it is on.
        """
        for trial in self._running():
            if OWNER not in trial.user_attrs:
                if _age_s(trial) > self._place.lost_after_s:
                    yield trial, "its worker died before it said who it was"
                continue
            owner = Owner.from_json(trial.user_attrs[OWNER])
            if owner.is_here and not owner.is_alive:
                yield trial, f"{owner} died"
            elif not owner.is_here and self._place.url is None:
                yield trial, f"{owner} was left behind, its journal is used elsewhere"

    def _fail(self, trial: FrozenTrial, kind: Kind, reason: str) -> None:
        """Fail the trial and, unless another process was faster, queue it again where it is due."""
        storage, trial_id = self._storage, trial._trial_id
        with suppress(UpdateFinishedTrialError):
            storage.set_trial_user_attr(trial_id, FAILURE, {"kind": kind, "text": reason})
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
            self._retry(storage.get_trial(trial_id))

    def _recover_without_heartbeat(self) -> None:
        before = {trial.number for trial in self._running()}
        with calm():
            fail_stale_trials(self._study)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
            if trial.number in before and FAILURE not in trial.user_attrs:
                self._retry(trial)

    def _retry(self, trial: FrozenTrial) -> None:
        """Queue a further try of the trial's point, with the same parameters, where one is due."""
        if not Point((trial,)).to_be_retried:
            return
        died = trial.user_attrs.get(FAILURE, {"kind": Kind.DIED})["kind"] == Kind.DIED
        carried = {SOURCE: trial.user_attrs[SOURCE]} if SOURCE in trial.user_attrs else {}
        self._study.enqueue_trial(
            {**trial.system_attrs.get("fixed_params", {}), **trial.params},
            user_attrs={
                **carried,
                POINT: trial.user_attrs.get(POINT, trial.number),
                DEATHS: deaths_of(trial) + died,
            },
        )


def _age_s(trial: FrozenTrial) -> float:
    """Return how long a trial has been running; Optuna keeps naive local times."""
    assert trial.datetime_start is not None
    start = trial.datetime_start
    now = datetime.now(UTC) if start.tzinfo else datetime.now()
    return (now - start).total_seconds()
