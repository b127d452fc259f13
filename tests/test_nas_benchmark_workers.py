"""The benchmark's processes: what becomes of tasks that fail, die, or are never started."""

import multiprocessing
import os
import time
from functools import partial

import pytest

from nas.benchmark.workers import ONE_THREAD, _next, run_tasks


def make_worker():
    return work


def work(task):
    if task == "fail":
        raise ValueError("not\n  today")
    if task == "die":
        os._exit(3)
    if task == "sleep":
        time.sleep(60)
    if task == "threads":
        return [os.environ.get(name) for name in ONE_THREAD]
    return f"{task} done by {os.getpid()}"


def refuse_to_start():
    raise RuntimeError("no such folder")


def run(tasks, tmp_path, n_workers=1, make=make_worker, **options):
    outcomes = run_tasks(tasks, str, make, n_workers, tmp_path / "log", **options)
    return {outcome.task: outcome for outcome in outcomes}


def test_a_task_that_fails_or_dies_costs_itself_alone(tmp_path):
    found = run(["a", "fail", "die", "threads", "b"], tmp_path)
    assert found["a"].result.startswith("a done by")
    assert (found["fail"].result, found["fail"].error) == (None, "ValueError: not today")
    assert found["die"].error == "its process ended with exit code 3"
    assert found["threads"].result == ["1"] * len(ONE_THREAD)
    assert found["b"].result.startswith("b done by")
    assert "ValueError: not" in (tmp_path / "log").read_text()
    assert multiprocessing.active_children() == []


def test_the_parents_threads_stay_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    run(["a"], tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "TF_NUM_INTEROP_THREADS" not in os.environ


def test_a_worker_that_cannot_start_its_work_says_why(tmp_path):
    assert run(["a"], tmp_path, make=refuse_to_start)["a"].error == "RuntimeError: no such folder"


def test_nothing_starts_once_the_budget_is_spent(tmp_path):
    answers = iter([True, False, False])
    found = run(["a", "b"], tmp_path, may_start=partial(next, answers))
    assert list(found) == ["a"]


def test_leaving_ends_what_runs(tmp_path):
    outcomes = run_tasks(["a", "sleep"], str, make_worker, 2, tmp_path / "log")
    assert next(outcomes).task == "a"
    start_s = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start_s < 30
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("group", "taken", "expected"),
    [
        ("y", set(), 1),  # goes on in its own group
        ("z", {"x"}, 1),  # else takes one that nobody is in
        ("z", {"x", "y"}, 0),  # else helps
        (None, set(), 0),
    ],
)
def test_a_worker_stays_in_its_group(group, taken, expected):
    left = ["x1", "y1", "x2", "y2"]
    assert _next(left, lambda task: task[0], group, taken) == expected
