"""The loop of a sweep: hands out trials while the budget lasts, sees to those that were lost."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import optuna

from .ledger import Ledger, Outcome, settled, tally
from .pool import Began, Broken, Died, Ended, Event, Pool

WAIT_S = 0.5
RECOVER_S = 5.0
DEATHS_WHILE_STARTING_MAX = 3
FAILURES_MAX = 10


@dataclass(frozen=True, slots=True)
class Budget:
    """When a sweep is over.

    Parameters
    ----------
    trials : points of the study that are settled, those of earlier runs included.
    seconds : of this run, after which no trial is begun; None for no limit.

    Raises
    ------
    ValueError : a number is not positive.
    """

    trials: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials < 1 or (self.seconds is not None and self.seconds <= 0):
            raise ValueError(f"a budget must be positive, got {self}")


class SweepError(OSError):
    """No worker can go on; the text says why."""


Watch = Callable[[Counter[Outcome]], None]
"""Shown the tally of the study, again and again."""


class Driver:
    """Runs a sweep.

    Parameters
    ----------
    study, ledger : what is searched; pool : what searches.
    budget : when it is over; watch : who looks on.
    """

    def __init__(
        self, study: optuna.Study, ledger: Ledger, pool: Pool, budget: Budget, watch: Watch
    ) -> None:
        self._study, self._ledger, self._pool = study, ledger, pool
        self._budget, self._watch = budget, watch
        self._given: dict[int, int | None] = {}  # worker -> its trial, None until it has one
        self._deaths_while_starting = self._failures = 0

    def run(self) -> None:
        """Return when the budget is used up and every trial of this run is settled.

        However it ends, no worker is left behind, and what they had begun is queued again.

        Raises
        ------
        SweepError : the storage failed, workers do not start, or trials do nothing but fail.
        KeyboardInterrupt : Ctrl-C.
        """
        try:
            self._ledger.recover(everything=True)
            self._pool.start()
            self._loop()
        finally:
            for owner in self._pool.stop():
                self._ledger.interrupt(owner)

    def _loop(self) -> None:
        end = time.monotonic() + (self._budget.seconds or float("inf"))
        recover_at = time.monotonic() + RECOVER_S
        while True:
            if time.monotonic() > recover_at:
                self._ledger.recover()
                recover_at = time.monotonic() + RECOVER_S
            counts = tally(self._study)
            self._watch(counts)
            out_of_time = time.monotonic() > end
            n_open = 0 if out_of_time else self._n_open(counts)
            if not n_open and not self._given and (out_of_time or not self._ledger.has_orphans()):
                return
            for worker in self._pool.idle()[:n_open]:
                self._given[worker] = None
                self._pool.give(worker)
            for event in self._pool.events(WAIT_S):
                self._act_on(event)

    def _n_open(self, counts: Counter[Outcome]) -> int:
        """Return how many more trials may begin: none is running or about to for these points."""
        n_begun = settled(counts) + counts[Outcome.RUNNING]
        n_about_to = sum(trial is None for trial in self._given.values())
        return max(0, self._budget.trials - n_begun - n_about_to)

    def _act_on(self, event: Event) -> None:
        if isinstance(event, Began):
            self._given[event.worker] = event.trial
            self._deaths_while_starting = 0
        elif isinstance(event, Ended):
            del self._given[event.worker]
            self._refuse_to_only_fail(event.failure)
        elif isinstance(event, Died):
            self._given.pop(event.worker, None)
            self._ledger.recover()
            self._deaths_while_starting += event.while_starting
            if self._deaths_while_starting >= DEATHS_WHILE_STARTING_MAX:
                raise SweepError("workers die while they start; their log in the study says why")
        else:
            assert isinstance(event, Broken)
            raise SweepError(event.reason)

    def _refuse_to_only_fail(self, failure: str | None) -> None:
        self._failures = self._failures + 1 if failure else 0
        if self._failures >= FAILURES_MAX:
            raise SweepError(f"{self._failures} trials in a row failed, the last one by {failure}")
