"""Recordings of another sensor than the bundle's: every engine takes them, and says so."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import open_dataset
from export.bundle import load_bundle
from firmware_sim.__main__ import app
from firmware_sim.engines import ENGINES
from firmware_sim.front_end import fit_front_end
from firmware_sim.parity import check_golden, check_parity, golden_recordings
from tests.bundles import ecg_like, make_bundle
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
    same, remarks = fit_front_end(bundle, dataset, dataset.record_ids(), None, None)
    assert same is bundle
    assert remarks == ()


def test_replay_of_another_rate_gain_and_lead(bundle, mitdb, tmp_path):
    common = [bundle.path, "--dataset", "mitdb", "--data", mitdb, "--records", "1"]
    result = call("replay", *common, "--leads", "MLII,V5", "--mains", "60", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    for text in (
        "Lead MLII, V5 takes the place of I, II",
        "(360 Hz, 200 counts/mV, 0 mV at 1024, notch at 60 Hz) are of another sensor than the "
        "bundle's (100 Hz, 1000 counts/mV, 0 mV at 0)",
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
        ([], "lead must be one of MLII, V5, got I in"),
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


def test_the_loaded_bundle_knows_its_sensor(bundle):
    assert load_bundle(bundle.path).chain == bundle.data.chain
