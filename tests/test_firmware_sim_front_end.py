"""Recordings of another sensor than the bundle's: every engine takes them, and says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets import open_dataset
from export.blob import with_threshold
from export.bundle import load_bundle
from firmware_sim.__main__ import app
from firmware_sim.engines import ENGINES
from firmware_sim.front_end import fit_front_ends
from firmware_sim.parity import (
    check_golden,
    check_parity,
    check_programme,
    golden_recordings,
    share_out,
)
from firmware_sim.replay import replay
from tests.bundles import ecg_like, make_bundle
from tests.butqdb_folder import GRADERS, write_record
from tests.wfdb_folders import write_mitdb

HOLTER = {"fs": 360.0, "adc_gain": 200.0, "baseline": 1024}
SENSORS = {
    "holter": HOLTER,
    "bench": {"fs": 1000.0, "adc_gain": 1025.0, "baseline": -312, "mains_hz": 50.0},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("front") / "b", n_leads=2)


@pytest.fixture(scope="module")
def mitdb(tmp_path_factory):
    return write_mitdb(tmp_path_factory.mktemp("mitdb"))


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_engine_decides_alike_behind_every_sensor(bundle, sensor, toolchain):
    fitted = bundle.with_front_end(**SENSORS[sensor])
    recording = ("a", ecg_like(4, fitted.chain.n_samples(1200), 2))
    result = check_parity(fitted, iter([*golden_recordings(fitted), recording]), ENGINES, 99)
    assert result.differences == ()
    assert result.n_equal == {"host": 15, "qemu": 15}
    assert check_golden(fitted, ENGINES["tflm"]) is None


@pytest.mark.parametrize("name", ENGINES)
def test_calls_and_resets_do_not_matter_when_resampling(bundle, name, toolchain):
    counts = ecg_like(3, 4500, 2)
    with ENGINES[name](bundle.with_front_end(**HOLTER)) as engine:
        first = engine.push(counts)
        assert [d.window_start for d in first] == [0, 100, 200]
        engine.push(counts[:777])
        engine.reset()
        cuts = np.cumsum([1, 17, 64, 65, 3000])
        assert [d for part in np.split(counts, cuts) for d in engine.push(part)] == first


def test_a_front_end_changes_no_network(bundle):
    fitted = bundle.with_front_end(**HOLTER)
    assert fitted.threshold == bundle.threshold
    assert fitted.golden.adc_counts.shape == (12, 3597, 2)
    assert fitted.manifest["arena_bytes"] > bundle.manifest["arena_bytes"]
    again = fitted.with_front_end(**bundle.chain.front_end)
    assert again.filter_blob == bundle.filter_blob
    assert again.classifier_blob == bundle.classifier_blob


def test_the_same_heart_scores_alike_before_another_sensor(bundle):
    """Golden windows are resampled from the same recordings: most verdicts stay."""
    scores = bundle.golden.scores[:9]
    fitted = bundle.with_front_end(fs=500.0, adc_gain=2000.0, baseline=0)
    np.testing.assert_array_less(np.abs(fitted.golden.scores[:9] / scores - 1), 0.5)


def test_a_sensor_no_chain_leads_from_is_refused(bundle):
    with pytest.raises(ValueError, match=r"fs_target must be reachable from fs, got 99\.9"):
        bundle.with_front_end(fs=99.9, adc_gain=200.0, baseline=0)


def test_a_bundle_that_fits_is_left_as_it_is(bundle, tmp_path):
    dataset = open_dataset("synthetic", "n_subjects=2,seed=1", cache=tmp_path)
    programme = fit_front_ends(bundle, dataset.open, dataset.record_ids())
    assert [part.bundle for part in programme.parts] == [bundle]
    assert programme.bundle is bundle
    assert programme.remarks == programme.skipped == ()


def test_replay_of_another_rate_gain_and_lead(bundle, mitdb, tmp_path):
    common = [bundle.path, "--dataset", "mitdb", "--data", mitdb, "--records", "1"]
    result = call("replay", *common, "--leads", "MLII,V5", "--mains", "60", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    for text in (
        "Lead MLII, V5 take the place of I, II",
        "Front end of 1 record set to 360 Hz, 200 counts/mV, 0 mV at 1024, notch at 60 Hz, in "
        "place of the bundle's (100 Hz, 1000 counts/mV, 0 mV at 0)",
    ):
        assert text in result.stderr
        assert text.replace("'", "&#39;") in (tmp_path / "report.html").read_text()
    json.loads((tmp_path / "report.json").read_text())


def test_parity_on_another_sensor(bundle, mitdb):
    arguments = ["--dataset", "mitdb", "--data", mitdb, "--leads", "MLII,V5", "--windows", "5"]
    result = call("parity", bundle.path, *arguments, "--engines", "tflm,host", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mitdb"]["n_equal"] == {"host": 5}
    damaged = call("parity", bundle.path, *arguments, "--engines", "tflm,host", "--damage", "0")
    assert damaged.exit_code == 1
    assert "host differs from the reference first at golden" in damaged.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "lead I, II must be in one record at least, got 4 with MLII, V5, V2, V1",
        ),
        (["--leads", "MLII"], "leads must be 2 in place of I, II, got MLII"),
        (["--leads", "MLII,V5", "--mains", "55"], "mains_hz must be 50 or 60 or none, got 55"),
    ],
)
def test_recordings_that_do_not_fit_are_named(bundle, mitdb, tmp_path, arguments, message):
    common = [bundle.path, "--dataset", "mitdb", "--data", mitdb, "--out", tmp_path]
    result = call("replay", *common, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def one_lead(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("one") / "b")


def test_a_record_without_the_lead_is_left_out_and_named(one_lead, mitdb, tmp_path):
    common = [one_lead.path, "--dataset", "mitdb", "--data", mitdb, "--leads", "mlii"]
    result = call("replay", *common, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    remark = "1 of 4 records left out, without lead mlii: 102."
    assert remark in result.stderr
    assert remark in (tmp_path / "report.html").read_text()
    assert json.loads(result.stdout)["n_skipped"] == 1
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["provenance"]["n_skipped"] == 1
    assert list(values["decisions"]["rejected_by_record"]) == ["100", "201", "202"]


GAINS = {"100001": 1.025, "100002": 1.025, "103001": 0.5, "104001": 1.025}


@pytest.fixture(scope="module")
def butqdb(tmp_path_factory):
    """Four records; the gain of the third is another one than that of the others."""
    folder = tmp_path_factory.mktemp("butqdb")
    for record_id, gain in GAINS.items():
        write_record(folder, record_id, n_samples=13_000, gain=gain)
    return open_dataset("butqdb", folder)


def test_every_record_has_the_front_end_of_its_own_header(one_lead, butqdb):
    programme = fit_front_ends(one_lead, butqdb.open, list(GAINS), ["ECG"], 50.0)
    gains = [(part.bundle.chain.adc_gain, list(part.n_windows)) for part in programme.parts]
    assert gains == [(1025, ["100001", "100002"]), (500, ["103001"]), (1025, ["104001"])]
    assert programme.parts[0].bundle is programme.parts[2].bundle
    assert all(part.bundle.chain.mains_hz == 50 for part in programme.parts)
    (remark,) = programme.remarks[1:]
    assert remark.startswith(
        "Front end of 4 records set to 1000 Hz, 1025 counts/mV, 0 mV at -312, notch at 50 Hz; "
        "1000 Hz, 500 counts/mV, 0 mV at -312, notch at 50 Hz, in place of the bundle's"
    )


def test_a_replay_in_parts_is_that_of_every_record_alone(one_lead, butqdb):
    def play(*record_ids):
        programme = fit_front_ends(one_lead, butqdb.open, record_ids, ["ECG"])
        return replay(programme, butqdb.open, ENGINES["host"])

    together = play(*GAINS)
    assert together.record_ids.tolist() == [i for i in GAINS for _ in range(4)]
    for record_id in GAINS:
        alone, rows = play(record_id), together.record_ids == record_id
        for name in ("starts", "scores", "accepted", "labels", "labels_alone", "quality"):
            np.testing.assert_array_equal(getattr(together, name)[rows], getattr(alone, name))
    louder = together.record_ids == "103001"  # the same counts at half the gain
    assert (together.scores[louder] != together.scores[:4]).all()


def test_instructions_of_the_parts_are_added_up(one_lead, butqdb, toolchain):
    def play(*record_ids):
        programme = fit_front_ends(one_lead, butqdb.open, record_ids, ["ECG"])
        return replay(programme, butqdb.open, ENGINES["qemu"]).instructions

    together, first, second = play("100002", "103001"), play("100002"), play("103001")
    assert together.gate == first.gate + second.gate
    assert together.classifier == first.classifier + second.classifier
    for name in ("chain_total", "n_chain_frames", "chain_s"):
        assert getattr(together, name) == getattr(first, name) + getattr(second, name)
    assert first.chain_s == pytest.approx(13)


def test_a_window_has_the_worst_grade_of_what_it_shows(one_lead, tmp_path):
    graded = {grader: [[0, 12_898, 1], [12_899, 13_499, 3]] for grader in GRADERS}
    folder = write_record(tmp_path, n_samples=15_000, grades=graded)
    dataset = open_dataset("butqdb", folder)
    programme = fit_front_ends(one_lead, dataset.open, ["100001"], ["ECG"])
    quality = replay(programme, dataset.open, ENGINES["host"]).quality
    # Windows of 10 s each second, 0.1 s late: the fourth begins at 2.9 s and ends before 12.9 s.
    assert quality.tolist() == [1, 1, 1, 3, 0, 0]


def test_parity_takes_windows_of_every_front_end(one_lead, butqdb):
    programme = fit_front_ends(one_lead, butqdb.open, list(GAINS), ["ECG"])
    engines = {name: ENGINES[name] for name in ("tflm", "host")}
    result = check_programme(programme, butqdb.open, engines, 10)
    assert (result.n_windows, result.n_equal, result.differences) == (10, {"host": 10}, ())
    with pytest.raises(
        ValueError, match="17 windows must be compared, the recordings have only 16"
    ):
        check_programme(programme, butqdb.open, engines, 17)


def test_parity_names_the_record_whose_front_end_differs(one_lead, butqdb):
    def host_that_rejects_one_sensor(bundle, **networks):
        if bundle.chain.adc_gain == 500:
            bundle = replace(bundle, filter_blob=with_threshold(bundle.filter_blob, 0))
        return ENGINES["host"](bundle, **networks)

    programme = fit_front_ends(one_lead, butqdb.open, list(GAINS), ["ECG"])
    engines = {"tflm": ENGINES["tflm"], "host": host_that_rejects_one_sensor}
    result = check_programme(programme, butqdb.open, engines, 8)
    assert (result.n_windows, result.n_equal) == (8, {"host": 7})  # one was rejected anyway
    (first,) = result.differences
    assert first.window.startswith("record 103001 from sample")


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), min_size=1), st.floats(0, 1))
def test_windows_are_shared_out_evenly(available, part):
    n = int(part * sum(available.values()))
    shares = share_out(available, n)
    assert sum(shares.values()) == n
    assert all(0 <= shares[name] <= available[name] for name in available)
    short = [shares[name] for name in available if shares[name] < available[name]]
    assert not short or max(shares.values()) - min(short) <= 1


def test_no_record_at_all_is_said(one_lead, mitdb):
    with pytest.raises(ValueError, match=r"lead I must be in one record at least, got 0$"):
        fit_front_ends(one_lead, open_dataset("mitdb", mitdb).open, [])


def test_the_loaded_bundle_knows_its_sensor(bundle):
    assert load_bundle(bundle.path).chain == bundle.data.chain
