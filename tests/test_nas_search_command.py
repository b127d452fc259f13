"""`python -m nas sweep`, `pareto` and `winner`: what they see, write and refuse."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from typer.testing import CliRunner

from datasets import DATASETS, split_of
from datasets.dataset import DatasetCard
from nas.__main__ import app
from nas.search import sweep
from nas.search.ledger import OWNER, Outcome, tally
from nas.search.owners import Owner
from nas.search.storage import StudyPlace, load_study, opened
from tests.search_studies import PoolHere, Pretended
from tests.test_nas_main import LEADS, ToyDataset

ROOT = Path(__file__).resolve().parents[1]
TOY = ["--dataset", "toy", "--leads", "I", "--hold-out", "HYP"]


class WatchedDataset(ToyDataset):
    """Remembers which records were opened."""

    def __init__(self):
        super().__init__()
        self.opened = set()

    def open(self, record_id, leads=None):
        self.opened.add(record_id)
        return super().open(record_id, leads)


@pytest.fixture
def toy():
    return WatchedDataset()


@pytest.fixture
def nas(monkeypatch, toy):
    """Call `python -m nas` with pretended trainings; return exit code, stdout and stderr."""
    card = DatasetCard("toy", "toy", LEADS, (100.0,), "-", "-", "-", False, lambda *place: toy)
    monkeypatch.setitem(DATASETS, "toy", card)
    monkeypatch.setattr(sweep, "make_evaluation", Pretended)
    monkeypatch.setattr(
        sweep,
        "local_pool",
        lambda folder, n_workers: lambda assignment, key: PoolHere(assignment, n_workers, key),
    )

    def call(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout, result.stderr

    return call


def test_a_sweep_shows_its_front_and_goes_on(nas, tmp_path):
    study = tmp_path / "toy"
    code, out, err = nas("sweep", "--study", study, "--trials", 12, *TOY)
    assert code == 0, err
    assert "Pareto front" in out
    code, out, _ = nas("sweep", "--study", study, "--trials", 20, "--jobs", 2, *TOY, "--json")
    assert code == 0
    values = json.loads(out)
    assert values["settled"] == 20
    assert [o["name"] for o in values["objectives"]] == [
        "auroc",
        "flash_bytes",
        "instructions_per_second",
        "arena_bytes",
    ]
    assert values["winner"] in [point["trial"] for point in values["front"]]
    assert values["hypervolume"] > 0
    code, out, _ = nas("pareto", study, "--json")
    assert json.loads(out) == values


def test_every_familys_hand_picked_candidate_is_tried_first(nas, tmp_path):
    nas("sweep", "--study", tmp_path / "toy", "--trials", 8, *TOY)
    place = StudyPlace(tmp_path / "toy")
    with opened(place) as storage:
        study, settings = load_study(place, storage)
    sources = [trial.user_attrs["source"] for trial in study.trials]
    assert sources == [f"hand-picked {name}" for name in settings.gates[0].detectors]


def test_no_record_of_the_held_out_class_or_of_the_test_is_opened(nas, toy, tmp_path):
    code, _, err = nas("sweep", "--study", tmp_path / "toy", "--trials", 10, *TOY)
    assert code == 0, err
    assert toy.opened
    for record_id in toy.opened:
        record = toy.records[record_id]
        assert "HYP" not in record.superclasses
        assert split_of(record.fold, record.subject_id) in ("train", "validation")


def test_the_surrogate_class_is_not_trained_on(nas, toy, tmp_path):
    nas("sweep", "--study", tmp_path / "toy", "--trials", 1, "--surrogates", "MI", *TOY)
    with_mi = [i for i in toy.opened if "MI" in toy.records[i].superclasses]
    assert with_mi
    for record_id in with_mi:
        record = toy.records[record_id]
        assert split_of(record.fold, record.subject_id) == "validation"
    folder = tmp_path / "toy" / "windows"
    n_train = sum(
        split_of(r.fold, r.subject_id) == "train" and not r.superclasses & {"MI", "HYP"}
        for i, r in toy.records.items()
        if r.superclasses
    )
    assert np.load(folder / "train.npy").shape == (n_train, 1000, 1)
    assert np.load(folder / "MI.npy").shape == (len(with_mi), 1000, 1)
    assert np.load(folder / "train-labels.npy").shape == (n_train, 3)


def test_a_pair_shares_the_cap_and_each_gate_has_its_judge(nas, tmp_path):
    options = ["--detectors", "deep_svdd,flow", "--pair", "quality", "--sampler", "nsga2"]
    code, out, err = nas(
        "sweep", "--study", tmp_path / "p", "--trials", 6, *options, *TOY, "--json"
    )
    assert code == 0, err
    for point in json.loads(out)["front"]:
        assert set(point["candidates"]) == {"quality", "familiarity"}
        assert set(point["aurocs"]) == {"quality:noise", "familiarity:MI"}
        assert point["candidates"]["quality"]["detector"] == "quality"


def test_warm_start_tries_another_studys_front_first(nas, tmp_path):
    _, out, _ = nas("sweep", "--study", tmp_path / "a", "--trials", 9, *TOY, "--json")
    n_front = len(json.loads(out)["front"])
    options = ["--warm-start", tmp_path / "a", "--trials", 8 + n_front, "--seed", 1]
    code, _, err = nas("sweep", "--study", tmp_path / "b", *options, *TOY)
    assert code == 0, err
    place = StudyPlace(tmp_path / "b")
    with opened(place) as storage:
        study, _ = load_study(place, storage)
    sources = [trial.user_attrs["source"] for trial in study.trials]
    assert sum(source.endswith(" of a") for source in sources) == n_front


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--detectors", "svm"], "detectors must be of deep_svdd"),
        (["--surrogates", "HYP"], "must be another superclass than the held-out one"),
        (["--surrogates", "MI,CD"], "surrogates must name one superclass at most"),
        (["--sampler", "gp"], "sampler must be of tpe, nsga2, random, got gp"),
        (["--board", "abacus"], "board must be one of"),
        (["--objectives", "price"], "costs must be of flash_bytes"),
        (["--trials", "0"], "a budget must be positive"),
        (["--ray", "auto"], "a Ray cluster needs a study in a database"),
    ],
)
def test_what_cannot_be_searched_is_refused(nas, tmp_path, options, reason):
    code, _, err = nas("sweep", "--study", tmp_path / "toy", "--trials", 3, *TOY, *options)
    assert (code, err.count("\n")) == (2, 1)
    assert reason in err


def test_a_study_of_other_settings_is_refused(nas, tmp_path):
    nas("sweep", "--study", tmp_path / "toy", "--trials", 1, *TOY)
    code, _, err = nas("sweep", "--study", tmp_path / "toy", "--trials", 2, "--seed", 7, *TOY)
    assert code == 2
    assert "begun with other settings (seed was 0 and is 7)" in err


def test_a_study_that_is_not_there_is_told(nas, tmp_path):
    code, _, err = nas("pareto", tmp_path / "none")
    assert code == 2
    assert "journal.log must exist, it does not" in err
    assert not (tmp_path / "none").exists()


def test_a_page_loads_nothing_and_is_the_same_twice(nas, tmp_path):
    options = ["--detectors", "deep_svdd", "--sampler", "random", *TOY]
    nas("sweep", "--study", tmp_path / "toy", "--trials", 24, *options)
    code, _, err = nas("pareto", tmp_path / "toy", "--out", tmp_path / "one")
    assert code == 0, err
    nas("pareto", tmp_path / "toy", "--out", tmp_path / "two")
    page = (tmp_path / "one" / "pareto.html").read_text()
    assert page == (tmp_path / "two" / "pareto.html").read_text()
    shown = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<[^>]*(?:src|href)=", shown)
    for target in ("front-1", "front-2", "front-3", "hypervolume", "importance"):
        assert f'<div id="{target}">' in page
    assert "The winner's network" in page


def test_the_winner_becomes_a_run(nas, tmp_path):
    nas("sweep", "--study", tmp_path / "toy", "--trials", 1, "--detectors", "deep_svdd", *TOY)
    code, _, err = nas("winner", tmp_path / "toy", "--run", tmp_path / "run", "--trial", "7")
    assert code == 2
    assert "trial must be best or the number of one fitted on all windows" in err
    code, out, err = nas("winner", tmp_path / "toy", "--run", tmp_path / "run", "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values["score_rule"] == "squared_distance"
    assert values["data"]["hold_out"] == "HYP"
    assert (tmp_path / "run" / "filter.keras").exists()


TOY_COMMAND = """
from datasets import DATASETS
from datasets.dataset import DatasetCard
from nas.__main__ import app
from tests.test_nas_main import LEADS, ToyDataset
toy = ToyDataset()
card = DatasetCard("toy", "toy", LEADS, (100.0,), "-", "-", "-", False, lambda *place: toy)
DATASETS["toy"] = card
app()
"""


def start(study, trials):
    options = ["--study", str(study), "--trials", str(trials), "--detectors", "deep_svdd", *TOY]
    return subprocess.Popen(
        [sys.executable, "-c", TOY_COMMAND, "sweep", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(place, condition):
    """Wait until the trials of the study fulfil a condition, and return them."""
    for _ in range(3000):
        time.sleep(0.1)
        if (place.folder / "journal.log").exists():
            with opened(place) as storage:
                trials = optuna.load_study(study_name=place.name, storage=storage).trials
            if condition(trials):
                return trials
    raise AssertionError("waited for five minutes")


def running_owner(trials):
    owners = [t.user_attrs.get(OWNER) for t in trials if t.state == optuna.trial.TrialState.RUNNING]
    return next((Owner.from_json(owner) for owner in owners if owner), None)


@pytest.mark.slow
def test_killed_and_interrupted_a_real_sweep_goes_on_by_the_same_command(tmp_path):
    place = StudyPlace(tmp_path / "toy")
    killed = start(place.folder, 4)
    trials = wait_for(place, lambda trials: running_owner(trials) is not None)
    worker = running_owner(trials)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    give_up = time.monotonic() + 30
    while worker.is_alive and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not worker.is_alive  # it ends with its sweep

    interrupted = start(place.folder, 4)
    wait_for(place, lambda trials: len(trials) > 1 and (o := running_owner(trials)) and o.is_alive)
    interrupted.send_signal(signal.SIGINT)
    out, err = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, err
    assert "study toy:" in out
    assert "the same command goes on" in err

    last = start(place.folder, 4)
    out, err = last.communicate(timeout=600)
    assert last.returncode == 0, err
    with opened(place) as storage:
        study, _ = load_study(place, storage)
        counts = tally(study)
    assert sum(counts.values()) == 4
    assert counts[Outcome.DONE] + counts[Outcome.FAILED] + counts[Outcome.STOPPED] == 4
    assert counts[Outcome.DONE] >= 2


def test_samplers_are_compared_at_equal_trials_and_go_on(nas, tmp_path):
    nas("sweep", "--study", tmp_path / "toy", "--trials", 1, "--detectors", "deep_svdd", *TOY)
    arguments = ["compare-samplers", tmp_path / "toy", "--out", tmp_path / "c", "--repeats", 2]
    assert nas(*arguments, "--trials", 5)[0] == 0
    code, out, err = nas(*arguments, "--trials", 8, "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values == json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert set(values["samplers"]) == {"tpe", "nsga2", "random"}
    for sampler in values["samplers"].values():
        assert np.diff(sampler["curves"]).min() >= 0
        assert [len(curve) for curve in sampler["curves"]] == [8, 8]
        assert sampler["curves"][0] != sampler["curves"][1]
    assert values["samplers"]["random"]["against_random"] == 1


@pytest.mark.slow
def test_on_jax_a_worker_never_loads_tensorflow(tmp_path):
    pytest.importorskip("jax", reason="no jax: the extra `jax`")
    here = ["import sys", "sys.modules['tensorflow'] = None  # importing it would fail"]
    code = "\n".join(
        [
            *here,
            "from nas.search import sweep",
            "from tests.search_studies import PoolHere",
            "sweep.local_pool = lambda folder, n: lambda work, key: PoolHere(work, n, key)",
            TOY_COMMAND,
        ]
    )
    options = ["--study", str(tmp_path / "toy"), "--trials", "1", "--detectors", "deep_svdd", *TOY]
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", *options, "--json"],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"]["done"] == 1
