"""Points a search starts from: the families' hand-picked ones, and the front of another study."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from ..candidate import Candidate, default_candidate
from .evaluate import suggest
from .ledger import SOURCE
from .settings import SweepSettings


def enqueue_known(study: optuna.Study, settings: SweepSettings) -> None:
    """Queue every family's hand-picked candidate, in a study that has no trial yet.

    A pair of gates takes both gates' families in turn. A candidate that its own search cannot draw
    is left out.
    """
    for i in range(max(len(gate.detectors) for gate in settings.gates)):
        names = [gate.detectors[i % len(gate.detectors)] for gate in settings.gates]
        params = _params_of([default_candidate(name) for name in names], settings)
        if params is not None:
            source = f"hand-picked {' and '.join(names)}"
            study.enqueue_trial(params, user_attrs={SOURCE: source})


def enqueue_front(
    study: optuna.Study, name: str, trials: tuple[optuna.trial.FrozenTrial, ...]
) -> None:
    """Queue the parameters of another study's front."""
    for trial in trials:
        study.enqueue_trial(trial.params, user_attrs={SOURCE: f"trial {trial.number} of {name}"})


def _params_of(candidates: list[Candidate], settings: SweepSettings) -> dict[str, Any] | None:
    """Return the parameters that a study would draw `candidates` from, None if it cannot."""
    params: dict[str, Any] = {}
    for gate, candidate in zip(settings.gates, candidates, strict=True):
        seeking = _Seeking({"detector": candidate.detector, **dict(_leaves(candidate))})
        try:
            if suggest(seeking, gate, settings) != candidate:
                return None
        except LookupError:
            return None
        params |= seeking.params
    return params


class _Seeking:
    """A trial that draws what a candidate has: it finds a value by the end of the name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._take(name, optuna.distributions.CategoricalDistribution(choices))

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return self._take(name, optuna.distributions.FloatDistribution(low, high, **options))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> Any:
        return self._take(name, optuna.distributions.IntDistribution(low, high, **options))

    def _take(self, name: str, distribution: BaseDistribution) -> Any:
        value = self._values[name.rpartition(".")[2]]
        try:
            inside = distribution._contains(distribution.to_internal_repr(value))
        except ValueError:
            inside = False
        if not inside:
            raise LookupError(f"{name} is never {value}")
        self.params[name] = value
        return value


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the numbers and names in nested dataclasses as a search calls them.

    A tuple `blocks` is their number and, of each, what `nas.blocks` calls block0_width and so on.
    """
    for field in fields(value):
        part = getattr(value, field.name)
        if is_dataclass(part):
            within = "augmentation_" if field.name == "augmentation" else ""
            yield from _leaves(part, within)
        elif isinstance(part, tuple) and part and is_dataclass(part[0]):
            yield field.name, len(part)
            for i, each in enumerate(part):
                yield from _leaves(each, f"{field.name.removesuffix('s')}{i}_")
        else:
            yield prefix + field.name, part
