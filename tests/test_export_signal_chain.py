"""The fixed-point signal chain against scipy.signal with the same coefficients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal

from datasets import EcgRecord
from export.signal_chain import SignalChain, windows_of
from firmware_sim.engines.tflm import PythonChain


def reference_codes(counts, chain):
    """Return scipy's filter started in steady state, in codes, float (n_samples, n_leads)."""
    sos = signal.butter(2, chain.highpass_hz, "highpass", fs=chain.fs, output="sos")
    x = counts.astype(float) - chain.baseline
    start = signal.sosfilt_zi(sos)[:, :, np.newaxis] * x[0]
    filtered, _ = signal.sosfilt(sos, x, axis=0, zi=start)
    return filtered / chain.adc_gain / chain.lsb_mv


def ecg_like(rng, n_samples, n_leads):
    """Return counts with beats, wander and a large offset."""
    t = np.arange(n_samples)[:, np.newaxis]
    beats = 900.0 * (t % 80 < 4) * rng.uniform(0.5, 1.5, n_leads)
    wander = 400 * np.sin(2 * np.pi * t / 700 + rng.uniform(0, 6, n_leads))
    return (beats + wander + rng.normal(3000, 20, (n_samples, n_leads))).astype(np.int16)


@pytest.mark.parametrize("highpass_hz", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("fs", [100.0, 500.0])
@pytest.mark.parametrize("n_leads", [1, 12])
def test_codes_are_scipys_rounded(highpass_hz, fs, n_leads):
    """Within half a code, and 0.02 for the coefficients' 30 bits."""
    chain = SignalChain(fs=fs, fs_target=fs, highpass_hz=highpass_hz)
    counts = ecg_like(np.random.default_rng(0), 20_000, n_leads)
    expected = np.clip(reference_codes(counts, chain), -128, 127)
    assert np.abs(chain.apply(counts) - expected).max() <= 0.52


def test_the_response_is_the_designed_one():
    """A sine at the corner comes out 3 dB down, one a decade above it unchanged."""
    chain = SignalChain(lsb_mv=1 / 128)
    t = np.arange(6000) / chain.fs
    for frequency, gain_db in ((0.5, -3.01), (5.0, 0.0)):
        counts = np.round(900 * np.sin(2 * np.pi * frequency * t)).astype(np.int16)
        codes = chain.apply(counts[:, np.newaxis])[3000:, 0]
        gain = codes.std() / (counts[3000:].std() / 1000 * 128)
        assert 20 * np.log10(gain) == pytest.approx(gain_db, abs=0.05)


@pytest.mark.parametrize("level", [-32768, -1, 0, 1, 32767])
def test_a_constant_gives_zero_from_the_first_sample(level):
    counts = np.full((3000, 2), level, np.int16)
    assert not SignalChain().apply(counts).any()


def test_a_step_decays_to_exactly_zero():
    """No limit cycle, no DC left over: the rounding remainder is fed back."""
    counts = np.zeros((6000, 1), np.int16)
    counts[100:] = 20_000
    codes = SignalChain(highpass_hz=0.5, lsb_mv=1 / 1000).apply(counts)
    assert not codes[-1000:].any()


def test_the_rails_saturate_and_do_not_wrap():
    counts = np.where(np.arange(4000) % 200 < 100, 32767, -32768).astype(np.int16)
    chain = SignalChain()
    expected = np.clip(reference_codes(counts[:, np.newaxis], chain), -128, 127)
    assert np.abs(chain.apply(counts[:, np.newaxis]) - expected).max() <= 0.52


@settings(max_examples=50)
@given(
    counts=hnp.arrays(np.int16, st.tuples(st.integers(1, 300), st.integers(1, 3))),
    highpass_hz=st.sampled_from([0.05, 0.5, 2.0]),
    gain=st.sampled_from([1000.0, 200.0, 6400.0]),
    baseline=st.sampled_from([0, 1024, -30000]),
)
def test_the_c_equals_pythons_integers(counts, highpass_hz, gain, baseline):
    chain = SignalChain(highpass_hz=highpass_hz, adc_gain=gain, baseline=baseline)
    oracle = PythonChain(chain, counts.shape[1])
    expected = [oracle.push(frame) for frame in counts.tolist()]
    np.testing.assert_array_equal(chain.apply(counts), expected)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"fs": 500.0}, "fs_target must equal fs"),
        ({"adc_gain": 0.0}, "adc_gain must be in"),
        ({"adc_gain": float("nan")}, "adc_gain must be in .*nan"),
        ({"baseline": 40_000}, "baseline must be in"),
        ({"lsb_mv": -1.0}, "lsb_mv must be in"),
        ({"highpass_hz": 0.0}, "highpass_hz must be in"),
        ({"highpass_hz": 30.0}, "highpass_hz must be in"),
    ],
)
def test_a_bad_setting_is_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        SignalChain(**settings_)


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
