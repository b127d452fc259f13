"""One network applied to several signals with one set of weights."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from .layers import Layers

WEIGHTED = ("conv", "depthwise", "dense", "norm")
"""The methods of `Layers` that make weights."""


def apply_to_each(
    layers: Layers, network: Callable[[Layers, Any], Any], xs: Sequence[Any]
) -> list[Any]:
    """Return `network(layers, x)` for each of the signals `xs`, all of one shape.

    The first application makes the weights and the others use them again, in the order in which
    they were made; so `network` must make the same layers every time.
    """
    made: list[Callable[[Any], Any]] = []
    first, *others = xs
    results = [network(cast(Layers, _Recording(layers, made)), first)]
    for x in others:
        again = _Replaying(layers, made)
        results.append(network(cast(Layers, again), x))
        assert again.n_used == len(made)
    return results


class _Recording:
    """`Layers` that notes every layer with weights."""

    def __init__(self, layers: Layers, made: list[Callable[[Any], Any]]) -> None:
        self._layers, self._made = layers, made

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._layers, name)
        if name not in WEIGHTED:
            return method

        def make(*args: Any, **options: Any) -> Callable[[Any], Any]:
            layer: Callable[[Any], Any] = method(*args, **options)
            self._made.append(layer)
            return layer

        return make


class _Replaying:
    """`Layers` that hands out the noted layers again, in their order."""

    def __init__(self, layers: Layers, made: list[Callable[[Any], Any]]) -> None:
        self._layers, self._made, self.n_used = layers, made, 0

    def __getattr__(self, name: str) -> Any:
        return self._next if name in WEIGHTED else getattr(self._layers, name)

    def _next(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        self.n_used += 1
        return self._made[self.n_used - 1]
