"""From trained Keras networks to a bundle: what goes in, what is checked, what is refused."""

import json
import shutil

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import leave_one_out, open_dataset
from export.__main__ import app
from export.bundle import load_bundle
from export.pack import pack_bundle
from export.quantize import quantize
from export.training_run import (
    DataSettings,
    TrainedPart,
    load_part,
    model_path,
    save_part,
)
from tests.bundles import ecg_like
from tests.ptbxl_folder import database_row, write_record, write_tables

N_RECORDS = 120
CODES = ("{'NORM': 100.0}", "{'IMI': 100.0}", "{'LVH': 100.0}", "{'IMI': 50.0, 'LVH': 50.0}")


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    """A PTB-XL folder of folds 1 and 9; half of the records carry HYP, a tenth a noise remark."""
    folder = tmp_path_factory.mktemp("ptbxl")
    rows = [
        database_row(
            i,
            strat_fold="1" if i % 2 else "9",
            scp_codes=CODES[i // 2 % len(CODES)],
            static_noise=" I-V1," if i % 10 == 0 else "",
        )
        for i in range(1, N_RECORDS + 1)
    ]
    write_tables(folder, rows)
    for row in rows:
        write_record(folder, row, signal=ecg_like(row["ecg_id"], n_leads=12))
    return folder


def networks():
    """Return an untrained filter and classifier of the kinds that ship."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    window = keras.Input((1000, 2))
    x = layers.Conv1D(6, 9, strides=5, use_bias=False, activation="relu")(window)
    x = layers.Conv1D(5, 5, strides=2, use_bias=False)(x)
    encoder = keras.Model(window, layers.GlobalAveragePooling1D()(x))
    window = keras.Input((1000, 2))
    x = layers.Conv1D(6, 9, strides=10, padding="same", activation="relu")(window)
    y = layers.BatchNormalization()(layers.Conv1D(6, 3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    logits = layers.Dense(4)(layers.GlobalAveragePooling1D()(x))
    return encoder, keras.Model(window, logits)


@pytest.fixture(scope="module")
def run(ptbxl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fingerprint = open_dataset("ptbxl", ptbxl).fingerprint
    data = DataSettings("ptbxl", str(ptbxl), ("I", "V1"), "HYP", fingerprint=fingerprint)
    encoder, classifier = networks()
    encoder.save(model_path(folder, "filter"))
    classifier.save(model_path(folder, "classifier"))
    centre = {"centre": [0.01] * 5}
    save_part(folder, "filter", TrainedPart(data, 0, "squared_distance", centre))
    save_part(folder, "classifier", TrainedPart(data, 0, classes=data.classes))
    return folder


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "b"
    pack_bundle(run, out, alpha=0.2)
    return load_bundle(out)


def test_the_held_out_class_is_in_no_split_that_makes_a_bundle(run):
    data = load_part(run, "filter").data
    protocol = leave_one_out(open_dataset("ptbxl", data.data), data.hold_out)
    for role in ("train", "calibration", "validation"):
        records = protocol.records(role, data.leads)
        assert records
        assert all("HYP" not in record.superclasses and record.superclasses for record in records)


def test_the_threshold_is_fitted_on_clean_in_distribution_calibration_windows(bundle, ptbxl):
    data = bundle.data
    dataset = open_dataset("ptbxl", ptbxl)
    protocol = leave_one_out(dataset, data.hold_out)
    records = protocol.records("calibration", data.leads, clean_only=True)
    entry = bundle.manifest["filter"]["threshold"]
    assert entry["n_calibration"] == len(records)
    assert entry["value"] == bundle.threshold
    golden = bundle.golden
    n_recorded = len(golden.scores) - 3
    for record, counts in zip(records, golden.adc_counts[:n_recorded], strict=False):
        np.testing.assert_array_equal(record.adc_counts, counts)


def test_faults_are_among_the_golden_windows(bundle):
    flat, rails, _ = bundle.golden.adc_counts[-3:]
    assert not flat.any()
    assert set(np.unique(rails)) == {-32768, 32767}


def test_the_manifest_tells_how_it_came_about(bundle):
    manifest = bundle.manifest
    assert manifest["data"]["hold_out"] == "HYP"
    assert manifest["data"]["data"] is None
    assert manifest["filter"]["cost"]["n_parameters"] == 9 * 2 * 6 + 6 + 5 * 6 * 5 + 5
    assert manifest["filter"]["cost"]["macs_per_window"] == 199 * 9 * 2 * 6 + 98 * 5 * 6 * 5
    assert manifest["filter"]["cost"]["blob_bytes"] == len(bundle.filter_blob)
    assert "CC BY 4.0" in manifest["source"]
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert "No record that carries it was used to train" in card


def test_packing_again_gives_the_same_bytes(run, bundle, tmp_path):
    pack_bundle(run, tmp_path, alpha=0.2)
    for name in ("filter.bgm", "classifier.bgm", "golden.npz", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (bundle.path / name).read_bytes(), name


def test_a_bundle_for_another_sensor_differs_in_the_signal_chain_alone(run, bundle, tmp_path):
    sensor = ["--fs", "360", "--adc-gain", "200", "--baseline", "1024", "--mains", "60"]
    arguments = ["bundle", run, "--out", tmp_path, "--alpha", "0.2", *sensor]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    made = load_bundle(tmp_path)
    expected = bundle.with_front_end(360.0, 200.0, 1024, 60.0)
    assert made.chain == expected.chain
    assert made.filter_blob == expected.filter_blob
    assert made.threshold == bundle.threshold
    np.testing.assert_array_equal(made.golden.adc_counts, expected.golden.adc_counts)
    np.testing.assert_array_equal(made.golden.scores, expected.golden.scores)
    assert "sensor of 360 Hz, 200 counts/mV" in (tmp_path / "MODEL_CARD.md").read_text()


def refused(*arguments):
    """Run the command line; return its one sentence on stderr."""
    result = CliRunner().invoke(app, ["bundle", *map(str, arguments)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


def test_a_sensor_no_chain_leads_from_is_refused(run, tmp_path):
    text = refused(run, "--out", tmp_path / "b", "--fs", "99.9")
    assert "fs_target must be reachable from fs, got 99.9 -> 100 Hz" in text


def test_a_run_that_is_not_there_says_which_command_makes_it(tmp_path):
    text = refused(tmp_path / "none", "--out", tmp_path / "b")
    assert "none/filter.json must exist" in text
    assert "python -m nas train" in text


def test_too_few_calibration_windows_are_refused(run, tmp_path):
    assert "alpha 0.01 needs at least 99 calibration windows, got" in refused(
        run, "--out", tmp_path, "--alpha", "0.01"
    )
    assert not (tmp_path / "manifest.json").exists()


def test_recordings_may_have_moved_but_not_changed(run, ptbxl, tmp_path):
    moved = shutil.copytree(ptbxl, tmp_path / "moved", ignore=shutil.ignore_patterns(".beatgate"))
    pack_bundle(run, tmp_path / "b", alpha=0.2, data=str(moved))
    table = moved / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("LVH", "SR"))
    text = refused(run, "--out", tmp_path / "c", "--alpha", "0.2", "--data", moved)
    assert "its tables or settings differ" in text


def test_parts_of_different_data_are_refused(run, tmp_path):
    for name in ("filter.json", "classifier.json"):
        text = (run / name).read_text()
        (tmp_path / name).write_text(text.replace('"HYP"', '"CD"') if "class" in name else text)
    assert "must share their data settings" in refused(tmp_path, "--out", tmp_path / "b")


@pytest.mark.parametrize("damage", ["{", '{"format": 3}', '{"format": 2}'])
def test_a_damaged_description_is_refused(run, tmp_path, damage):
    (tmp_path / "filter.json").write_text(damage)
    assert "filter.json must be a filter description" in refused(tmp_path, "--out", tmp_path)


def quantize_on(path, windows):
    return quantize(path, windows, 1 / 64, held_back=windows)


def save(tmp_path, model):
    model.save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def test_a_network_over_the_cap_is_refused(tmp_path):
    window = keras.Input((100, 1))
    flat = keras.layers.Flatten()(window)
    path = save(tmp_path, keras.Model(window, keras.layers.Dense(5200)(flat)))
    with pytest.raises(ValueError, match="at most 512,000 parameters, has 525,200"):
        quantize_on(path, np.zeros((2, 100, 1), np.int8))


def test_an_operator_the_firmware_lacks_is_refused(tmp_path):
    window = keras.Input((100, 1))
    path = save(tmp_path, keras.Model(window, keras.layers.Softmax(axis=1)(window)))
    x = np.random.default_rng(0).integers(-99, 99, (20, 100, 1), dtype=np.int8)
    with pytest.raises(ValueError, match="must fit the firmware: operators must be among"):
        quantize_on(path, x)


def test_windows_of_another_shape_are_refused(run):
    with pytest.raises(ValueError, match=r"must take windows \(500, 2\), takes \(1000, 2\)"):
        quantize_on(model_path(run, "filter"), np.zeros((2, 500, 2), np.int8))


def test_constant_windows_are_refused(run):
    with pytest.raises(ValueError, match="all of them are constant"):
        quantize_on(model_path(run, "filter"), np.zeros((2, 1000, 2), np.int8))


def test_a_file_that_is_no_keras_model_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK not really")
    with pytest.raises(ValueError, match="must be a Keras model"):
        quantize_on(tmp_path / "m.keras", np.zeros((2, 100, 1), np.int8))


def test_json_output_is_one_object(run, tmp_path):
    arguments = ["bundle", str(run), "--out", str(tmp_path), "--alpha", "0.2", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["bundle"] == str(tmp_path)
