"""The benchmark: which slots there are, what decides a cell, and what is kept of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets import DATASETS
from datasets.command_line import CheckFailed
from datasets.dataset import DatasetCard
from export.threshold import fit_threshold
from nas.__main__ import app
from nas.benchmark import execution, sources
from nas.benchmark.cells import CellFiles, Ranked, rank
from nas.benchmark.execution import Options, kept_slots, list_states, run_slots
from nas.benchmark.runs import Runner
from nas.benchmark.study import (
    BASELINES,
    HOLD_OUTS,
    LEADS,
    ROWS,
    Keys,
    Setting,
    Slot,
    Study,
    slots_of,
)
from nas.benchmark.workers import Outcome
from nas.plan import TrainingPlan
from tests.toy_benchmark import LEAD_NAMES, ToyDataset, toy_cell, toy_records


@pytest.fixture
def toy(monkeypatch):
    card = DatasetCard(
        name="toy",
        about="",
        leads=LEAD_NAMES,
        fs=(100.0,),
        size="",
        licence="",
        citation="",
        needs_folder=False,
        open=lambda data, fs, cache: ToyDataset(),
    )
    monkeypatch.setitem(DATASETS, "toy", card)
    return Setting("toy")


def test_the_first_slots_make_a_table_that_says_something():
    slots = slots_of(ROWS, n_seeds=2)
    assert len(slots) == len(set(slots)) == (2 * len(ROWS) - 1) * len(HOLD_OUTS) * len(LEADS)
    first = slots[: len(ROWS) * len(HOLD_OUTS)]
    assert {(s.leads, s.seed) for s in first} == {("12", 0)}
    assert {s.row for s in first} == set(ROWS)
    assert [s.seed for s in slots] == sorted(s.seed for s in slots)
    assert not [s for s in slots if s.row == BASELINES and s.seed]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"detectors": ("deep_svd",)}, "deep_svd"),
        ({"hold_outs": ("NORM",)}, "NORM"),
        ({"hold_outs": ()}, "none"),
        ({"leads": ("I", "V9")}, "V9"),
        ({"n_seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_slots_that_do_not_exist_are_refused(arguments, named):
    with pytest.raises(ValueError, match=f"must be.*{named}|{named}"):
        slots_of(**{"detectors": ("deep_svdd",), **arguments})


scores = st.lists(st.integers(0, 30), min_size=25, max_size=60)


@given(calibration=scores, test=scores, noisy=scores)
def test_ranks_decide_and_rank_as_the_scores_do(calibration, test, noisy):
    parts = [np.array(values, np.float64) for values in (calibration, test, noisy)]
    ranked = rank(parts[0], parts[1], [parts[2]])
    threshold = fit_threshold(np.array(calibration, np.int64)).value
    assert (ranked.test > ranked.threshold).tolist() == [s > threshold for s in test]
    assert (ranked.noisy[0] > ranked.threshold).tolist() == [s > threshold for s in noisy]
    assert np.array_equal(np.sign(np.subtract.outer(ranked.test, ranked.noisy[0])),
                          np.sign(np.subtract.outer(parts[1], parts[2])))  # fmt: skip
    kept = json.loads(json.dumps(ranked.to_json()))
    again = Ranked.from_json(kept)
    assert np.array_equal(again.test, ranked.test)
    assert np.array_equal(again.noisy[0], ranked.noisy[0])


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite, 1 of 41"):
        rank(np.arange(40.0), np.array([np.nan]), [])


def test_what_is_written_is_read_again(tmp_path):
    files = CellFiles(tmp_path)
    slot, records = Slot("deep_svdd", "HYP", "I", 0), toy_records()
    n = len(records.record_ids)
    cell = toy_cell(slot, np.arange(n), [np.arange(3.0)], (0, 2, 5))
    assert files.read(slot) is None
    files.write(cell)
    files.write_records(records)
    again = files.read(slot)
    assert again.to_json() == cell.to_json()
    assert files.read_records().sha256 == records.sha256 == cell.records
    assert files.state(again, Keys("t", "c")) == "done"
    assert files.state(again, Keys("t", "other")) == "stale"
    assert files.state(replace(cell, error="ValueError: no"), Keys("t", "c")) == "failed"
    assert files.state(None, Keys("t", "c")) == "missing"
    path = tmp_path / "cells" / f"{slot.name}.json"
    assert path.stat().st_size < 30_000
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match="must be a cell"):
        files.read(slot)


def test_comments_and_docstrings_decide_nothing_and_code_does(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    python, c = tmp_path / "a.py", tmp_path / "a.c"

    def digest(python_text, c_text):
        python.write_text(python_text)
        c.write_text(c_text)
        return sources.digest_of(["a.py", "a.c"])

    before = digest('"""One."""\n\n\ndef f(x):\n    return x  # this\n', "int a; /* 1 */\n")
    assert before == digest(
        '"""Two\nlines."""\n\ndef f(x):\n    """Say."""\n\n    return x\n', "int\ta;"
    )
    assert before != digest("def f(x):\n    return -x\n", "int a;")
    assert before != digest("def f(x):\n    return x\n", "int b;")


def test_a_family_depends_on_its_module_and_what_that_imports():
    files = sources.family_files("deep_svdd")
    assert {"nas/detectors/deep_svdd.py", "nas/blocks.py", "nas/layers.py"} <= set(files)
    assert not [f for f in files if "benchmark" in f or "__main__" in f or "job" in f]
    assert [f for f in files if f.startswith("nas/detectors/")] == [
        "nas/detectors/deep_svdd.py",
        "nas/detectors/detector.py",
    ]
    assert "nas/damage.py" in sources.family_files("quality")
    for file in (*sources.TRAINING, *sources.EVALUATION):
        assert (sources.ROOT / file).is_file()


def test_what_decides_a_cell_is_in_its_key(toy, monkeypatch, tmp_path):
    slot = Slot("deep_svdd", "HYP", "I", 0)
    before = Study(toy).keys(slot)
    assert Study(toy).keys(slot) == before
    for other in ("seed", "leads", "hold_out", "row"):
        value = {"seed": 1, "leads": "12", "hold_out": "CD", "row": BASELINES}[other]
        assert Study(toy).keys(replace(slot, **{other: value})).training != before.training
    (tmp_path / "bw.hea").write_text("bw 2 360 10\n# made up\n")
    (tmp_path / "bw.dat").write_bytes(b"0")
    noisy = Study(replace(toy, noise=tmp_path))
    assert noisy.keys(slot).training == before.training
    assert noisy.keys(slot).cell != before.cell
    assert noisy.noise_remarks == ["baseline_wander: made up"]
    monkeypatch.setattr(ToyDataset, "fingerprint", "other")
    assert Study(toy).keys(slot).training != before.training


def test_a_folder_without_noise_is_refused(toy, tmp_path):
    with pytest.raises(ValueError, match="must hold one of bw, ma, em"):
        Study(replace(toy, noise=tmp_path)).keys(Slot("deep_svdd", "HYP", "I", 0))


def run_here(tasks, group_of, make, **options):
    """Yield what `run_tasks` does, in this process."""
    for task in tasks:
        if task.hold_out == "CD":
            yield Outcome(task, None, "ValueError: made to fail")
        else:
            n = len(toy_records().record_ids)
            cell = replace(toy_cell(task, np.arange(n)), keys=Study(Setting("toy")).keys(task))
            yield Outcome(task, (cell, toy_records()), None)


def test_only_what_is_not_done_is_run_and_failures_stay(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "run_tasks", run_here)
    study, files = Study(toy), CellFiles(tmp_path / "results")
    options = Options(tmp_path / "work")
    slots = slots_of(("deep_svdd",), leads=("I",))
    with pytest.raises(CheckFailed, match=r"1 of 4 slots failed \(deep_svdd-CD-I-0"):
        run_slots(study, files, slots, options)
    assert [*list_states(study, files, slots).values()] == ["done", "failed", "done", "done"]
    assert kept_slots(study, files) == sorted(slots, key=lambda slot: slot.name)
    capsys.readouterr()
    run_slots(study, files, slots, options)
    assert capsys.readouterr().err == ""  # nothing was left to run
    with pytest.raises(CheckFailed, match="1 of 1"):
        run_slots(study, files, slots, replace(options, retry=True))
    monkeypatch.setattr(ToyDataset, "fingerprint", "other")
    assert set(list_states(Study(toy), files, slots).values()) == {"stale"}


def test_cells_of_another_table_are_not_mixed_in(toy, tmp_path):
    files = CellFiles(tmp_path)
    slot = Slot("deep_svdd", "HYP", "I", 0)
    files.write(toy_cell(slot, np.arange(len(toy_records().record_ids))))
    assert kept_slots(Study(toy), files) == [slot]
    with pytest.raises(ValueError, match="choose another --out"):
        kept_slots(Study(replace(toy, rehearsal=False)), files)


def test_the_command_lists_and_refuses(toy, tmp_path):
    def invoke(*options):
        command = ["benchmark", "--dataset", "toy", "--out", str(tmp_path / "r"), *options]
        return CliRunner().invoke(app, command)

    listed = invoke("--list", "--leads", "I", "--detectors", "deep_svdd,baselines")
    assert listed.exit_code == 0, listed.output
    assert "missing deep_svdd-HYP-I-0" in listed.output
    assert "0 done, 0 stale, 0 failed, 8 missing" in listed.output
    assert not (tmp_path / "r").exists()
    wrong = invoke("--hold-out", "XYZ")
    assert wrong.exit_code == 2
    assert "hold-out must be among HYP, CD, MI, STTC, got XYZ" in wrong.output


@pytest.mark.parametrize("row", ["deep_svdd", BASELINES])
def test_a_slot_is_trained_scored_and_not_trained_twice(row, toy, tmp_path, monkeypatch):
    from nas import classifier
    from nas.benchmark.study import Study as RealStudy

    plan = TrainingPlan(epochs=1)
    monkeypatch.setattr(classifier, "PLAN", plan)
    whole = RealStudy.candidate
    monkeypatch.setattr(
        RealStudy, "candidate", lambda self, slot: replace(whole(self, slot), plan=plan)
    )
    slot = Slot(row, "HYP", "I", 0)
    cell, records = Runner(Study(toy), tmp_path).run(slot)
    assert records.sha256 == toy_records().sha256 == cell.records
    names = {"int8", "float"} if row == "deep_svdd" else {"amplitude", "pca", "energy", "not_norm"}
    assert names <= set(cell.scores)
    assert all(len(ranked.test) == len(records.record_ids) for ranked in cell.scores.values())
    assert cell.n_calibration >= 19
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.keras")}
    again, _ = Runner(Study(toy), tmp_path).run(slot)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.keras")} == weights
    for name, ranked in cell.scores.items():
        assert np.array_equal(ranked.test, again.scores[name].test)
        assert ranked.threshold == again.scores[name].threshold
