"""What a sweep shows while it runs: a live table on a terminal, else a line now and then."""

import time
from collections import Counter
from types import TracebackType

import optuna
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from .driver import Budget
from .ledger import SETTLED, Outcome, outcome_of, settled
from .settings import SweepSettings

LINE_S = 60.0


class View:
    """Shows the tally it is given; a context, on whose leaving the last table stays.

    Parameters
    ----------
    study, settings, budget : of the sweep; n_workers : that run trials.
    console : where to; default stderr.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: SweepSettings,
        budget: Budget,
        n_workers: int,
        console: Console | None = None,
    ) -> None:
        self._study, self._settings, self._budget = study, settings, budget
        self._n_workers = n_workers
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)
        self._start_s = time.monotonic()
        self._n_before: int | None = None
        self._line_at_s = 0.0
        self._shown: Counter[Outcome] | None = None

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def __call__(self, counts: Counter[Outcome]) -> None:
        """Show the study as it stands."""
        if self._n_before is None:
            self._n_before = settled(counts)
        if self._live.is_started:
            self._live.update(self._page(counts), refresh=True)
        elif counts != self._shown and time.monotonic() > self._line_at_s:
            self._line_at_s = time.monotonic() + LINE_S
            self._shown = counts.copy()
            self._console.print(self._line(counts), highlight=False, soft_wrap=True)

    def _page(self, counts: Counter[Outcome]) -> Group:
        title = f"{self._study.study_name}: best of each objective"
        table = Table(title=title, title_justify="left")
        table.add_column("objective")
        table.add_column("best", justify="right")
        table.add_column("trial", justify="right")
        for index, objective in enumerate(self._settings.objectives):
            best = best_trial(self._study, index)
            shown = ("-", "-") if best is None else (f"{best.values[index]:,.4g}", str(best.number))
            table.add_row(objective.name, *shown)
        return Group(self._line(counts), table)

    def _line(self, counts: Counter[Outcome]) -> str:
        parts = [f"{counts[outcome]} {outcome}" for outcome in (*SETTLED, Outcome.RUNNING)]
        return (
            f"{settled(counts)}/{self._budget.trials} trials: {', '.join(parts)} "
            f"on {self._n_workers} workers; {self._time_left(counts)}"
        )

    def _time_left(self, counts: Counter[Outcome]) -> str:
        """Say how long the rest takes at this run's pace, or until the time is up."""
        elapsed_s = time.monotonic() - self._start_s
        n_done = settled(counts) - (self._n_before or 0)
        left = []
        if n_done > 0:
            left.append(elapsed_s / n_done * max(0, self._budget.trials - settled(counts)))
        if self._budget.seconds is not None:
            left.append(max(0.0, self._budget.seconds - elapsed_s))
        return f"{duration(min(left))} left" if left else "time left not known yet"


def best_trial(study: optuna.Study, index: int) -> optuna.trial.FrozenTrial | None:
    """Return the feasible trial that is best in one objective, None before there is one."""
    done = [t for t in study.get_trials(deepcopy=False) if outcome_of(t) == Outcome.DONE]
    sign = 1 if study.directions[index] == optuna.study.StudyDirection.MINIMIZE else -1
    return min(done, key=lambda trial: sign * trial.values[index], default=None)


def duration(seconds: float) -> str:
    """Return a duration in words.

    Examples
    --------
    >>> duration(59), duration(600), duration(90000)
    ('59 s', '10 min', '25 h 0 min')
    """
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
