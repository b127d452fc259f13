"""Kernels on emulated cores: the same bits as TFLite Micro, and how many instructions they take."""

from dataclasses import replace

import numpy as np
import pytest

from export.blob import write_blob
from export.graph import Graph, read_graph
from export.native import Role
from export.pipeline import trace_network
from export.signal_chain import SignalChain
from tests.bench_kernels import BENCHMARKS, measure
from tests.kernel_board import run_on_board
from tests.kernel_cases import CASES
from tests.streamable import Builder
from tests.test_contract_kernel import tflm_trace

SEEDS = range(40)
GOLDEN = {
    "qemu-m4": (1.16, 1.41, 2.02, 3.68, 1.47, 5.88, 47.1),
    "qemu-m55": (0.24, 0.31, 0.62, 1.90, 0.52, 4.42, 14.6),
}
"""Instructions per multiply-accumulate, of tests/bench_kernels.py, GCC 12.2."""


@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize("board", ["qemu-m3", "qemu-m4", "qemu-m33", "qemu-m55"])
def test_kernels_on_the_board_equal_tflm(board):
    """The cores have other kernels than this machine: every kernel meets random layers there."""
    cases, wanted = [], []
    for name, draw in CASES.items():
        for seed in SEEDS:
            rng = np.random.default_rng([seed, len(name)])
            data = draw(rng)
            graph = read_graph(data)
            window = graph.tensors[graph.input]
            codes = rng.integers(-128, 128, window.n_bytes).astype(np.int8)
            cases.append((write_blob(graph, SignalChain(), 1, data, score=None), codes))
            wanted.append(tflm_trace(data, graph, codes))
    found = [crcs for crcs, _ in run_on_board(cases, board)]
    different = [index for index, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b]
    assert different == []


def edge_of_rescaling(rng, make, shift, zero_point):
    """Return a layer whose sums and multipliers lie at the rails, and its input."""
    b = Builder(rng, 16384 if make == "dense" else 7, 1)
    b.dense(0, 16) if make == "dense" else b.conv(0, 16, 3)
    signs = rng.choice(np.array([-128, 127], np.int8), (16, 1, 1))
    layer = replace(
        b.layers[0],
        weights=np.broadcast_to(signs, b.layers[0].weights.shape).copy(),
        bias=rng.choice(np.array([-(2**29), -1, 0, 1, 2**29], np.int32), 16),
        multipliers=rng.choice(np.array([0, 1, 2**30, 2**31 - 1], np.int32), 16),
        shifts=np.full(16, shift, np.int8),
        act_min=-128,
    )
    codes = rng.choice(np.array([-128, 127], np.int8), (b.tensors[0].width, 1))
    source = replace(b.tensors[0], zero_point=int(rng.choice([-128, 127])))
    tensors = (source, replace(b.tensors[1], zero_point=zero_point))
    if make == "dense":
        codes[:] = -128 if source.zero_point > 0 else 127  # every product as large as can be
    return Graph(tensors, (layer,), 0, 1), codes


@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize("board", ["qemu-m4", "qemu-m55"])
@pytest.mark.parametrize("make", ["dense", "conv"])
def test_rescaling_is_exact_at_the_edges(make, board):
    """Shifts where the DSP kernel's short way begins and ends, sums up to 2^30, on every edge."""
    rng = np.random.default_rng(0)
    cases = []
    for shift in (-31, -23, -22, -21, -2, -1, 0, 1):
        for zero_point in (-128, 0, 127):
            graph, codes = edge_of_rescaling(rng, make, shift, zero_point)
            cases.append((write_blob(graph, SignalChain(), 1, b"", score=None), codes))
    wanted = [trace_network(blob, Role.CLASSIFIER, codes).tolist() for blob, codes in cases]
    assert [crcs for crcs, _ in run_on_board(cases, board)] == wanted


@pytest.mark.usefixtures("toolchain")
@pytest.mark.parametrize("board", GOLDEN)
def test_kernels_take_their_instructions_and_no_more(board):
    ratios = measure(board)
    assert ratios == pytest.approx(GOLDEN[board], rel=0.03)
    assert all(
        ratio <= benchmark.target for ratio, benchmark in zip(ratios, BENCHMARKS, strict=True)
    )
