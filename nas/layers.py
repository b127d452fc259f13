"""One definition of a network, read twice: by Keras, which trains it, and by a counter.

A family writes its network once, against `Layers`. With `KerasLayers` it becomes a `keras.Model`;
with `CountedLayers` it becomes its parameters and multiply-accumulates in microseconds, without
Keras, so that a search can refuse a network before anything is built.

Only what the firmware has operators for is offered here. Everything shown to a layer is
(window_len, channels), or (n,) once time is gone; the batch axis is left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]

ACTIVATIONS = ("relu", "relu6", "leaky_relu", "tanh")
LEAK = 0.125  # slope of leaky_relu below 0
BATCH_NORM_MOMENTUM = 0.95  # settles within the few hundred steps a small data set gets


@dataclass(frozen=True, slots=True)
class Counts:
    """What a network costs before quantization.

    Parameters
    ----------
    n_parameters : as `keras.Model.count_params` has it, moving averages included.
    macs : multiply-accumulates of convolutions and dense layers, a window.
    """

    n_parameters: int
    macs: int


class Layers(Protocol):
    """What networks are made of; `x` is symbolic, and each reader has its own kind.

    Layers with weights are made first and then applied, so that one may be applied several times.
    """

    def conv(
        self,
        width: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Any], Any]:
        """Return a convolution over time to `width` channels; padding "same" or "valid"."""
        ...

    def depthwise(
        self,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Any], Any]:
        """Return a convolution of every channel with a kernel of its own."""
        ...

    def dense(
        self, n_outputs: int, use_bias: bool = True, name: str | None = None
    ) -> Callable[[Any], Any]:
        """Return a dense layer of a vector (n,)."""
        ...

    def norm(self, name: str | None = None) -> Callable[[Any], Any]:
        """Return a batch normalisation; the converter folds it into the convolution before it."""
        ...

    def activation(self, x: Any, kind: str) -> Any:
        """Return one of `ACTIVATIONS`, or "sigmoid", of every value."""
        ...

    def add(self, a: Any, b: Any) -> Any:
        """Return a + b, of equal shapes."""
        ...

    def subtract(self, a: Any, b: Any, name: str | None = None) -> Any:
        """Return a - b, of equal shapes."""
        ...

    def multiply(self, a: Any, b: Any) -> Any:
        """Return a * b, of equal shapes."""
        ...

    def multiply_by(self, x: Any, constant: Float32Array) -> Any:
        """Return x times a constant of x's shape, or (channels,)."""
        ...

    def add_to(self, x: Any, constant: Float32Array) -> Any:
        """Return x plus a constant of x's shape, or (channels,)."""
        ...

    def concatenate(self, xs: Sequence[Any], axis: int = -1) -> Any:
        """Return vectors, or signals along channels (-1) or time (0), as one."""
        ...

    def mean(self, x: Any, name: str | None = None) -> Any:
        """Return the mean over time, (channels,)."""
        ...

    def average_pool(self, x: Any, size: int) -> Any:
        """Return means of `size` columns, every `size` columns; the rest is dropped."""
        ...

    def max_pool(self, x: Any, size: int) -> Any:
        """Return maxima of `size` columns, every `size` columns; the rest is dropped."""
        ...

    def crop(self, x: Any, left: int, right: int) -> Any:
        """Return x without its first `left` and last `right` columns."""
        ...

    def channels(self, x: Any, start: int, stop: int) -> Any:
        """Return the channels [start, stop)."""
        ...

    def reshape(self, x: Any, shape: Shape, name: str | None = None) -> Any:
        """Return the same values, time outermost, in another shape."""
        ...


def shape_of(x: Any) -> Shape:
    """Return the shape of either reader's symbolic value, without the batch axis."""
    return x if isinstance(x, tuple) else tuple(int(n) for n in x.shape[1:])


class KerasLayers:
    """`Layers` as Keras layers: built-in ones alone, so that any Keras loads the result."""

    def conv(
        self,
        width: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Any], Any]:
        """Return `keras.layers.Conv1D`."""
        import keras

        return keras.layers.Conv1D(  # type: ignore[no-any-return]
            width,
            kernel,
            strides=stride,
            dilation_rate=dilation,
            padding=padding,
            use_bias=use_bias,
            kernel_initializer="he_normal",
            name=name,
        )

    def depthwise(
        self,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Any], Any]:
        """Return `keras.layers.DepthwiseConv1D`."""
        import keras

        return keras.layers.DepthwiseConv1D(  # type: ignore[no-any-return]
            kernel,
            strides=stride,
            dilation_rate=dilation,
            padding=padding,
            use_bias=use_bias,
            depthwise_initializer="he_normal",
            name=name,
        )

    def dense(
        self, n_outputs: int, use_bias: bool = True, name: str | None = None
    ) -> Callable[[Any], Any]:
        """Return `keras.layers.Dense`."""
        import keras

        return keras.layers.Dense(n_outputs, use_bias=use_bias, name=name)  # type: ignore[no-any-return]

    def norm(self, name: str | None = None) -> Callable[[Any], Any]:
        """Return `keras.layers.BatchNormalization`."""
        import keras

        return keras.layers.BatchNormalization(  # type: ignore[no-any-return]
            momentum=BATCH_NORM_MOMENTUM, name=name
        )

    def activation(self, x: Any, kind: str) -> Any:
        """Return the activation as a layer."""
        import keras

        if kind == "leaky_relu":
            return keras.layers.LeakyReLU(negative_slope=LEAK)(x)
        return keras.layers.Activation(kind)(x)

    def add(self, a: Any, b: Any) -> Any:
        """Return `keras.layers.Add`."""
        import keras

        return keras.layers.Add()([a, b])

    def subtract(self, a: Any, b: Any, name: str | None = None) -> Any:
        """Return `keras.layers.Subtract`."""
        import keras

        return keras.layers.Subtract(name=name)([a, b])

    def multiply(self, a: Any, b: Any) -> Any:
        """Return `keras.layers.Multiply`."""
        import keras

        return keras.layers.Multiply()([a, b])

    def multiply_by(self, x: Any, constant: Float32Array) -> Any:
        """Return `keras.ops.multiply`; the constant is kept in the model's description."""
        from keras import ops

        return ops.multiply(x, np.asarray(constant, np.float32)[np.newaxis])

    def add_to(self, x: Any, constant: Float32Array) -> Any:
        """Return `keras.ops.subtract`; the constant is kept in the model's description.

        `keras.ops.add` would take a constant (window_len, 1) for a bias, which it adds by an
        operator that the converter refuses.
        """
        from keras import ops

        return ops.subtract(x, -np.asarray(constant, np.float32)[np.newaxis])

    def concatenate(self, xs: Sequence[Any], axis: int = -1) -> Any:
        """Return `keras.layers.Concatenate`."""
        import keras

        return keras.layers.Concatenate(axis=axis if axis < 0 else axis + 1)(list(xs))

    def mean(self, x: Any, name: str | None = None) -> Any:
        """Return `keras.layers.GlobalAveragePooling1D`."""
        import keras

        return keras.layers.GlobalAveragePooling1D(name=name)(x)

    def average_pool(self, x: Any, size: int) -> Any:
        """Return `keras.layers.AveragePooling1D`."""
        import keras

        return keras.layers.AveragePooling1D(size)(x)

    def max_pool(self, x: Any, size: int) -> Any:
        """Return `keras.layers.MaxPooling1D`."""
        import keras

        return keras.layers.MaxPooling1D(size)(x)

    def crop(self, x: Any, left: int, right: int) -> Any:
        """Return `keras.layers.Cropping1D`."""
        import keras

        return keras.layers.Cropping1D((left, right))(x)

    def channels(self, x: Any, start: int, stop: int) -> Any:
        """Return a slice, which becomes STRIDED_SLICE."""
        return x[..., start:stop]

    def reshape(self, x: Any, shape: Shape, name: str | None = None) -> Any:
        """Return `keras.layers.Reshape`."""
        import keras

        return keras.layers.Reshape(shape, name=name)(x)


class _Weighted:
    """A layer whose parameters are counted when it is first applied."""

    def __init__(
        self, counter: "CountedLayers", apply: Callable[[Shape], tuple[Shape, int, int]]
    ) -> None:
        self._counter, self._apply, self._seen = counter, apply, False

    def __call__(self, x: Shape) -> Shape:
        shape, n_parameters, macs = self._apply(x)
        self._counter.n_parameters += 0 if self._seen else n_parameters
        self._counter.macs += macs
        self._seen = True
        return shape


class CountedLayers:
    """`Layers` on shapes alone: adds up what a network would cost.

    Raises
    ------
    ValueError : from any method, where a signal is shorter than what is laid over it.
    """

    def __init__(self) -> None:
        self.n_parameters = 0
        self.macs = 0

    def conv(
        self,
        width: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Shape], Shape]:
        """Return a convolution of shapes."""

        def apply(x: Shape) -> tuple[Shape, int, int]:
            columns = _columns(x[0], kernel, stride, dilation, padding)
            size = kernel * x[1] * width
            return (columns, width), size + use_bias * width, columns * size

        return _Weighted(self, apply)

    def depthwise(
        self,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        use_bias: bool = True,
        name: str | None = None,
    ) -> Callable[[Shape], Shape]:
        """Return a convolution of shapes, channel by channel."""

        def apply(x: Shape) -> tuple[Shape, int, int]:
            columns = _columns(x[0], kernel, stride, dilation, padding)
            size = kernel * x[1]
            return (columns, x[1]), size + use_bias * x[1], columns * size

        return _Weighted(self, apply)

    def dense(
        self, n_outputs: int, use_bias: bool = True, name: str | None = None
    ) -> Callable[[Shape], Shape]:
        """Return a dense layer of shapes."""

        def apply(x: Shape) -> tuple[Shape, int, int]:
            (n_inputs,) = x
            size = n_inputs * n_outputs
            return (n_outputs,), size + use_bias * n_outputs, size

        return _Weighted(self, apply)

    def norm(self, name: str | None = None) -> Callable[[Shape], Shape]:
        """Return a normalisation: gain, offset, moving mean and variance of every channel."""
        return _Weighted(self, lambda x: (x, 4 * x[-1], 0))

    def activation(self, x: Shape, kind: str) -> Shape:
        """Return the shape as it is."""
        return x

    def add(self, a: Shape, b: Shape) -> Shape:
        """Return the common shape."""
        return _common(a, b)

    def subtract(self, a: Shape, b: Shape, name: str | None = None) -> Shape:
        """Return the common shape."""
        return _common(a, b)

    def multiply(self, a: Shape, b: Shape) -> Shape:
        """Return the common shape."""
        return _common(a, b)

    def multiply_by(self, x: Shape, constant: Float32Array) -> Shape:
        """Return the shape as it is."""
        return x

    def add_to(self, x: Shape, constant: Float32Array) -> Shape:
        """Return the shape as it is."""
        return x

    def concatenate(self, xs: Sequence[Shape], axis: int = -1) -> Shape:
        """Return the shapes joined along `axis`."""
        joined = list(xs[0])
        joined[axis] = sum(x[axis] for x in xs)
        return tuple(joined)

    def mean(self, x: Shape, name: str | None = None) -> Shape:
        """Return (channels,)."""
        return (x[1],)

    def average_pool(self, x: Shape, size: int) -> Shape:
        """Return the pooled shape."""
        return _columns(x[0], size, size, 1, "valid"), x[1]

    def max_pool(self, x: Shape, size: int) -> Shape:
        """Return the pooled shape."""
        return _columns(x[0], size, size, 1, "valid"), x[1]

    def crop(self, x: Shape, left: int, right: int) -> Shape:
        """Return the shorter shape."""
        return _columns(x[0], left + right + 1, 1, 1, "valid"), x[1]

    def channels(self, x: Shape, start: int, stop: int) -> Shape:
        """Return the narrower shape."""
        return (*x[:-1], stop - start)

    def reshape(self, x: Shape, shape: Shape, name: str | None = None) -> Shape:
        """Return `shape`, which holds as many values."""
        if math.prod(x) != math.prod(shape):
            raise ValueError(f"a reshape must keep its {math.prod(x)} values, got {shape}")
        return shape


def _columns(columns: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Return how many columns `kernel` taps give."""
    span = (kernel - 1) * dilation + 1 if padding == "valid" else 1
    if columns < span:
        raise ValueError(f"{columns} columns are fewer than the {span} a layer lies over")
    return (columns - span) // stride + 1


def _common(a: Shape, b: Shape) -> Shape:
    if a != b:
        raise ValueError(f"both sides must have one shape, got {a} and {b}")
    return a


Network = Callable[[Layers, Any, Any], Any]
"""(layers, params, symbolic input) -> symbolic output: the one definition of a network."""


def build(network: Network, params: Any, input_shape: Shape, name: str) -> Any:
    """Return the network as a `keras.Model` of windows `input_shape`, float32 in mV.

    Raises
    ------
    ValueError : the window is too short for the network, or its parameters contradict each other.
    """
    count(network, params, input_shape)  # refuses in plain words what Keras would refuse otherwise
    import keras

    x = keras.Input(input_shape)
    return keras.Model(x, network(KerasLayers(), params, x), name=name)


def count(network: Network, params: Any, input_shape: Shape) -> Counts:
    """Return what the network will cost; nothing is built and Keras is not loaded.

    Raises
    ------
    ValueError : as `build`.
    """
    layers = CountedLayers()
    try:
        network(layers, params, input_shape)
    except ValueError as error:
        raise ValueError(
            f"the network must fit a window of {input_shape[0]} samples, it does not: {error}"
        ) from error
    return Counts(layers.n_parameters, layers.macs)
