"""The MIT-BIH Arrhythmia and Noise Stress Test databases."""

import numpy as np
import pytest
import wfdb

from datasets import Stretch, open_dataset
from datasets.mitdb import RECORD_IDS
from datasets.nstdb import noise_recordings
from datasets.wfdb_annotations import read_annotations
from tests.wfdb_folders import (
    BASELINE,
    FS,
    GAIN,
    N_SAMPLES,
    RHYTHM_CHANGE,
    counts_of,
    write_beats,
    write_mitdb,
    write_nstdb,
    write_signals,
)


@pytest.fixture
def mitdb(tmp_path):
    return open_dataset("mitdb", write_mitdb(tmp_path))


def test_there_are_48_records_of_47_subjects(mitdb):
    assert len(RECORD_IDS) == mitdb.n_listed == 48
    assert mitdb.record_ids("test") == ["100", "102", "201", "202"]
    subjects = {i: mitdb.open(i).record.subject_id for i in mitdb.record_ids()}
    assert subjects == {"100": "100", "102": "102", "201": "201", "202": "201"}


def test_a_record_is_what_was_written(mitdb):
    record = mitdb.load("100")
    assert np.array_equal(record.adc_counts, counts_of(100))
    assert (record.fs, record.adc_gain, record.baseline) == (FS, GAIN, BASELINE)
    assert (record.sex, record.age) == ("male", 69.0)


def test_beats_are_beats_and_rhythms_last_to_the_next(mitdb):
    marked = mitdb.open("100").record.annotations
    assert np.array_equal(marked.beats, np.arange(100, N_SAMPLES, 288))
    assert "".join(marked.symbols[:5]) == "NNNVN"
    assert [(s.start, s.stop, s.kind, s.label) for s in marked.stretches] == [
        (10, RHYTHM_CHANGE, "rhythm", "N"),
        (RHYTHM_CHANGE, N_SAMPLES, "rhythm", "AFIB"),
    ]


def test_a_lead_the_record_lacks_is_refused_by_name(mitdb):
    assert mitdb.leads == ("MLII", "V1", "V2", "V4", "V5")
    assert mitdb.open("102").record.leads == ("V5", "V2")
    assert mitdb.load("100", ["mlii"]).leads == ("MLII",)
    with pytest.raises(ValueError, match=r"lead must be one of MLII, V5, got I in .*100\.hea"):
        mitdb.open("100", ["I"])
    with pytest.raises(ValueError, match=r"lead must be one of V5, V2, got MLII in .*102\.hea"):
        mitdb.load("102", ["MLII"])


def test_annotations_past_the_end_are_refused(tmp_path):
    write_signals(tmp_path, "100", ("MLII", "V5"), counts_of(100))
    write_beats(tmp_path, "100", n_samples=N_SAMPLES + 1000)
    dataset = open_dataset("mitdb", tmp_path)
    with pytest.raises(ValueError, match=r"100\.atr: annotations must be at samples 0 to 7199"):
        dataset.open("100")


def test_a_long_interval_goes_forward_and_back(tmp_path):
    path = tmp_path / "x.atr"
    words = (1 << 10 | 5, 59 << 10, 0x0001, 0x0002, 5 << 10 | 3, 63 << 10 | 3)
    text = np.array(words, "<u2").tobytes() + b"abc\0"
    back = np.array((59 << 10, 0xFFFF, 0xFFFF - 9, 28 << 10, 0), "<u2").tobytes()
    path.write_bytes(text + back)
    marked = read_annotations(path, 100_000)
    assert marked.beats.tolist() == [5, 5 + 0x10002 + 3]
    assert marked.symbols.tolist() == ["N", "V"]
    assert marked.stretches == (Stretch(5 + 0x10002 + 3 - 10, 100_000, "rhythm", ""),)
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"x\.atr: must end with the mark of its end"):
        read_annotations(path, 100_000)


def test_noisy_parts_of_a_stress_test_are_marked(tmp_path):
    n_samples = 10 * 60 * FS
    dataset = open_dataset("nstdb", write_nstdb(tmp_path, n_samples))
    assert dataset.record_ids("test") == ["118e24", "119e_6"]
    assert dataset.n_absent == 10
    reader = dataset.open("118e24")
    assert reader.record.subject_id == "118"
    stretches = reader.record.annotations.stretches
    noisy = [s for s in stretches if s.kind == "fault"]
    minutes = [(s.start / FS / 60, s.stop / FS / 60, s.label) for s in noisy]
    assert minutes == [(5, 7, "electrode_motion"), (9, 10, "electrode_motion")]
    assert sorted(s.start for s in stretches) == [s.start for s in stretches]
    assert len(reader.record.annotations.beats) > 700


def test_noise_has_wfdbs_default_gain(tmp_path):
    noises = noise_recordings(write_nstdb(tmp_path))
    assert list(noises) == ["bw", "em", "ma"]
    record = noises["em"].whole()
    assert np.array_equal(record.adc_counts, counts_of(11) - BASELINE)
    assert (record.adc_gain, record.baseline, record.fs) == (200.0, 0, 360.0)
    assert record.leads == ("noise1", "noise2")


def test_a_folder_without_noise_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one of bw, em, ma must be there"):
        noise_recordings(tmp_path)


def test_real_records_are_as_wfdb_reads_them(mitdb_dir):
    dataset = open_dataset("mitdb", mitdb_dir)
    for record_id in dataset.record_ids("test"):
        record = dataset.load(record_id)
        there = wfdb.rdrecord(str(mitdb_dir / record_id), physical=False)
        assert np.array_equal(record.adc_counts, there.d_signal)
        assert list(record.leads) == there.sig_name
        marks = wfdb.rdann(str(mitdb_dir / record_id), "atr")
        symbols = np.array(marks.symbol)
        beats = np.isin(symbols, list("NLRBAaJSVrFejnE/fQ?"))
        assert np.array_equal(record.annotations.beats, marks.sample[beats])
        assert np.array_equal(record.annotations.symbols, symbols[beats])
        notes = [note.strip("\0(") for note in np.array(marks.aux_note)[symbols == "+"]]
        assert [s.label for s in record.annotations.stretches] == notes
    # Table 3 of the data set's directory: 2,239 N, 33 A and 1 V; no other beat in record 100.
    symbols, counts = np.unique(dataset.open("100").record.annotations.symbols, return_counts=True)
    assert dict(zip(symbols.tolist(), counts.tolist(), strict=True)) == {"A": 33, "N": 2239, "V": 1}


def test_real_noise_opens_with_electrode_motion_made_a_record(nstdb_dir, tmp_path):
    for path in nstdb_dir.glob("*.[dh]*"):
        (tmp_path / path.name).symlink_to(path)
    motion = np.load(nstdb_dir / "em_derived.npy")
    write_signals(tmp_path, "em", ("noise1", "noise2"), np.clip(motion, -2047, 2047), baseline=0)
    noises = noise_recordings(tmp_path)
    assert list(noises) == ["bw", "em", "ma"]
    # Baseline wander is slow, muscle artifact is not: compare the sample-to-sample differences.
    roughness = {
        name: np.diff(r.whole().signal_mv, axis=0).std() / r.whole().signal_mv.std()
        for name, r in noises.items()
    }
    assert roughness["bw"] < 0.1 < roughness["ma"]
