"""Random networks of one kernel each, as .tflite bytes: every shape, scale and range it may meet.

A case is a function of a random generator. The network ends in what makes it a classifier the
firmware accepts; what is compared is the output of every layer.
"""

import numpy as np

from tests.tflite_writer import TfliteWriter

ACTIVATIONS = (0, 1, 3)  # none, RELU, RELU6
LEADS_MAX = 12  # channels of a network's input; wider ones are made by a first convolution


def scale(rng):
    return float(np.float32(10 ** rng.uniform(-3, 0)))


def zero_point(rng):
    return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))


def quantization(rng):
    return scale(rng), zero_point(rng)


class Case:
    """A network in the making; every draw comes from `rng`."""

    def __init__(self, rng, width, channels, *quantized):
        self.rng = rng
        self.writer = TfliteWriter()
        self.scale, self.zero_point = quantized or quantization(rng)
        self.input = self.source = self.like(width, min(channels, LEADS_MAX))
        if channels > LEADS_MAX:
            self.source = self.pointwise(
                self.input, self.scale, width, LEADS_MAX, channels, self.scale, self.zero_point
            )

    def activation(self, width, channels, *quantized):
        shape = (1, 1, width, channels)
        return self.writer.activation(shape, *(quantized or quantization(self.rng)))

    def like(self, width, channels):
        """Add an activation of the input's scale and zero point."""
        return self.activation(width, channels, self.scale, self.zero_point)

    def fused(self):
        return int(self.rng.choice(ACTIVATIONS))

    def weights(self, shape, axis=0, per_channel=True, in_scale=None):
        """Add weights and a bias; return their indices."""
        rng = self.rng
        channels = shape[axis]
        scales = scale(rng) * (rng.uniform(0.1, 1.0, channels) if per_channel else np.ones(1))
        values = rng.integers(-127, 128, shape, dtype=np.int8)
        bias_max = int(2 ** rng.uniform(1, 28))
        bias = rng.integers(-bias_max, bias_max, channels).astype(np.int32)
        return (
            self.writer.constant(values, scales, axis),
            self.writer.constant(bias, (in_scale or self.scale) * scales),
        )

    def pointwise(self, source, in_scale, width, c_in, c_out, *quantized):
        """Add a convolution of one tap; return its output."""
        out = self.activation(width, c_out, *quantized)
        kernel, bias = self.weights((c_out, 1, 1, c_in), in_scale=in_scale)
        self.writer.conv(source, kernel, bias, out, stride=1, dilation=1, same=False)
        return out

    def finish(self, tensor, channels):
        """Return the file's bytes: the mean over time of `tensor` is its output."""
        axes = self.writer.constant(np.array([1, 2], np.int32))
        out = self.writer.activation((1, channels), *quantization(self.rng))
        self.writer.mean(tensor, axes, out)
        return self.writer.finish([self.input], out)


def windows(rng, kernel_max=9, stride_max=5, dilation_max=3):
    """Draw kernel, stride, dilation, padding, and an input width they fit."""
    kernel = int(rng.integers(1, kernel_max + 1))
    stride, dilation = int(rng.integers(1, stride_max + 1)), int(rng.integers(1, dilation_max + 1))
    if rng.random() < 0.5:
        stride, dilation = (stride, 1) if rng.random() < 0.5 else (1, dilation)
    same = bool(rng.random() < 0.5) and (stride == 1 or dilation == 1)
    reach = (kernel - 1) * dilation + 1
    width = int(rng.integers(1 if same else reach, reach + 40))
    out_width = -(-width // stride) if same else (width - reach) // stride + 1
    return kernel, stride, dilation, same, width, out_width


def conv(rng):
    c_in, c_out = (int(n) for n in rng.integers(1, 20, 2))
    kernel, stride, dilation, same, width, out_width = windows(rng)
    case = Case(rng, width, c_in)
    k, b = case.weights((c_out, 1, kernel, c_in))
    out = case.activation(out_width, c_out)
    options = {"stride": stride, "dilation": dilation, "same": same, "activation": case.fused()}
    case.writer.conv(case.source, k, b, out, **options)
    return case.finish(out, c_out)


def depthwise_conv(rng):
    c_in, multiplier = int(rng.integers(1, 20)), int(rng.choice([1, 1, 2, 3]))
    kernel, stride, dilation, same, width, out_width = windows(rng)
    case = Case(rng, width, c_in)
    c_out = c_in * multiplier
    k, b = case.weights((1, 1, kernel, c_out), axis=3)
    out = case.activation(out_width, c_out)
    options = {"stride": stride, "dilation": dilation, "same": same, "activation": case.fused()}
    case.writer.depthwise(case.source, k, b, out, multiplier=multiplier, **options)
    return case.finish(out, c_out)


def fully_connected(rng):
    n_in, n_out = int(rng.integers(1, 200)), int(rng.integers(1, 40))
    case = Case(rng, n_in, 1)
    k, b = case.weights((n_out, n_in), per_channel=bool(rng.random() < 0.5))
    out = case.writer.activation((1, n_out), *quantization(rng))
    case.writer.fully_connected(case.source, k, b, out, activation=case.fused())
    return case.writer.finish([case.input], out)


def elementwise(name):
    def draw(rng):
        """Two computed sides, or one and a constant, either of them broadcast."""
        width, channels = int(rng.integers(1, 20)), int(rng.integers(1, 9))
        case = Case(rng, width, channels)
        sides = [case.source, case.source]
        full = int(rng.integers(2))  # this side is not broadcast
        for side in range(2):
            if rng.random() < 0.3 and side != full:
                shape = [(1, 1, 1, channels), (1, 1, 1, 1), (channels,), (1, 1, width, channels)]
                values = rng.integers(-128, 128, shape[rng.integers(4)], dtype=np.int8)
                zero = zero_point(rng)
                sides[side] = case.writer.constant(values, [scale(rng)], zero_point=zero)
            elif rng.random() < 0.7:
                c_out = 1 if side != full and rng.random() < 0.2 else channels
                sides[side] = case.pointwise(case.source, case.scale, width, channels, c_out)
        out = case.activation(width, channels)
        case.writer.elementwise(name, *sides, out, activation=case.fused())
        return case.finish(out, channels)

    return draw


def pool(name):
    def draw(rng):
        kernel, stride, _, same, width, out_width = windows(rng, dilation_max=1)
        channels = int(rng.integers(1, 12))
        case = Case(rng, width, channels)
        out = case.like(out_width, channels)
        options = {"kernel": kernel, "stride": stride, "same": same, "activation": case.fused()}
        case.writer.pool(name, case.source, out, **options)
        return case.finish(out, channels)

    return draw


def mean(rng):
    channels = int(rng.integers(1, 13))
    case = Case(rng, int(rng.integers(1, 1500)), channels)
    return case.finish(case.source, channels)


def concatenation(rng):
    axis = int(rng.choice([2, 3]))
    width, channels = int(rng.integers(1, 20)), int(rng.integers(1, 8))
    case = Case(rng, width, channels)
    sources, sizes = [case.source], [width if axis == 2 else channels]
    for _ in range(int(rng.integers(0, 4))):
        c_out = int(rng.integers(1, 8)) if axis == 3 else channels
        quantized = (case.scale, case.zero_point)
        sources.append(case.pointwise(case.source, case.scale, width, channels, c_out, *quantized))
        sizes.append(width if axis == 2 else c_out)
    shape = (sum(sizes), channels) if axis == 2 else (width, sum(sizes))
    out = case.like(*shape)
    case.writer.concatenation(sources, out, axis=axis)
    return case.finish(out, shape[1])


def strided_slice(rng):
    shape = [int(rng.integers(1, 30)), int(rng.integers(1, 16))]
    case = Case(rng, *shape)
    begin = [int(rng.integers(0, n)) for n in shape]
    end = [int(rng.integers(b + 1, n + 1)) for b, n in zip(begin, shape, strict=True)]
    strides = [int(n) for n in rng.integers(1, 4, 2)]
    mask = int(rng.integers(4)) << 2
    first = [0 if mask >> axis & 1 else b for axis, b in zip((2, 3), begin, strict=True)]
    sizes = [-(-(e - b) // s) for b, e, s in zip(first, end, strides, strict=True)]
    written = [b - n if rng.random() < 0.3 else b for b, n in zip(begin, shape, strict=True)]
    out = case.like(*sizes)
    case.writer.strided_slice(
        case.source, [0, 0, *written], [1, 1, *end], [1, 1, *strides], out, begin_mask=mask
    )
    return case.finish(out, sizes[1])


def reshape(rng):
    channels = int(rng.integers(1, 7))
    factor, width = int(rng.integers(1, 5)), int(rng.integers(1, 10))
    case = Case(rng, width * factor, channels)
    out = case.like(width, factor * channels)
    case.writer.reshape(case.source, out)
    return case.finish(out, factor * channels)


def pad(rng):
    width, channels = int(rng.integers(1, 20)), int(rng.integers(1, 10))
    case = Case(rng, width, channels)
    pads = rng.integers(0, 5, (2, 2))
    out_shape = (int(width + pads[0].sum()), int(channels + pads[1].sum()))
    out = case.like(*out_shape)
    case.writer.pad(case.source, [[0, 0], [0, 0], *pads.tolist()], out)
    return case.finish(out, out_shape[1])


def unary(name):
    outputs = {"TANH": (1 / 128, 0), "LOGISTIC": (1 / 256, -128)}

    def draw(rng):
        width, channels = int(rng.integers(1, 20)), int(rng.integers(1, 8))
        case = Case(rng, width, channels)
        same = (case.scale, case.zero_point) if name == "RELU6" else quantization(rng)
        out = case.activation(width, channels, *outputs.get(name, same))
        if name == "LEAKY_RELU":
            case.writer.leaky_relu(case.source, out, alpha=float(rng.uniform(0, 1)))
        else:
            case.writer.unary(name, case.source, out)
        return case.finish(out, channels)

    return draw


CASES = {
    "conv": conv,
    "depthwise_conv": depthwise_conv,
    "fully_connected": fully_connected,
    "add": elementwise("ADD"),
    "sub": elementwise("SUB"),
    "mul": elementwise("MUL"),
    "mean": mean,
    "average_pool": pool("AVERAGE_POOL_2D"),
    "max_pool": pool("MAX_POOL_2D"),
    "concatenation": concatenation,
    "strided_slice": strided_slice,
    "reshape": reshape,
    "pad": pad,
    "relu": unary("RELU"),
    "relu6": unary("RELU6"),
    "leaky_relu": unary("LEAKY_RELU"),
    "tanh": unary("TANH"),
    "logistic": unary("LOGISTIC"),
    "quantize": unary("QUANTIZE"),
}
