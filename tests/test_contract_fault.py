"""What every fault of `FAULTS` promises; a new entry is tested as soon as it is listed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.faults import FAULTS, NOISE_FAULTS, FaultSettings, add_fault
from datasets.records import EcgRecord, Stretch

FS = 100.0


def ecg(n_samples=1000, n_leads=2, fs=FS, seed=0):
    """Return counts with a spike every 0.8 s, int16 (n_samples, n_leads)."""
    signal = np.random.default_rng(seed).normal(0, 8, (n_samples, n_leads))
    beats = np.arange(round(0.3 * fs), n_samples - 1, round(0.8 * fs))
    for offset, height in ((0, 900), (1, -200)):
        signal[beats + offset] += height
    return signal.astype(np.int16)


def front_end(n_leads=2, **options):
    defaults = {"fs": FS, "adc_gain": 1000.0, "qrs_counts": (1100.0,) * n_leads}
    return FaultSettings(**(defaults | options))


def strike(name, counts, seed=0, **options):
    given_settings = front_end(counts.shape[1], **options)
    return FAULTS[name](counts, np.random.default_rng(seed), given_settings)


pytestmark = pytest.mark.parametrize("name", FAULTS)


@pytest.mark.parametrize(
    "off",
    [{"strength": 0.0}, {"start": 300, "stop": 300}, {"start": 1000}, {"leads": ()}],
    ids=["no strength", "no samples", "after the end", "no lead"],
)
def test_off_is_the_identity(name, off):
    counts = ecg()
    counts[7] = -32768  # outside the rails, and still none of a fault's business
    after = strike(name, counts, **off)
    assert after.dtype == np.int16
    assert np.array_equal(after, counts)
    assert after is not counts


def test_on_changes_something(name):
    counts = ecg()
    assert not np.array_equal(strike(name, counts), counts)


def test_the_counts_it_gets_are_left_as_they_are(name):
    counts = ecg()
    before = counts.copy()
    strike(name, counts)
    assert np.array_equal(counts, before)


@settings(max_examples=25)
@given(data=st.data())
def test_any_rate_and_any_leads_stay_in_shape_range_and_stretch(name, data):
    fs = data.draw(st.sampled_from([100.0, 125.0, 128.0, 250.0, 360.0, 512.0, 1000.0]), "fs")
    n_leads = data.draw(st.integers(1, 4), "n_leads")
    n_samples = data.draw(st.integers(round(2 * fs), round(5 * fs)), "n_samples")
    start = data.draw(st.integers(0, n_samples - round(fs)), "start")
    stop = data.draw(st.integers(start + round(fs), n_samples), "stop")
    leads = data.draw(st.none() | st.just((n_leads - 1,)), "leads")
    rails = data.draw(st.sampled_from([(-32767, 32767), (-2048, 2047), (0, 4095)]), "rails")
    options = {
        "fs": fs,
        "start": start,
        "stop": stop,
        "leads": leads,
        "adc_min": rails[0],
        "adc_max": rails[1],
        "baseline": sum(rails) // 2,
        "strength": data.draw(st.floats(0.3, 1), "strength"),
        "snr_db": data.draw(st.floats(-60, 24), "snr_db"),
    }
    seed = data.draw(st.integers(0, 2**32), "seed")
    counts = np.clip(ecg(n_samples, n_leads, fs) + sum(rails) // 2, *rails).astype(np.int16)
    after = strike(name, counts, seed, **options)
    assert (after.dtype, after.shape) == (np.int16, counts.shape)
    assert rails[0] <= after.min() <= after.max() <= rails[1]
    assert np.array_equal(after[:start], counts[:start])
    assert np.array_equal(after[stop:], counts[stop:])
    if leads is not None:
        others = [lead for lead in range(n_leads) if lead not in leads]
        assert np.array_equal(after[:, others], counts[:, others])
    assert np.array_equal(after, strike(name, counts, seed, **options))


def test_the_seed_decides(name):
    counts = ecg(n_leads=4)
    assert np.array_equal(strike(name, counts, 3), strike(name, counts, 3))
    assert any(
        not np.array_equal(strike(name, counts, 3), strike(name, counts, seed))
        for seed in range(4, 12)
    )


@pytest.mark.parametrize("rail", [-32767, 32767])
def test_what_goes_beyond_a_rail_stays_on_it_and_does_not_wrap(name, rail):
    counts = np.full((1000, 2), rail, np.int16)
    counts[::2] -= np.int16(np.sign(rail) * 100)
    after = strike(name, counts).astype(int)
    assert abs(after).max() <= 32767
    if name in NOISE_FAULTS:
        assert (after * np.sign(rail)).min() > 30000


@pytest.mark.parametrize(
    ("counts", "options", "rule"),
    [
        (np.zeros((1000, 2), np.int32), {}, "must be int16"),
        (np.zeros(1000, np.int16), {}, "must be int16"),
        (np.zeros((1000, 2), np.int16), {"stop": 1001}, "stretch must lie in the 1000 samples"),
        (np.zeros((1000, 2), np.int16), {"start": 1001}, "stretch must lie in the 1000 samples"),
        (np.zeros((1000, 2), np.int16), {"leads": (2,)}, "leads must be columns 0 to 1"),
        (np.zeros((1000, 2), np.int16), {"leads": (0, 0)}, "each once"),
    ],
)
def test_what_does_not_fit_is_refused(name, counts, options, rule):
    with pytest.raises(ValueError, match=rule):
        FAULTS[name](counts, np.random.default_rng(0), front_end(**options))


def test_a_fault_is_marked_in_the_record(name):
    record = EcgRecord("r", "s", FS, ("I", "II"), ecg(), 1000.0)
    where = FaultSettings.of(record, start=200, stop=700)
    struck = add_fault(record, name, np.random.default_rng(0), where)
    assert struck.annotations.stretches == (Stretch(200, 700, "fault", name),)
    assert np.array_equal(
        struck.adc_counts, FAULTS[name](record.adc_counts, np.random.default_rng(0), where)
    )
    off = dataclasses.replace(where, strength=0.0)
    assert add_fault(record, name, np.random.default_rng(0), off).annotations.stretches == ()
