"""A network as the few layers the firmware runs."""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from datasets.records import Int8Array

Int32Array = npt.NDArray[np.int32]

TILE_MAX = 16
"""Columns a convolution widens at a time, at most; `BG_TILE_MAX` in C."""

SCRATCH_TARGET = 4096
"""Bytes up to which a convolution's tile grows, where the memory plan has room: more columns save
next to nothing."""


class Op(IntEnum):
    """Operators of the runtime; `bg_op` in C."""

    CONV = 0
    FULLY_CONNECTED = 1
    ADD = 2
    MEAN = 3
    DEPTHWISE_CONV = 4
    SUB = 5
    MUL = 6
    AVERAGE_POOL = 7
    MAX_POOL = 8
    CONCATENATION = 9
    STRIDED_SLICE = 10
    RESHAPE = 11
    PAD = 12
    LOOKUP = 13


@dataclass(frozen=True, slots=True)
class Tensor:
    """(width, channels) int8, value = scale * (q - zero_point).

    An activation, or a constant where `data`, int8 (width, channels), is not None.
    """

    width: int
    channels: int
    scale: float
    zero_point: int
    data: Int8Array | None = field(default=None, compare=False)

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return self.width * self.channels

    @property
    def is_constant(self) -> bool:
        """Whether it lies in the blob and nothing writes it."""
        return self.data is not None


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator; `inputs` and `output` index `Graph.tensors`.

    Parameters
    ----------
    tflite_tensor : the output's index in the .tflite, for traces.
    multipliers, shifts : int32 and int8; one a channel of CONV, DEPTHWISE_CONV, FULLY_CONNECTED;
        ADD, SUB: input, input2, output; MEAN, MUL: one; else none.
    act_min, act_max : the fused activation as a range of the output.
    kernel, stride, dilation, pad_left : of windows, in columns. STRIDED_SLICE: first channel,
        column step, channel step, first column; PAD: channels and columns in front.
    weights : int8; CONV (channels out, kernel, channels in), FULLY_CONNECTED (channels out, 1,
        inputs), DEPTHWISE_CONV (kernel, channels out), LOOKUP (256,): the outputs for -128 to 127.
    bias : int32 (channels out,), empty where there are no multipliers a channel.
    macs : multiply-accumulates per window.
    scratch_target : bytes up to which a convolution's tile grows.
    """

    op: Op
    inputs: tuple[int, ...]
    output: int
    tflite_tensor: int
    multipliers: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    shifts: Int8Array = field(default_factory=lambda: np.zeros(0, np.int8))
    act_min: int = -128
    act_max: int = 127
    kernel: int = 0
    stride: int = 0
    dilation: int = 0
    pad_left: int = 0
    weights: Int8Array = field(default_factory=lambda: np.zeros(0, np.int8))
    bias: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    macs: int = 0
    scratch_target: int = SCRATCH_TARGET

    @property
    def tile(self) -> int:
        """Columns whose windows are widened at a time: few enough for the target, even or one."""
        if self.op != Op.CONV:
            return 1
        tiles = (n for n in range(TILE_MAX, 0, -2) if self.scratch_bytes(n) <= self.scratch_target)
        return next(tiles, 1)

    def scratch_bytes(self, n_columns: int) -> int:
        """Return the memory `n_columns` widened windows need; `bg_scratch_bytes` in C."""
        if self.op not in (Op.CONV, Op.FULLY_CONNECTED):
            return 0
        _, kernel, channels = self.weights.shape
        taps = padded(kernel * channels)
        step = self.stride * channels if self.dilation == 1 else taps
        return 2 * ((n_columns - 1) * step + taps)


@dataclass(frozen=True, slots=True)
class Graph:
    """A network in order of execution."""

    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    input: int
    output: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates per window."""
        return sum(layer.macs for layer in self.layers)

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(
            layer.weights.size + layer.bias.size for layer in self.layers if layer.bias.size > 0
        )

    def layer_name(self, index: int) -> str:
        """Return e.g. "2 CONV 125x32" for error messages and profiles."""
        layer = self.layers[index]
        out = self.tensors[layer.output]
        return f"{index} {layer.op.name} {out.width}x{out.channels}"

    def scratch_bytes(self, index: int) -> int:
        """Return the memory that layer `index` needs beside its tensors, over a whole window."""
        layer = self.layers[index]
        return layer.scratch_bytes(min(layer.tile, self.tensors[layer.output].width))


def in_canonical_order(graph: Graph) -> Graph:
    """Return the network in the one order that follows from how its layers hang together.

    Depth first from the output, a layer's inputs from first to last; tensors are numbered as layers
    touch them. Converters order layers by rules of their own, and the order decides the memory: so
    a description of a network and the .tflite of it need the same bytes. What the output does not
    depend on is left out.

    Raises
    ------
    ValueError : a layer depends on its own output.
    """
    writers = {layer.output: layer for layer in graph.layers}
    layers: dict[int, Layer] = {}  # by output, in order
    waiting = [graph.output]
    while waiting:
        tensor = waiting[-1]
        layer = writers.get(tensor)
        missing = [i for i in layer.inputs if i in writers and i not in layers] if layer else []
        if missing:
            waiting.append(missing[0])
            if len(waiting) > len(graph.layers):
                raise ValueError(f"a network must have no cycle, tensor {tensor} lies on one")
            continue
        if layer:
            layers[tensor] = layer
        waiting.pop()
    touched = [graph.input]
    for layer in layers.values():
        touched += [*layer.inputs, layer.output]
    number = {tensor: new for new, tensor in enumerate(dict.fromkeys([*touched, graph.output]))}
    return Graph(
        tensors=tuple(graph.tensors[tensor] for tensor in number),
        layers=tuple(
            replace(
                layer,
                inputs=tuple(number[tensor] for tensor in layer.inputs),
                output=number[layer.output],
            )
            for layer in layers.values()
        ),
        input=number[graph.input],
        output=number[graph.output],
    )


def padded(terms: int) -> int:
    """Return the terms of a weighted sum with its zeros: kernels take four at a time."""
    return -(-terms // 4) * 4


def pack_pairs(weights: Int8Array) -> Int8Array:
    """Return weights (channels out, terms) in the order in which kernels read them.

    Channels in pairs, zeros behind an odd last one; of each pair four terms of the one lie beside
    the same four of the other, and each four in the order 0 2 1 3: what SXTB16 takes apart.
    """
    channels, terms = weights.shape
    filled = np.zeros((-(-channels // 2) * 2, padded(terms)), np.int8)
    filled[:channels, :terms] = weights
    fours = filled.reshape(len(filled) // 2, 2, -1, 4)[..., [0, 2, 1, 3]]
    return np.ascontiguousarray(fours.transpose(0, 2, 1, 3)).ravel()
