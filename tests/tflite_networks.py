"""Convolutional .tflite networks of any shape for tests, random weights and sensible scales."""

import numpy as np

from tests.networks import random_weights
from tests.tflite_writer import TfliteWriter


class Convolutions:
    """Adds layers one behind the other to one .tflite; tensors are (index, width, channels, scale).

    The input has scale 1/64 and zero point 0, as the signal chain gives.
    """

    def __init__(self, seed, window_len=1000, n_leads=1):
        self.rng = np.random.default_rng(seed)
        self.w = TfliteWriter()
        self.input = (
            self.w.activation((1, 1, window_len, n_leads), 1 / 64, 0),
            window_len,
            n_leads,
            1 / 64,
        )

    def conv(self, source, channels, kernel, stride=1, dilation=1, same=False, activation=0):
        index, width, n_in, in_scale = source
        shape = (channels, 1, kernel, n_in)
        weights, bias, scale = random_weights(self.w, self.rng, in_scale, shape)
        reach = (kernel - 1) * dilation + 1
        width = -(-width // stride) if same else (width - reach) // stride + 1
        output = self.w.activation((1, 1, width, channels), scale, -128 if activation else 3)
        how = {"stride": stride, "dilation": dilation, "same": same, "activation": activation}
        self.w.conv(index, weights, bias, output, **how)
        return output, width, channels, scale

    def crop(self, source, front, back, zero_point=3):
        index, width, channels, scale = source
        output = self.w.activation((1, 1, width - front - back, channels), scale, zero_point)
        ends = (1, 1, width - back, channels)
        self.w.strided_slice(index, (0, 0, front, 0), ends, (1, 1, 1, 1), output)
        return output, width - front - back, channels, scale

    def add(self, a, b, activation=0):
        output = self.w.activation((1, 1, a[1], a[2]), a[3] + b[3], -128 if activation else -5)
        self.w.add(a[0], b[0], output, activation=activation)
        return output, a[1], a[2], a[3] + b[3]

    def mean(self, source):
        index, _, channels, scale = source
        output = self.w.activation((1, channels), scale / 4, 2)
        self.w.mean(index, self.w.constant(np.array([1, 2], np.int32)), output)
        return output, 1, channels, scale / 4

    def dense(self, source, channels):
        index, width, n_in, in_scale = source
        shape = (channels, width * n_in)
        weights, bias, scale = random_weights(self.w, self.rng, in_scale, shape)
        output = self.w.activation((1, channels), scale, 0)
        self.w.fully_connected(index, weights, bias, output)
        return output, 1, channels, scale

    def finish(self, output):
        return self.w.finish([self.input[0]], output[0])


def deep_svdd_file(seed=0, window_len=1000):
    """Return the network of `nas.detectors.deep_svdd`'s default parameters."""
    net = Convolutions(seed, window_len)
    x = net.input
    for i, shape in enumerate(((16, 7, 2), (24, 5, 2), (48, 5, 5), (64, 3, 1), (64, 3, 1))):
        x = net.conv(x, *shape, activation=int(i < 4))
    return net.finish(net.mean(x))


def valid_residual_file(seed=0, window_len=300):
    """Return a valid convolution, a residual block with its skip cropped, a mean and a layer."""
    net = Convolutions(seed, window_len, 2)
    x = net.conv(net.input, 6, 5, stride=2)
    inner = net.conv(net.conv(x, 8, 3, activation=1), 6, 3, dilation=2)
    x = net.add(inner, net.crop(x, 3, 3))
    return net.finish(net.dense(net.mean(net.conv(x, 9, 4, stride=2)), 5))


def classifier_file(seed=0, window_len=1000):
    """Return the network of `nas.classifier`'s default parameters."""
    net = Convolutions(seed, window_len)
    x = net.conv(net.input, 16, 7, 2, same=True, activation=1)
    for width, kernel, stride in ((24, 5, 2), (48, 5, 2), (64, 5, 5)):
        inner = net.conv(x, width, kernel, stride, same=True, activation=1)
        inner = net.conv(inner, width, 3, same=True)
        x = net.add(inner, net.conv(x, width, 1, stride, same=True), activation=1)
    return net.finish(net.dense(net.mean(x), 4))


def random_file(seed):
    """Return up to five convolutions, valid or padded, some with a residual, a mean and a layer."""
    net = Convolutions(seed, int(np.random.default_rng(seed).integers(40, 400)))
    rng, x = net.rng, net.input
    for _ in range(rng.integers(1, 6)):
        same, width = bool(rng.integers(2)), int(rng.integers(1, 24))
        if x[1] < 30:
            break
        x = net.conv(x, width, int(rng.integers(1, 8)), int(rng.integers(1, 4)), same=same)
        if rng.integers(2):
            inner = net.conv(x, int(rng.integers(1, 24)), 3, same=True, activation=1)
            x = net.add(net.conv(inner, x[2], 3, same=True), x)
    x = net.mean(x)
    return net.finish(net.dense(x, 3) if rng.integers(2) else x)
