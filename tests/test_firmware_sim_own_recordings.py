"""Own recordings through the firmware: the format they lie in does not matter."""

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import RecordReader, open_dataset
from datasets.convert import write_record
from datasets.recordings import RecordInfo
from firmware_sim.__main__ import app
from firmware_sim.engines import ENGINES
from firmware_sim.front_end import fit_front_end
from firmware_sim.replay import replay
from tests.bundles import ecg_like, make_bundle

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
        fitted, remarks = fit_front_end(bundle, dataset, [name], None, None)
        assert "250 Hz, 500 counts/mV, 0 mV at 20" in " ".join(remarks)
        played.append(replay(fitted, dataset, [name], ENGINES["host"]))
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
