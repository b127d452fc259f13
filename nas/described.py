"""A third reader of a network's one definition: what the firmware will run, without Keras.

With `DescribedLayers` a family's network becomes an `export.layers.Graph` of made-up weights, from
which `export.cost` gives its exact bytes and estimates its instructions, in a fraction of a second
and before anything is built.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph_builder import GraphBuilder
from export.layers import Graph

from .layers import Float32Array, Network, Shape


@dataclass(frozen=True, slots=True)
class Described:
    """A symbolic value: the builder's tensor, and the shape it has in Keras, batch included."""

    tensor: int
    shape: tuple[int, ...]


def describe(network: Network, params: Any, input_shape: tuple[int, int]) -> Graph:
    """Return what the firmware would run of a network, with made-up weights.

    Raises
    ------
    ValueError : the window is too short for the network, or its parameters contradict each other.
    """
    layers = DescribedLayers(*input_shape)
    output = network(layers, params, layers.input)
    return layers.builder.graph(output.tensor)


class _Weighted:
    """A layer whose weights stay the same where it is applied again."""

    def __init__(self, apply: Callable[[Described, int | None], Described]) -> None:
        self._apply = apply
        self._first: int | None = None

    def __call__(self, x: Described) -> Described:
        y = self._apply(x, self._first)
        self._first = y.tensor if self._first is None else self._first
        return y


class DescribedLayers:
    """`Layers` on a `GraphBuilder`."""

    def __init__(self, window_len: int, n_leads: int) -> None:
        self.builder = GraphBuilder(window_len, n_leads)
        self.input = Described(0, (1, window_len, n_leads))

    def conv(
        self,
        width: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Described], Described]:
        """Return CONV."""

        def apply(x: Described, weights_of: int | None) -> Described:
            same = padding == "same"
            window = (width, kernel, stride, dilation, same)
            return self._signal(self.builder.conv(x.tensor, *window, weights_of=weights_of))

        return _Weighted(apply)

    def depthwise(
        self,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Described], Described]:
        """Return DEPTHWISE_CONV."""

        def apply(x: Described, weights_of: int | None) -> Described:
            same = padding == "same"
            window = (kernel, stride, dilation, same)
            return self._signal(self.builder.depthwise(x.tensor, *window, weights_of=weights_of))

        return _Weighted(apply)

    def dense(
        self, n_outputs: int, use_bias: bool = True, name: str | None = None
    ) -> Callable[[Described], Described]:
        """Return FULLY_CONNECTED."""

        def apply(x: Described, weights_of: int | None) -> Described:
            y = self.builder.fully_connected(x.tensor, n_outputs, weights_of=weights_of)
            return Described(y, (1, n_outputs))

        return _Weighted(apply)

    def norm(self, name: str | None = None) -> Callable[[Described], Described]:
        """Return no layer: the converter folds it into the convolution before it.

        Where one convolution is applied several times with different normalisations, their gains
        have to be equal for the weights to be stored once, and are taken to be.
        """
        return lambda x: x

    def activation(self, x: Described, kind: str) -> Described:
        """Return a ReLU, fused where it can be, or LOOKUP."""
        add = {
            "relu": self.builder.relu,
            "relu6": self.builder.relu,
            "tanh": self.builder.saturate,
            "sigmoid": self.builder.saturate,
        }.get(kind, self.builder.lookup)
        return Described(add(x.tensor), x.shape)

    def add(self, a: Described, b: Described) -> Described:
        """Return ADD."""
        return Described(self.builder.add(a.tensor, b.tensor), a.shape)

    def subtract(self, a: Described, b: Described, name: str | None = None) -> Described:
        """Return SUB."""
        return Described(self.builder.subtract(a.tensor, b.tensor), a.shape)

    def multiply(self, a: Described, b: Described) -> Described:
        """Return MUL."""
        return Described(self.builder.multiply(a.tensor, b.tensor), a.shape)

    def multiply_by(self, x: Described, constant: Float32Array) -> Described:
        """Return MUL by a constant."""
        return Described(self.builder.multiply(x.tensor, self._constant(constant)), x.shape)

    def add_to(self, x: Described, constant: Float32Array) -> Described:
        """Return ADD of a constant."""
        return Described(self.builder.add(x.tensor, self._constant(constant)), x.shape)

    def concatenate(self, xs: Sequence[Described], axis: int = -1) -> Described:
        """Return CONCATENATION."""
        along_time = axis == 0 and len(xs[0].shape) == 3
        joined = self.builder.concatenate(*(x.tensor for x in xs), along_time=along_time)
        return self._like(xs[0], joined)

    def mean(self, x: Described, name: str | None = None) -> Described:
        """Return MEAN."""
        return Described(self.builder.mean(x.tensor), (1, x.shape[-1]))

    def average_pool(self, x: Described, size: int) -> Described:
        """Return AVERAGE_POOL."""
        return self._signal(self.builder.average_pool(x.tensor, size, size))

    def max_pool(self, x: Described, size: int) -> Described:
        """Return MAX_POOL."""
        return self._signal(self.builder.max_pool(x.tensor, size, size))

    def crop(self, x: Described, left: int, right: int) -> Described:
        """Return STRIDED_SLICE of columns."""
        return self._signal(self.builder.crop(x.tensor, left, right))

    def channels(self, x: Described, start: int, stop: int) -> Described:
        """Return STRIDED_SLICE of channels."""
        width, _ = self.builder.shape(x.tensor)
        return self._like(x, self.builder.slice(x.tensor, (0, width), (start, stop)))

    def reshape(self, x: Described, shape: Shape, name: str | None = None) -> Described:
        """Return RESHAPE; no layer where the columns stay."""
        width, channels = shape if len(shape) == 2 else (1, *shape)
        return Described(self.builder.reshape(x.tensor, width, channels), (1, *shape))

    def _constant(self, values: Float32Array) -> int:
        return self.builder.constant(np.atleast_2d(values).astype(np.float64))

    def _signal(self, tensor: int) -> Described:
        return Described(tensor, (1, *self.builder.shape(tensor)))

    def _like(self, x: Described, tensor: int) -> Described:
        width, channels = self.builder.shape(tensor)
        return Described(tensor, (1, channels) if len(x.shape) == 2 else (1, width, channels))
