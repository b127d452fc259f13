"""Along the stream or window by window: the same score bits, at every hop, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import blob as blobs
from export.graph import read_graph
from export.native import aligned_blob, native
from export.pipeline import Pipeline
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from export.streaming import NotStreamableError, plan_stream
from tests.networks import run_tflm
from tests.streamable import Builder, deep_svdd, example_score, gate_blob, random_network
from tests.tflite_networks import classifier_file, deep_svdd_file, valid_residual_file

DEFAULT = ((16, 24, 48, 64, 64), (7, 5, 5, 3, 3), (2, 2, 5, 1, 1))  # nas.detectors.deep_svdd


def counts(seed, n_samples, n_leads):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 700, (n_samples, n_leads)).astype(np.int16)


def decide(blob, x, chunks=None):
    with Pipeline([blob], None) as pipeline:
        if chunks is None:
            return pipeline.push(x)
        decisions, at = [], 0
        for n in chunks:
            decisions += pipeline.push(x[at : at + n])
            at += n
        return decisions + pipeline.push(x[at:])


@settings(max_examples=150)
@given(data=st.data())
def test_a_random_network_streams_to_the_same_scores(data):
    """Every operator that streams, any hop and step, any chunk sizes, twice with a reset."""
    graph, hop_len = random_network(data.draw(st.integers(0, 2**32 - 1)))
    window = graph.tensors[graph.input]
    plan = plan_stream(graph, hop_len)
    x = counts(1, window.width + 5 * hop_len + data.draw(st.integers(0, 50)), window.channels)
    expected = decide(gate_blob(graph, hop_len), x)
    assert len(expected) >= 5
    blob = gate_blob(graph, hop_len, plan)
    assert decide(blob, x, data.draw(st.lists(st.integers(1, 300), max_size=6))) == expected
    with Pipeline([blob], None) as pipeline:
        pipeline.push(counts(2, data.draw(st.integers(0, 400)), window.channels))
        pipeline.reset()
        assert pipeline.push(x) == expected


@pytest.mark.parametrize(
    ("make", "hop_len", "n_leads"), [(deep_svdd_file, 100, 1), (valid_residual_file, 20, 2)]
)
@pytest.mark.parametrize("rule", SCORE_RULES)
def test_streaming_gives_the_scores_of_tflite_micro(make, hop_len, n_leads, rule):
    """The independent oracle, window by window; the residual block's skip is cropped."""
    data = make()
    graph = read_graph(data)
    window_len, output = graph.tensors[graph.input].width, graph.tensors[graph.output]
    x = counts(3, window_len + 12 * hop_len, n_leads)
    codes = SignalChain().apply(x)
    windows = [codes[at : at + window_len] for at in range(0, 12 * hop_len + 1, hop_len)]
    constants = example_score(rule, output).constants
    expected = SCORE_RULES[rule].score(run_tflm(data, windows), output, constants)
    for plan in (plan_stream(graph, hop_len), plan_stream(graph, hop_len, hop_len)):
        found = decide(gate_blob(graph, hop_len, plan, rule=rule), x)
        assert [d.scores[0] for d in found] == expected.tolist()
        assert [d.window_start for d in found] == list(range(0, 12 * hop_len + 1, hop_len))


def test_bytes_and_steps_of_the_default_detector():
    """Late layers wait for a hop's columns, and all of it is a quarter of the whole's memory."""
    graph = deep_svdd(*DEFAULT)
    with Pipeline([gate_blob(graph, 100)], None) as pipeline:
        whole_bytes = pipeline.arena_bytes
    for step in (None, 20, 100):
        plan = plan_stream(graph, 100, step)
        blob = gate_blob(graph, 100, plan)
        header = blobs.read_header(blob)
        assert (header.stream_step, header.stream_bytes) == (plan.step, plan.n_bytes)
        with Pipeline([blob], None) as pipeline:
            assert 0 < pipeline.arena_bytes - plan.n_bytes < 64  # the chain's state, nothing else
            if step is None:
                assert pipeline.arena_bytes <= whole_bytes / 4
    chosen = plan_stream(graph, 100)
    assert chosen.step == 20
    assert max(row.period for row in chosen.tensors) == 5


def test_a_mixed_pipeline_keeps_the_ring_for_those_on_whole_windows():
    data = classifier_file()
    classifier = blobs.write_blob(read_graph(data), SignalChain(), 100, data, None)
    graph = deep_svdd(*DEFAULT)
    x = counts(5, 3000, 1)
    plan = plan_stream(graph, 100)
    with Pipeline([gate_blob(graph, 100)], classifier) as pipeline:
        expected = pipeline.push(x)
    with Pipeline([gate_blob(graph, 100, plan)], classifier) as pipeline:
        assert pipeline.push(x) == expected
        least = blobs.read_header(classifier).activation_bytes + plan.n_bytes + 1000
        assert least <= pipeline.arena_bytes < least + 100
    assert any(d.label is not None for d in expected)


@pytest.mark.parametrize("fs", [360, 128])
def test_behind_a_resampler_a_sample_may_bring_no_frame_or_two(fs):
    graph, chain = deep_svdd(*DEFAULT), SignalChain(fs=fs)
    x = counts(11, 20 * fs, 1)
    expected = decide(gate_blob(graph, 100, chain=chain), x)
    assert len(expected) >= 9
    blob = gate_blob(graph, 100, plan_stream(graph, 100), chain)
    assert decide(blob, x, [1, 7, 1000, 3]) == expected


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("no mean over time ends", lambda b: b.conv(0, 4, 3)),
        ("needs the whole window", lambda b: b.dense(0, 4)),
        ("mixes columns with", lambda b: b.mean(b.sum(b.conv(0, 1, 3), b.mean(0)))),
        (
            "joins tensors of different",
            lambda b: b.mean(b.sum(b.conv(0, 2, 2, 2), b.crop(b.conv(0, 2, 1), 0, 50))),
        ),
    ],
)
def test_what_cannot_stream_is_named(why, make):
    b = Builder(np.random.default_rng(0), 100, 1)
    with pytest.raises(NotStreamableError, match=why):
        plan_stream(b.finish(make(b)), 10)


def test_a_hop_that_is_no_multiple_of_the_stride_cannot_stream():
    with pytest.raises(NotStreamableError, match="multiple of the total stride 20, is 50"):
        plan_stream(deep_svdd(*DEFAULT), 50)
    with pytest.raises(NotStreamableError, match=r"must be one of \[20, 100\], is 40"):
        plan_stream(deep_svdd(*DEFAULT), 100, 40)
    with pytest.raises(NotStreamableError, match="pads the window's edges"):
        plan_stream(read_graph(classifier_file()), 100)


@settings(max_examples=200)
@given(data=st.data())
def test_an_altered_stream_plan_is_refused_or_gives_the_same_scores(data):
    """Any field of any row, sealed with a true CRC: a code of its own, never a fault."""
    graph, hop_len = random_network(data.draw(st.integers(0, 40)))
    blob = bytearray(gate_blob(graph, hop_len, plan_stream(graph, hop_len)))
    header = np.frombuffer(blob, blobs.HEADER_DTYPE, 1)[0]
    rows = np.frombuffer(blob, blobs.STREAM_DTYPE, header["n_tensors"], header["stream"])
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(blobs.STREAM_DTYPE.names))
        row = data.draw(st.integers(0, len(rows) - 1))
        limit = 2 ** (8 * rows.dtype[name].itemsize) - 1
        near = int(rows[name][row])
        value = data.draw(st.one_of(st.integers(0, limit), st.integers(near - 3, near + 3)))
        rows[name][row] = min(max(value, 0), limit)
    sealed = blobs.seal(bytes(blob))
    aligned = aligned_blob(sealed)
    status = native().lib.bgh_blob_check(native().pointer(aligned, "void"), aligned.size, 0)
    assert status in (0, 18, 19)
    if status == 0:
        x = counts(0, 500, graph.tensors[graph.input].channels)
        assert decide(sealed, x) == decide(gate_blob(graph, hop_len), x)


def test_columns_renewed_behind_a_layer_that_does_not_read_them_are_refused():
    """They would never be renewed, and every score would be made of the zeros of the start."""
    graph = deep_svdd(*DEFAULT)
    blob = bytearray(gate_blob(graph, 100, plan_stream(graph, 100)))
    header = np.frombuffer(blob, blobs.HEADER_DTYPE, 1)[0]
    rows = np.frombuffer(blob, blobs.STREAM_DTYPE, header["n_tensors"], header["stream"])
    assert rows["carry"][graph.input] > 0
    rows["last_reader"][graph.input] += 1
    aligned = aligned_blob(blobs.seal(bytes(blob)))
    assert native().lib.bgh_blob_check(native().pointer(aligned, "void"), aligned.size, 0) == 19


@pytest.mark.parametrize(("hop_len", "n_cropped"), [(257, 1), (257, 3), (262, 140), (100, 7)])
def test_a_mean_over_cropped_columns_ends_where_its_window_does(hop_len, n_cropped):
    """A hop of a prime number of columns has blocks of one: the next one ends in the same step."""
    b = Builder(np.random.default_rng(0), 700, 1)
    cropped = b.crop(b.conv(0, 4, 3), 0, n_cropped)
    graph = b.finish(b.dense(b.mean(cropped), 4))
    x = counts(1, 700 + 4 * hop_len, 1)
    expected = decide(gate_blob(graph, hop_len), x)
    for step in (None, hop_len):
        assert decide(gate_blob(graph, hop_len, plan_stream(graph, hop_len, step)), x) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [("stream_step", 0), ("stream_step", 7), ("stream_bytes", 8), ("stream_bytes", 2**31)],
)
def test_a_header_that_contradicts_the_plan_is_refused(field, value):
    graph = deep_svdd(*DEFAULT)
    blob = bytearray(gate_blob(graph, 100, plan_stream(graph, 100)))
    np.frombuffer(blob, blobs.HEADER_DTYPE, 1)[field] = value
    aligned = aligned_blob(blobs.seal(bytes(blob)))
    assert native().lib.bgh_blob_check(native().pointer(aligned, "void"), aligned.size, 0) == 19


def test_hours_pass_without_a_difference():
    """Past 2^31 and 2^32 frames: the only counter that grows is the 64-bit one."""
    graph = deep_svdd(*DEFAULT)
    blob = gate_blob(graph, 100, plan_stream(graph, 100))
    x = counts(7, 4000, 1)
    expected = decide(blob, x)
    for near in (2**31, 2**32, 2**63):
        with Pipeline([blob], None) as pipeline:
            pipeline.skip_to_frame(near - 2000)
            found = pipeline.push(x)
        assert [d.scores for d in found] == [d.scores for d in expected]
        assert [d.window_start - (near - 2000) for d in found] == [d.window_start for d in expected]
