"""A network's layers one by one, for people to look at; nothing is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ..candidate import Candidate
from ..layers import CountedLayers, Layers, Shape

WORDS = {
    "conv": ("width", "kernel", "stride", "dilation", "padding"),
    "depthwise": ("kernel", "stride", "dilation", "padding"),
    "dense": ("n_outputs",),
    "activation": ("x", "kind"),
    "average_pool": ("x", "size"),
    "max_pool": ("x", "size"),
}
"""Names of what a method of `Layers` is given in order, for those whose options are shown."""
SHOWN = ("kernel", "stride", "dilation", "kind", "size")
QUIET = {"stride": 1, "dilation": 1}


@dataclass(frozen=True, slots=True)
class Step:
    """One layer as it is applied.

    Parameters
    ----------
    kind : method of `nas.layers.Layers`; detail : its options in words.
    shape : of what comes out, (columns, channels) or (n,).
    n_parameters, macs : that it adds.
    """

    kind: str
    detail: str
    shape: Shape
    n_parameters: int
    macs: int


def steps_of(candidate: Candidate, input_shape: tuple[int, int]) -> list[Step]:
    """Return the layers of a candidate's network in the order in which they are applied.

    Raises
    ------
    ValueError : windows of `input_shape` are too short for it.
    """
    tracing = _Tracing()
    candidate.module.network(cast(Layers, tracing), candidate.params, input_shape)
    return tracing.steps


class _Tracing:
    """`Layers` on shapes that writes down what is applied."""

    def __init__(self) -> None:
        self._counter = CountedLayers()
        self.steps: list[Step] = []

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        method = getattr(self._counter, kind)

        def use(*args: Any, **options: Any) -> Any:
            detail = _detail(kind, args, options)
            before = self._counter.n_parameters, self._counter.macs
            made = method(*args, **options)
            if callable(made):  # a layer with weights, which is applied later
                return lambda x: self._apply(kind, detail, made, x)
            return self._keep(kind, detail, made, before)

        return use

    def _apply(self, kind: str, detail: str, layer: Callable[[Shape], Shape], x: Shape) -> Shape:
        before = self._counter.n_parameters, self._counter.macs
        return self._keep(kind, detail, layer(x), before)

    def _keep(self, kind: str, detail: str, shape: Shape, before: tuple[int, int]) -> Shape:
        counter = self._counter
        added = counter.n_parameters - before[0], counter.macs - before[1]
        self.steps.append(Step(kind, detail, shape, *added))
        return shape


def _detail(kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    given = {**dict(zip(WORDS.get(kind, ()), args, strict=False)), **options}
    said = [
        str(given[name]) if name == "kind" else f"{name} {given[name]}"
        for name in SHOWN
        if name in given and given[name] != QUIET.get(name)
    ]
    return ", ".join(said)
