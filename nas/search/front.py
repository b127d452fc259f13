"""The Pareto front of a study, its hypervolume, and the point on it that is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial

from export.training_run import DataSettings

from ..candidate import Candidate
from .costs import REFERENCES
from .evaluate import AUROCS, CANDIDATES
from .ledger import SOURCE, Outcome, outcome_of, settled, tally
from .rungs import FIGURES
from .settings import SweepSettings
from .storage import StudyPlace, load_study, opened

FloatArray = npt.NDArray[np.float64]
CHANCE = 0.5
NEAR_BEST = 0.01
"""AUROC that the winner may give away for its size: less than two seeds differ by."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a study has found.

    Parameters
    ----------
    study, settings : of the sweep.
    trials : on the front, the best AUROC first.
    """

    study: optuna.Study
    settings: SweepSettings
    trials: tuple[FrozenTrial, ...]

    @property
    def winner(self) -> FrozenTrial | None:
        """The trial to take: of those within `NEAR_BEST` of the best AUROC, the smallest.

        Smallest is the first of the costs, then the next. None while there is no front.
        """
        if not self.trials:
            return None
        enough = self.trials[0].values[0] - NEAR_BEST
        return min((t for t in self.trials if t.values[0] >= enough), key=lambda t: t.values[1:])

    def to_json(self) -> dict[str, Any]:
        """Return the front in JSON types."""
        counts = tally(self.study)
        volumes = hypervolumes(self.study, self.settings)
        return {
            "study": self.study.study_name,
            "settings": self.settings.to_json(),
            "trials": {outcome.value: counts[outcome] for outcome in Outcome},
            "settled": settled(counts),
            "objectives": [
                {"name": objective.name, "direction": objective.direction}
                for objective in self.settings.objectives
            ],
            "references": {name: REFERENCES[name] for name in self.settings.costs},
            "hypervolume": volumes[-1].value if volumes else 0.0,
            "winner": None if self.winner is None else self.winner.number,
            "front": [_described(trial, self.settings) for trial in self.trials],
        }


def front_of(study: optuna.Study, settings: SweepSettings) -> Front:
    """Return the Pareto front of the feasible trials that were fitted on all windows.

    A trial that does no better than chance is on no front, however little it costs.
    """
    trials = study.get_trials(deepcopy=False)
    done = [t for t in trials if outcome_of(t) == Outcome.DONE and t.values[0] > CHANCE]
    values = losses(done, study)
    kept = [trial for trial, on_front in zip(done, non_dominated(values), strict=True) if on_front]
    return Front(study, settings, tuple(sorted(kept, key=lambda t: (-t.values[0], t.number))))


def chosen_candidate(
    place: StudyPlace, trial: str, gate: str | None
) -> tuple[Candidate, DataSettings]:
    """Return a candidate of a study, and the recordings it was searched on.

    Parameters
    ----------
    trial : "best" is the winner, else a number; gate : of a pair, None where there is one.

    Raises
    ------
    ValueError : there is no such trial, or it was not fitted on all windows; or no such gate.
    OSError : there is no such study.
    """
    with opened(place) as storage:
        front = front_of(*load_study(place, storage))
        trials = front.study.get_trials(deepcopy=False)
    done = {str(t.number): t for t in trials if outcome_of(t) == Outcome.DONE}
    chosen = front.winner if trial == "best" else done.get(trial)
    if chosen is None:
        raise ValueError(
            f"trial must be best or the number of one fitted on all windows of {place}, got {trial}"
        )
    candidates = chosen.user_attrs[CANDIDATES]
    name = next(iter(candidates)) if gate is None and len(candidates) == 1 else gate
    if name not in candidates:
        raise ValueError(f"gate must be one of {', '.join(candidates)}, got {gate or 'none'}")
    return Candidate.from_json(candidates[name]), front.settings.data


def losses(trials: Sequence[FrozenTrial], study: optuna.Study) -> FloatArray:
    """Return the objectives (n_trials, n_objectives), signs such that less is better."""
    minimize = [d == optuna.study.StudyDirection.MINIMIZE for d in study.directions]
    values = np.array([trial.values for trial in trials], np.float64)
    return values.reshape(-1, len(minimize)) * np.where(minimize, 1.0, -1.0)


def non_dominated(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows no other row is better than in one column and as good as in all.

    Of equal rows, the first is kept.

    Examples
    --------
    >>> non_dominated(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])).tolist()
    [True, True, False, False]
    """
    kept = np.ones(len(values), np.bool_)
    for i, row in enumerate(values):
        no_worse = (values <= row).all(axis=1)
        better = no_worse & (values < row).any(axis=1)
        equal_before = no_worse[:i] & ~better[:i]
        kept[i] = not better.any() and not equal_before.any()
    return kept


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """What the feasible trials up to one dominate together.

    Parameters
    ----------
    trial : number of the last of them, in the order in which they were begun.
    value : AUROC above chance times decades of every cost below its reference, together.
    """

    trial: int
    value: float


def hypervolumes(study: optuna.Study, settings: SweepSettings) -> list[Hypervolume]:
    """Return how the dominated volume grew, a step for each feasible trial.

    AUROC counts from chance, a cost by its logarithm from `REFERENCES`, which are fixed: volumes
    of studies with the same objectives may be compared. Zitzler and Thiele, IEEE Trans. Evol.
    Comput. 3, 1999.
    """
    from optuna._hypervolume import compute_hypervolume  # not public, but exact, and pinned

    done = [t for t in study.get_trials(deepcopy=False) if outcome_of(t) == Outcome.DONE]
    values = losses(done, study)
    values[:, 1:] = np.log10(np.maximum(values[:, 1:], 1.0))
    references = [REFERENCES[name] for name in settings.costs]
    reference = np.array([-CHANCE, *np.log10(references)])
    front = np.empty((0, len(reference)))
    steps: list[Hypervolume] = []
    volume = 0.0
    for trial, row in zip(done, values, strict=True):
        if (row < reference).all() and not (front <= row).all(axis=1).any():
            overlap = compute_hypervolume(np.maximum(front, row), reference) if len(front) else 0.0
            volume += float(np.prod(reference - row) - overlap)
            front = np.vstack([front[(front < row).any(axis=1)], row])
        steps.append(Hypervolume(trial.number, volume))
    return steps


def _described(trial: FrozenTrial, settings: SweepSettings) -> dict[str, Any]:
    names = [objective.name for objective in settings.objectives]
    return {
        "trial": trial.number,
        **dict(zip(names, trial.values, strict=True)),
        "costs": trial.user_attrs[FIGURES],
        "aurocs": trial.user_attrs[AUROCS][-1],
        "candidates": trial.user_attrs[CANDIDATES],
        "source": trial.user_attrs.get(SOURCE),
    }
