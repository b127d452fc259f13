"""Points a search starts from: the families' hand-picked ones, and the front of another study."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ..candidate import default_candidate
from .costs import input_shape
from .evaluate import suggest
from .ledger import SOURCE
from .settings import Gate, SweepSettings

TRIES_MAX = 2000


def enqueue_known(study: optuna.Study, settings: SweepSettings) -> None:
    """Queue every family's hand-picked candidate, or what its search can draw that is nearest.

    A pair of gates takes both gates' families in turn.
    """
    for i in range(max(len(gate.detectors) for gate in settings.gates)):
        names = [gate.detectors[i % len(gate.detectors)] for gate in settings.gates]
        params: dict[str, Any] = {}
        for gate, name in zip(settings.gates, names, strict=True):
            params |= _nearest_draws(name, gate, settings)
        study.enqueue_trial(params, user_attrs={SOURCE: f"hand-picked {' and '.join(names)}"})


def enqueue_front(
    study: optuna.Study, name: str, trials: tuple[optuna.trial.FrozenTrial, ...]
) -> None:
    """Queue the parameters of another study's front."""
    for trial in trials:
        study.enqueue_trial(trial.params, user_attrs={SOURCE: f"trial {trial.number} of {name}"})


def _nearest_draws(name: str, gate: Gate, settings: SweepSettings) -> dict[str, Any]:
    """Return the parameters from which a gate's hand-picked candidate is drawn.

    Most parameters are called as what they become. The others are tried, one value after the other;
    where none of them gives the candidate, those count whose network is nearest to it in size.
    """
    wanted = default_candidate(name)
    size = wanted.count(input_shape(wanted, settings)).n_parameters
    known = {"detector": name, **dict(_leaves(wanted))}
    best: tuple[float, dict[str, Any]] = (float("inf"), {})
    tried: list[int] = []
    for _ in range(TRIES_MAX):
        seeking = _Seeking(known, tried)
        drawn = suggest(seeking, gate, settings)
        if drawn == wanted:
            return seeking.params
        off = abs(drawn.count(input_shape(drawn, settings)).n_parameters - size)
        best = min(best, (off, seeking.params), key=lambda found: found[0])
        tried = seeking.next_try()
        if not tried:
            break
    return best[1]


class _Seeking:
    """A trial that draws what a candidate has: it finds a value by the end of the name.

    Where there is none, it takes the value that `tried` says next, and then the first.
    """

    def __init__(self, values: dict[str, Any], tried: list[int]) -> None:
        self._values = values
        self._tried = list(tried)
        self._tries: list[tuple[int, int]] = []  # index taken, how many there were
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._take(name, CategoricalDistribution(choices), tuple(choices))

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return self._take(name, FloatDistribution(low, high, **options), (low, high))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> Any:
        values = tuple(range(low, high + 1, options.get("step", 1)))
        return self._take(name, IntDistribution(low, high, **options), values)

    def next_try(self) -> list[int]:
        """Return what is to be tried next: the last value that has a next one is moved on."""
        tries = list(self._tries)
        while tries and tries[-1][0] + 1 == tries[-1][1]:
            tries.pop()
        taken = [index for index, _ in tries]
        return [*taken[:-1], taken[-1] + 1] if taken else []

    def _take(self, name: str, distribution: BaseDistribution, values: tuple[Any, ...]) -> Any:
        value = self._values.get(name.rpartition(".")[2])
        if not _holds(distribution, value):
            n_before = len(self._tries)
            index = self._tried[n_before] if n_before < len(self._tried) else 0
            self._tries.append((index, len(values)))
            value = values[index]
        self.params[name] = value
        return value


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


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
