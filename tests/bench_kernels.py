"""Instructions per multiply-accumulate on an emulated board: `python -m tests.bench_kernels`.

Counted by QEMU under -icount: facts, the same on every machine. docs/kernels.md has the table.
"""

import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from export.blob import write_blob
from export.graph import read_graph
from export.signal_chain import SignalChain
from tests.kernel_board import run_on_board
from tests.tflite_writer import TfliteWriter

LEADS_MAX = 12


@dataclass(frozen=True)
class Benchmark:
    """A network, of which `layers` are counted."""

    name: str
    data: bytes
    target: float
    layers: slice


def _conv(writer, source, c_in, c_out, width, kernel, stride, rng):
    out_width = (width - kernel) // stride + 1
    scales = np.full(c_out, 0.01)
    k = writer.constant(rng.integers(-127, 128, (c_out, 1, kernel, c_in), dtype=np.int8), scales)
    b = writer.constant(np.zeros(c_out, np.int32), scales * 0.05)
    out = writer.activation((1, 1, out_width, c_out), 0.5 * kernel**0.5, -128)
    writer.conv(source, k, b, out, stride=stride, dilation=1, same=False, activation=1)
    return out, out_width


def _finish(writer, first, last, n_in):
    """End in four outputs, as a classifier has them."""
    rng = np.random.default_rng(1)
    end = writer.activation((1, 4), 0.5, 0)
    k = writer.constant(rng.integers(-127, 128, (4, n_in), dtype=np.int8), [0.01])
    writer.fully_connected(last, k, writer.constant(np.zeros(4, np.int32), [0.0005]), end)
    return writer.finish([first], end)


def convolution(c_in, c_out, width, kernel, stride, target):
    """One convolution with ReLU; more than 12 channels in are made by another in front of it."""
    rng = np.random.default_rng(0)
    writer = TfliteWriter()
    leads = min(c_in, LEADS_MAX)
    source = first = writer.activation((1, 1, width, leads), 0.05, 0)
    if leads < c_in:
        source, _ = _conv(writer, source, leads, c_in, width, 1, 1, rng)
    out, _ = _conv(writer, source, c_in, c_out, width, kernel, stride, rng)
    mean = writer.activation((1, c_out), 0.5, 0)
    writer.mean(out, writer.constant(np.array([1, 2], np.int32)), mean)
    name = f"convolution {c_in} {c_out} {width} {kernel} {stride}"
    index = int(leads < c_in)
    data = _finish(writer, first, mean, c_out)
    return Benchmark(name, data, target, slice(index, index + 1))


def depthwise(channels, width, kernel, target):
    """One depthwise convolution with ReLU, behind a convolution that makes its channels."""
    rng = np.random.default_rng(0)
    writer = TfliteWriter()
    first = writer.activation((1, 1, width, LEADS_MAX), 0.05, 0)
    source, _ = _conv(writer, first, LEADS_MAX, channels, width, 1, 1, rng)
    scales = np.full(channels, 0.01)
    weights = rng.integers(-127, 128, (1, 1, kernel, channels), dtype=np.int8)
    k = writer.constant(weights, scales, 3)
    b = writer.constant(np.zeros(channels, np.int32), scales * 0.5)
    out = writer.activation((1, 1, width, channels), 5.0, -128)
    options = {"stride": 1, "dilation": 1, "same": True, "activation": 1}
    writer.depthwise(source, k, b, out, multiplier=1, **options)
    mean = writer.activation((1, channels), 5.0, 0)
    writer.mean(out, writer.constant(np.array([1, 2], np.int32)), mean)
    name = f"depthwise convolution {channels} {width} {kernel}"
    return Benchmark(name, _finish(writer, first, mean, channels), target, slice(1, 2))


def addition(channels, width, target):
    """One ADD of two activations with ReLU; its codes are counted."""
    rng = np.random.default_rng(0)
    writer = TfliteWriter()
    first = writer.activation((1, 1, width, LEADS_MAX), 0.05, 0)
    sides = [_conv(writer, first, LEADS_MAX, channels, width, 1, 1, rng)[0] for _ in range(2)]
    out = writer.activation((1, 1, width, channels), 1.0, -128)
    writer.elementwise("ADD", *sides, out, activation=1)
    mean = writer.activation((1, channels), 1.0, 0)
    writer.mean(out, writer.constant(np.array([1, 2], np.int32)), mean)
    name = f"addition {channels} {width}, per code"
    return Benchmark(name, _finish(writer, first, mean, channels), target, slice(2, 3))


def dense_autoencoder(target):
    """MLPerf Tiny's anomaly detector, 640-128x4-8-128x4-640, with random weights."""
    rng = np.random.default_rng(0)
    writer = TfliteWriter()
    source = first = writer.activation((1, 1, 640, 1), 0.05, 0)
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    for n_in, n_out in pairwise(sizes):
        k = writer.constant(rng.integers(-127, 128, (n_out, n_in), dtype=np.int8), [0.01])
        b = writer.constant(np.zeros(n_out, np.int32), [0.0005])
        out = writer.activation((1, n_out), 0.02 * n_in**0.5, -128)
        writer.fully_connected(source, k, b, out, activation=1)
        source = out
    data = _finish(writer, first, source, sizes[-1])
    name = "dense autoencoder 640-128x4-8-128x4-640"
    return Benchmark(name, data, target, slice(0, len(sizes) - 1))


BENCHMARKS = (
    convolution(160, 160, 64, 5, 1, 1.20),
    convolution(16, 24, 256, 5, 2, 1.55),
    convolution(24, 24, 128, 1, 1, 2.4),
    convolution(1, 16, 512, 9, 2, 4.5),
    dense_autoencoder(1.5),
    depthwise(24, 128, 9, 6.5),
    addition(24, 128, 50),
)
"""Convolution: channels in and out, width, kernel, stride; depthwise: channels, width, kernel; ADD:
channels, width. At most so many instructions a multiply-accumulate on a Cortex-M4."""


def measure(board="qemu-m4"):
    """Return instructions per multiply-accumulate of every benchmark."""
    graphs = [read_graph(benchmark.data) for benchmark in BENCHMARKS]
    cases = []
    for benchmark, graph in zip(BENCHMARKS, graphs, strict=True):
        window = graph.tensors[graph.input]
        codes = np.random.default_rng(0).integers(-128, 128, window.n_bytes).astype(np.int8)
        cases.append((write_blob(graph, SignalChain(), 1, benchmark.data, score=None), codes))
    ratios = []
    results = run_on_board(cases, board)
    for benchmark, graph, (_, instructions) in zip(BENCHMARKS, graphs, results, strict=True):
        layers = graph.layers[benchmark.layers]
        work = sum(layer.macs or graph.tensors[layer.output].n_bytes for layer in layers)
        ratios.append(sum(instructions[benchmark.layers]) / work)
    return ratios


if __name__ == "__main__":
    board = sys.argv[1] if len(sys.argv) > 1 else "qemu-m4"
    print(f"{'instructions per multiply-accumulate':42s} {board:>10s}  Cortex-M4 target")
    for benchmark, ratio in zip(BENCHMARKS, measure(board), strict=True):
        print(f"{benchmark.name:42s} {ratio:10.2f}  {benchmark.target:10.2f}")
