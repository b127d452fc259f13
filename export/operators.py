"""Each TFLite operator as a layer of the runtime, or refused by name.

Multipliers are derived as TFLite Micro derives them (`tensorflow/lite/micro/kernels`), float32
products included, so that the C can be equal to it to the bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite
from tflite import BuiltinOperator as Builtin

from datasets.records import Int8Array

from .fixed_point import (
    logistic_table,
    quantize_multiplier,
    requantize,
    table,
    tanh_table,
)
from .layers import Int32Array, Layer, Op, Tensor
from .tflite_reader import TfliteReader, six

INPUTS_MAX = 4  # BG_INPUTS_MAX in C


def _scales(*reals: float) -> dict[str, Int32Array | Int8Array]:
    """Return the fields `multipliers` and `shifts`."""
    pairs = [quantize_multiplier(real) for real in reals]
    return {
        "multipliers": np.array([multiplier for multiplier, _ in pairs], np.int32),
        "shifts": np.array([shift for _, shift in pairs], np.int8),
    }


def _layer(reader: TfliteReader, op: Any, kind: Op, n_inputs: int = 1, **fields: Any) -> Layer:
    """Return a layer of the first `n_inputs` int8 inputs."""
    return Layer(
        op=kind,
        inputs=tuple(reader.tensor(op.Inputs(i)) for i in range(n_inputs)),
        output=reader.tensor(op.Outputs(0)),
        tflite_tensor=op.Outputs(0),
        **fields,
    )


def _weighted(reader: TfliteReader, op: Any, channels: int) -> dict[str, Any]:
    """Return bias and scales of what multiplies by weights."""
    # Converter scales are float32; TFLite Micro multiplies them as doubles.
    per_channel = reader.graph.Tensors(op.Inputs(1)).Quantization().ScaleAsNumpy()
    scales = np.broadcast_to(np.asarray(per_channel, np.float64), (channels,))
    in_scale, out_scale = reader.scale_of(op.Inputs(0)), reader.output(op).scale
    has_bias = op.InputsLength() > 2 and op.Inputs(2) >= 0
    bias = reader.constant(op.Inputs(2), np.int32) if has_bias else np.zeros(channels, np.int32)
    return {"bias": bias, **_scales(*(in_scale * float(s) / out_scale for s in scales))}


@dataclass(frozen=True, slots=True)
class _Windows:
    """A kernel's taps over time."""

    kernel: int
    stride: int
    dilation: int
    pad_left: int


def _windows(
    reader: TfliteReader, op: Any, options: Any, taps: tuple[int, int], dilated: bool
) -> _Windows:
    """Return how windows of `taps` (height, width) lie over an operator's input."""
    shape = [int(n) for n in reader.graph.Tensors(op.Inputs(0)).ShapeAsNumpy()]
    upright = shape[1] > 1 or taps[0] > 1  # time as height: (1, time, 1, channels)
    if taps[1 if upright else 0] != 1:
        raise ValueError(f"kernels must have height 1, got {taps[0]} x {taps[1]}")
    kernel = taps[0 if upright else 1]
    stride = int(options.StrideH() if upright else options.StrideW())
    dilation = 1
    if dilated:
        dilation = options.DilationHFactor() if upright else options.DilationWFactor()
    width, out_width = reader.inputs(op)[0].width, reader.output(op).width
    missing = max((out_width - 1) * stride + (kernel - 1) * dilation + 1 - width, 0)
    padded = options.Padding() == tflite.Padding.SAME
    return _Windows(kernel, stride, int(dilation), missing // 2 if padded else 0)


def _fields(windows: _Windows) -> dict[str, int]:
    names = ("kernel", "stride", "dilation", "pad_left")
    return {name: getattr(windows, name) for name in names}


def convolution(reader: TfliteReader, op: Any) -> Layer:
    """CONV_2D of height 1."""
    options = reader.options(op, tflite.Conv2DOptions)
    kernel = reader.constant(op.Inputs(1), np.int8)
    n_out, height, width, n_in = kernel.shape
    windows = _windows(reader, op, options, (height, width), dilated=True)
    source = reader.inputs(op)[0]
    if n_in != source.channels:
        raise ValueError(
            f"convolutions must not be grouped, got {n_in} of "
            f"{source.channels} channels in a kernel"
        )
    return _layer(
        reader,
        op,
        Op.CONV,
        **_fields(windows),
        **_weighted(reader, op, n_out),
        **reader.activation_range(op, options.FusedActivationFunction()),
        weights=kernel.reshape(n_out, height * width, n_in),
        macs=reader.output(op).width * kernel.size,
    )


def depthwise_convolution(reader: TfliteReader, op: Any) -> Layer:
    """DEPTHWISE_CONV_2D of height 1; its kernel is (1, 1, taps, channels out)."""
    options = reader.options(op, tflite.DepthwiseConv2DOptions)
    kernel = reader.constant(op.Inputs(1), np.int8)
    _, height, width, n_out = kernel.shape
    windows = _windows(reader, op, options, (height, width), dilated=True)
    return _layer(
        reader,
        op,
        Op.DEPTHWISE_CONV,
        **_fields(windows),
        **_weighted(reader, op, n_out),
        **reader.activation_range(op, options.FusedActivationFunction()),
        weights=kernel.reshape(height * width, n_out),
        macs=reader.output(op).width * kernel.size,
    )


def fully_connected(reader: TfliteReader, op: Any) -> Layer:
    """FULLY_CONNECTED."""
    options = reader.options(op, tflite.FullyConnectedOptions)
    weights = reader.constant(op.Inputs(1), np.int8)[:, np.newaxis]
    n_inputs = reader.inputs(op)[0].n_bytes
    if weights.shape[2] != n_inputs:
        raise ValueError(
            f"FULLY_CONNECTED must take its whole input ({n_inputs}), takes {weights.shape[2]}"
        )
    return _layer(
        reader,
        op,
        Op.FULLY_CONNECTED,
        **_weighted(reader, op, len(weights)),
        **reader.activation_range(op, options.FusedActivationFunction()),
        kernel=1,
        stride=1,
        dilation=1,
        weights=weights,
        macs=weights.size,
    )


def _require_broadcast(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    for tensor in inputs:
        if tensor.width not in (1, output.width) or tensor.channels not in (1, output.channels):
            raise ValueError(
                f"{name} must have inputs of its output's width and channels, or 1, got "
                f"{tensor.width}x{tensor.channels} for {output.width}x{output.channels}"
            )


def _sum(kind: Op, options_kind: Any) -> Callable[[TfliteReader, Any], Layer]:
    def read(reader: TfliteReader, op: Any) -> Layer:
        options = reader.options(op, options_kind)
        inputs, output = reader.inputs(op, 2), reader.output(op)
        _require_broadcast(kind.name, inputs, output)
        twice_max = 2 * max(inputs[0].scale, inputs[1].scale)
        return _layer(
            reader,
            op,
            kind,
            n_inputs=2,
            **_scales(
                inputs[0].scale / twice_max,
                inputs[1].scale / twice_max,
                twice_max / (2**20 * output.scale),
            ),
            **reader.activation_range(op, options.FusedActivationFunction()),
        )

    return read


def multiply(reader: TfliteReader, op: Any) -> Layer:
    """MUL."""
    options = reader.options(op, tflite.MulOptions)
    inputs, output = reader.inputs(op, 2), reader.output(op)
    _require_broadcast("MUL", inputs, output)
    return _layer(
        reader,
        op,
        Op.MUL,
        n_inputs=2,
        **_scales(inputs[0].scale * inputs[1].scale / output.scale),
        **reader.activation_range(op, options.FusedActivationFunction()),
    )


def mean(reader: TfliteReader, op: Any) -> Layer:
    """MEAN over time."""
    source = reader.inputs(op)[0]
    shape = [int(n) for n in reader.graph.Tensors(op.Inputs(0)).ShapeAsNumpy()]
    axes = {int(axis) % len(shape) for axis in reader.constant(op.Inputs(1), np.int32).ravel()}
    time = {axis for axis in range(len(shape) - 1) if shape[axis] > 1}
    # Time is the one axis longer than 1 before the channels; the others may go or stay.
    if len(shape) - 1 in axes or not time <= axes:
        raise ValueError(f"MEAN must be over time alone, got axes {sorted(axes)} of {len(shape)}")
    multiplier, shift = quantize_multiplier(source.scale / reader.output(op).scale)
    # 1 / width is folded in as in `reference_ops::QuantizedMeanOrSum`.
    fold = min(source.width.bit_length() - 1, 32, 31 + shift)
    return _layer(
        reader,
        op,
        Op.MEAN,
        multipliers=np.array([(multiplier << fold) // source.width], np.int32),
        shifts=np.array([shift - fold], np.int8),
    )


def _require_one_scale(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """TFLite Micro moves int8 codes as they are: scales that differ would change the value."""
    for tensor in inputs:
        if (tensor.scale, tensor.zero_point) != (output.scale, output.zero_point):
            raise ValueError(
                f"{name} must have one scale and zero point throughout, got {tensor.scale}, "
                f"{tensor.zero_point} into {output.scale}, {output.zero_point}"
            )


def _pool(kind: Op) -> Callable[[TfliteReader, Any], Layer]:
    def read(reader: TfliteReader, op: Any) -> Layer:
        options = reader.options(op, tflite.Pool2DOptions)
        _require_one_scale(kind.name, reader.inputs(op), reader.output(op))
        taps = (options.FilterHeight(), options.FilterWidth())
        windows = _windows(reader, op, options, taps, dilated=False)
        activation = reader.activation_range(op, options.FusedActivationFunction())
        return _layer(reader, op, kind, **_fields(windows), **activation)

    return read


def concatenation(reader: TfliteReader, op: Any) -> Layer:
    """CONCATENATION along channels or time."""
    options = reader.options(op, tflite.ConcatenationOptions)
    inputs, output = reader.inputs(op, op.InputsLength()), reader.output(op)
    if not 1 <= len(inputs) <= INPUTS_MAX:
        raise ValueError(f"CONCATENATION must have 1 to {INPUTS_MAX} inputs, got {len(inputs)}")
    if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
        raise ValueError("CONCATENATION must have no fused activation, this one has")
    _require_one_scale("CONCATENATION", inputs, output)
    return _layer(reader, op, Op.CONCATENATION, n_inputs=len(inputs))


def strided_slice(reader: TfliteReader, op: Any) -> Layer:
    """STRIDED_SLICE, forwards, along time and channels."""
    options = reader.options(op, tflite.StridedSliceOptions)
    if options.EllipsisMask() or options.NewAxisMask():
        raise ValueError("STRIDED_SLICE must have neither ellipsis nor new axes, this one has")
    shape = [int(n) for n in reader.graph.Tensors(op.Inputs(0)).ShapeAsNumpy()]
    begins, steps = (reader.constant(op.Inputs(i), np.int32) for i in (1, 3))
    if min(steps) < 1:
        raise ValueError(f"STRIDED_SLICE must go forwards, got strides {steps.tolist()}")
    masked = [bool(options.BeginMask() >> axis & 1) for axis in range(len(shape))]
    firsts = [
        0 if whole else min(max(int(b) + (n if b < 0 else 0), 0), n)
        for b, n, whole in zip(begins, shape, masked, strict=True)
    ]
    time = next((axis for axis in range(len(shape) - 1) if shape[axis] > 1), 0)
    _require_one_scale("STRIDED_SLICE", reader.inputs(op), reader.output(op))
    return _layer(
        reader,
        op,
        Op.STRIDED_SLICE,
        pad_left=firsts[time],
        stride=int(steps[time]),
        kernel=firsts[-1],
        dilation=int(steps[-1]),
    )


def reshape(reader: TfliteReader, op: Any) -> Layer | None:
    """RESHAPE, EXPAND_DIMS, SQUEEZE: another name, or other columns made of the same bytes."""
    number = reader.tensor(op.Inputs(0))
    source = reader.tensors[number]
    if reader.shape_of(op.Outputs(0)) == (source.width, source.channels):
        reader.rename(op.Outputs(0), number)
        return None
    return _layer(reader, op, Op.RESHAPE)


def pad(reader: TfliteReader, op: Any) -> Layer:
    """PAD with zeros, along time and channels."""
    shape = [int(n) for n in reader.graph.Tensors(op.Inputs(0)).ShapeAsNumpy()]
    in_front = reader.constant(op.Inputs(1), np.int32)[:, 0]
    out_shape = [int(n) for n in reader.graph.Tensors(op.Outputs(0)).ShapeAsNumpy()]
    longer = [axis for axis in range(len(shape) - 1) if out_shape[axis] > 1]
    _require_one_scale("PAD", reader.inputs(op), reader.output(op))
    return _layer(
        reader,
        op,
        Op.PAD,
        pad_left=int(in_front[longer[0]]) if longer else 0,
        kernel=int(in_front[-1]),
    )


def _rescale(reader: TfliteReader, op: Any, slope: float = 1.0) -> Callable[[int], int]:
    """Return the function code in -> code out of `slope` times the value."""
    source, output = reader.inputs(op)[0], reader.output(op)
    # float32 throughout, as TFLite Micro has it
    real = np.float32(source.scale) * np.float32(slope) / np.float32(output.scale)
    multiplier, shift = quantize_multiplier(float(real))
    return lambda x: output.zero_point + requantize(x - source.zero_point, multiplier, shift)


def relu(reader: TfliteReader, op: Any) -> Layer:
    """RELU as a layer of its own."""
    rescale, low = _rescale(reader, op), reader.output(op).zero_point
    return _layer(reader, op, Op.LOOKUP, weights=table(lambda x: max(low, rescale(x))))


def relu6(reader: TfliteReader, op: Any) -> Layer:
    """RELU6 as a layer of its own."""
    source = reader.inputs(op)[0]
    _require_one_scale("RELU6", (source,), reader.output(op))
    low, high = source.zero_point, min(six(source), 127)
    return _layer(reader, op, Op.LOOKUP, weights=table(lambda x: min(high, max(low, x))))


def leaky_relu(reader: TfliteReader, op: Any) -> Layer:
    """LEAKY_RELU."""
    alpha = reader.options(op, tflite.LeakyReluOptions).Alpha()
    positive, negative = _rescale(reader, op), _rescale(reader, op, alpha)
    zero = reader.inputs(op)[0].zero_point
    values = table(lambda x: positive(x) if x >= zero else negative(x))
    return _layer(reader, op, Op.LOOKUP, weights=values)


def _saturating(
    name: str, make: Callable[[float, int], Int8Array], scale: float, zero_point: int
) -> Callable[[TfliteReader, Any], Layer]:
    def read(reader: TfliteReader, op: Any) -> Layer:
        source, output = reader.inputs(op)[0], reader.output(op)
        if (output.scale, output.zero_point) != (scale, zero_point):
            raise ValueError(
                f"{name} must have output scale {scale} and zero point {zero_point}, "
                f"got {output.scale} and {output.zero_point}"
            )
        return _layer(reader, op, Op.LOOKUP, weights=make(source.scale, source.zero_point))

    return read


def requantization(reader: TfliteReader, op: Any) -> Layer:
    """QUANTIZE from int8 to int8: another scale."""
    source, output = reader.inputs(op)[0], reader.output(op)
    multiplier, shift = quantize_multiplier(source.scale / output.scale)
    values = table(
        lambda x: output.zero_point + requantize(x - source.zero_point, multiplier, shift)
    )
    return _layer(reader, op, Op.LOOKUP, weights=values)


OPERATORS: dict[int, Callable[[TfliteReader, Any], Layer | None]] = {
    Builtin.ADD: _sum(Op.ADD, tflite.AddOptions),
    Builtin.AVERAGE_POOL_2D: _pool(Op.AVERAGE_POOL),
    Builtin.CONCATENATION: concatenation,
    Builtin.CONV_2D: convolution,
    Builtin.DEPTHWISE_CONV_2D: depthwise_convolution,
    Builtin.EXPAND_DIMS: reshape,
    Builtin.FULLY_CONNECTED: fully_connected,
    Builtin.LEAKY_RELU: leaky_relu,
    Builtin.LOGISTIC: _saturating("LOGISTIC", logistic_table, 1 / 256, -128),
    Builtin.MAX_POOL_2D: _pool(Op.MAX_POOL),
    Builtin.MEAN: mean,
    Builtin.MUL: multiply,
    Builtin.PAD: pad,
    Builtin.QUANTIZE: requantization,
    Builtin.RELU: relu,
    Builtin.RELU6: relu6,
    Builtin.RESHAPE: reshape,
    Builtin.SQUEEZE: reshape,
    Builtin.STRIDED_SLICE: strided_slice,
    Builtin.SUB: _sum(Op.SUB, tflite.SubOptions),
    Builtin.TANH: _saturating("TANH", tanh_table, 1 / 128, 0),
}
"""Reader of each operator; None where it only renames its input."""
