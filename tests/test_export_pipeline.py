"""`bg_pipeline`: any chunking, the same decisions; what it refuses; what it keeps and forgets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import blob as blobs
from export.graph import read_graph
from export.native import FirmwareError, Role, aligned_blob, native
from export.pipeline import Pipeline, run_network
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from tests.networks import small_network

WINDOW_LEN, HOP_LEN = 100, 30
RULE = SCORE_RULES["squared_distance"]
CHAIN = SignalChain()


def make_blobs(n_leads=2, hop_len=HOP_LEN, chain=CHAIN):
    """Return a gate whose threshold lies amid the scores of `signal`, and a classifier."""
    data = small_network(1, WINDOW_LEN, n_leads)
    graph = read_graph(data)
    output = graph.tensors[graph.output]
    constants = RULE.quantize_constants({"centre": [0.0] * output.n_bytes}, output)
    gate = blobs.write_blob(graph, chain, hop_len, data, blobs.Score(RULE.code, constants))
    head = small_network(2, WINDOW_LEN, n_leads, classifier=True)
    classifier = blobs.write_blob(read_graph(head), chain, hop_len, head, None)
    codes = CHAIN.apply(signal(n_leads))
    windows = np.stack([codes[s : s + WINDOW_LEN] for s in range(0, 900, HOP_LEN)])
    median = int(np.median(run_network(gate, Role.GATE, windows)[1]))
    return blobs.with_threshold(gate, median), classifier


def signal(n_leads, n_samples=1000):
    rng = np.random.default_rng(4)
    t = np.arange(n_samples)[:, np.newaxis]
    beats = 1200 * (t % 70 < 5) * np.linspace(0.2, 1.5, n_samples)[:, np.newaxis]
    return (beats + rng.normal(500, 30, (n_samples, n_leads))).astype(np.int16)


GATE, CLASSIFIER = make_blobs()


def play(counts, sizes=None):
    with Pipeline([GATE], CLASSIFIER) as pipeline:
        decisions, start = [], 0
        for size in sizes or [len(counts)]:
            decisions += pipeline.push(counts[start : start + size])
            start += size
        return decisions


def test_windows_start_every_hop_and_both_verdicts_occur():
    decisions = play(signal(2))
    assert [d.window_start for d in decisions] == list(range(0, 901, HOP_LEN))
    assert {d.accepted for d in decisions} == {True, False}
    for d in decisions:
        assert d.accepted == (d.scores[0] <= blobs.read_header(GATE).threshold)
        assert d.reason == ("ok" if d.accepted else "unfamiliar")
        assert (d.label is not None) == d.accepted


def test_decisions_equal_networks_run_on_the_windows():
    counts = signal(2)
    codes = CHAIN.apply(counts)
    for d in play(counts):
        window = codes[np.newaxis, d.window_start : d.window_start + WINDOW_LEN]
        assert d.scores[0] == run_network(GATE, Role.GATE, window)[1][0]
        if d.accepted:
            logits = run_network(CLASSIFIER, Role.CLASSIFIER, window)[0][0].astype(int)
            assert d.label == logits.argmax()
            assert d.margin == np.sort(logits)[-1] - np.sort(logits)[-2]


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(0, 400), max_size=40))
def test_any_chunking_gives_the_same_decisions(sizes):
    counts = signal(2)
    assert play(counts, [*sizes, len(counts)]) == play(counts)


def test_one_sample_at_a_time_gives_the_same_decisions():
    assert play(signal(2), [1] * 1000) == play(signal(2))


def test_after_a_reset_nothing_is_left():
    counts = signal(2)
    with Pipeline([GATE], CLASSIFIER) as pipeline:
        first = pipeline.push(counts)
        pipeline.push(counts[:137] * 3)
        pipeline.reset()
        assert pipeline.push(counts) == first


def test_without_a_gate_every_window_is_classified():
    with Pipeline([], CLASSIFIER) as pipeline:
        decisions = pipeline.push(signal(2))
    assert all(d.accepted and d.scores == () and d.label is not None for d in decisions)


def test_without_a_classifier_there_are_verdicts_only():
    with Pipeline([GATE], None) as pipeline:
        decisions = pipeline.push(signal(2))
    assert [d.accepted for d in decisions] == [d.accepted for d in play(signal(2))]
    assert all(d.label is None for d in decisions)


def raw_pipeline(gate_and_classifier=(GATE, CLASSIFIER)):
    """Return the C handle of an opened pipeline, and what must stay alive."""
    c = native()
    kept = [aligned_blob(blob) for blob in gate_and_classifier]
    status = c.ffi.new("int *")
    handle = c.lib.bgh_open(
        c.ffi.new("void *[]", [c.pointer(b, "void") for b in kept]),
        c.ffi.new("size_t[]", [b.size for b in kept]),
        1,
        True,
        status,
    )
    return c, handle, kept


def test_a_full_queue_refuses_the_whole_push_and_loses_nothing():
    c, handle, kept = raw_pipeline()
    counts = signal(2)
    pointer = c.pointer(counts, "int16_t")
    n_fits = WINDOW_LEN + 15 * HOP_LEN  # completes the queue's 16 windows
    assert c.lib.bgh_push(handle, pointer, n_fits + HOP_LEN) == 17  # would never fit
    assert c.lib.bgh_push(handle, pointer, n_fits) == 0
    rest = counts[n_fits:].copy()
    assert c.lib.bgh_push(handle, c.pointer(rest, "int16_t"), HOP_LEN) == 15
    d = c.ffi.new("bgh_decision *")
    starts = []
    while c.lib.bgh_poll(handle, d):
        starts.append(d.window_start)
    assert c.lib.bgh_push(handle, c.pointer(rest, "int16_t"), HOP_LEN) == 0
    while c.lib.bgh_poll(handle, d):
        starts.append(d.window_start)
    assert starts == [HOP_LEN * i for i in range(17)]
    c.lib.bgh_close(handle)
    assert len(kept) == 2


def test_the_arena_is_filter_state_ring_and_the_larger_network():
    def aligned(n):
        return -(-n // 16) * 16

    activations = max(blobs.read_header(b).activation_bytes for b in (GATE, CLASSIFIER))
    with Pipeline([GATE], CLASSIFIER) as pipeline:
        assert pipeline.arena_bytes == (
            aligned(2 * 24) + aligned(2 * WINDOW_LEN) + aligned(activations)
        )


@pytest.mark.parametrize(
    ("gates", "classifier", "status"),
    [
        ([CLASSIFIER], None, 6),
        ([GATE], GATE, 6),
        ([GATE[:200]], None, 2),
        ([GATE, GATE, GATE], CLASSIFIER, 16),
        ([GATE], make_blobs(hop_len=31)[1], 13),
        ([GATE], make_blobs(chain=SignalChain(highpass_hz=0.05))[1], 13),
        ([GATE], make_blobs(n_leads=1)[1], 13),
    ],
)
def test_blobs_that_make_no_pipeline_are_refused(gates, classifier, status):
    with pytest.raises(FirmwareError) as caught:
        Pipeline(gates, classifier)
    assert caught.value.status == status


def test_counts_of_another_number_of_leads_are_refused():
    with (
        Pipeline([GATE], CLASSIFIER) as pipeline,
        pytest.raises(ValueError, match=r"\(n_samples, 2\)"),
    ):
        pipeline.push(signal(3))


SENSORS = [
    SignalChain(fs=360.0, adc_gain=200.0, baseline=1024, mains_hz=60.0),
    SignalChain(fs=512.0),
    SignalChain(fs=125.0),
    SignalChain(fs=100.0, fs_target=250.0),
]


@pytest.mark.parametrize("chain", SENSORS, ids=lambda chain: f"{chain.fs:g}-{chain.fs_target:g}")
def test_a_resampled_stream_decides_as_networks_on_its_codes(chain):
    """Whatever the calls, and the same again after a reset."""
    blobs_ = [blobs.with_chain(blob, chain) for blob in (GATE, CLASSIFIER)]
    counts = signal(2, chain.n_samples(1000))
    codes = chain.apply(counts)
    starts = range(0, len(codes) - WINDOW_LEN + 1, HOP_LEN)
    windows = np.stack([codes[start : start + WINDOW_LEN] for start in starts])
    scores = run_network(blobs_[0], Role.GATE, windows)[1]
    with Pipeline(blobs_[:1], blobs_[1]) as pipeline:
        first = pipeline.push(counts)
        assert [d.window_start for d in first] == list(starts)
        assert [d.scores[0] for d in first] == scores.tolist()
        for size in (1, 7, 1000):
            pipeline.push(counts[:333])
            pipeline.reset()
            parts = [counts[start : start + size] for start in range(0, len(counts), size)]
            assert [d for part in parts for d in pipeline.push(part)] == first


@pytest.mark.parametrize("chain", SENSORS, ids=lambda chain: f"{chain.fs:g}-{chain.fs_target:g}")
def test_the_queue_takes_sixteen_windows_at_every_rate(chain):
    """Exactly as many samples as complete sixteen windows fit; one window more is refused whole."""
    c, handle, kept = raw_pipeline([blobs.with_chain(blob, chain) for blob in (GATE, CLASSIFIER)])
    n_fits = chain.n_samples(WINDOW_LEN + 16 * HOP_LEN) - 1
    n_more = chain.n_samples(WINDOW_LEN + 17 * HOP_LEN) - 1 - n_fits
    counts = signal(2, n_fits + n_more)
    rest = counts[n_fits:].copy()
    assert c.lib.bgh_push(handle, c.pointer(counts, "int16_t"), n_fits + 1) == 17
    assert c.lib.bgh_push(handle, c.pointer(counts, "int16_t"), n_fits) == 0
    assert c.lib.bgh_push(handle, c.pointer(rest, "int16_t"), n_more) == 15
    d = c.ffi.new("bgh_decision *")
    assert c.lib.bgh_poll(handle, d)
    assert c.lib.bgh_push(handle, c.pointer(rest, "int16_t"), n_more) == 0
    starts = []
    while c.lib.bgh_poll(handle, d):
        starts.append(d.window_start)
    assert starts == [HOP_LEN * i for i in range(1, 17)]
    c.lib.bgh_close(handle)
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("chain", "n_bytes"),
    [
        (SignalChain(fs=200.0), 2 * (20 + 4 * 41)),
        (SignalChain(fs=1000.0, mains_hz=50.0), 2 * (40 + 4 * 201)),
    ],
)
def test_the_resampler_and_the_notch_are_in_the_arena(chain, n_bytes):
    blobs_ = [blobs.with_chain(blob, chain) for blob in (GATE, CLASSIFIER)]
    with Pipeline([GATE], CLASSIFIER) as plain, Pipeline(blobs_[:1], blobs_[1]) as pipeline:
        assert pipeline.arena_bytes - plain.arena_bytes == -(-n_bytes // 16) * 16 - 48


def test_blobs_of_two_sensors_make_no_pipeline():
    """Not even where the settings are equal and the taps alone differ."""
    gate = blobs.with_chain(GATE, SignalChain(fs=200.0))
    other = bytearray(blobs.with_chain(CLASSIFIER, SignalChain(fs=200.0)))
    offset = int(np.frombuffer(other, blobs.HEADER_DTYPE, 1)["taps"][0])
    taps = np.frombuffer(other, "<i2", 41, offset)
    taps[0] += 1
    taps[1] -= 1
    for blob in (CLASSIFIER, blobs.seal(bytes(other))):
        with pytest.raises(FirmwareError) as caught:
            Pipeline([gate], blob)
        assert caught.value.status == 13
