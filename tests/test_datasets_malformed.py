"""Broken files from elsewhere: one line that says what is wrong, exit code 2, nothing written."""

import contextlib
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets import open_dataset
from datasets.__main__ import app
from datasets.convert import write_record
from tests.butqdb_folder import write_record as write_butqdb_record
from tests.test_datasets_convert import random_counts, reader_of
from tests.wfdb_folders import write_mitdb

N_SAMPLES = 500
N_EACH = 50  # generated examples of each of four kinds: 200 in all
JUNK = ("x", "-1", "NaN", "1.5", "1e30", "1e999", "9" * 30, "", "\0", "../..", "%s", "0x10")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """One good recording of every kind, and which command line converts it."""
    folder = tmp_path_factory.mktemp("originals")
    for suffix in (".hea", ".edf", ".csv"):
        write_record(reader_of(random_counts(N_SAMPLES), 100.0), folder / "files" / f"x{suffix}")
    write_butqdb_record(folder / "butqdb", n_samples=2000)
    write_mitdb(folder / "mitdb")
    return folder


KINDS = {
    "x.hea": ("files", "x.hea", "files/x.hea"),
    "x.dat": ("files", "x.hea", "files/x.hea"),
    "x.edf": ("files", "x.edf", "files/x.edf"),
    "x.csv": ("files", "x.csv", "files/x.csv"),
    "100001_ANN.csv": ("butqdb", "100001", "butqdb"),
    "100.atr": ("mitdb", "100", "mitdb"),
}
"""Damaged file -> data set, record and --data of the command that reads it."""


@contextlib.contextmanager
def damaged(originals, name, damage):
    """Yield a copy of the recordings in which `damage` has changed the bytes of file `name`."""
    with tempfile.TemporaryDirectory() as folder:
        kind = KINDS[name][2].split("/")[0]
        copy = shutil.copytree(originals / kind, Path(folder) / "in" / kind)
        (file,) = copy.rglob(name)
        file.write_bytes(damage(file.read_bytes()))
        yield Path(folder)


def convert(folder, name):
    """Run the command on the copy in `folder`; return its result and what it wrote."""
    dataset, record_id, data = KINDS[name]
    out = folder / "out" / "y.csv"
    arguments = ["convert", dataset, record_id, "--data", str(folder / "in" / data)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    return result, sorted(out.parent.iterdir()) if out.parent.exists() else []


def assert_refused(result, written):
    assert result.exit_code == 2, (result.output, result.exception)
    (line,) = result.stderr.splitlines()[-1:]
    assert line.startswith("error: ")
    assert len(line) < 500
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert written == []


def assert_damage_refused(originals, name, damage):
    with damaged(originals, name, damage) as folder:
        assert_refused(*convert(folder, name))


def test_the_originals_are_good(originals):
    for name in KINDS:
        with damaged(originals, name, lambda content: content) as folder:
            result, written = convert(folder, name)
            assert (result.exit_code, len(written)) == (0, 1), result.stderr


HEADER_FIELDS = {
    "number of signals": st.sampled_from(("0", "1", "3", "-2", *JUNK)),
    "fs": st.sampled_from(("0", "-1", "nan", "inf", "1e999", "x", "0.0")),
    "n_samples": st.integers(0, 10**13).filter(lambda n: n != N_SAMPLES).map(str),
    "file": st.sampled_from(
        ("../../etc/passwd", "/etc/passwd", "~", "..", "a/x.dat", "x\0.dat", "none.dat", "|cat")
    ),
    "format": st.sampled_from(("212", "16x2", "16:5", "16+64", "8", "516", "1e3", "x", "", "17")),
    "gain": st.sampled_from(
        ("-5(0)", "nan(0)", "1e999(0)", "x(0)", "1000(x)", f"1000({'9' * 40})")
    ),
    "units": st.text("abcdefghij%^/", min_size=1, max_size=8),
}


@settings(max_examples=N_EACH)
@given(data=st.data())
def test_a_broken_header_is_refused(originals, data):
    fields = {
        "number of signals": "2",
        "fs": "100",
        "n_samples": str(N_SAMPLES),
        "file": "x.dat",
        "format": "16",
        "gain": "1000(0)",
        "units": "mV",
    }
    broken = data.draw(st.sampled_from(list(HEADER_FIELDS)))
    fields[broken] = data.draw(HEADER_FIELDS[broken])
    n_signals, fs, n_samples, file, fmt, gain, units = fields.values()
    signal = f"{file} {fmt} {gain}/{units} 16 0 0 0 0 I\n"
    text = f"x {n_signals} {fs} {n_samples}\n{signal}{signal.replace(' I', ' II')}"
    assert_damage_refused(originals, "x.hea", lambda _: text.encode())


@settings(max_examples=N_EACH)
@given(
    line=st.integers(2, N_SAMPLES + 1),
    column=st.integers(0, 1),
    cell=st.sampled_from(
        (
            "NaN",
            "",
            "inf",
            "-Infinity",
            "1e300",
            "40",
            "-33",
            "x",
            "1,2",
            "\0",
            "0x1",
            "--1",
            "1e",
            "mV",
        )
    ),
)
def test_a_broken_csv_is_refused_by_its_line(originals, line, column, cell):
    def damage(content):
        lines = content.decode().split("\n")
        cells = lines[line].split(",")
        cells[column] = cell
        lines[line] = ",".join(cells)
        return "\n".join(lines).encode()

    with damaged(originals, "x.csv", damage) as folder:
        result, written = convert(folder, "x.csv")
    assert_refused(result, written)
    assert f"x.csv, line {line + 1}: " in result.stderr


@settings(max_examples=N_EACH)
@given(data=st.data())
def test_a_broken_annotation_is_refused_by_its_line(originals, data):
    column = data.draw(st.integers(0, 11))
    junk = ("x", "-1", "NaN", "1.5", "1e30", "1e999", "9" * 30, "", "\0", "4", "1;2")
    cell = data.draw(st.sampled_from(junk if column % 3 == 2 else (*junk, "99999")))
    row = data.draw(st.integers(0, 1))

    def damage(content):
        lines = content.decode().split("\n")
        cells = lines[row].split(",")
        # A sample "4" can be in order by chance; an end before its start cannot.
        cells[column] = "0" if cell == "4" and column % 3 < 2 else cell
        lines[row] = ",".join(cells)
        return "\n".join(lines).encode()

    with damaged(originals, "100001_ANN.csv", damage) as folder:
        result, written = convert(folder, "100001_ANN.csv")
    assert_refused(result, written)
    assert f"100001_ANN.csv, line {row + 1}" in result.stderr


EDF_FIELDS = {  # start of the field in a file of two signals and the annotations, its length
    "version": (0, 8),
    "start date": (168, 8),
    "header bytes": (184, 8),
    "data records": (236, 8),
    "record duration": (244, 8),
    "signals": (252, 4),
    "dimension": (256 + 3 * 96, 8),
    "physical min": (256 + 3 * 104, 8),
    "physical max": (256 + 3 * 112, 8),
    "digital min": (256 + 3 * 120, 8),
    "digital max": (256 + 3 * 128, 8),
    "samples a record": (256 + 3 * 216, 8),
}


@settings(max_examples=N_EACH)
@given(data=st.data())
def test_a_broken_edf_is_refused(originals, data):
    size = (originals / "files" / "x.edf").stat().st_size
    cut = data.draw(st.none() | st.integers(0, size - 1))
    start, length = EDF_FIELDS[data.draw(st.sampled_from(list(EDF_FIELDS)))]
    junk = ("x", "\0", "..", "NaN", "%s", "99999999", "1-2", "\xff")
    text = data.draw(st.sampled_from(junk))[:length].ljust(length)

    def damage(content):
        if cut is not None:
            return content[:cut]
        return content[:start] + text.encode("latin-1") + content[start + length :]

    assert_damage_refused(originals, "x.edf", damage)


@pytest.mark.parametrize("name", ["x.hea", "x.dat", "x.edf", "x.csv", "100001_ANN.csv", "100.atr"])
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(originals, name, data):
    """Cut off, overwritten, lengthened: whatever is not refused is a whole recording."""

    def damage(content):
        at = data.draw(st.integers(0, len(content)))
        junk = data.draw(st.binary(max_size=8))
        how = data.draw(st.sampled_from(("cut", "overwrite", "insert", "remove")))
        if how == "cut":
            return content[:at]
        after = {"overwrite": at + len(junk), "insert": at, "remove": at + 8}[how]
        return content[:at] + (b"" if how == "remove" else junk) + content[after:]

    with damaged(originals, name, damage) as folder:
        result, written = convert(folder, name)
        if result.exit_code:
            assert_refused(result, written)
        else:
            reader = open_dataset("files", written[0]).open("y.csv")
            assert reader.n_samples > 0
            assert np.isfinite(reader.whole().signal_mv).all()


@pytest.mark.parametrize("name", ["x.hea", "x.edf"])
def test_what_a_header_claims_is_checked_before_memory_is_taken(originals, name):
    def damage(content):
        if name == "x.edf":
            return content[:236] + b"99999999" + content[244:]
        return content.replace(b" 500\n", b" 9000000000000\n", 1)

    with damaged(originals, name, damage) as folder:
        convert(folder, name)  # imports what it needs
        tracemalloc.start()
        result, written = convert(folder, name)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert_refused(result, written)
    assert peak_bytes < 5_000_000


def test_format_212_of_an_odd_size_is_whole_or_refused(originals, tmp_path):
    for n_bytes, ok in ((752, True), (753, True), (751, False), (754, False), (0, False)):
        (tmp_path / "odd.hea").write_text("odd 1 100 501\nodd.dat 212 200 12 0 0 0 0 I\n")
        (tmp_path / "odd.dat").write_bytes(b"\1" * n_bytes)
        if ok:
            assert (
                open_dataset("files", tmp_path / "odd.hea").load("odd.hea").adc_counts.size == 501
            )
        else:
            with pytest.raises(ValueError, match=f"must have 752 bytes .* got {n_bytes}"):
                open_dataset("files", tmp_path / "odd.hea")
