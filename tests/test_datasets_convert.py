"""Recordings written as WFDB, EDF and CSV, and read back."""

import json
import tracemalloc

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets import RecordReader, open_dataset
from datasets.__main__ import app
from datasets.convert import write_record
from datasets.recordings import RecordInfo
from tests.butqdb_folder import write_record as write_butqdb_record
from tests.wfdb_folders import counts_of, write_mitdb

SUFFIXES = (".hea", ".edf", ".csv")


def reader_of(counts, fs=250.0, gain=1000.0, baseline=0, leads=None):
    """Return a reader of counts in memory."""
    names = leads or tuple(f"L{column}" for column in range(counts.shape[1]))
    record = RecordInfo("r", "s", 10, "r").record(fs, names, gain, baseline)
    return RecordReader(record, len(counts), lambda start, stop: counts[start:stop].copy())


def random_counts(n_samples, n_leads=2, seed=0):
    return np.random.default_rng(seed).integers(-32767, 32768, (n_samples, n_leads), np.int16)


def run(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    fs=st.sampled_from([100, 128, 250, 360, 1000]),
    gain=st.sampled_from([200.0, 1000.0, 1025.0, 4.88, 409.6]),
    baseline=st.integers(-20_000, 20_000),
    n_samples=st.integers(1, 2500),
    n_leads=st.integers(1, 3),
)
def test_what_is_written_is_read_back(
    tmp_path_factory, suffix, fs, gain, baseline, n_samples, n_leads
):
    counts = random_counts(n_samples, n_leads, seed=n_samples)
    out = tmp_path_factory.mktemp("out") / f"x{suffix}"
    write_record(reader_of(counts, float(fs), gain, baseline), out)
    record = open_dataset("files", out).load(out.name)
    assert np.array_equal(record.adc_counts, counts)
    assert (record.fs, record.baseline) == (fs, baseline)
    assert record.adc_gain == pytest.approx(gain, rel=1e-4 if suffix == ".edf" else 0)
    assert record.leads == tuple(f"L{column}" for column in range(n_leads))


@pytest.mark.parametrize(("gain", "baseline"), [(1000.0, 0), (200.0, 1024), (200.0, 0)])
def test_edf_says_the_gains_of_our_data_sets_exactly(tmp_path, gain, baseline):
    write_record(reader_of(random_counts(500), 250.0, gain, baseline), tmp_path / "x.edf")
    record = open_dataset("files", tmp_path / "x.edf").load("x.edf")
    assert (record.adc_gain, record.baseline) == (gain, baseline)


def test_wfdb_reads_what_we_write(tmp_path):
    counts = random_counts(777)
    write_record(reader_of(counts, 360.0, 200.0, -5, ("MLII", "V 5")), tmp_path / "x.hea")
    there = wfdb.rdrecord(str(tmp_path / "x"), physical=False)
    assert np.array_equal(there.d_signal, counts)
    assert (there.fs, there.sig_name, there.units) == (360, ["MLII", "V 5"], ["mV", "mV"])
    assert (there.adc_gain, there.baseline) == ([200.0, 200.0], [-5, -5])
    assert there.calc_checksum() == [checksum % 65536 for checksum in there.checksum]
    assert there.init_value == counts[0].tolist()


def test_a_record_goes_round_all_formats(tmp_path):
    data = write_mitdb(tmp_path / "mitdb")
    result = run("mitdb", "100", "--data", data, "--out", tmp_path / "1.hea", "--json")
    assert result.exit_code == 0, result.stderr
    written = json.loads(result.stdout)
    assert (written["leads"], written["n_samples"]) == (["MLII", "V5"], 7200)
    for before, after in (("1.hea", "2.edf"), ("2.edf", "3.csv"), ("3.csv", "4.hea")):
        result = run("files", before, "--data", tmp_path / before, "--out", tmp_path / after)
        assert result.exit_code == 0, result.stderr
    record = open_dataset("files", tmp_path / "4.hea").load("4.hea")
    assert np.array_equal(record.adc_counts, counts_of(100))
    assert (record.adc_gain, record.baseline) == (200.0, 1024)


def test_the_same_recording_gives_the_same_bytes(tmp_path):
    for suffix in (".dat", *SUFFIXES):
        files = [tmp_path / name / f"x{suffix}" for name in ("a", "b")]
        for file in files:
            write_record(
                reader_of(random_counts(900)), file.with_suffix(suffix.replace("dat", "hea"))
            )
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("out", "settings", "message"),
    [
        ("x.mat", {}, r"must end in one of \.hea, \.edf, \.csv, got '\.mat'"),
        ("x y.hea", {}, "a WFDB name must have letters"),
        ("x.hea", {"leads": ("µ", "V")}, "a WFDB lead must have an ASCII name, got 'µ'"),
        ("x.hea", {"leads": ("I", "")}, "a WFDB lead must have an ASCII name, got ''"),
        ("x.csv", {"leads": ("1", "I")}, "a CSV lead must have a plain name, got '1'"),
        ("x.csv", {"leads": ("I", "time")}, "a CSV lead must have a plain name, got 'time'"),
        ("x.csv", {"leads": ("I", "a,b")}, "a CSV lead must have a plain name, got 'a,b'"),
        ("x.edf", {"leads": ("a" * 17, "b")}, "at most 16 ASCII characters, got a{17}"),
        ("x.edf", {"fs": 128.5}, r"EDF needs a whole number of samples a second, got 128\.5"),
        ("x.edf", {"gain": 1e12}, r"EDF's numbers of 8 characters cannot say a gain of 1e\+12"),
        ("x.edf", {"gain": 1e-9}, "EDF's numbers of 8 characters cannot say a gain"),
    ],
)
def test_what_a_format_cannot_say_is_refused(tmp_path, out, settings, message):
    with pytest.raises(ValueError, match=message):
        write_record(reader_of(random_counts(10), **settings), tmp_path / out)
    assert list(tmp_path.iterdir()) == []


def test_the_mark_of_a_gap_is_not_written_as_one(tmp_path):
    counts = random_counts(1000)
    counts[700, 1] = -32768
    with pytest.raises(ValueError, match="WFDB has no count -32768"):
        write_record(reader_of(counts), tmp_path / "x.hea")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_half_way_keeps_what_was_there(tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    write_record(reader_of(random_counts(500)), out)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reader = reader_of(random_counts(40_000, seed=1))

    def read(start, stop):
        if start > 0:
            raise ValueError("the disk is gone")
        return reader.read(start, stop)

    with pytest.raises(ValueError, match="the disk is gone"):
        write_record(RecordReader(reader.record, reader.n_samples, read), out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".hea", ".edf"])
def test_memory_does_not_grow_with_the_recording(tmp_path, suffix):
    data = write_butqdb_record(tmp_path / "data", n_samples=3_600_000)  # an hour, 7.2 MB
    reader = open_dataset("butqdb", data).open("100001")
    write_record(reader, tmp_path / f"warm{suffix}")
    tracemalloc.start()
    write_record(reader, tmp_path / f"x{suffix}")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 3_000_000
