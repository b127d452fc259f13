"""A network described layer by layer, for its cost: before it is trained, without a converter.

What a network costs - its blob, its memory, its instructions - follows from its layers' shapes. The
weights are made up, and differ from layer to layer as trained ones do.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from datasets.records import FloatArray, Int8Array

from .converter_rules import convert
from .layers import Graph, Layer, Op, Tensor, in_canonical_order

SCALE = 1 / 64
ZERO_POINT, RECTIFIED = 3, -128
"""As the converter chooses them: -128 behind a ReLU."""
RANGE = 70.0
"""Root mean square of a made-up weight: sums of n products grow as RANGE * sqrt(n)."""
BIAS_MAX = 5000


class GraphBuilder:
    """Adds layers one behind the other; every method returns the number of the new tensor.

    Parameters
    ----------
    window_len, n_leads : the input, tensor 0.
    seed : of the weights.

    Raises
    ------
    ValueError : from any method, where a layer does not fit its input.

    Examples
    --------
    >>> builder = GraphBuilder(1000, 1)
    >>> x = builder.relu(builder.conv(0, 16, kernel=7, stride=2))
    >>> builder.shape(x)
    (497, 16)
    >>> len(builder.graph(builder.mean(x)).layers)
    2
    """

    def __init__(self, window_len: int, n_leads: int, seed: int = 0) -> None:
        if min(window_len, n_leads) < 1:
            raise ValueError(f"a window must have samples and leads, got {window_len} x {n_leads}")
        self._rng = np.random.default_rng(seed)
        self._tensors = [Tensor(window_len, n_leads, SCALE, 0)]
        self._layers: list[Layer] = []
        self._constants: dict[int, FloatArray] = {}  # by tensor
        self._relus: set[int] = set()
        self._saturated: set[int] = set()

    def shape(self, x: int) -> tuple[int, int]:
        """Return (width, channels) of a tensor."""
        return self._tensors[x].width, self._tensors[x].channels

    def graph(self, output: int) -> Graph:
        """Return the network that ends in `output`."""
        layers = convert(self._layers, self._relus, output)
        return in_canonical_order(Graph(tuple(self._tensors), layers, 0, output))

    def conv(
        self,
        x: int,
        channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        same: bool = False,
        weights_of: int | None = None,
    ) -> int:
        """Add a convolution; `same` pads as Keras does, `weights_of` shares another's weights.

        Parameters
        ----------
        weights_of : the output of the layer that has them, where one layer is applied again.
        """
        width, n_in = self.shape(x)
        out_width, window = _windows(width, kernel, stride, dilation, same)
        return self._weighted(
            *(Op.CONV, x, (out_width, channels), (channels, kernel, n_in), kernel * n_in),
            weights_of=weights_of,
            **window,
        )

    def depthwise(
        self,
        x: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        same: bool = False,
        multiplier: int = 1,
        weights_of: int | None = None,
    ) -> int:
        """Add a convolution of every channel with `multiplier` kernels of its own."""
        width, n_in = self.shape(x)
        channels = n_in * multiplier
        out_width, window = _windows(width, kernel, stride, dilation, same)
        return self._weighted(
            *(Op.DEPTHWISE_CONV, x, (out_width, channels), (kernel, channels), kernel),
            weights_of=weights_of,
            **window,
        )

    def fully_connected(self, x: int, channels: int, weights_of: int | None = None) -> int:
        """Add a layer from all of `x` to (1, channels)."""
        n_in = self._tensors[x].n_bytes
        return self._weighted(
            *(Op.FULLY_CONNECTED, x, (1, channels), (channels, 1, n_in), n_in),
            weights_of=weights_of,
            kernel=1,
            stride=1,
            dilation=1,
        )

    def constant(self, values: FloatArray) -> int:
        """Add a constant (width, channels), for `add`, `subtract` and `multiply`; lies in the blob.

        Equal values are one constant, and equal codes of different values are stored once; so the
        values matter.
        """
        known = (i for i, v in self._constants.items() if np.array_equal(v, values))
        tensor = next(known, None)
        if tensor is None:
            width, channels = values.shape
            tensor = self._tensor(Tensor(width, channels, SCALE, 0, _codes_of(values)))
            self._constants[tensor] = values
        return tensor

    def add(self, a: int, b: int) -> int:
        """Add a + b; either may be of width 1 or channels 1, and then counts for all."""
        if b in self._constants:  # as the converter has it
            return self.subtract(a, self.constant(-self._constants[b]))
        return self._elementwise(Op.ADD, a, b)

    def subtract(self, a: int, b: int) -> int:
        """Add a - b."""
        return self._elementwise(Op.SUB, a, b)

    def multiply(self, a: int, b: int) -> int:
        """Add a * b."""
        return self._elementwise(Op.MUL, a, b)

    def mean(self, x: int) -> int:
        """Add the mean over time: (1, channels)."""
        width, channels = self.shape(x)
        return self._layer(
            *(Op.MEAN, (x,), (1, channels)), multipliers=[2**30], shifts=[-_bits(width) + 2]
        )

    def average_pool(self, x: int, kernel: int, stride: int, same: bool = False) -> int:
        """Add means of `kernel` columns, every `stride` columns."""
        return self._pool(Op.AVERAGE_POOL, x, kernel, stride, same)

    def max_pool(self, x: int, kernel: int, stride: int, same: bool = False) -> int:
        """Add maxima of `kernel` columns, every `stride` columns."""
        return self._pool(Op.MAX_POOL, x, kernel, stride, same)

    def concatenate(self, *sources: int, along_time: bool = False) -> int:
        """Add tensors side by side, along channels or along time."""
        widths, channels = zip(*map(self.shape, sources), strict=True)
        if len({*(channels if along_time else widths)}) != 1:
            raise ValueError(f"tensors that are joined must agree, got {widths}, {channels}")
        shape = (sum(widths), channels[0]) if along_time else (widths[0], sum(channels))
        # All of them have to have one scale.
        return self._moved(Op.CONCATENATION, tuple(map(self._rescaled, sources)), shape)

    def crop(self, x: int, front: int, back: int) -> int:
        """Add a tensor without its first and last columns."""
        width, channels = self.shape(x)
        return self.slice(x, (front, width - back), (0, channels))

    def slice(
        self, x: int, columns: tuple[int, int], channels: tuple[int, int], column_step: int = 1
    ) -> int:
        """Add columns and channels [first, end) of a tensor, every `column_step`-th column."""
        (first, end), (first_channel, end_channel) = columns, channels
        width, n_in = self.shape(x)
        if not (0 <= first < end <= width and 0 <= first_channel < end_channel <= n_in):
            raise ValueError(f"a slice must lie in {width} x {n_in}, got {columns} x {channels}")
        return self._moved(
            *(Op.STRIDED_SLICE, (x,)),
            (-(-(end - first) // column_step), end_channel - first_channel),
            pad_left=first,
            stride=column_step,
            kernel=first_channel,
            dilation=1,
        )

    def reshape(self, x: int, width: int, channels: int) -> int:
        """Add the same values in other columns; the very same shape is no layer."""
        if (width, channels) == self.shape(x):
            return x
        if width * channels != self._tensors[x].n_bytes:
            raise ValueError(
                f"a reshape must keep {self._tensors[x].n_bytes} values, got {width} x {channels}"
            )
        return self._moved(Op.RESHAPE, (x,), (width, channels))

    def pad(
        self, x: int, columns: tuple[int, int] = (0, 0), channels: tuple[int, int] = (0, 0)
    ) -> int:
        """Add zeros: columns, channels in front and behind."""
        width, n_in = self.shape(x)
        return self._moved(
            *(Op.PAD, (x,), (width + sum(columns), n_in + sum(channels))),
            pad_left=columns[0],
            kernel=channels[0],
        )

    def relu(self, x: int) -> int:
        """Add ReLU or ReLU6; no layer of its own where only it reads what another can clamp."""
        y = self.lookup(x)
        self._tensors[y] = replace(self._tensors[y], zero_point=RECTIFIED)
        self._relus.add(y)
        return y

    def saturate(self, x: int) -> int:
        """Add TANH or LOGISTIC: a table of 256 values at a fixed scale."""
        reshaped = self._reshape_of(x)
        if reshaped is not None:  # the converter takes it to the reshape's other side
            return self.reshape(self.saturate(reshaped), *self.shape(x))
        y = self.lookup(x)
        self._saturated.add(y)
        return y

    def lookup(self, x: int) -> int:
        """Add any other activation, as a table of 256 values."""
        return self._layer(Op.LOOKUP, (x,), self.shape(x), weights=self._codes((256,)))

    def _rescaled(self, x: int) -> int:
        """Return `x` at a scale that may be chosen; behind TANH and LOGISTIC it may not."""
        if x in self._saturated:
            return self.lookup(x)
        reshaped = self._reshape_of(x)
        source = None if reshaped is None else self._rescaled(reshaped)
        return x if source in (None, reshaped) else self.reshape(source, *self.shape(x))

    def _reshape_of(self, x: int) -> int | None:
        """Return what `x` is a reshape of, None where it is none."""
        layers = (la.inputs[0] for la in self._layers if la.output == x and la.op == Op.RESHAPE)
        return next(layers, None)

    def _weighted(
        self,
        op: Op,
        x: int,
        shape: tuple[int, int],
        weights_shape: tuple[int, ...],
        n_terms: int,
        weights_of: int | None,
        **fields: Any,
    ) -> int:
        channels = shape[1]
        weights = self._codes(weights_shape)
        if weights_of is not None:
            weights = next(la.weights for la in self._layers if la.output == weights_of)
            if weights.shape != weights_shape:
                raise ValueError(
                    f"shared weights must be {weights_shape} here, are {weights.shape}"
                )
        return self._layer(
            *(op, (x,), shape),
            weights=weights,
            bias=self._rng.integers(-BIAS_MAX, BIAS_MAX, channels),
            multipliers=self._rng.integers(2**30, 2**31 - 1, channels),
            shifts=np.full(channels, -_bits(round(RANGE * n_terms**0.5))),
            macs=shape[0] * weights.size,
            **fields,
        )

    def _elementwise(self, op: Op, a: int, b: int) -> int:
        shapes = [self.shape(a), self.shape(b)]
        out = (max(w for w, _ in shapes), max(c for _, c in shapes))
        for width, channels in shapes:
            if width not in (1, out[0]) or channels not in (1, out[1]):
                raise ValueError(f"{op.name} must have inputs of one shape, or 1, got {shapes}")
        scales = ([2**30], [-5]) if op == Op.MUL else ([2**30] * 3, [0, 0, -17])
        return self._layer(op, (a, b), out, multipliers=scales[0], shifts=scales[1])

    def _pool(self, op: Op, x: int, kernel: int, stride: int, same: bool) -> int:
        width, channels = self.shape(x)
        out_width, window = _windows(width, kernel, stride, 1, same)
        return self._moved(op, (x,), (out_width, channels), **window)

    def _moved(
        self, op: Op, sources: tuple[int, ...], shape: tuple[int, int], **fields: Any
    ) -> int:
        """Add a layer that keeps values, and so the zero point."""
        x = self._layer(op, sources, shape, **fields)
        zero_point = self._tensors[sources[0]].zero_point
        self._tensors[x] = Tensor(*shape, SCALE, zero_point)
        return x

    def _layer(
        self,
        op: Op,
        sources: tuple[int, ...],
        shape: tuple[int, int],
        multipliers: Any = (),
        shifts: Any = (),
        bias: Any = (),
        **fields: Any,
    ) -> int:
        output = self._tensor(Tensor(*shape, SCALE, ZERO_POINT))
        self._layers.append(
            Layer(
                *(op, sources, output, output),
                multipliers=np.asarray(multipliers, np.int32),
                shifts=np.asarray(shifts, np.int8),
                bias=np.asarray(bias, np.int32),
                **fields,
            )
        )
        return output

    def _tensor(self, tensor: Tensor) -> int:
        if min(tensor.width, tensor.channels) < 1:
            raise ValueError(f"tensors must not be empty, got {tensor.width} x {tensor.channels}")
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _codes(self, shape: tuple[int, ...]) -> Int8Array:
        return self._rng.integers(-127, 128, shape, dtype=np.int8)


def _windows(
    width: int, kernel: int, stride: int, dilation: int, same: bool
) -> tuple[int, dict[str, Any]]:
    """Return the columns that a kernel makes of `width`, and its fields of a layer."""
    if min(kernel, stride, dilation) < 1:
        raise ValueError(
            f"kernel, stride and dilation must be at least 1, got {kernel}, {stride}, {dilation}"
        )
    span = (kernel - 1) * dilation + 1
    out_width = -(-width // stride) if same else (width - span) // stride + 1
    if out_width < 1:
        raise ValueError(f"a kernel over {span} columns must find them, got {width}")
    missing = max((out_width - 1) * stride + span - width, 0)
    window = {"kernel": kernel, "stride": stride, "dilation": dilation}
    return out_width, {**window, "pad_left": missing // 2 if same else 0}


def _codes_of(values: FloatArray) -> Int8Array:
    """Return values as codes of their own range, which holds 0, as the converter chooses it."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    return np.asarray(np.clip(np.rint((values - low) / scale) - 128, -128, 127), np.int8)


def _bits(n: int) -> int:
    return n.bit_length()
