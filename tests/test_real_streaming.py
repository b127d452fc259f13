"""Streaming equals whole windows on real recordings: MIT-BIH 100 and 208 whole, 500 of PTB-XL."""

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb

from datasets import open_dataset
from export.graph import read_graph
from export.pipeline import Pipeline
from export.score_rules import squared_distance
from export.signal_chain import SignalChain
from export.streaming import plan_stream
from tests.networks import run_tflm
from tests.streamable import example_score, gate_blob
from tests.tflite_networks import deep_svdd_file

WINDOW_LEN, HOP_LEN = 1000, 100
TFLM_EVERY = 50  # windows; TFLite Micro is slow


@pytest.fixture(scope="module")
def gates():
    """The default detector as a blob for whole windows, and as blobs that stream."""
    graph = read_graph(deep_svdd_file())
    plans = [plan_stream(graph, HOP_LEN, step) for step in (20, 100)]
    return gate_blob(graph, HOP_LEN), [gate_blob(graph, HOP_LEN, plan) for plan in plans]


def assert_streams_alike(gates, recordings):
    """Play every recording from a reset; return how many decisions were compared."""
    whole_blob, stream_blobs = gates
    n_decisions = 0
    for blob in stream_blobs:
        with Pipeline([whole_blob], None) as whole, Pipeline([blob], None) as stream:
            for counts in recordings:
                whole.reset()
                stream.reset()
                expected = whole.push(counts)
                assert stream.push(counts) == expected
                n_decisions += len(expected)
    return n_decisions


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("record", ["100", "208"])
def test_half_an_hour_of_mitbih(gates, record):
    folder = Path(os.environ.get("BEATGATE_DATA", "")) / "mitdb"
    if not (folder / f"{record}.hea").is_file():
        pytest.skip(f"{folder} holds no {record}.hea")
    signal = wfdb.rdrecord(str(folder / record), physical=False).d_signal[:, :1]
    counts = signal.astype(np.int16)
    assert_streams_alike(gates, [counts])
    with Pipeline([gates[1][0]], None) as stream:
        found = stream.push(counts)
    codes = SignalChain().apply(counts)
    picked = found[::TFLM_EVERY]
    windows = [codes[d.window_start : d.window_start + WINDOW_LEN] for d in picked]
    output = read_graph(deep_svdd_file()).tensors[-1]
    constants = example_score("squared_distance", output).constants
    scores = squared_distance(run_tflm(deep_svdd_file(), windows), output, constants)
    assert [d.scores[0] for d in picked] == scores.tolist()


@pytest.mark.slow
def test_five_hundred_records_of_ptbxl(gates, ptbxl_dir):
    """Each on its own, and all of them as one stream."""
    dataset = open_dataset("ptbxl", str(ptbxl_dir))
    every = dataset.record_ids()
    ids = every[:: len(every) // 500][:500]
    recordings = [dataset.load(record_id, ("I",)).adc_counts for record_id in ids]
    assert assert_streams_alike(gates, recordings) == 2 * 500
    assert assert_streams_alike(gates, [np.concatenate(recordings)]) == 2 * (500 * 10 - 9)
