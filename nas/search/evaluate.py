"""A trial from parameters to objectives: costs, constraints, then fits on more and more windows.

The AUROC is that of float scores, so that a worker needs no converter, and of surrogates alone:
nothing here can ask for a record of the held-out class.
"""

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy import stats

from datasets.command_line import CheckFailed
from datasets.records import FloatArray
from export.score_rules import SCORE_RULES

from ..candidate import Candidate, suggest_candidate
from ..checkpoint import Checkpoint, StageCheckpoint
from ..detectors.detector import Scoring, build_detector, outputs_of
from ..windows import TrainingWindows
from .costs import costs_of, input_shape, score_form
from .rungs import FIGURES, RUNGS, Standing, standings
from .settings import Gate, SweepSettings
from .windows import SweepWindows
from .worker import Stopped

CANDIDATES, AUROCS, SECONDS = "candidates", "aurocs", "seconds"
"""User attributes: gate -> candidate; rung by rung, gate:surrogate -> AUROC; of each rung."""
NOT_TRAINED = 0.0
"""AUROC of an infeasible trial, which is never trained; a study wants a number."""


class Named:
    """A trial that puts a prefix before the names of its parameters.

    Two families draw parameters of one name from different ranges, and Optuna knows one range a
    name.
    """

    def __init__(self, trial: optuna.Trial, prefix: str) -> None:
        self._trial, self._prefix = trial, prefix

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Draw one of `choices`."""
        return self._trial.suggest_categorical(self._prefix + name, choices)

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        """Draw a real number."""
        return self._trial.suggest_float(self._prefix + name, low, high, **options)

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        """Draw a whole number."""
        return self._trial.suggest_int(self._prefix + name, low, high, **options)


def suggest(trial: Any, gate: Gate, settings: SweepSettings) -> Candidate:
    """Draw a gate's candidate from an `optuna.Trial`: its family, then what that chooses."""
    prefix = f"{gate.name}." if len(settings.gates) > 1 else ""
    detector = trial.suggest_categorical(f"{prefix}detector", gate.detectors)
    named = Named(trial, f"{prefix}{detector}.")
    return suggest_candidate(named, detector, settings.data.fs_target, len(settings.data.leads))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluates trials; a `nas.search.worker.Evaluate`.

    Parameters
    ----------
    settings : of the search; windows : of its study.
    """

    settings: SweepSettings
    windows: SweepWindows

    def __call__(self, trial: optuna.Trial) -> tuple[float, ...]:
        """Return the AUROC and the costs of a trial.

        Raises
        ------
        Stopped : at a rung that did not go well.
        CheckFailed : a training diverged or collapsed.
        """
        gates = self.settings.gates
        candidates = {gate.name: suggest(trial, gate, self.settings) for gate in gates}
        costs = costs_of(list(candidates.values()), self.settings)
        trial.set_user_attr(CANDIDATES, {n: c.to_json() for n, c in candidates.items()})
        trial.set_user_attr(FIGURES, costs.figures)
        for name, excess in costs.excess.items():
            trial.set_constraint(name, excess)
        figures = tuple(costs.figures[name] for name in self.settings.costs)
        if any(excess > 0 for excess in costs.excess.values()):
            return NOT_TRAINED, *figures
        return self._climb(trial, candidates, figures), *figures

    def _climb(
        self, trial: optuna.Trial, candidates: dict[str, Candidate], figures: tuple[float, ...]
    ) -> float:
        """Return the AUROC at the last rung."""
        reached: list[float] = []
        details: list[dict[str, float]] = []
        seconds: list[float] = []
        n_train = min(self.windows.n_train, self.settings.windows_max)
        for rung, part in enumerate(self.settings.rungs):
            start = time.monotonic()
            areas = self._areas(candidates, max(1, round(part * n_train)))
            reached.append(float(np.mean(list(areas.values()))))
            details.append(areas)
            seconds.append(round(time.monotonic() - start, 2))
            trial.set_user_attr(RUNGS, reached)
            trial.set_user_attr(AUROCS, details)
            trial.set_user_attr(SECONDS, seconds)
            others = trial.study.get_trials(deepcopy=False)
            peers = standings(others, rung, self.settings.costs, but=trial.number)
            last = rung == len(self.settings.rungs) - 1
            if not last and Standing(reached[-1], figures).is_hopeless(peers):
                raise Stopped
        return reached[-1]

    def _areas(self, candidates: dict[str, Candidate], n_windows: int) -> dict[str, float]:
        """Return the AUROC of each gate against each of its surrogates, fitted on `n_windows`."""
        return {
            f"{gate.name}:{surrogate}": area
            for gate in self.settings.gates
            for surrogate, area in self._gate_areas(
                candidates[gate.name], gate.surrogates, n_windows
            ).items()
        }

    def _gate_areas(
        self, candidate: Candidate, surrogates: tuple[str, ...], n_windows: int
    ) -> dict[str, float]:
        import keras

        keras.utils.set_random_seed(self.settings.seed)
        windows = self.windows.training(candidate.window_s, n_windows, candidate.augmentation)
        try:
            fitted = fit(candidate, windows, self.settings)
            names = ("validation", *surrogates)
            scores = {n: fitted.scores(self.windows.scored(n, candidate.window_s)) for n in names}
            return {name: auroc(scores["validation"], scores[name]) for name in surrogates}
        finally:
            keras.backend.clear_session()
            gc.collect()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network, a `keras.Model`, and how it is scored."""

    model: Any
    scoring: Scoring

    def scores(self, windows: TrainingWindows) -> FloatArray:
        """Return the float score of every window, higher = more anomalous.

        Raises
        ------
        CheckFailed : one is not finite, or all are all but the same.
        """
        from ..filter import check_not_collapsed

        outputs = outputs_of(self.model, windows)
        check_not_collapsed(outputs)
        rule = SCORE_RULES[self.scoring.rule]
        scores = rule.score_float(outputs.astype(np.float64), self.scoring.constants)
        if not np.isfinite(scores).all():
            raise CheckFailed("scores must be finite, got others")
        return scores


def fit(candidate: Candidate, windows: TrainingWindows, settings: SweepSettings) -> Fitted:
    """Return a candidate trained on `windows`, as `python -m nas train` would.

    Raises
    ------
    CheckFailed : the loss is no longer finite.
    """
    from ..train import Trainer

    model = build_detector(candidate.module, candidate.params, input_shape(candidate, settings))
    trainer = Trainer(candidate.plan, settings.seed, len(windows), NotKept(Path(), {}))
    scoring = candidate.module.fit(candidate.params, model, windows, trainer)
    n_parts = len(scoring.constants.get("parts", (None,)))
    assert (scoring.rule, n_parts) == score_form(candidate, len(windows.classes))
    return Fitted(model, scoring)


class NotKept(Checkpoint):
    """A checkpoint that keeps nothing: a trial is short, and is tried again from its start."""

    def stage(self, name: str) -> StageCheckpoint:
        """Return a stage that keeps nothing either."""
        return _StageNotKept(self.folder, name, self.subject)


class _StageNotKept(StageCheckpoint):
    def save(self, model: Any, losses: list[float]) -> None:
        """Keep nothing."""

    def losses(self) -> list[float]:
        """Return none."""
        return []

    def restore(self, model: Any) -> None:
        """Leave the model as it is."""


def auroc(familiar: FloatArray, strange: FloatArray) -> float:
    """Return the probability that a strange window scores higher than a familiar one.

    Ties count half: the Mann-Whitney statistic.

    Examples
    --------
    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    statistic = stats.mannwhitneyu(strange, familiar, method="asymptotic").statistic
    return float(statistic / (len(strange) * len(familiar)))
