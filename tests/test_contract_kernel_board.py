"""Kernels on emulated cores: the same bits as TFLite Micro, and how many instructions they take."""

import numpy as np
import pytest

from export.blob import write_blob
from export.graph import read_graph
from export.signal_chain import SignalChain
from tests.bench_kernels import BENCHMARKS, measure
from tests.kernel_board import run_on_board
from tests.kernel_cases import CASES
from tests.test_contract_kernel import tflm_trace

SEEDS = range(40)
GOLDEN = (1.16, 1.41, 2.02, 3.68, 1.47)
"""Instructions per multiply-accumulate on a Cortex-M4, of tests/bench_kernels.py, GCC 12.2."""


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


@pytest.mark.usefixtures("toolchain")
def test_kernels_take_their_instructions_and_no_more():
    ratios = measure()
    assert ratios == pytest.approx(GOLDEN, rel=0.03)
    assert all(
        ratio <= benchmark.target for ratio, benchmark in zip(ratios, BENCHMARKS, strict=True)
    )
