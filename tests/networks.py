"""Random int8 networks for tests, as .tflite bytes, and TFLite Micro to run them."""

import numpy as np
from tflite_micro import runtime

from tests.tflite_writer import TfliteWriter

ARENA_BYTES = 1 << 20


def run_tflm(data, windows, arena_bytes=ARENA_BYTES):
    """Return TFLite Micro's outputs, int8 (n_windows, n_outputs)."""
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
    rows = []
    for window in windows:
        shape = interpreter.get_input_details(0)["shape"]
        interpreter.set_input(window.reshape(shape), 0)
        interpreter.invoke()
        rows.append(np.asarray(interpreter.get_output(0), np.int8).ravel())
    return np.array(rows)


def random_weights(writer, rng, in_scale, shape):
    """Add int8 weights and an int32 bias; return their indices and a fitting output scale."""
    scales = rng.uniform(0.002, 0.02, shape[0])
    weights = rng.integers(-127, 128, shape, dtype=np.int8)
    bias = rng.integers(-2000, 2000, shape[0]).astype(np.int32)
    out_scale = float(in_scale * scales.mean() * 70 * 127 * np.sqrt(np.prod(shape[1:])) / 200)
    return (
        writer.constant(weights, scales),
        writer.constant(bias, in_scale * scales),
        out_scale,
    )


def small_network(seed, window_len=100, n_leads=1, n_outputs=4, classifier=False):
    """Return a .tflite of two convolutions, a residual add, a mean and, for a classifier, a head.

    Its input has scale 1/64 and zero point 0, as the signal chain gives.
    """
    rng = np.random.default_rng(seed)
    w = TfliteWriter()
    channels = 8
    source = w.activation((1, 1, window_len, n_leads), 1 / 64, 0)
    kernel, bias, scale = random_weights(w, rng, 1 / 64, (channels, 1, 7, n_leads))
    width = (window_len - 7) // 3 + 1
    hidden = w.activation((1, 1, width, channels), scale, -128)
    w.conv(source, kernel, bias, hidden, stride=3, dilation=1, same=False, activation=1)
    kernel, bias, scale2 = random_weights(w, rng, scale, (channels, 1, 3, channels))
    branch = w.activation((1, 1, width, channels), scale2, 5)
    w.conv(hidden, kernel, bias, branch, stride=1, dilation=1, same=True)
    total = w.activation((1, 1, width, channels), scale + scale2, -3)
    w.add(hidden, branch, total)
    n_mean = channels if classifier else n_outputs
    if not classifier:
        kernel, bias, scale3 = random_weights(w, rng, scale + scale2, (n_outputs, 1, 1, channels))
        narrow = w.activation((1, 1, width, n_outputs), scale3, 0)
        w.conv(total, kernel, bias, narrow, stride=1, dilation=1, same=False)
        total, last = narrow, scale3
    else:
        last = scale + scale2
    mean = w.activation((1, n_mean), last / 3, 2)
    w.mean(total, w.constant(np.array([1, 2], np.int32)), mean)
    if not classifier:
        return w.finish([source], mean)
    kernel, bias, scale4 = random_weights(w, rng, last / 3, (n_outputs, channels))
    logits = w.activation((1, n_outputs), scale4, 0)
    w.fully_connected(mean, kernel, bias, logits)
    return w.finish([source], logits)
