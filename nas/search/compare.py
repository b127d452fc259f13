"""Does a sampler earn its keep? The same search by each of them, several times, at equal trials."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from .front import hypervolumes
from .settings import BASELINE, SweepSettings
from .storage import StudyPlace, load_study, opened
from .sweep import Resources, run_study
from .windows import SweepWindows


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the hypervolume of each sampler grew.

    Parameters
    ----------
    n_trials : of every search.
    curves : sampler -> one row a repeat: the hypervolume after 1, 2, ... trials.
    """

    n_trials: int
    curves: dict[str, list[list[float]]]

    def final(self, sampler: str) -> list[float]:
        """Return the hypervolumes that the repeats of a sampler ended with."""
        return [curve[-1] for curve in self.curves[sampler]]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison in JSON types."""
        baseline = float(np.mean(self.final(BASELINE)))
        return {
            "n_trials": self.n_trials,
            "samplers": {
                name: {
                    "hypervolume": self.final(name),
                    "mean": float(np.mean(self.final(name))),
                    "against_random": float(np.mean(self.final(name))) / baseline,
                    "curves": curves,
                }
                for name, curves in self.curves.items()
            },
        }

    def table(self) -> Table:
        """Return what the terminal shows."""
        table = Table(title=f"Hypervolume after {self.n_trials} trials", title_justify="left")
        for name in ("sampler", "mean", "against random", "each"):
            table.add_column(name, justify="left" if name == "sampler" else "right")
        for name, values in self.to_json()["samplers"].items():
            each = ", ".join(f"{value:.4f}" for value in values["hypervolume"])
            ratio = f"{values['against_random']:.2f} x"
            table.add_row(name, f"{values['mean']:.4f}", ratio, each)
        return table


def compare_samplers(
    settings: SweepSettings,
    windows: SweepWindows,
    folder: Path,
    samplers: Sequence[str],
    n_repeats: int,
    resources: Resources,
) -> Comparison:
    """Run every search that is not finished in `folder`, and return how they did.

    Nothing is tried that was known before, and no trial is stopped early: both would make samplers
    alike. Interrupted, the same call goes on.

    Parameters
    ----------
    settings, windows : of the study whose space is searched.
    resources : of every search; its budget is in trials.
    """
    curves: dict[str, list[list[float]]] = {}
    for sampler in samplers:
        for repeat in range(n_repeats):
            place = StudyPlace(folder / f"{sampler}-{repeat}")
            place.folder.mkdir(parents=True, exist_ok=True)
            of_sampler = replace(settings, sampler=sampler, rungs=(1.0,))
            run_study(place, of_sampler, windows, resources, repeat=repeat)
            n_trials = resources.budget.trials
            curves.setdefault(sampler, []).append(_curve(place, n_trials))
    comparison = Comparison(resources.budget.trials, curves)
    text = json.dumps(comparison.to_json(), indent=2, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    return comparison


def _curve(place: StudyPlace, n_trials: int) -> list[float]:
    """Return the hypervolume after each of the first trials."""
    with opened(place) as storage:
        steps = hypervolumes(*load_study(place, storage))
    grown = np.zeros(n_trials)
    for step in steps:
        grown[min(step.trial, n_trials - 1) :] = step.value
    return grown.tolist()
