"""Windows of recordings after the signal chain: in memory, and streamed with bounded memory."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import Annotations, EcgRecord, Stretch
from datasets.grades import Grades
from datasets.reader import RecordReader
from export.chain_windows import stream_windows, windows_of
from export.signal_chain import SignalChain
from tests.bundles import ecg_like


def record(record_id="r", n_samples=1000, **changes):
    fields = {"fs": 100.0, "leads": ("I",), "adc_gain": 1000.0}
    counts = np.zeros((n_samples, 1), np.int16)
    return EcgRecord(record_id, "s", adc_counts=counts, **{**fields, **changes})


def test_windows_tile_a_record():
    rng = np.random.default_rng(0)
    counts = ecg_like(rng, 1350, 1)
    long = EcgRecord("a", "s", 100.0, ("I",), counts, 1000.0)
    batch = windows_of([long, record("b")], SignalChain(), 1000, 100)
    codes = SignalChain().apply(counts)
    assert batch.starts.tolist() == [0, 100, 200, 300, 0]
    np.testing.assert_array_equal(batch.x[2], codes[200:1200])
    assert batch.record_ids.tolist() == ["a"] * 4 + ["b"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"fs": 250.0}, "fs must be 100 as in the signal chain, got 250 in record bad"),
        ({"adc_gain": 200.0}, "adc_gain must be 1000"),
        ({"baseline": 7}, "baseline must be 0"),
        ({"n_samples": 999}, "999.* in record bad"),
        ({"leads": ("II",)}, "leads must be I in every record, got II in record bad"),
    ],
)
def test_a_record_that_does_not_fit_is_named(bad, message):
    with pytest.raises(ValueError, match=message):
        windows_of([record(), record("bad", **bad)], SignalChain(), 1000, 100)


def reader_of(record):
    counts = record.adc_counts
    return RecordReader(
        replace(record, adc_counts=counts[:0]), len(counts), lambda start, stop: counts[start:stop]
    )


def graded(n_samples, stretches, fs=1000.0):
    """Return a record whose stretches are (start, stop, grade, agreement)."""
    marked = tuple(Stretch(a, b, "quality", grade, part) for a, b, grade, part in stretches)
    return EcgRecord(
        "g",
        "s",
        fs,
        ("I", "II"),
        ecg_like(3, n_samples, 2),
        1000.0,
        annotations=Annotations((Stretch(0, 10, "rhythm", "AF"), *marked)),
    )


def assert_equal_batches(batches, whole):
    for name in ("x", "starts", "quality", "agreement", "labels", "clean", "record_ids"):
        joined = np.concatenate([getattr(batch, name) for batch in batches])
        np.testing.assert_array_equal(joined, getattr(whole, name))
        assert joined.dtype.kind == getattr(whole, name).dtype.kind


@settings(max_examples=40)
@given(
    chunk_s=st.floats(0.001, 30),
    fs=st.sampled_from([100.0, 250.0, 360.0]),
    hop_len=st.sampled_from([1, 30, 100, 250]),
    n_samples=st.integers(400, 3000),
)
def test_streamed_windows_are_those_of_the_whole_record(chunk_s, fs, hop_len, n_samples):
    record = replace(graded(n_samples, []), fs=fs)
    chain = SignalChain(fs)
    batches = list(stream_windows(reader_of(record), chain, 100, hop_len, chunk_s))
    assert_equal_batches(batches, windows_of([record], chain, 100, hop_len))


def test_of_a_graded_record_only_graded_windows_are_taken():
    """1 kHz: a window of 1 s starting at code c shows samples 10 c - 100 to 10 c + 900."""
    record = graded(
        10_000,
        [
            (0, 3000, "1", 1.0),
            (3000, 5000, "3", 2 / 3),
            (6000, 8050, "2", None),
        ],
    )
    chain = SignalChain(1000.0)
    batch = windows_of([record], chain, 100, 50)
    assert batch.starts.tolist() == [0, 50, 100, 150, 200, 250, 300, 350, 400, 650, 700]
    assert batch.quality.tolist() == [1, 1, 1, 1, 1, 3, 3, 3, 3, 2, 2]
    np.testing.assert_allclose(batch.agreement[:9], [1] * 5 + [2 / 3] * 4, rtol=1e-6)
    assert np.isnan(batch.agreement[9:]).all()
    assert_equal_batches(list(stream_windows(reader_of(record), chain, 100, 50, 1.7)), batch)


def test_a_record_without_grades_has_none():
    batch = windows_of([record()], SignalChain(), 1000, 100)
    assert batch.quality.tolist() == [0]
    assert batch.quality.dtype == np.int8
    assert np.isnan(batch.agreement).all()
    assert batch.agreement.dtype == np.float32


def test_a_record_too_short_or_of_another_sensor_is_refused_before_it_is_read():
    reader = replace(reader_of(record()), read=None)
    with pytest.raises(ValueError, match="one window of 1001 samples, got 1000 in record r"):
        next(stream_windows(reader, SignalChain(), 1001, 100))
    with pytest.raises(ValueError, match="fs must be 250 as in the signal chain, got 100"):
        next(stream_windows(reader, SignalChain(fs=250.0), 1000, 100))


def test_no_graded_window_at_all_is_said():
    with pytest.raises(ValueError, match="samples with a grade of their quality"):
        windows_of([graded(10_000, [(0, 50, "1", 1.0)])], SignalChain(1000.0), 100, 50)


def test_a_grade_that_is_none_is_refused():
    marked = Annotations((Stretch(0, 5, "quality", "good"),))
    with pytest.raises(ValueError, match="must be 1, 2 or 3, got 'good'"):
        Grades(marked)
