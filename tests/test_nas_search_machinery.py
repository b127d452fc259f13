"""The machinery of a sweep, with an objective that takes no time: nothing lost, nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest

from export.training_run import DataSettings
from nas.search.driver import Budget, Driver, SweepError
from nas.search.journal import Journal, JournalError
from nas.search.ledger import (
    DEATHS,
    FAILURE,
    OWNER,
    POINT,
    Kind,
    Ledger,
    Outcome,
    tally,
)
from nas.search.local import LocalPool
from nas.search.owners import Owner, this_process
from nas.search.settings import Gate, SweepSettings
from nas.search.storage import StudyPlace, load_study, open_storage, open_study
from nas.search.worker import Assignment, Worker

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = SweepSettings(
    data=DataSettings("synthetic", None, ("I",), "HYP"),
    gates=(Gate("filter", ("deep_svdd",), ("MI", "noise")),),
    costs=("parameters",),
    sampler="random",
)


def trivial():
    """Return an objective whose values tell the parameters."""

    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        return x, (1 - x) ** 2

    return evaluate


def failing():
    def evaluate(trial):
        raise ArithmeticError("no such luck")

    return evaluate


def sleeping(seconds):
    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        time.sleep(seconds)
        return x, 1 - x

    return evaluate


def refusing():
    raise ValueError("the windows must be there, they are not")


class Sweep:
    """A study in a folder, and runs of it."""

    def __init__(self, folder, url=None, settings=SETTINGS):
        self.place = StudyPlace(folder, url, heartbeat_s=1)
        self.settings = settings
        self.storage = open_storage(self.place)
        self.study = open_study(self.place, settings, self.storage)
        self.ledger = Ledger(self.study, self.storage, self.place)

    def run(self, budget, make_evaluate=trivial, n_workers=1, watch=lambda counts: None):
        assignment = Assignment(self.place, self.settings, make_evaluate)
        pool = LocalPool(
            assignment, n_workers, self.place.folder / "logs", (len(self.study.trials),)
        )
        Driver(self.study, self.ledger, pool, budget, watch).run()
        return tally(self.study)


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path / "study")


def test_a_sweep_settles_as_many_points_as_asked_for(sweep):
    assert sweep.run(Budget(7), n_workers=2) == {Outcome.DONE: 7}
    for trial in sweep.study.trials:
        x = trial.params["x"]
        assert trial.values == [x, (1 - x) ** 2]


def test_the_same_command_goes_on(sweep, tmp_path):
    sweep.run(Budget(3))
    again = Sweep(tmp_path / "study")
    assert again.run(Budget(5)) == {Outcome.DONE: 5}
    assert len({trial.params["x"] for trial in again.study.trials}) == 5
    assert again.run(Budget(5)) == {Outcome.DONE: 5}


def kill_at(sweep, settled_counts):
    """Return a watch that kills a worker at random at each of the counts."""
    due, rng = list(settled_counts), np.random.default_rng(0)

    def watch(counts):
        if not due or counts[Outcome.DONE] < due[0]:
            return
        running = sweep.study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        owners = [trial.user_attrs[OWNER] for trial in running if OWNER in trial.user_attrs]
        if owners:
            os.kill(owners[rng.integers(len(owners))]["pid"], signal.SIGKILL)
            due.pop(0)

    return watch, due


def assert_nothing_lost_nothing_twice(sweep, n_points):
    trials = sweep.study.get_trials()
    assert tally(sweep.study) == {Outcome.DONE: n_points}
    complete = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert len(complete) == n_points
    assert len({t.user_attrs.get(POINT, t.number) for t in complete}) == n_points
    assert len({t.params["x"] for t in complete}) == n_points
    failed = [t for t in trials if t.state == optuna.trial.TrialState.FAIL]
    assert len(trials) == n_points + len(failed)
    return failed


def test_a_killed_workers_trial_is_tried_again(sweep):
    watch, due = kill_at(sweep, (3, 9))
    sweep.run(Budget(14), partial(sleeping, 0.1), n_workers=2, watch=watch)
    assert due == []
    failed = assert_nothing_lost_nothing_twice(sweep, 14)
    assert len(failed) >= 1  # one killed between two trials had none to lose
    for trial in failed:
        assert trial.user_attrs[FAILURE]["kind"] == Kind.DIED
        (again,) = [t for t in sweep.study.trials if t.user_attrs.get(POINT) == trial.number]
        assert again.user_attrs[DEATHS] == 1
        assert trial.params.items() <= again.params.items()


@pytest.mark.slow
def test_a_thousand_trials_and_two_killed_workers(sweep):
    watch, due = kill_at(sweep, (250, 700))
    sweep.run(Budget(1000), n_workers=4, watch=watch)
    assert due == []
    assert_nothing_lost_nothing_twice(sweep, 1000)
