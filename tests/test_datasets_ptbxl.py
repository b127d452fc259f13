import os

import numpy as np
import pytest

from datasets import SPLITS, open_dataset
from datasets.ptbxl import read_signal
from tests.ptbxl_folder import (
    LEADS,
    STATEMENTS,
    database_row,
    header_text,
    signal_of,
    write_ptbxl,
    write_record,
    write_tables,
)

CANONICAL = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture
def folder(tmp_path):
    return write_ptbxl(tmp_path / "ptbxl")


def one_record(tmp_path, **cells):
    """Open a folder of one record with these CSV cells, and load it."""
    folder = write_ptbxl(tmp_path / "ptbxl", [database_row(1, **cells)])
    return open_dataset("ptbxl", folder).load("1")


def test_a_record_as_published(folder):
    record = open_dataset("ptbxl", folder).load("1")
    assert record.record_id == "1"
    assert record.subject_id == "7"
    assert record.fs == 100.0
    assert record.leads == CANONICAL
    assert np.array_equal(record.adc_counts, signal_of(1))
    assert (record.adc_gain, record.baseline, record.fold) == (1000.0, 0, 1)
    assert record.superclasses == {"NORM"}
    assert record.clean
    assert (record.sex, record.age) == ("female", 56.0)


def test_500_hz(tmp_path):
    folder = write_ptbxl(tmp_path / "ptbxl", fs=500)
    record = open_dataset("ptbxl", folder, fs=500).load("2")
    assert record.fs == 500.0
    assert np.array_equal(record.adc_counts, signal_of(2, fs=500))


def test_leads_in_the_order_asked_for_and_in_either_case(folder):
    record = open_dataset("ptbxl", folder).load("1", leads=["v6", "AVR", "I"])
    assert record.leads == ("V6", "aVR", "I")
    assert np.array_equal(record.adc_counts, signal_of(1)[:, [11, 3, 0]])


@pytest.mark.parametrize(
    ("leads", "text"),
    [
        (["I", "V7"], "one of I, II, .*V6, got V7 in record 1"),
        ([], "each once"),
        (["I", "i"], "I, i"),
    ],
)
def test_leads_that_cannot_be_had(folder, leads, text):
    with pytest.raises(ValueError, match=text):
        open_dataset("ptbxl", folder).load("1", leads=leads)


@pytest.mark.parametrize(
    ("codes", "superclasses"),
    [
        ("{'NORM': 0.0}", {"NORM"}),  # likelihood 0 means "not stated", as in PTB-XL's own example
        ("{'IMI': 15.0, 'LVH': 100.0, 'SR': 0.0}", {"MI", "HYP"}),
        ("{'SR': 0.0}", set()),
        ("{}", set()),
    ],
)
def test_superclasses_come_from_the_diagnostic_statements(tmp_path, codes, superclasses):
    assert one_record(tmp_path, scp_codes=codes).superclasses == superclasses


def test_noise_remarks(tmp_path):
    record = one_record(tmp_path, static_noise=" , I-AVF,  ", electrodes_problems="V6")
    assert record.noise_flags == {"static_noise", "electrodes_problems"}


@pytest.mark.parametrize(
    ("cells", "sex", "age"),
    [
        ({"sex": "0", "age": "300.0"}, "male", 90.0),
        ({"sex": "1", "age": "2"}, "female", 2.0),
        ({"sex": "", "age": ""}, None, None),
    ],
)
def test_sex_and_age(tmp_path, cells, sex, age):
    record = one_record(tmp_path, **cells)
    assert (record.sex, record.age) == (sex, age)


def test_every_split(folder):
    dataset = open_dataset("ptbxl", folder)
    assert {split: dataset.record_ids(split) for split in SPLITS} == {
        "train": ["1"],
        "calibration": ["2"],
        "validation": ["3"],
        "test": ["4"],
    }
    assert dataset.record_ids() == ["1", "2", "3", "4"]


def test_absent_records_are_counted_and_said(folder, caplog):
    for suffix in (".hea", ".dat"):
        (folder / f"records100/00000/00004_lr{suffix}").unlink()
    dataset = open_dataset("ptbxl", folder)
    assert (dataset.n_listed, dataset.n_absent) == (4, 1)
    assert dataset.record_ids() == ["1", "2", "3"]
    assert "1 of 4 records are absent" in caplog.text
    with pytest.raises(FileNotFoundError, match=r"00004_lr: .* record 4 are absent"):
        dataset.load("4")
    with pytest.raises(ValueError, match=r"test needs .*fold 10 of ptbxl, 0 of the 1 it lists"):
        dataset.record_ids("test")


def test_a_split_the_csv_does_not_even_list(tmp_path):
    dataset = open_dataset("ptbxl", write_ptbxl(tmp_path / "ptbxl", [database_row(1)]))
    with pytest.raises(ValueError, match=r"test needs records in fold 10 of ptbxl, it lists none"):
        dataset.record_ids("test")


def test_a_record_nobody_listed(folder):
    with pytest.raises(ValueError, match=r"that ptbxl lists, got 99"):
        open_dataset("ptbxl", folder).load("99")


def test_nothing_on_disk_at_this_rate(folder):
    with pytest.raises(ValueError, match=r"4 records .* at 500 Hz, got none"):
        open_dataset("ptbxl", folder, fs=500)


def test_no_such_data(tmp_path):
    with pytest.raises(ValueError, match=r"one of ptbxl, butqdb, .*, files, got ptb"):
        open_dataset("ptb")
    with pytest.raises(ValueError, match=r"100 or 500 Hz, got 250"):
        open_dataset("ptbxl", tmp_path, fs=250)
    with pytest.raises(ValueError, match=r"ptbxl needs its folder"):
        open_dataset("ptbxl")
    with pytest.raises(FileNotFoundError, match=r"ptbxl_database.csv"):
        open_dataset("ptbxl", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def invalid_sample(signal):
    signal[123, 4] = -32768
    return signal


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"gain": "200.0(0)/mV"}, r"00001_lr.hea: counts per mV must be 1000, got 200"),
        ({"gain": "1000.0(5)/mV"}, r"hea: baseline must be 0, got 5"),
        ({"gain": "1000.0(0)/uV"}, r"hea: counts per mV must be 1000, got 1e\+06"),
        ({"gain": "1000.0(0)/mmHg"}, r"hea: units of I must be one of mV, .* got mmHg"),
        ({"fs": 250, "n_samples": 1000}, r"hea: fs must be 100.0, got 250.0"),
        ({"n_samples": 999}, r"dat: must have 23976 bytes for 999 samples .* got 24000"),
        ({"leads": LEADS[:11]}, r"dat: must have 22000 bytes for 1000 samples of 11 leads"),
        ({"leads": (*LEADS[:11], "X")}, r"hea: leads must be .*, got .*X"),
        ({"leads": (*LEADS[:11], "I")}, r"hea: leads must be .*V6, got AVF, .*, I, I, .*V5$"),
        ({"fmt": "212"}, r"dat: must have 18000 bytes .* in format 212, got 24000"),
        ({"fmt": "16+24"}, r"dat: must have 24024 bytes .* got 24000"),
        ({"dat": "00002_lr.dat"}, r"00002_lr.dat: must be there, got no file"),
    ],
)
def test_a_header_that_breaks_a_rule(tmp_path, header, text):
    stem = tmp_path / "00001_lr"
    stem.with_name("00001_lr.hea").write_text(header_text(stem.name, **header))
    signal_of(1).tofile(stem.with_name("00001_lr.dat"))
    with pytest.raises(ValueError, match=text):
        read_signal(stem, 100.0)


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        (signal_of(1)[:999], r"00001_lr.dat: must have 24000 bytes .* got 23976"),
        (signal_of(1)[:0], r"00001_lr.dat: must have 24000 bytes .* got 0$"),
        (invalid_sample(signal_of(1)), r"marked missing \(NaN\) at sample 123 of lead AVL$"),
    ],
)
def test_samples_that_break_a_rule(tmp_path, signal, text):
    row = database_row(1)
    write_record(tmp_path, row, signal=signal)
    with pytest.raises(ValueError, match=text):
        read_signal(tmp_path / row["filename_lr"], 100.0)


@pytest.mark.parametrize("content", [b"", b"not a header", b"00001_lr 12 100\nx", b"\xff\x00"])
def test_a_header_that_is_none(tmp_path, content):
    (tmp_path / "00001_lr.hea").write_bytes(content)
    with pytest.raises(ValueError, match=r"00001_lr.hea.* must be "):
        read_signal(tmp_path / "00001_lr", 100.0)


@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_half_a_record_is_unreadable_not_absent(folder, suffix):
    (folder / f"records100/00000/00001_lr{suffix}").unlink()
    dataset = open_dataset("ptbxl", folder)
    assert dataset.n_absent == 0
    with pytest.raises(ValueError, match=rf"00001_lr{suffix}.* got no file \(1 broken records"):
        dataset.record_ids()
    with pytest.raises(ValueError, match=f"00001_lr{suffix}"):
        dataset.record_ids("train")
    assert dataset.record_ids("test") == ["4"]
    assert f"00001_lr{suffix}" in dataset.unreadable["1"]
    with pytest.raises(ValueError, match=f"00001_lr{suffix}.* got no file"):
        dataset.load("1")


def test_a_header_in_another_order_is_put_in_ours(tmp_path):
    row = database_row(1)
    write_record(tmp_path, row, leads=LEADS[::-1])
    signal = read_signal(tmp_path / row["filename_lr"], 100.0)
    assert np.array_equal(signal, signal_of(1)[:, ::-1])


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ({"ecg_id": "x"}, r"csv, line 2: ecg_id must be a whole number, got 'x'"),
        ({"patient_id": ""}, r"line 2: patient_id must be a whole number, got ''"),
        ({"patient_id": "inf"}, r"patient_id must be a whole number"),
        ({"strat_fold": "nine"}, r"strat_fold must be a fold in 1-10, got 'nine'"),
        ({"strat_fold": "11"}, r"strat_fold must be a fold in 1-10, got '11'"),
        ({"age": "old"}, r"age must be years, .* got 'old'"),
        ({"age": "nan"}, r"age must be years, .* got 'nan'"),
        ({"sex": "2"}, r"sex must be 0, 1 or empty, got '2'"),
        ({"scp_codes": "{'NORM': "}, r"scp_codes must be a dict .* got"),
        ({"scp_codes": "NORM"}, r"scp_codes must be a dict .* got 'NORM'"),
        ({"scp_codes": "['NORM']"}, r"scp_codes must be a dict"),
        ({"scp_codes": "{'NROM': 1.0}"}, r"must be among those of scp_statements.csv, got NROM"),
        ({"filename_lr": "/etc/passwd"}, r"filename_lr must be a path inside the data set"),
        ({"filename_lr": "records100/../../x"}, r"filename_lr must be a path inside"),
        ({"filename_hr": ""}, r"filename_hr must be a path inside"),
    ],
)
def test_a_csv_cell_that_breaks_a_rule(tmp_path, cells, text):
    write_tables(tmp_path, [database_row(1, **cells)])
    with pytest.raises(ValueError, match=text):
        open_dataset("ptbxl", tmp_path)


def test_csv_files_that_break_a_rule(tmp_path):
    write_tables(tmp_path, [database_row(1), database_row(1)])
    with pytest.raises(ValueError, match=r"line 3: ecg_id must be unique, got 1 again"):
        open_dataset("ptbxl", tmp_path)
    without_fold = database_row(1)
    del without_fold["strat_fold"]
    write_tables(tmp_path, [without_fold])
    with pytest.raises(ValueError, match=r"ptbxl_database.csv: column 'strat_fold' must be there"):
        open_dataset("ptbxl", tmp_path)
    write_tables(tmp_path, [database_row(1)], STATEMENTS.replace(",MI,", ",XX,"))
    with pytest.raises(ValueError, match=r"statements.csv, line 3: diagnostic_class .* got 'XX'"):
        open_dataset("ptbxl", tmp_path)
    write_tables(tmp_path, [database_row(1)])
    (tmp_path / "ptbxl_database.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"CSV file in UTF-8"):
        open_dataset("ptbxl", tmp_path)


def test_a_patient_in_two_splits(tmp_path):
    rows = [
        database_row(1, strat_fold=1, patient_id=5),
        database_row(2, strat_fold=10, patient_id=5),
    ]
    with pytest.raises(ValueError, match=r"subject 5 is in train and test"):
        open_dataset("ptbxl", write_ptbxl(tmp_path / "ptbxl", rows))


def test_the_cache_follows_the_files(folder):
    dat = folder / "records100/00000/00001_lr.dat"
    open_dataset("ptbxl", folder)
    (signal_of(1) + np.int16(1)).tofile(dat)
    status = dat.stat()
    os.utime(dat, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    changed = open_dataset("ptbxl", folder).load("1")
    assert np.array_equal(changed.adc_counts, signal_of(1) + 1)
    write_tables(folder, [database_row(1, scp_codes="{'LVH': 50.0}")])
    assert open_dataset("ptbxl", folder).load("1").superclasses == {"HYP"}


def test_the_second_load_reads_neither_csv_nor_records(folder, tmp_path, monkeypatch):
    first = open_dataset("ptbxl", folder, cache=tmp_path / "cache")

    def refuse(*args):
        raise AssertionError

    monkeypatch.setattr("datasets.ptbxl.read_signal", refuse)
    monkeypatch.setattr("datasets.ptbxl._read_csv", refuse)
    second = open_dataset("ptbxl", folder, cache=tmp_path / "cache")
    assert not (folder / ".beatgate").exists()
    for record_id in first.record_ids():
        a, b = first.load(record_id), second.load(record_id)
        assert np.array_equal(a.adc_counts, b.adc_counts)
        assert (a.superclasses, a.noise_flags, a.age) == (b.superclasses, b.noise_flags, b.age)


def test_a_loaded_record_is_the_callers_own(folder):
    dataset = open_dataset("ptbxl", folder)
    dataset.load("1").adc_counts[:] = 0
    assert np.array_equal(dataset.load("1").adc_counts, signal_of(1))


def test_a_damaged_table_is_read_again(folder):
    open_dataset("ptbxl", folder)
    (folder / ".beatgate/ptbxl-100hz/records.json").write_text('{"key": ')
    assert open_dataset("ptbxl", folder).record_ids() == ["1", "2", "3", "4"]


@pytest.mark.data
def test_the_real_recordings_are_what_wfdb_reads(ptbxl_dir):
    import wfdb

    dataset = open_dataset("ptbxl", ptbxl_dir)
    assert not dataset.unreadable
    for record_id in dataset.record_ids()[::2000]:
        ecg_id = int(record_id)
        stem = f"{ptbxl_dir}/records100/{ecg_id // 1000:02d}000/{ecg_id:05d}_lr"
        expected = wfdb.rdrecord(stem, physical=False)
        assert np.array_equal(dataset.load(record_id).adc_counts, expected.d_signal)
        assert tuple(name.upper() for name in CANONICAL) == tuple(expected.sig_name)


@pytest.mark.data
def test_the_real_recordings_have_the_published_counts(ptbxl_dir):
    """PhysioNet's page of v1.0.1 counts 9,528 NORM and 2,655 HYP among 21,837 records."""
    dataset = open_dataset("ptbxl", ptbxl_dir)
    records = [dataset.load(record_id, ["I"]) for record_id in dataset.record_ids()]
    n_norm = sum("NORM" in record.superclasses for record in records)
    assert n_norm / len(records) == pytest.approx(9528 / 21837, abs=0.01)
    n_hyp = sum("HYP" in record.superclasses for record in records)
    assert n_hyp / len(records) == pytest.approx(2655 / 21837, abs=0.01)
    assert {record.fold for record in records} >= set(range(1, 10))


def test_a_rate_of_another_number_type_is_the_same_cache(folder):
    open_dataset("ptbxl", folder, fs=100.0)
    signals = next((folder / ".beatgate").rglob("adc_counts.npy"))
    made = signals.stat().st_ino
    open_dataset("ptbxl", folder, fs=100)
    assert signals.stat().st_ino == made


def test_the_fingerprint_follows_the_tables_not_the_place(folder, tmp_path):
    first = open_dataset("ptbxl", folder).fingerprint
    assert open_dataset("ptbxl", write_ptbxl(tmp_path / "elsewhere")).fingerprint == first
    write_tables(folder, [database_row(1, scp_codes="{'LVH': 50.0}")])
    assert open_dataset("ptbxl", folder).fingerprint != first
