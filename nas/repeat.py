"""One network applied to several signals with one set of weights."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from .layers import Layers

WEIGHTED = ("conv", "depthwise", "dense", "norm")
"""The methods of `Layers` that make weights."""


def apply_to_each(
    layers: Layers, network: Callable[[Layers, Any], Any], xs: Sequence[Any]
) -> list[Any]:
    """Return `network(layers, x)` for each of the signals `xs`, all of one shape.

    The first application makes the weights. The others use them again in the order in which they
    were made, so `network` must ask for the same layers every time.
    """
    made: list[Callable[[Any], Any]] = []
    return [network(cast(Layers, _Shared(layers, made)), x) for x in xs]


class _Shared:
    """`Layers` that makes a layer with weights only where `made` does not hold it yet."""

    def __init__(self, layers: Layers, made: list[Callable[[Any], Any]]) -> None:
        self._layers, self._made, self._n_used = layers, made, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._layers, name)
        return partial(self._once, method) if name in WEIGHTED else method

    def _once(self, make: Callable[..., Any], *args: Any, **options: Any) -> Callable[[Any], Any]:
        if self._n_used == len(self._made):
            self._made.append(make(*args, **options))
        self._n_used += 1
        return self._made[self._n_used - 1]
