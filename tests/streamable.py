"""Random networks that can run along the stream, made without a .tflite, and whole pipelines."""

import numpy as np

from export.blob import REJECT_NOTHING, Score, write_blob
from export.layers import Graph, Layer, Op, Tensor
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain

EXAMPLE_CONSTANTS = {
    "squared_distance": lambda output: {"centre": [0.1 * output.scale] * output.n_bytes},
    "table_sum": lambda output: {
        "parts": [
            {"count": 1, "function": "softplus_of_negative", "weight": -0.5, "gain": 2.0},
            {"count": output.n_bytes - 1, "function": "square", "weight": 0.3, "gain": 1.5},
        ][: output.n_bytes]
    },
}
"""By score rule: trained constants for an output tensor."""


def example_score(rule, output, threshold=REJECT_NOTHING):
    """Return the score of a gate with `output`, by the constants above."""
    constants = SCORE_RULES[rule].quantize_constants(EXAMPLE_CONSTANTS[rule](output), output)
    return Score(SCORE_RULES[rule].code, constants, threshold)


class Builder:
    """Adds layers one behind the other; every method returns the number of the new tensor."""

    def __init__(self, rng, window_len, n_leads):
        self.rng = rng
        self.tensors = [Tensor(window_len, n_leads, 1 / 64, 0)]
        self.layers = []

    def add(self, op, inputs, width, channels, **fields):
        zero_point = int(self.rng.integers(-20, 20))
        if op in (Op.STRIDED_SLICE, Op.AVERAGE_POOL, Op.MAX_POOL, Op.CONCATENATION):
            zero_point = self.tensors[inputs[0]].zero_point
        self.tensors.append(Tensor(width, channels, 1 / 64, zero_point))
        self.layers.append(Layer(op, inputs, len(self.tensors) - 1, 0, **fields))
        return len(self.tensors) - 1

    def scales(self, n, real):
        """Return multipliers and shifts near `real`, a power of two below 1."""
        shift = int(np.floor(np.log2(real)))
        multipliers = self.rng.integers(2**30, 2**31 - 1, n).astype(np.int32)
        return {"multipliers": multipliers, "shifts": np.full(n, shift, np.int8)}

    def constant(self, channels):
        data = self.rng.integers(-128, 128, (1, channels), dtype=np.int8)
        self.tensors.append(Tensor(1, channels, 1 / 64, 0, data))
        return len(self.tensors) - 1

    def conv(self, source, channels, kernel, stride=1, dilation=1, depthwise=False):
        x = self.tensors[source]
        channels = x.channels if depthwise else channels
        shape = (kernel, channels) if depthwise else (channels, kernel, x.channels)
        n_terms = kernel * (1 if depthwise else x.channels)
        return self.add(
            Op.DEPTHWISE_CONV if depthwise else Op.CONV,
            (source,),
            (x.width - (kernel - 1) * dilation - 1) // stride + 1,
            channels,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            weights=self.rng.integers(-127, 128, shape, dtype=np.int8),
            bias=self.rng.integers(-5000, 5000, channels).astype(np.int32),
            act_min=int(self.rng.choice([-128, -100])),
            **self.scales(channels, 1 / (70 * np.sqrt(n_terms))),
        )

    def pool(self, source, kernel, stride, op):
        x = self.tensors[source]
        width = (x.width - kernel) // stride + 1
        return self.add(op, (source,), width, x.channels, kernel=kernel, stride=stride, dilation=1)

    def crop(self, source, front, back):
        x = self.tensors[source]
        width = x.width - front - back
        return self.add(
            Op.STRIDED_SLICE, (source,), width, x.channels, pad_left=front, stride=1, dilation=1
        )

    def sum(self, a, b, op=Op.ADD):
        x = self.tensors[a]
        # 2^20 of head-room, as in ADD
        multipliers = np.array([2**30, 2**30, 2**30], np.int32)
        shifts = np.array([0, 0, -17], np.int8)
        if op == Op.MUL:
            multipliers, shifts = multipliers[:1], np.array([-5], np.int8)
        fields = {"multipliers": multipliers, "shifts": shifts}
        return self.add(op, (a, b), x.width, x.channels, **fields)

    def lookup(self, source):
        x = self.tensors[source]
        table = np.sort(self.rng.integers(-128, 128, 256, dtype=np.int8))
        return self.add(Op.LOOKUP, (source,), x.width, x.channels, weights=table)

    def join(self, a, b):
        x, y = self.tensors[a], self.tensors[b]
        return self.add(Op.CONCATENATION, (a, b), x.width, x.channels + y.channels)

    def mean(self, source):
        x = self.tensors[source]
        return self.add(Op.MEAN, (source,), 1, x.channels, **self.scales(1, 2 / x.width))

    def dense(self, source, channels):
        n = self.tensors[source].n_bytes
        return self.add(
            Op.FULLY_CONNECTED,
            (source,),
            1,
            channels,
            kernel=1,
            stride=1,
            dilation=1,
            weights=self.rng.integers(-127, 128, (channels, 1, n), dtype=np.int8),
            bias=self.rng.integers(-5000, 5000, channels).astype(np.int32),
            **self.scales(channels, 1 / (70 * np.sqrt(n))),
        )

    def finish(self, output):
        return Graph(tuple(self.tensors), tuple(self.layers), 0, output)


def residual(b, source, rng):
    """Add two valid convolutions and the input, cropped to what they leave of it."""
    channels = b.tensors[source].channels
    kernels = rng.integers(1, 5, 2)
    inner = b.conv(b.conv(source, 4, int(kernels[0])), channels, int(kernels[1]))
    lost = int(kernels.sum()) - 2
    front = int(rng.integers(0, lost + 1))
    return b.sum(inner, b.crop(source, front, lost - front))


def random_block(b, tensor, rng):
    """Add one of everything that streams."""
    width = b.tensors[tensor].width
    kind = rng.integers(0, 8)
    kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    if kind <= 1:
        dilation = int(rng.integers(1, 4))
        return b.conv(tensor, int(rng.integers(1, 7)), kernel, stride, dilation, kind == 1)
    if kind == 2:
        op = Op.AVERAGE_POOL if rng.integers(2) else Op.MAX_POOL
        return b.pool(tensor, kernel, stride, op)
    if kind == 3:
        return residual(b, tensor, rng)
    if kind == 4:
        return b.lookup(tensor)
    if kind == 5:
        constant = b.constant(b.tensors[tensor].channels)
        return b.sum(tensor, constant, Op.MUL if rng.integers(2) else Op.SUB)
    if kind == 6:
        return b.join(b.conv(tensor, 2, 1), tensor)
    return b.crop(tensor, int(rng.integers(0, 4)), int(rng.integers(0, width // 8 + 1)))


def random_network(seed, n_leads=None):
    """Return a network of up to six blocks, one or two means and a layer behind them; and a hop."""
    rng = np.random.default_rng(seed)
    window_len = int(rng.integers(60, 200))
    b = Builder(rng, window_len, n_leads or int(rng.integers(1, 4)))
    strides, tensor, early = [1], 0, None
    for _ in range(rng.integers(0, 7)):
        if b.tensors[tensor].width < 25:
            break
        if early is None and rng.integers(4) == 0:
            early = b.mean(tensor)
        tensor = random_block(b, tensor, rng)
    strides = [layer.stride for layer in b.layers if layer.stride > 1]
    output = b.mean(tensor)
    if early is not None:
        output = b.join(output, early)
    if rng.integers(2):
        output = b.dense(output, int(rng.integers(1, 6)))
    graph = b.finish(output)
    total = int(np.prod(strides)) if strides else 1
    return graph, total * int(rng.integers(1, 1 + max(1, 2 * window_len // total)))


def gate_blob(graph, hop_len, stream=None, chain=None, rule="squared_distance"):
    """Return the blob of a gate that rejects nothing."""
    score = example_score(rule, graph.tensors[graph.output])
    return write_blob(graph, chain or SignalChain(), hop_len, b"a test", score, stream)


def deep_svdd(widths, kernels, strides, window_len=1000, seed=0):
    """Return a network of the shape that `nas.detectors.deep_svdd` builds."""
    b = Builder(np.random.default_rng(seed), window_len, 1)
    tensor = 0
    for width, kernel, stride in zip(widths, kernels, strides, strict=True):
        tensor = b.conv(tensor, width, kernel, stride)
    return b.finish(b.mean(tensor))
