"""`python -m firmware_sim`: whole commands on a small bundle, and what they refuse."""

import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from datasets import LeaveOneOut, open_dataset
from export.bundle import load_bundle
from firmware_sim.__main__ import app
from firmware_sim.engines import ENGINES
from firmware_sim.front_end import fit_front_ends
from firmware_sim.replay import replay, spread_evenly
from tests.bundles import ecg_like, make_bundle
from tests.ptbxl_folder import database_row, write_record, write_tables

CODES = ("{'NORM': 100.0}", "{'IMI': 100.0}", "{'LVH': 100.0}")


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ptbxl")
    rows = [
        database_row(i, strat_fold="10" if i % 2 else "9", scp_codes=CODES[i % 3])
        for i in range(1, 25)
    ]
    write_tables(folder, rows)
    for row in rows[:-2]:  # the last two are absent
        write_record(folder, row, signal=ecg_like(row["ecg_id"], n_leads=12))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", dataset="ptbxl").path


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def refused(*arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def test_replay_writes_a_report(bundle, ptbxl, tmp_path):
    result = call("replay", bundle, "--data", ptbxl, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "Coverage" in result.stdout
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["mix"]["n_windows"] == 11
    page = (tmp_path / "report.html").read_text()
    assert "24 records, 2 of which are not on the disk" in page


def test_replay_on_the_board_equals_replay_on_the_host(bundle, ptbxl, tmp_path, toolchain):
    values = {}
    for engine in ("host", "qemu"):
        out = tmp_path / engine
        result = call(
            "replay", bundle, "--data", ptbxl, "--split", "calibration,validation", "--engine",
            engine, "--out", out,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        values[engine] = json.loads((out / "report.json").read_text())
    assert values["qemu"]["confusion"] == values["host"]["confusion"]
    assert values["qemu"]["separations"] == values["host"]["separations"]
    assert values["qemu"]["instructions"]["gate_per_decision"] > 100_000
    assert values["qemu"]["memory"]["ram_bytes"] > values["qemu"]["memory"]["arena_bytes"] > 0
    assert "can be better here than on new patients" in (tmp_path / "host/report.html").read_text()


def test_only_a_replay_of_the_test_split_sees_unseen_records(bundle, ptbxl, tmp_path, caplog):
    n_unseen = {}
    for split in ("validation", "test"):
        result = call(
            "replay", bundle, "--data", ptbxl, "--split", split, "--out", tmp_path / split
        )
        assert result.exit_code == 0, result.output
        report = json.loads((tmp_path / split / "report.json").read_text())
        n_unseen[split] = report["mix"]["n_unseen"]
    assert n_unseen["validation"] == 0 < n_unseen["test"]
    assert caplog.text.count("test records of ptbxl opened, held out: HYP") == 1


def test_parity_of_golden_and_recorded_windows(bundle, ptbxl):
    arguments = ["parity", bundle, "--dataset", "ptbxl", "--data", ptbxl, "--windows", "9"]
    result = call(*arguments, "--engines", "tflm,host", "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["golden"]["n_equal"] == {"host": 12}
    assert values["ptbxl"]["n_equal"] == {"host": 9}


def test_parity_of_a_damaged_blob_exits_1_and_names_window_and_layer(bundle):
    result = call("parity", bundle, "--damage", "1", "--engines", "tflm,host")
    assert result.exit_code == 1
    assert "host differs from the reference first at golden" in result.stderr
    assert "filter layer 1 CONV" in result.stderr


def test_parity_of_fewer_windows_than_asked_for_is_no_parity(bundle, ptbxl):
    arguments = ["parity", bundle, "--dataset", "ptbxl", "--data", ptbxl, "--windows", "99"]
    text = refused(*arguments, "--engines", "tflm,host")
    assert "99 windows must be compared, the recordings have only 22" in text


def test_damage_needs_a_layer_with_weights(bundle):
    assert "layer 2 has none" in refused("parity", bundle, "--damage", "2")
    assert "layer must be in [0, 5)" in refused("parity", bundle, "--damage", "99")


@pytest.mark.parametrize("command", ["replay", "parity"])
def test_an_altered_bundle_is_refused(bundle, tmp_path, command):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    blob = copy / "filter.bgm"
    blob.write_bytes(blob.read_bytes()[:-1])
    out = ["--out", tmp_path] if command == "replay" else []
    assert "filter.bgm must have the manifest's SHA-256" in refused(command, copy, *out)


def test_bad_choices_are_named(bundle, ptbxl, tmp_path):
    replay = ["replay", bundle, "--data", ptbxl, "--out", tmp_path]
    assert "engine must be one of tflm, host, qemu, got gpu" in refused(*replay, "--engine", "gpu")
    assert "board must be one of qemu-m0" in refused(*replay, "--engine", "qemu", "--board", "m9")
    assert "board must be one of qemu-m0" in refused("parity", bundle, "--board", "qemu-m4,m9")
    assert "split must be one of" in refused(*replay, "--split", "fold9")
    assert "greater than or equal to 1" in refused(*replay, "--records", "0")
    text = refused(*replay, "--split", "train")
    assert "train needs records in folds 1-8 of ptbxl, none on disk has that role" in text
    assert "none/ptbxl_database.csv" in refused(
        *replay[:2], "--data", tmp_path / "none", *replay[4:]
    )
    assert "manifest.json must exist" in refused("parity", tmp_path)


def test_a_broken_record_stops_the_replay(bundle, ptbxl, tmp_path):
    folder = shutil.copytree(ptbxl, tmp_path / "p")
    row = database_row(1, strat_fold="10")
    write_record(folder, row, gain="200.0(0)/mV", signal=ecg_like(1, n_leads=12))
    text = refused("replay", bundle, "--data", folder, "--out", tmp_path / "out")
    assert "00001_lr.hea: counts per mV must be 1000, got 200" in text


def test_records_are_spread_evenly():
    ids = [str(i) for i in range(10)]
    assert spread_evenly(ids, 3) == ["0", "3", "6"]
    assert spread_evenly(ids, None) == ids
    assert spread_evenly(ids, 99) == ids


def test_a_record_shorter_than_a_window_stops_the_replay(bundle, ptbxl):
    short = replace(open_dataset("ptbxl", ptbxl).open("1", ["I"]), n_samples=999)
    with pytest.raises(ValueError, match="one window of 1000 samples, got 999 in record 1"):
        fit_front_ends(load_bundle(bundle), lambda *_: short, ["1"])


def test_a_record_that_changes_during_the_replay_stops_it(bundle, ptbxl):
    """The replay ends with an error, not with figures of other windows than it began with."""
    whole = open_dataset("ptbxl", ptbxl).open("1", ["I"])
    programme = fit_front_ends(load_bundle(bundle), lambda *_: whole, ["1"])
    cut = replace(whole, n_samples=999)
    with pytest.raises(ValueError, match=r"record 1 must give 1 windows, .* got 0"):
        replay(programme, lambda *_: cut, ENGINES["host"])
    louder = replace(whole, record=replace(whole.record, adc_gain=200.0))
    with pytest.raises(ValueError, match="adc_gain must be 1000 as in the signal chain, got 200"):
        replay(programme, lambda *_: louder, ENGINES["host"])


def test_every_record_comes_through_the_door_of_the_protocol(bundle, ptbxl, tmp_path, monkeypatch):
    opened = []
    door = LeaveOneOut.open

    def watched(protocol, record_id, role, leads=None):
        opened.append((record_id, role))
        return door(protocol, record_id, role, leads)

    monkeypatch.setattr(LeaveOneOut, "open", watched)
    result = call("replay", bundle, "--data", ptbxl, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert {role for _, role in opened} == {"test", "unseen"}
    assert {i for i, role in opened if role == "unseen"} == {"5", "11", "17"}
