"""`python -m nas`: what it trains on, what it writes, and what it refuses."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from datasets import DATASETS, SUPERCLASSES, EcgRecord, leave_one_out, split_of
from datasets.dataset import DatasetCard, Member
from datasets.reader import RecordReader
from export.training_run import DataSettings, load_part
from nas import DETECTORS, training_data
from nas.__main__ import app
from nas.training_data import describe_data, familiar_windows

ROOT = Path(__file__).resolve().parents[1]
LEADS = ("I", "II")
DATA = ["--dataset", "toy", "--leads", "I", "--hold-out", "HYP", "--epochs", "2"]


class ToyDataset:
    """96 records; each has one or two superclasses or none, and the first is a spike's height."""

    name, source, fs, leads, n_listed, n_absent = "toy", "none", 100.0, LEADS, 96, 0
    fingerprint = "toy"
    unreadable: dict[str, str] = {}  # noqa: RUF012

    def __init__(self):
        self.records = {record.record_id: record for record in map(self.simulate, range(96))}

    def simulate(self, i):
        rng = np.random.default_rng(i)
        signal = rng.normal(0, 20, (1000, len(LEADS)))
        signal[::80] += 200 + 250 * (i % 6)
        carried = {SUPERCLASSES[i % 6]} if i % 6 < 5 else set()
        if i % 4 == 0:
            carried.add("HYP")
        return EcgRecord(
            record_id=str(i),
            subject_id=str(i),
            fs=self.fs,
            leads=LEADS,
            adc_counts=signal.astype(np.int16),
            adc_gain=1000.0,
            fold=1 + i % 10 if i % 10 != 9 else 9,
            superclasses=frozenset(carried),
            noise_flags=frozenset({"static_noise"} if i % 7 == 0 else ()),
        )

    def record_ids(self, split=None):
        return [
            name
            for name, record in self.records.items()
            if split in (None, split_of(record.fold, record.subject_id))
        ]

    def members(self):
        return {name: Member.of(record) for name, record in self.records.items()}

    def open(self, record_id, leads=None):
        if leads is not None and not set(leads) <= set(LEADS):
            raise ValueError(f"lead must be one of I, II, got {leads}")
        columns = [LEADS.index(lead) for lead in (LEADS if leads is None else leads)]
        whole = self.records[record_id]
        counts = whole.adc_counts[:, columns]
        names = tuple(LEADS[column] for column in columns)
        return RecordReader(
            replace(whole, leads=names, adc_counts=counts[:0]),
            len(counts),
            lambda start, stop: np.array(counts[start:stop], order="C"),
        )

    def load(self, record_id, leads=None):
        return self.open(record_id, leads).whole()


@pytest.fixture(scope="module")
def toy():
    return ToyDataset()


@pytest.fixture
def nas(monkeypatch, toy):
    """Call `python -m nas` with the toy data set listed; return exit code, stdout and stderr."""
    card = DatasetCard(
        "toy", "toy", LEADS, (100.0,), "-", "-", "-", False, lambda data, fs, cache: toy
    )
    monkeypatch.setitem(DATASETS, "toy", card)

    def call(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout, result.stderr

    return call


@pytest.fixture
def interrupted(nas, monkeypatch):
    """Call `python -m nas` and press Ctrl-C after the first epoch; return exit code and stderr."""

    def call(*arguments):
        from nas.checkpoint import StageCheckpoint

        save = StageCheckpoint.save

        def interrupt(self, model, losses):
            save(self, model, losses)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(StageCheckpoint, "save", interrupt)
            code, _, err = nas(*arguments)
        return code, err

    return call


@pytest.fixture(scope="module")
def protocol(toy):
    return leave_one_out(toy, "HYP")


@pytest.fixture
def settings(protocol):
    return described(protocol)


def described(protocol):
    """Return the settings of a run with lead I and the chain's defaults."""
    return describe_data(protocol, None, ("I",), 100.0, 0.5, None)


def test_importing_nas_loads_no_keras():
    code = (
        "import sys, nas.__main__; sys.exit(any(m in sys.modules for m in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_record_of_the_held_out_class_is_ever_windowed(toy, protocol, settings, monkeypatch):
    windows_of, seen = training_data.windows_of, []

    def watched(records, *arguments):
        return windows_of((seen.append(record) or record for record in records), *arguments)

    monkeypatch.setattr(training_data, "windows_of", watched)
    batch = familiar_windows(protocol, settings, "train")
    train = [toy.records[name] for name in toy.record_ids("train")]
    assert any(record.superclasses == {"NORM", "HYP"} for record in train)
    assert any(record.superclasses == {"HYP"} for record in train)
    assert all(record.superclasses and "HYP" not in record.superclasses for record in seen)
    assert {record.record_id for record in seen} == {
        record.record_id
        for record in train
        if record.superclasses and "HYP" not in record.superclasses
    }
    assert not batch.labels[:, SUPERCLASSES.index("HYP")].any()


def test_without_a_held_out_class_all_are_familiar(toy):
    everything = leave_one_out(toy, None)
    batch = familiar_windows(everything, described(everything), "train")
    assert batch.labels.any(axis=0).all()
    assert batch.labels.any(axis=1).all()


def test_a_rehearsal_is_part_of_what_a_run_is(toy, settings):
    rehearsal = described(leave_one_out(toy, "HYP", rehearsal=True))
    assert rehearsal.rehearsal
    assert not settings.rehearsal
    assert rehearsal != settings


def test_clean_only_leaves_out_records_with_a_remark(protocol, settings):
    everything = familiar_windows(protocol, settings, "calibration")
    clean = familiar_windows(protocol, settings, "calibration", clean_only=True)
    assert clean.clean.all()
    assert len(clean) == everything.clean.sum() < len(everything)


def test_splits_share_no_subject(protocol, settings):
    train, calibration = (familiar_windows(protocol, settings, s) for s in ("train", "calibration"))
    assert not set(train.subject_ids) & set(calibration.subject_ids)


def test_windows_went_through_the_signal_chain(toy, protocol, settings):
    batch = familiar_windows(protocol, settings, "train")
    counts = toy.records[batch.record_ids[0]].adc_counts[:, :1]
    assert np.array_equal(batch.x[0], settings.chain.apply(counts)[:1000])


def test_train_and_classifier_fill_the_run_folder(nas, tmp_path, toy):
    import keras

    run = tmp_path / "run"
    code, out, _ = nas("train", "--run", run, *DATA, "--json")
    assert code == 0
    shown = json.loads(out)
    trained = load_part(run, "filter")
    assert shown["details"] == trained.details
    assert trained.data == DataSettings("toy", None, ("I",), "HYP", fingerprint="toy")
    assert trained.score_rule == "squared_distance"
    assert len(trained.score_constants["centre"]) == 64
    assert trained.details["detector"] == "deep_svdd"
    assert [block["width"] for block in trained.details["params"]["blocks"]] == [16, 24, 48, 64, 64]
    versions = {"keras", "numpy", keras.backend.backend()}
    assert set(trained.details["versions"]) == versions
    assert len(trained.details["history"]["loss"]) == 2
    assert keras.models.load_model(run / "filter.keras").output_shape == (None, 64)

    code, out, _ = nas("classifier", "--run", run, *DATA)
    assert code == 0
    assert "AUROC on" in out
    trained = load_part(run, "classifier")
    assert trained.classes == ("NORM", "MI", "STTC", "CD")
    assert list(trained.details["history"]["auroc"]) == list(trained.classes)
    assert keras.models.load_model(run / "classifier.keras").output_shape == (None, 4)
    assert sorted(path.name for path in run.iterdir()) == [
        "classifier.json",
        "classifier.keras",
        "filter.json",
        "filter.keras",
    ]


def test_a_finished_run_is_trained_again_only_with_overwrite(nas, tmp_path):
    run = tmp_path / "run"
    nas("train", "--run", run, *DATA)
    before = (run / "filter.keras").stat().st_mtime_ns
    code, out, err = nas("train", "--run", run, *DATA)
    assert (code, before) == (0, (run / "filter.keras").stat().st_mtime_ns)
    assert "nothing trained; --overwrite trains it again" in err
    assert "29,296 parameters" in out
    code, _, err = nas("train", "--run", run, *DATA, "--seed", 1)
    assert code == 2
    assert "already holds a filter of other settings (seed was 0 and is 1)" in err
    assert nas("train", "--run", run, *DATA, "--seed", 1, "--overwrite")[0] == 0
    assert load_part(run, "filter").seed == 1


def test_killed_while_replacing_a_network_no_description_is_left_beside_it(
    nas, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    nas("train", "--run", run, *DATA)
    other = [*DATA, "--seed", 1, "--overwrite"]

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nas.train.save_part", killed)
        assert nas("train", "--run", run, *other)[0] == 130
    assert not (run / "filter.json").exists()
    code, _, err = nas("train", "--run", run, *other)
    assert code == 0
    assert "going on after epoch 2/2" in err
    assert load_part(run, "filter").seed == 1


@pytest.mark.parametrize(("detector", "shown"), [("deep_svdd", True), ("autoencoder", False)])
def test_the_spread_is_shown_of_outputs_drawn_to_a_point_alone(nas, tmp_path, detector, shown):
    """A residual's mean is about 0, and what is measured by it says nothing."""
    code, out, _ = nas("train", "--run", tmp_path / "run", *DATA, "--detector", detector)
    assert code == 0
    assert ("outputs spread by" in out) == shown


def test_both_networks_of_a_run_share_their_data_settings(nas, tmp_path):
    run = tmp_path / "run"
    nas("train", "--run", run, *DATA)
    code, _, err = nas("classifier", "--run", run, *DATA, "--highpass-hz", 0.05)
    assert code == 2
    assert "since its filter highpass_hz was 0.5 and is 0.05" in err


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_the_same_command_goes_on_after_ctrl_c(nas, interrupted, tmp_path, overwrite):
    run = tmp_path / "run"
    code, err = interrupted("train", "--run", run, *DATA, *overwrite)
    assert code == 130
    assert "the same command goes on after the last whole epoch" in err
    assert not (run / "filter.json").exists()
    code, _, err = nas("train", "--run", run, *DATA, *overwrite)
    assert code == 0
    assert "going on after epoch 1/2" in err


def test_an_unfinished_training_of_other_settings_is_dropped_by_overwrite(nas, tmp_path):
    run = tmp_path / "run"
    main = run / "filter.checkpoint" / "main"
    main.mkdir(parents=True)
    (main / "state.json").write_text('{"subject": {"seed": 9}}')
    code, _, err = nas("train", "--run", run, *DATA)
    assert code == 2
    assert "seed was 9 and is 0" in err
    code, _, err = nas("train", "--run", run, *DATA, "--overwrite")
    assert code == 0
    assert "going on" not in err


@pytest.mark.parametrize("damaged", ["state.json", "epoch-1.weights.h5"])
@pytest.mark.parametrize("command", ["train", "classifier"])
def test_a_damaged_checkpoint_is_dropped_by_overwrite(
    nas, interrupted, tmp_path, command, damaged
):
    run = tmp_path / "run"
    assert interrupted(command, "--run", run, *DATA)[0] == 130
    part = "filter" if command == "train" else "classifier"
    checkpoint = run / f"{part}.checkpoint"
    (checkpoint / "main" / damaged).write_bytes(b"damaged")
    code, _, err = nas(command, "--run", run, *DATA)
    assert code == 2
    assert "got a damaged one" in err
    assert f"delete {checkpoint} to start again" in err
    code, _, err = nas(command, "--run", run, *DATA, "--overwrite")
    assert code == 0
    assert "going on" not in err
    assert load_part(run, part).seed == 0


@pytest.mark.parametrize("command", ["train", "classifier"])
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "mimic"], "dataset must be one of"),
        (["--dataset", "toy", "--leads", "V9"], "lead must be one of I, II"),
        (["--dataset", "toy", "--leads", ""], "leads must name at least one lead"),
        (["--dataset", "toy", "--hold-out", "AFIB"], "hold_out must be one of"),
        (["--dataset", "toy", "--highpass-hz", "60"], "highpass_hz must be in"),
        (["--dataset", "toy", "--fs", "250"], "fs of toy must be 100 Hz, got 250"),
        (["--dataset", "toy", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--dataset", "toy", "--seed", "-1"], "seed must be in"),
        (["--dataset", "ptbxl", "--data", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_exits_2_with_one_sentence(nas, tmp_path, command, arguments, complaint):
    code, out, err = nas(command, "--run", tmp_path / "run", *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert complaint in err
    assert not (tmp_path / "run").exists()


def refused(nas, run, command, *arguments):
    """Return the one sentence with which a command exits 2 before it leaves anything behind."""
    code, out, err = nas(command, "--run", run, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert not run.exists()
    return err


@pytest.fixture
def params(tmp_path):
    """Write a parameter file; a text as it is."""

    def write(values):
        path = tmp_path / "params.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return path

    return write


def test_a_parameter_file_changes_the_defaults(nas, tmp_path, params):
    run, file = tmp_path / "run", params(EXAMPLE)
    assert nas("train", "--run", run, *DATA, "--params", file)[0] == 0
    trained = load_part(run, "filter")
    assert trained.data.window_s == 5.0
    assert trained.details["params"]["objective"] == "soft_boundary"
    assert [block["width"] for block in trained.details["params"]["blocks"]] == [8, 16]
    assert trained.details["augmentation"] == {"gain": 0.2, "noise_mv": 0.0}
    assert trained.details["plan"]["learning_rate"] == 2e-3
    assert trained.details["plan"]["epochs"] == 2  # the command line's
    code, _, err = nas("classifier", "--run", run, *DATA)
    assert code == 2
    assert "since its filter window_s was 5.0 and is 10.0" in err
    assert nas("classifier", "--run", run, *DATA, "--window-s", 5)[0] == 0


EXAMPLE = {
    "detector": "deep_svdd",
    "params": {
        "objective": "soft_boundary",
        "blocks": [{"width": 8, "kernel": 7, "stride": 5}, {"width": 16, "kernel": 5, "stride": 4}],
    },
    "plan": {"learning_rate": 2e-3, "epochs": 7},
    "augmentation": {"gain": 0.2},
    "window_s": 5,
}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ("{", "params.json must describe a detector: Expecting property name"),
        ([], "a candidate: Input should be an object, got []"),
        ({"detector": "oracle"}, "detector must be one of"),
        ({"param": {}}, "a candidate.param: Unexpected keyword argument"),
        ({"params": 3}, "params: Input should be an object, got 3"),
        ({"params": {"nu": "0.1"}}, "params.nu: Input should be a valid number, got '0.1'"),
        ({"params": {"blocks": [{"width": 8}]}}, "params.blocks.0.kernel: Field required"),
        ({"params": {"blocks": [{"width": 8, "kernel": 0}]}}, "params.blocks.0: width, kernel"),
        ({"params": {"widths": [8]}}, "params.widths: Unexpected keyword argument"),
        ({"plan": {"epochs": 1.5}}, "plan.epochs: Input should be a valid integer, got 1.5"),
        ({"augmentation": {"gain": 2}}, "gain must be in [0, 1), got 2.0"),
        ({"window_s": -1}, "window_s must be positive, got -1.0"),
        (
            {"params": {"blocks": [{"width": 900, "kernel": 700}]}},
            "must have at most 512,000 parameters, deep_svdd of these parameters has 630,000",
        ),
        (
            {"params": {"blocks": [{"width": 8, "kernel": 1001}]}},
            "the network must fit a window of 1000 samples",
        ),
        ({"window_s": 60}, "a record must hold one window of 6000 samples, got 1000 in record"),
    ],
)
def test_a_bad_parameter_file_exits_2(nas, tmp_path, params, values, complaint):
    err = refused(nas, tmp_path / "run", "train", *DATA, "--params", params(values))
    assert complaint in err


def test_a_parameter_file_of_another_detector_exits_2(nas, tmp_path, params, monkeypatch):
    monkeypatch.setitem(DETECTORS, "twin", DETECTORS["deep_svdd"])
    arguments = ["--params", params({"detector": "twin"}), "--detector", "deep_svdd"]
    err = refused(nas, tmp_path / "run", "train", *DATA, *arguments)
    assert "params.json must describe a deep_svdd, is of a twin" in err


def test_a_parameter_file_that_is_not_there_exits_2(nas, tmp_path):
    err = refused(nas, tmp_path / "run", "train", *DATA, "--params", tmp_path / "none.json")
    assert "none.json" in err


def test_a_classifier_of_windows_longer_than_the_records_exits_2(nas, tmp_path):
    err = refused(nas, tmp_path / "run", "classifier", *DATA, "--window-s", 60)
    assert "a record must hold one window of 6000 samples, got 1000 in record" in err


@pytest.mark.parametrize("command", ["train", "classifier"])
def test_a_class_without_a_record_to_train_on_exits_2(nas, tmp_path, toy, monkeypatch, command):
    members = {name: m for name, m in toy.members().items() if "CD" not in m.superclasses}
    monkeypatch.setattr(toy, "members", lambda: members)
    err = refused(nas, tmp_path / "run", command, *DATA)
    assert "training needs records of NORM, MI, STTC, CD, the training split has none of CD" in err


def test_a_training_that_diverges_exits_1_and_names_the_step(nas, tmp_path, params):
    run, file = tmp_path / "run", params({"plan": {"learning_rate": 1e30}})
    code, _, err = nas("train", "--run", run, *DATA, "--params", file)
    assert code == 1
    assert "must stay finite, got" in err
    assert "in epoch 1/2, step" in err
    assert "try a lower learning rate, with --overwrite" in err
    assert not (run / "filter.json").exists()


def test_an_unfinished_training_of_the_other_backend_is_refused(
    nas, interrupted, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    assert interrupted("train", "--run", run, *DATA)[0] == 130
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    code, _, err = nas("train", "--run", run, *DATA)
    assert code == 2
    assert "jax was None and is" in err


def test_an_unknown_detector_exits_2(nas, tmp_path):
    code, _, err = nas("train", "--run", tmp_path, "--detector", "oracle")
    assert code == 2
    assert f"detector must be one of {', '.join(DETECTORS)}, got oracle" in err


def test_a_run_that_is_a_file_exits_2(nas, tmp_path):
    (tmp_path / "run").write_text("")
    code, _, err = nas("train", "--run", tmp_path / "run", *DATA)
    assert code == 2
    assert "run" in err
