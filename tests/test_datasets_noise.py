"""Noise: where it is drawn from, its signal-to-noise ratio, and what each fault does."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from datasets import open_dataset
from datasets.faults import FAULTS, MAINS_HZ, NOISE_FAULTS, FaultSettings, add_fault
from datasets.noise import (
    GUARD_S,
    RECORDINGS,
    STRETCHES,
    RecordedNoise,
    SyntheticNoise,
    stretch_of,
)
from datasets.nstdb import noise_recordings
from datasets.reader import RecordReader
from datasets.records import Annotations, EcgRecord
from datasets.snr import QrsSize, noise_rms, qrs_size
from tests.test_contract_fault import FS, ecg, front_end, strike

RECORDED = [("baseline_wander", "bw"), ("muscle", "ma")]
SNRS_DB = (24, 18, 12, 6, 0, -6)


def record_of(counts, fs=FS, annotations=None):
    leads = ("I", "II", "V1", "V2")[: counts.shape[1]]
    return EcgRecord(
        "r1", "s1", fs, leads, counts, 1000.0, annotations=annotations or Annotations()
    )


def half_hour_of(folder, name):
    """Return a noise recording, float64 (n_samples, 2), and its rate."""
    reader = noise_recordings(folder)[name]
    return reader.read(0, reader.n_samples).astype(np.float64), reader.record.fs


def measured_snr_db(clean, noisy, beats, fs):
    """Return the SNR by the manual of nst and sigamp, written again: one loop a rule."""
    found = []
    for before, after in zip(clean.T.astype(float), noisy.T.astype(float), strict=True):
        half = round(0.05 * fs)
        sizes = sorted(
            max(before[b - half : b + half + 1]) - min(before[b - half : b + half + 1])
            for b in [b for b in beats if half <= b < len(before) - half][:300]
        )
        noise, levels = after - before, []
        for second in range(min(300, int(len(noise) / fs))):
            chunk = noise[round(second * fs) : round((second + 1) * fs)]
            mean = sum(chunk) / len(chunk)
            levels.append(math.sqrt(sum((chunk - mean) ** 2) / len(chunk)))
        levels.sort()
        qrs = sizes[len(sizes) // 20 : len(sizes) - len(sizes) // 20]
        rms = levels[len(levels) // 20 : len(levels) - len(levels) // 20]
        signal = (sum(qrs) / len(qrs)) ** 2 / 8
        found.append(10 * math.log10(signal / (sum(rms) / len(rms)) ** 2))
    return found


@pytest.fixture(scope="module")
def arrhythmia(mitdb_dir):
    """Six minutes of records 100 and 208, and the beats in it that sigamp counts as normal."""
    dataset, found = open_dataset("mitdb", mitdb_dir), []
    for record_id in ("100", "208"):
        record = dataset.load(record_id)
        n_samples = round(360 * record.fs)
        marked = record.annotations.between(0, n_samples)
        marks = zip(marked.beats, marked.symbols, strict=True)
        beats = [beat for beat, symbol in marks if symbol in "NLRaAJSejnBQ/f"]
        part = replace(record, adc_counts=record.adc_counts[:n_samples], annotations=marked)
        found.append((part, beats))
    return found


@pytest.mark.parametrize("snr_db", SNRS_DB)
@pytest.mark.parametrize("kind", NOISE_FAULTS)
def test_generated_noise_has_the_snr_asked_for_on_real_records(arrhythmia, kind, snr_db):
    for record, beats in arrhythmia:
        struck = add_fault(
            record, kind, np.random.default_rng(7), FaultSettings.of(record, snr_db=snr_db)
        )
        measured = measured_snr_db(record.adc_counts, struck.adc_counts, beats, record.fs)
        assert measured == pytest.approx([snr_db] * 2, abs=0.1)


@pytest.mark.parametrize("snr_db", SNRS_DB)
@pytest.mark.parametrize(("kind", "name"), RECORDED)
def test_recorded_noise_has_the_snr_asked_for(arrhythmia, nstdb_dir, kind, name, snr_db):
    for record, beats in arrhythmia:
        where = FaultSettings.of(record, snr_db=snr_db, noise=RecordedNoise(nstdb_dir, "test"))
        struck = add_fault(record, kind, np.random.default_rng(7), where)
        measured = measured_snr_db(record.adc_counts, struck.adc_counts, beats, record.fs)
        assert measured == pytest.approx([snr_db] * 2, abs=0.1)


def test_half_the_strength_is_6_db_less_noise():
    counts = ecg(10_000)
    whole, half = (strike("muscle", counts, strength=s).astype(float) - counts for s in (1.0, 0.5))
    assert 20 * np.log10(noise_rms(whole, FS) / noise_rms(half, FS)) == pytest.approx(6.02, abs=0.1)


def test_the_noise_of_a_stretch_has_the_snr_there_and_makes_no_step():
    counts = ecg(3000, 1)
    after = strike("baseline_wander", counts, start=1000, stop=2000, snr_db=0.0)
    noise = after.astype(float) - counts
    assert noise_rms(noise[1000:2000], FS) == pytest.approx(1100 / 8**0.5, rel=0.01)
    assert abs(noise[[1000, 1999]]).max() <= 1


@pytest.mark.parametrize("kind", NOISE_FAULTS)
def test_noise_without_what_defines_its_snr_is_refused(kind):
    with pytest.raises(ValueError, match=r"QRS amplitude of every lead .*got qrs_counts None"):
        strike(kind, ecg(), qrs_counts=None)
    with pytest.raises(ValueError, match="for lead 1"):
        strike(kind, ecg(), qrs_counts=(1100.0,))
    with pytest.raises(ValueError, match=r"must last a second \(100 samples\).* got 99"):
        strike(kind, ecg(), start=1, stop=100)
    with pytest.raises(ValueError, match="must reach a count to have an SNR, at 150 dB"):
        strike(kind, ecg(), snr_db=150.0)


def test_noise_that_is_none_is_refused():
    class Silence(SyntheticNoise):
        def draw(self, kind, n_samples, n_leads, fs, rng):
            return np.ones((n_samples, n_leads))

    with pytest.raises(ValueError, match=r"noise must not be constant .* got a constant \(gen"):
        strike("muscle", ecg(), noise=Silence())


# ---- the QRS amplitude ----


def test_the_amplitude_is_that_of_normal_beats_without_the_extremes():
    counts = np.zeros((21 * 100, 1), np.int16)
    beats = 50 + 100 * np.arange(21)
    heights = [400] * 18 + [30_000, 20, 5000]
    counts[beats, 0] = heights
    symbols = np.array(["N"] * 20 + ["V"])  # the last one is no normal beat, and does not count
    record = record_of(counts, annotations=Annotations(beats=beats, symbols=symbols))
    assert qrs_size(record) == QrsSize((400.0,), "annotated")


def test_beats_are_detected_where_nobody_annotated_any():
    size = qrs_size(record_of(ecg()))
    assert size.source == "detected"
    assert size.counts == pytest.approx([1110, 1110], abs=20)


def test_detected_and_annotated_beats_give_the_same_amplitude(arrhythmia):
    record = arrhythmia[0][0]
    annotated, detected = qrs_size(record), qrs_size(record_of(record.adc_counts, record.fs))
    assert (annotated.source, detected.source) == ("annotated", "detected")
    assert detected.counts == pytest.approx(annotated.counts, rel=0.01)


def test_every_tenth_clean_lead_i_of_the_calibration_half_has_an_amplitude(ptbxl_dir):
    dataset = open_dataset("ptbxl", ptbxl_dir)
    for record_id in dataset.record_ids("calibration")[::10]:
        size = qrs_size(dataset.load(record_id, ["I"]))
        assert size.source == "detected"
        assert 100 < size.counts[0] < 5000


def test_one_lead_without_beats_takes_those_of_the_others():
    counts = ecg(n_leads=3)
    counts[:, 0] = np.random.default_rng(1).normal(0, 2, 1000)
    counts[:3, 0] = 50
    size = qrs_size(record_of(counts))
    assert size.source == "detected"
    assert size.counts[0] < 20
    assert size.counts[1:] == pytest.approx([1110, 1110], abs=20)


def test_too_few_beats_are_an_error_unless_percentiles_are_asked_for():
    record = record_of(ecg(150, 1))
    with pytest.raises(ValueError, match=r"an SNR needs 3 normal beats, 0 detected in record r1"):
        qrs_size(record)
    with pytest.raises(ValueError, match="without_beats must be one of error, percentiles, got no"):
        qrs_size(record, "no")
    size = qrs_size(record, "percentiles")
    assert size.source == "percentiles"
    low, high = np.percentile(record.adc_counts, [0.5, 99.5])
    assert size.counts == pytest.approx([high - low])


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        (np.zeros((1000, 1), np.int16), "lead I of record r1 is flat"),
        (np.zeros((0, 1), np.int16), "3 normal beats, 0 detected"),
    ],
    ids=["flat", "empty"],
)
def test_what_shows_no_ecg_has_no_amplitude(counts, rule):
    with pytest.raises(ValueError, match=rule):
        qrs_size(record_of(counts), "percentiles")


# ---- where noise comes from ----


@pytest.mark.parametrize(("kind", "name"), RECORDED)
def test_the_stretches_of_real_recordings_are_disjoint(nstdb_dir, kind, name):
    noise, fs = half_hour_of(nstdb_dir, name)
    pieces = {split: stretch_of(split, len(noise), fs) for split in STRETCHES}
    for (_, stop), (start, _) in itertools.pairwise(sorted(pieces.values())):
        assert start - stop == GUARD_S * fs
    # Every draw of a split, at the recording's own rate, is found in its own stretch only.
    for split, (first, last) in pieces.items():
        source, whole = RecordedNoise(nstdb_dir, split), [column.tobytes() for column in noise.T]
        for seed in range(20):
            drawn = source.draw(kind, 400, 1, fs, np.random.default_rng(seed))[:, 0]
            if (at := whole[0].find(drawn.tobytes()) // 8) < 0:
                continue  # it went on at the beginning of the stretch
            assert first <= at
            assert at + 400 <= last


@pytest.mark.parametrize("fs", [100.0, 250.0, 500.0])
@pytest.mark.parametrize(("kind", "name"), RECORDED)
def test_changing_the_rate_leads_from_no_stretch_into_another(
    nstdb_dir, tmp_path, kind, name, fs, monkeypatch
):
    noise, fs_recorded = half_hour_of(nstdb_dir, name)
    first, last = stretch_of("validation", len(noise), fs_recorded)
    alien = noise.copy()
    alien[:first] = alien[last:] = 32_000  # whatever the others' stretches hold
    n_samples = round((last - first) / fs_recorded * fs)
    with monkeypatch.context() as patched:
        drawn = RecordedNoise(nstdb_dir, "validation").draw(
            kind, n_samples, 2, fs, np.random.default_rng(0)
        )
        patched.setattr("datasets.noise.noise_recordings", lambda _: {name: reader_of(alien)})
        again = RecordedNoise(tmp_path, "validation").draw(
            kind, n_samples, 2, fs, np.random.default_rng(0)
        )
    assert np.array_equal(drawn, again)


def reader_of(noise, fs=360.0):
    samples = noise.astype(np.int16)
    record = EcgRecord("n", "n", fs, ("noise1", "noise2"), np.empty((0, 2), np.int16), 200.0)
    return RecordReader(record, len(samples), lambda start, stop: samples[start:stop].copy())


def test_noise_is_resampled_to_the_rate_of_the_record(tmp_path, monkeypatch):
    time_s = np.arange(360 * 600) / 360
    tone = np.round(1000 * np.sin(2 * np.pi * 7 * time_s))[:, np.newaxis] * [1, 0.5]
    monkeypatch.setattr("datasets.noise.noise_recordings", lambda _: {"ma": reader_of(tone)})
    for fs in (100.0, 500.0):
        n_samples = round(20 * fs)
        drawn = RecordedNoise(tmp_path / f"{fs}", "train").draw(
            "muscle", n_samples, 3, fs, np.random.default_rng(1)
        )
        assert drawn.shape == (n_samples, 3)
        assert np.array_equal(drawn[:, 0], drawn[:, 2])  # lead i has channel i modulo 2
        spectrum = np.abs(np.fft.rfft(drawn[:, 0]))
        assert np.fft.rfftfreq(n_samples, 1 / fs)[spectrum.argmax()] == pytest.approx(7, abs=0.1)
        assert np.abs(drawn[:, 0]).max() == pytest.approx(1000, rel=0.02)


def test_electrode_motion_can_be_drawn_where_its_recording_is(tmp_path, monkeypatch):
    noise = np.cumsum(np.random.default_rng(0).normal(0, 9, (360 * 300, 2)), axis=0) % 900
    monkeypatch.setattr("datasets.noise.noise_recordings", lambda _: {"em": reader_of(noise)})
    where = {"noise": RecordedNoise(tmp_path, "train"), "snr_db": 0.0}
    counts = ecg(3000, 1)
    added = strike("electrode_motion", counts, **where).astype(float) - counts
    assert noise_rms(added, FS) == pytest.approx(1100 / 8**0.5, rel=0.01)


def test_a_missing_recording_is_named_and_replaced_by_nothing(nstdb_dir, tmp_path):
    rng = np.random.default_rng(0)
    if not (nstdb_dir / "em.hea").is_file():
        with pytest.raises(ValueError, match=re.escape(f"{nstdb_dir / 'em'}.hea must be there")):
            RecordedNoise(nstdb_dir, "train").draw("electrode_motion", 100, 1, FS, rng)
    with pytest.raises(ValueError, match="got none"):
        RecordedNoise(tmp_path, "train").draw("muscle", 100, 1, FS, rng)


def test_calibration_has_no_noise_and_other_kinds_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"split of noise must be one of .*, got calibration"):
        RecordedNoise(tmp_path, "calibration")
    with pytest.raises(ValueError, match=r"split of noise must be one of .*, got dev"):
        stretch_of("dev", 650_000, 360.0)
    with pytest.raises(ValueError, match=r"must leave 10 s to validation .*, got 30 s in all"):
        stretch_of("validation", 10_800, 360.0)
    for source in (RecordedNoise(tmp_path, "train"), SyntheticNoise()):
        with pytest.raises(ValueError, match=r"kind must be one of .*, got hum"):
            source.draw("hum", 100, 1, FS, np.random.default_rng(0))


def test_each_source_says_its_name(tmp_path):
    assert SyntheticNoise().name == "generated"
    assert RecordedNoise(tmp_path, "test").name == "Noise Stress Test database, stretch of test"


def band_part(noise, fs, low_hz, high_hz):
    """Return the part of the power that lies between two frequencies."""
    power = np.abs(np.fft.rfft(noise - noise.mean(axis=0), axis=0)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / fs)
    return power[(hz >= low_hz) & (hz <= high_hz)].sum() / power.sum()


def test_generated_noise_lies_in_its_band():
    def draw(kind):
        return SyntheticNoise().draw(kind, 60_000, 2, 500.0, np.random.default_rng(0))

    assert band_part(draw("baseline_wander"), 500.0, 0, 0.6) > 0.95
    assert band_part(draw("muscle"), 500.0, 20, 200) > 0.8
    assert band_part(draw("electrode_motion"), 500.0, 0, 10) > 0.8
    for kind in RECORDINGS:
        one, other = draw(kind).T
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


# ---- what each fault does ----


@pytest.mark.parametrize("mains_hz", MAINS_HZ)
def test_mains_hum_has_its_frequency_harmonics_and_drift(mains_hz):
    counts = ecg(60_000, 1, fs=1000.0)
    after = strike("mains_hum", counts, fs=1000.0, mains_hz=mains_hz, snr_db=-6.0)
    hum = after.astype(float) - counts
    assert band_part(hum, 1000.0, mains_hz - 1, mains_hz + 1) > 0.8
    for harmonic in (2, 3, 5):
        part = band_part(hum, 1000.0, harmonic * mains_hz - 1, harmonic * mains_hz + 1)
        assert 0.0005 < part < 0.1
    one_line = band_part(hum, 1000.0, mains_hz - 0.01, mains_hz + 0.01)
    assert one_line < 0.9  # it drifts


def test_saturation_leaves_the_lead_on_a_rail_about_half_the_time():
    counts = ecg(5000, 4)
    after = strike("saturation", counts, adc_min=-2048, adc_max=2047)
    on_rail = ((after == -2048) | (after == 2047)).mean(axis=0)
    assert (on_rail > 0.3).all()
    weaker = strike("saturation", counts, adc_min=-2048, adc_max=2047, strength=0.2)
    assert ((weaker == -2048) | (weaker == 2047)).mean() < on_rail.mean()


def test_an_open_lead_is_at_a_rail_or_floats_with_hum():
    kinds = set()
    for seed in range(20):
        after = strike("lead_off", ecg(2000, 1), seed, adc_min=-5000, adc_max=5000)[:, 0]
        if np.abs(after).min() > 4900:
            kinds.add("rail")
        else:
            kinds.add("floats")
            assert abs(float(np.median(after))) < 1000
        spikes = ecg(2000, 1)[:, 0] > 500
        assert np.corrcoef(after.astype(float), spikes)[0, 1] < 0.2  # nothing of the ECG is left
    assert kinds == {"rail", "floats"}


def test_a_flat_line_is_constant():
    after = strike("flat_line", ecg(n_leads=4))
    assert (np.ptp(after, axis=0) == 0).all()
    half = strike("flat_line", ecg(n_leads=4), strength=0.5)
    assert np.ptp(half, axis=0) == pytest.approx(np.ptp(ecg(n_leads=4), axis=0) / 2, abs=2)


def test_a_packet_is_lost_in_the_shortest_stretch_that_can_hold_two():
    counts = np.arange(1, 1001, dtype=np.int16)[:, np.newaxis]
    for seed in range(20):
        after = strike("dropped_samples", counts, seed, start=500, stop=502)
        assert np.flatnonzero(after != counts).tolist() == [501]


def test_dropped_packets_are_held_zeroed_or_repeated():
    counts = (np.arange(2000, dtype=np.int16) + 1)[:, np.newaxis].repeat(2, axis=1)
    kinds = set()
    for seed in range(30):
        after = strike("dropped_samples", counts, seed)
        lost = (after != counts).all(axis=1)
        assert np.array_equal(lost, (after != counts).any(axis=1))  # all leads of a packet
        assert 0 < lost.mean() < 0.75
        values = after[lost, 0]
        steps = np.diff(after[:, 0])[lost[1:] & lost[:-1]]
        kinds.add("zero" if not values.any() else "hold" if (steps == 0).mean() > 0.8 else "repeat")
        assert (after[:, 0] <= counts[:, 0]).all()  # never from the future
    assert kinds == {"hold", "zero", "repeat"}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"fs": 0.0}, "fs must be positive"),
        ({"adc_gain": -1.0}, "adc_gain must be positive"),
        ({"adc_min": 5, "adc_max": 5}, "adc_min < adc_max"),
        ({"adc_max": 40_000}, "must lie in int16"),
        ({"strength": 1.5}, "strength must be in 0 to 1"),
        ({"strength": float("nan")}, "strength must be in 0 to 1"),
        ({"start": -1}, "start must be 0 or more"),
        ({"start": 9, "stop": 8}, "stop must be start or more"),
        ({"snr_db": float("inf")}, "snr_db must be finite"),
        ({"qrs_counts": (0.0, 5.0)}, "qrs_counts must be positive"),
        ({"mains_hz": 55.0}, "mains_hz must be 50, 60"),
    ],
)
def test_settings_out_of_range_are_refused(options, rule):
    with pytest.raises(ValueError, match=rule):
        front_end(**options)


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match=f"fault must be one of {', '.join(FAULTS)}, got rust"):
        add_fault(record_of(ecg()), "rust", np.random.default_rng(0), front_end())
