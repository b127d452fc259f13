"""The device's own golden test: passes on what was recorded, names the window that differs."""

from dataclasses import replace

import numpy as np
import pytest

from export import blob as blobs
from export.graph import read_graph
from export.native import FirmwareError
from export.pipeline import Pipeline
from export.signal_chain import SignalChain
from export.streaming import plan_stream
from tests.bundles import ecg_like
from tests.streamable import gate_blob
from tests.tflite_networks import classifier_file, deep_svdd_file

N = 6


@pytest.fixture(scope="module", params=[None, 20, 100])
def pipeline(request):
    """A gate on whole windows, or streaming at either step, and a classifier."""
    graph = read_graph(deep_svdd_file())
    plan = None if request.param is None else plan_stream(graph, 100, request.param)
    data = classifier_file()
    classifier = blobs.write_blob(read_graph(data), SignalChain(), 100, data, None)
    with Pipeline([gate_blob(graph, 100, plan)], classifier) as opened:
        yield opened


@pytest.fixture(scope="module")
def golden(pipeline):
    windows = np.stack([ecg_like(seed) for seed in range(N)])
    decisions = []
    for window in windows:
        pipeline.reset()
        decisions += pipeline.push(window)
    return windows, decisions


def test_golden_windows_pass_whatever_was_pushed_before(pipeline, golden):
    pipeline.push(ecg_like(99, 1234))
    assert pipeline.self_test(*golden) is None
    assert pipeline.self_test(*golden) is None
    (decision,) = pipeline.push(golden[0][0])  # and it leaves a reset behind
    assert decision == golden[1][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, scores=(d.scores[0] + 1,)),
        lambda d: replace(d, margin=d.margin + 1),
        lambda d: replace(d, label=(d.label + 1) % 4),
        lambda d: replace(d, window_start=1),
        lambda d: replace(d, accepted=not d.accepted),
        lambda d: replace(d, reason="unfamiliar"),
    ],
)
def test_any_field_that_differs_is_found(pipeline, golden, change):
    windows, decisions = golden
    assert pipeline.self_test(windows, [*decisions[:3], change(decisions[3]), *decisions[4:]]) == 3


def test_a_window_too_short_or_too_long_fails(pipeline, golden):
    windows, decisions = golden
    assert pipeline.self_test(windows[:, :999], decisions) == 0
    longer = np.concatenate([windows, windows[:, :100]], axis=1)
    assert pipeline.self_test(longer, decisions) == 0
    with pytest.raises(FirmwareError, match="more windows in one call"):
        pipeline.self_test(np.tile(windows, (1, 4, 1)), decisions)
