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
from nas import training_data
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
    assert trained.details["params"]["widths"] == [16, 24, 48, 64, 64]
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


def test_both_networks_of_a_run_share_their_data_settings(nas, tmp_path):
    run = tmp_path / "run"
    nas("train", "--run", run, *DATA)
    code, _, err = nas("classifier", "--run", run, *DATA, "--highpass-hz", 0.05)
    assert code == 2
    assert "since its filter highpass_hz was 0.5 and is 0.05" in err


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_the_same_command_goes_on_after_ctrl_c(nas, tmp_path, monkeypatch, overwrite):
    from nas.checkpoint import Checkpoint

    def interrupt(self, model, losses):
        save(self, model, losses)
        raise KeyboardInterrupt

    run, save = tmp_path / "run", Checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", interrupt)
        code, _, err = nas("train", "--run", run, *DATA, *overwrite)
    assert code == 130
    assert "the same command goes on after the last whole epoch" in err
    assert not (run / "filter.json").exists()
    code, _, err = nas("train", "--run", run, *DATA, *overwrite)
    assert code == 0
    assert "going on after epoch 1/2" in err


def test_an_unfinished_training_of_other_settings_is_dropped_by_overwrite(nas, tmp_path):
    run = tmp_path / "run"
    (run / "filter.checkpoint").mkdir(parents=True)
    (run / "filter.checkpoint" / "state.json").write_text('{"subject": {"seed": 9}}')
    code, _, err = nas("train", "--run", run, *DATA)
    assert code == 2
    assert "seed was 9 and is 0" in err
    code, _, err = nas("train", "--run", run, *DATA, "--overwrite")
    assert code == 0
    assert "going on" not in err


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


def test_an_unknown_detector_exits_2(nas, tmp_path):
    code, _, err = nas("train", "--run", tmp_path, "--detector", "oracle")
    assert code == 2
    assert "detector must be one of deep_svdd, got oracle" in err


def test_a_run_that_is_a_file_exits_2(nas, tmp_path):
    (tmp_path / "run").write_text("")
    code, _, err = nas("train", "--run", tmp_path / "run", *DATA)
    assert code == 2
    assert "run" in err
