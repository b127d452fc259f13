"""Own recordings through the firmware: the format they lie in does not matter."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import RecordReader, open_dataset
from datasets.convert import write_record
from datasets.recordings import RecordInfo
from firmware_sim.__main__ import app
from firmware_sim.engines import ENGINES
from firmware_sim.front_end import fit_front_ends
from firmware_sim.replay import CHUNK_LEN, replay
from tests.bundles import ecg_like, make_bundle
from tests.butqdb_folder import write_record as write_butqdb

FS, SECONDS = 250, 25


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("own") / "b")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same recording in each format."""
    folder = tmp_path_factory.mktemp("recordings")
    counts = ecg_like(7, FS * SECONDS)
    record = RecordInfo("r", "s", 10, "r").record(float(FS), ("II",), 500.0, 20)
    reader = RecordReader(record, len(counts), lambda start, stop: counts[start:stop].copy())
    for suffix in (".hea", ".edf", ".csv"):
        write_record(reader, folder / f"x{suffix}")
    return folder


def test_every_format_is_decided_alike(bundle, recordings):
    played = []
    for name in ("x.hea", "x.edf", "x.csv"):
        dataset = open_dataset("files", f"{recordings / name},leads=I")
        programme = fit_front_ends(bundle, dataset.open, [name])
        assert "250 Hz, 500 counts/mV, 0 mV at 20" in " ".join(programme.remarks)
        played.append(replay(programme, dataset.open, ENGINES["host"]))
    first, *others = played
    assert len(first.scores) == SECONDS - 10 + 1
    for other in others:
        assert np.array_equal(other.scores, first.scores)
        assert np.array_equal(other.accepted, first.accepted)
        assert np.array_equal(other.labels_alone, first.labels_alone)


def test_a_broken_recording_leaves_no_report(bundle, recordings, tmp_path):
    dat = tmp_path / "x.dat"
    dat.write_bytes((recordings / "x.dat").read_bytes()[:-1])
    (tmp_path / "x.hea").write_bytes((recordings / "x.hea").read_bytes())
    data = ["--dataset", "files", "--data", str(tmp_path / "x.hea"), "--leads", "II"]
    out = tmp_path / "report"
    result = CliRunner().invoke(app, ["replay", str(bundle.path), *data, "--out", str(out)])
    assert result.exit_code == 2
    assert result.stderr.endswith(
        f"error: {dat}: must have 12500 bytes for 6250 samples of 1 leads in format 16, got 12499\n"
    )
    assert not out.exists()


def test_the_report_of_an_own_recording_has_figures(bundle, recordings, tmp_path):
    data = ["--dataset", "files", "--data", f"{recordings / 'x.csv'},leads=I"]
    arguments = ["replay", str(bundle.path), *data, "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert (values["n_skipped"], values["mix"]["n_windows"]) == (0, 16)
    assert 0 <= values["decisions"]["rejected"]["value"] <= 1
    shown = re.findall(r'data-key="[\w.]+">([^<]+)<', (tmp_path / "report.html").read_text())
    assert "16" in shown
    assert "n/a" not in shown


def test_a_long_recording_is_read_in_parts(bundle, tmp_path):
    """Half an hour at 1 kHz: never more than CHUNK_LEN samples of it at once."""
    dataset = open_dataset("butqdb", write_butqdb(tmp_path, n_samples=1_800_000))
    lengths = []

    def open_record(record_id, leads):
        reader = dataset.open(record_id, leads)

        def read(start, stop):
            lengths.append(stop - start)
            return reader.read(start, stop)

        return replace(reader, read=read)

    programme = fit_front_ends(bundle, open_record, ["100001"], ["ECG"])
    assert lengths == []  # the headers are enough to plan it
    played = replay(programme, open_record, ENGINES["host"])
    assert len(played) == 1791
    assert lengths == [CHUNK_LEN] * 18
