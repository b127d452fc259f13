"""A .tflite file read into the few layers the firmware runs.

Only one-dimensional int8 networks: batch 1, height 1. Everything the converter can express and the
runtime cannot is refused here, by name. Multipliers are derived as TFLite Micro derives them
(`tensorflow/lite/micro/kernels`), so that the C can be equal to it to the bit.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite
from tflite import ActivationFunctionType as Activation
from tflite import BuiltinOperator as Builtin

from datasets.records import Int8Array

Int32Array = npt.NDArray[np.int32]


class Op(IntEnum):
    """Operators of the runtime; `bg_op` in C."""

    CONV = 0
    FULLY_CONNECTED = 1
    ADD = 2
    MEAN = 3


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: (width, channels) int8, value = scale * (q - zero_point)."""

    width: int
    channels: int
    scale: float
    zero_point: int

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return self.width * self.channels


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator; `inputs` and `output` index `Graph.tensors`.

    Parameters
    ----------
    weights : int8 (channels out, kernel, channels in), empty for ADD and MEAN.
    bias : int32 (channels out,), empty likewise.
    multipliers, shifts : int32 and int8; one a channel, or ADD: input, input2, output; MEAN: one.
    act_min, act_max : the fused activation as a range of the output.
    tflite_tensor : the output's index in the .tflite, for traces.
    macs : multiply-accumulates per window.
    """

    op: Op
    inputs: tuple[int, ...]
    output: int
    multipliers: Int32Array
    shifts: Int8Array
    tflite_tensor: int
    act_min: int = -128
    act_max: int = 127
    kernel: int = 0
    stride: int = 0
    dilation: int = 0
    pad_left: int = 0
    weights: Int8Array = field(default_factory=lambda: np.zeros(0, np.int8))
    bias: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))
    macs: int = 0


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
        return sum(layer.weights.size + layer.bias.size for layer in self.layers)

    def layer_name(self, index: int) -> str:
        """Return e.g. "2 CONV 125x32" for error messages and profiles."""
        layer = self.layers[index]
        out = self.tensors[layer.output]
        return f"{index} {layer.op.name} {out.width}x{out.channels}"


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) with real = multiplier * 2^(shift - 31).

    References: `QuantizeMultiplier` in tensorflow/lite/kernels/internal/quantization_util.cc.
    """
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return 2**31 - 1, 30
    return multiplier, shift


def read_graph(data: bytes) -> Graph:
    """Return the network in a .tflite file.

    Raises
    ------
    ValueError : not a .tflite, or it holds an operator, type or shape the runtime does not have.
    """
    if data[4:8] != b"TFL3":
        raise ValueError(
            "a .tflite file must carry the identifier TFL3 at byte 4, this one does not"
        )
    try:
        return _Reader(tflite.Model.GetRootAs(data, 0)).read()
    except (struct.error, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"a .tflite file must be whole, this one is not: {error}") from error


def _scales(layers: list[tuple[int, int]]) -> tuple[Int32Array, Int8Array]:
    return (
        np.array([multiplier for multiplier, _ in layers], np.int32),
        np.array([shift for _, shift in layers], np.int8),
    )


class _Reader:
    """Walks one flatbuffer; tensors are numbered in the order in which layers touch them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.Subgraphs(0)
        self.number: dict[int, int] = {}  # .tflite tensor -> ours
        self.tensors: list[Tensor] = []

    def read(self) -> Graph:
        if self.graph.InputsLength() != 1 or self.graph.OutputsLength() != 1:
            raise ValueError(
                f"a network must have one input and one output, got {self.graph.InputsLength()} "
                f"and {self.graph.OutputsLength()}"
            )
        network_input = self.activation(self.graph.Inputs(0))
        layers = []
        for index in range(self.graph.OperatorsLength()):
            layer = self.operator(self.graph.Operators(index))
            if layer is not None:
                layers.append(layer)
        output = self.activation(self.graph.Outputs(0))
        return Graph(tuple(self.tensors), tuple(layers), network_input, output)

    def operator(self, op: Any) -> Layer | None:
        """Return the layer of one operator, None where it only renames its input."""
        code = self.model.OperatorCodes(op.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        readers: dict[int, Callable[[Any], Layer]] = {
            Builtin.CONV_2D: self.convolution,
            Builtin.FULLY_CONNECTED: self.fully_connected,
            Builtin.ADD: self.add,
            Builtin.MEAN: self.mean,
        }
        if builtin in (Builtin.RESHAPE, Builtin.EXPAND_DIMS, Builtin.SQUEEZE):
            self.rename(op.Inputs(0), op.Outputs(0))
            return None
        if builtin not in readers:
            names = {value: name for name, value in vars(Builtin).items() if name.isupper()}
            raise ValueError(
                f"operators must be among CONV_2D, FULLY_CONNECTED, ADD, MEAN, RESHAPE, "
                f"got {names.get(builtin, builtin)}"
            )
        return replace(readers[builtin](op), tflite_tensor=op.Outputs(0))

    def rename(self, source: int, output: int) -> None:
        """Let `output` be another name of `source`: same columns, or all of them in one row."""
        number = self.activation(source)
        old = self.tensors[number]
        width, channels = self.shape_of(output)
        if (width, channels) not in ((old.width, old.channels), (1, old.n_bytes)):
            raise ValueError(
                f"RESHAPE must keep columns or flatten, got {old.width}x{old.channels} "
                f"to {width}x{channels}"
            )
        self.number[output] = number

    def shape_of(self, index: int) -> tuple[int, int]:
        """Return (width, channels) of a tensor; batch and height must be 1."""
        shape = [int(n) for n in self.graph.Tensors(index).ShapeAsNumpy()]
        outer, width = (shape[:-1], 1) if len(shape) == 2 else (shape[:-2], shape[-2])
        if not 2 <= len(shape) <= 4 or math.prod(outer) != 1:
            raise ValueError(f"activations must have batch 1 and height 1, got shape {shape}")
        return width, shape[-1]

    def activation(self, index: int) -> int:
        """Return our number of an activation tensor, adding it on first sight."""
        if index not in self.number:
            tensor = self.graph.Tensors(index)
            if tensor.Type() != tflite.TensorType.INT8:
                raise ValueError(f"activations must be int8, tensor {tensor.Name()!r} is not")
            width, channels = self.shape_of(index)
            self.number[index] = len(self.tensors)
            self.tensors.append(
                Tensor(
                    width=width,
                    channels=channels,
                    scale=self.scale_of(index),
                    zero_point=int(tensor.Quantization().ZeroPoint(0)),
                )
            )
        return self.number[index]

    def scale_of(self, index: int) -> float:
        return float(self.graph.Tensors(index).Quantization().Scale(0))

    def constant(self, index: int, dtype: type[Any]) -> npt.NDArray[Any]:
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), dtype).reshape(tensor.ShapeAsNumpy())

    def options(self, op: Any, kind: Any) -> Any:
        options = kind()
        options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        return options

    def activation_range(self, output: int, function: int) -> tuple[int, int]:
        tensor = self.tensors[output]
        if function == Activation.NONE:
            return -128, 127
        low = max(-128, tensor.zero_point)
        if function == Activation.RELU:
            return low, 127
        if function == Activation.RELU6:
            # In float32 and half away from zero, as TFLite's `Quantize`.
            six = math.floor(float(np.float32(6) / np.float32(tensor.scale)) + 0.5)
            return low, min(127, tensor.zero_point + six)
        raise ValueError(f"fused activations must be none, RELU or RELU6, got code {function}")

    def weighted(self, op: Any, weights: Int8Array, function: int) -> dict[str, Any]:
        """Return what a convolution and a fully connected layer share."""
        source, output = self.activation(op.Inputs(0)), self.activation(op.Outputs(0))
        channels = len(weights)
        # Converter scales are float32; TFLite Micro multiplies them as doubles.
        per_channel = self.graph.Tensors(op.Inputs(1)).Quantization().ScaleAsNumpy()
        scales = np.broadcast_to(np.asarray(per_channel, np.float64), (channels,))
        in_scale, out_scale = self.tensors[source].scale, self.tensors[output].scale
        multipliers, shifts = _scales(
            [quantize_multiplier(in_scale * float(s) / out_scale) for s in scales]
        )
        has_bias = op.InputsLength() > 2 and op.Inputs(2) >= 0
        act_min, act_max = self.activation_range(output, function)
        return {
            "inputs": (source,),
            "output": output,
            "tflite_tensor": -1,
            "multipliers": multipliers,
            "shifts": shifts,
            "act_min": act_min,
            "act_max": act_max,
            "weights": weights,
            "bias": self.constant(op.Inputs(2), np.int32)
            if has_bias
            else np.zeros(channels, np.int32),
        }

    def convolution(self, op: Any) -> Layer:
        options = self.options(op, tflite.Conv2DOptions)
        kernel = self.constant(op.Inputs(1), np.int8)
        if kernel.shape[1] != 1:
            raise ValueError(f"convolutions must have height 1, got kernel {kernel.shape}")
        weights = kernel[:, 0]  # (channels out, kernel, channels in)
        shared = self.weighted(op, weights, options.FusedActivationFunction())
        source = self.tensors[shared["inputs"][0]]
        width = source.width
        if weights.shape[2] != source.channels:
            raise ValueError(
                f"convolutions must not be grouped, got {weights.shape[2]} of "
                f"{source.channels} channels in a kernel"
            )
        out_width = self.tensors[shared["output"]].width
        stride, dilation = options.StrideW(), options.DilationWFactor()
        reach = (weights.shape[1] - 1) * dilation + 1
        missing = max((out_width - 1) * stride + reach - width, 0)
        return Layer(
            **shared,
            op=Op.CONV,
            kernel=weights.shape[1],
            stride=stride,
            dilation=dilation,
            pad_left=missing // 2 if options.Padding() == tflite.Padding.SAME else 0,
            macs=out_width * weights.size,
        )

    def fully_connected(self, op: Any) -> Layer:
        options = self.options(op, tflite.FullyConnectedOptions)
        weights = self.constant(op.Inputs(1), np.int8)[:, np.newaxis]
        shared = self.weighted(op, weights, options.FusedActivationFunction())
        n_inputs = self.tensors[shared["inputs"][0]].n_bytes
        if weights.shape[2] != n_inputs:
            raise ValueError(
                f"FULLY_CONNECTED must take its whole input ({n_inputs}), takes {weights.shape[2]}"
            )
        return Layer(**shared, op=Op.FULLY_CONNECTED, kernel=1, macs=weights.size)

    def add(self, op: Any) -> Layer:
        options = self.options(op, tflite.AddOptions)
        a, b = self.activation(op.Inputs(0)), self.activation(op.Inputs(1))
        output = self.activation(op.Outputs(0))
        tensors = [self.tensors[i] for i in (a, b, output)]
        if len({(t.width, t.channels) for t in tensors}) != 1:
            raise ValueError("ADD must have inputs of one shape, this one broadcasts")
        twice_max = 2 * max(tensors[0].scale, tensors[1].scale)
        multipliers, shifts = _scales(
            [
                quantize_multiplier(tensors[0].scale / twice_max),
                quantize_multiplier(tensors[1].scale / twice_max),
                quantize_multiplier(twice_max / (2**20 * tensors[2].scale)),
            ]
        )
        act_min, act_max = self.activation_range(output, options.FusedActivationFunction())
        return Layer(
            op=Op.ADD,
            inputs=(a, b),
            output=output,
            tflite_tensor=-1,
            multipliers=multipliers,
            shifts=shifts,
            act_min=act_min,
            act_max=act_max,
        )

    def mean(self, op: Any) -> Layer:
        source, output = self.activation(op.Inputs(0)), self.activation(op.Outputs(0))
        width = self.tensors[source].width
        rank = self.graph.Tensors(op.Inputs(0)).ShapeLength()
        axes = {int(axis) % rank for axis in self.constant(op.Inputs(1), np.int32).ravel()}
        # Time is the last axis but one; the only other one that may go has length 1.
        if rank - 2 not in axes or rank - 1 in axes:
            raise ValueError(f"MEAN must be over time alone, got axes {sorted(axes)} of {rank}")
        multiplier, shift = quantize_multiplier(
            self.tensors[source].scale / self.tensors[output].scale
        )
        # 1 / width is folded in as in `reference_ops::QuantizedMeanOrSum`.
        fold = min(width.bit_length() - 1, 32, 31 + shift)
        multipliers, shifts = _scales([((multiplier << fold) // width, shift - fold)])
        return Layer(
            op=Op.MEAN,
            inputs=(source,),
            output=output,
            tflite_tensor=-1,
            multipliers=multipliers,
            shifts=shifts,
        )
