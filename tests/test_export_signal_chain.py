"""The fixed-point signal chain against scipy.signal with the same coefficients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal

from export.signal_chain import SENSOR_RATES, ChainStream, SignalChain
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


def oracle_codes(counts, chain):
    """Return the codes of the chain in Python's unbounded integers."""
    oracle = PythonChain(chain, counts.shape[1])
    frames = [codes for frame in counts.tolist() for codes in oracle.push(frame)]
    return np.array(frames, np.int8).reshape(-1, counts.shape[1])


@settings(max_examples=60)
@given(
    counts=hnp.arrays(np.int16, st.tuples(st.integers(1, 300), st.integers(1, 3))),
    rates=st.sampled_from([(100, 100), (125, 100), (360, 100), (1000, 100), (128, 250)]),
    mains_hz=st.sampled_from([None, 50.0, 60.0]),
    highpass_hz=st.sampled_from([0.05, 0.5, 2.0]),
    gain=st.sampled_from([1000.0, 200.0, 6400.0]),
    baseline=st.sampled_from([0, 1024, -30000]),
)
def test_the_c_equals_pythons_integers(counts, rates, mains_hz, highpass_hz, gain, baseline):
    fs, fs_target = rates
    mains_hz = mains_hz if fs > 122 else None
    chain = SignalChain(fs, fs_target, gain, baseline, highpass_hz, mains_hz=mains_hz)
    codes = chain.apply(counts)
    np.testing.assert_array_equal(codes, oracle_codes(counts, chain))
    assert len(codes) == chain.n_codes(len(counts))


@pytest.mark.parametrize("fs", SENSOR_RATES)
@pytest.mark.parametrize("baseline", [0, -32768, 32767])
def test_the_rails_of_every_sensor_saturate_and_do_not_wrap(fs, baseline):
    """Full-scale square waves and noise, at the end of every range: the same integers as Python."""
    mains_hz = 50.0 if fs > 102 else None
    chain = SignalChain(fs, adc_gain=200.0, baseline=baseline, mains_hz=mains_hz)
    n = 500
    square = np.where(np.arange(n) % round(fs / 50) < fs / 100, 32767, -32768)
    noise = np.random.default_rng(0).choice([-32768, 32767], n)
    counts = np.stack([square, noise], axis=1).astype(np.int16)
    codes = chain.apply(counts)
    np.testing.assert_array_equal(codes, oracle_codes(counts, chain))


@pytest.mark.parametrize("fs", SENSOR_RATES)
@pytest.mark.parametrize("level", [-32768, 0, 32767])
def test_a_constant_gives_zero_at_every_rate(fs, level):
    """Every phase passes DC alike, so that an electrode's offset leaves no ripple."""
    counts = np.full((2000, 1), level, np.int16)
    for mains_hz in (None, 60.0) if fs > 122 else (None,):
        chain = SignalChain(fs, baseline=7, lsb_mv=1e-6, mains_hz=mains_hz)
        assert not ChainStream(chain, 1).push_unrounded(counts).any()


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 90), max_size=30),
    rates=st.sampled_from([(100, 100), (125, 100), (360, 100), (512, 100), (100, 250)]),
)
def test_codes_do_not_depend_on_the_cuts(sizes, rates):
    chain = SignalChain(*rates)
    counts = ecg_like(np.random.default_rng(0), 1000, 2)
    stream = ChainStream(chain, 2)
    for _ in range(2):
        cuts = np.cumsum(sizes)
        codes = np.concatenate([stream.push(part) for part in np.split(counts, cuts[cuts < 1000])])
        np.testing.assert_array_equal(codes, chain.apply(counts))
        stream.reset()


@given(
    rates=st.sampled_from([(100, 100), (125, 100), (360, 100), (512, 100), (100, 250)]),
    n_codes=st.integers(1, 3000),
)
def test_the_least_samples_for_some_codes_are_known(rates, n_codes):
    chain = SignalChain(*rates)
    n_samples = chain.n_samples(n_codes)
    assert chain.n_codes(n_samples - 1) < n_codes <= chain.n_codes(n_samples)


def test_a_beat_arrives_the_stated_delay_later():
    for fs in SENSOR_RATES:
        chain = SignalChain(fs, highpass_hz=0.01, lsb_mv=1 / 32)
        time_s = np.arange(round(4 * fs)) / fs
        beat = 1500 * np.exp(-(((time_s - 2) / 0.02) ** 2))
        codes = chain.apply(np.round(beat).astype(np.int16)[:, np.newaxis])[:, 0].astype(float)
        arrival_s = (codes * np.arange(len(codes))).sum() / codes.sum() / chain.fs_target
        assert arrival_s - 2 == pytest.approx(chain.delay_s, abs=0.002)


def test_another_sensor_shows_the_same_beat():
    """The same heart before two sensors: the codes differ by what the sensors round."""
    chain = SignalChain()

    def beats_mv(fs, delay_s):
        phase_s = (np.arange(round(20 * fs)) / fs + delay_s) % 0.8
        return np.exp(-(((phase_s - 0.4) / 0.03) ** 2))

    other = chain.for_front_end(360.0, 200.0, 1024)
    counts = np.round(beats_mv(360.0, other.delay_s) * 200 + 1024).astype(np.int16)
    own = np.round(beats_mv(100.0, 0.0) * 1000).astype(np.int16)
    a, b = other.apply(counts[:, np.newaxis]), chain.apply(own[:, np.newaxis])
    assert np.abs(a[1000:].astype(int) - b[1000:]).max() <= 1


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"fs": 1000.0, "fs_target": 999.0}, "fs_target must be reachable from fs.*999 / 1000"),
        ({"fs": 25_000.0}, "taps a phase, 1 / 250 needs 5001"),
        ({"fs": float("nan")}, "fs must be in .*nan"),
        ({"adc_gain": 0.0}, "adc_gain must be in"),
        ({"adc_gain": float("nan")}, "adc_gain must be in .*nan"),
        ({"baseline": 40_000}, "baseline must be in"),
        ({"lsb_mv": -1.0}, "lsb_mv must be in"),
        ({"highpass_hz": 0.0}, "highpass_hz must be in"),
        ({"highpass_hz": 30.0}, "highpass_hz must be in"),
        ({"mains_hz": 50.0}, "needs a sensor above 102 Hz.* got fs 100"),
        ({"mains_hz": 55.0, "fs": 500.0}, "mains_hz must be 50 or 60 or none, got 55"),
    ],
)
def test_a_bad_setting_is_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        SignalChain(**settings_)


def test_a_stream_takes_only_its_leads():
    with pytest.raises(ValueError, match=r"adc_counts must be \(n_samples, 2\), got \(5, 1\)"):
        ChainStream(SignalChain(), 2).push(np.zeros((5, 1), np.int16))
