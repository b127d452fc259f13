"""Whole windows a second, host engine against LiteRT's default int8 interpreter, one thread each.

`python -m tests.bench_host`. Both run the same .tflite on the same windows by turns; of each the
best of many short rounds counts, since other processes only ever take time away.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from export.blob import write_blob
from export.graph import read_graph
from export.native import Role
from export.pipeline import run_network
from export.quantize import quantize
from export.signal_chain import SignalChain
from nas.detectors import DETECTORS
from tests.bench_kernels import dense_autoencoder
from tests.networks import small_network

N_WINDOWS = 1000
N_ROUNDS = 20
LSB_MV = 1 / 64


def deep_svdd():
    """Return the default Deep SVDD on 10 s at 100 Hz, one lead, untrained, as .tflite bytes."""
    detector = DETECTORS["deep_svdd"]
    rng = np.random.default_rng(0)
    windows = rng.integers(-60, 60, (32, 1000, 1)).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep_svdd.keras"
        detector.build(detector.Params(), (1000, 1)).save(path)
        return quantize(path, windows, LSB_MV, windows[:2]).tflite


def litert(data):
    """Return a function that runs windows in LiteRT."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    output = interpreter.get_output_details()[0]["index"]

    def run(windows):
        for window in windows.reshape(-1, *source["shape"]):
            interpreter.set_tensor(source["index"], window)
            interpreter.invoke()
            interpreter.get_tensor(output)

    return run


def host(data):
    """Return a function that runs windows in the shipped C."""
    blob = write_blob(read_graph(data), SignalChain(), 100, data, score=None)
    return lambda windows: run_network(blob, Role.CLASSIFIER, windows)


def seconds(run, windows):
    """Return this thread's processor time of one round: others may wait for the processor too."""
    start = time.thread_time()
    run(windows)
    return time.thread_time() - start


def compare(data):
    """Return microseconds a window of the host engine and of LiteRT."""
    window = read_graph(data).tensors[0]
    shape = (N_WINDOWS, window.width, window.channels)
    windows = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int8)
    engines = [host(data), litert(data)]
    rounds = [[seconds(run, windows) for run in engines] for _ in range(N_ROUNDS)]
    return np.min(rounds, axis=0) / N_WINDOWS * 1e6


if __name__ == "__main__":
    networks = {
        "small_network, 100 samples": small_network(0, classifier=True),
        "small_network, 1000 samples, 12 leads": small_network(0, 1000, 12, classifier=True),
        "deep_svdd, 1000 samples": deep_svdd(),
        "MLPerf Tiny's dense autoencoder": dense_autoencoder(1.5).data,
    }
    print(f"{'microseconds a window':40s} {'host':>7s} {'LiteRT':>7s}  times as fast")
    for name, data in networks.items():
        ours, theirs = compare(data)
        print(f"{name:40s} {ours:7.1f} {theirs:7.1f}  {theirs / ours:.2f}")
