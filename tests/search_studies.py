"""Studies for tests: run without processes, and judged by a formula instead of trainings."""

import os
import signal
import time
from dataclasses import dataclass
from math import log10

import numpy as np
from optuna.trial import TrialState

from export.training_run import DataSettings
from nas.search.costs import costs_of
from nas.search.driver import Driver
from nas.search.evaluate import Evaluation
from nas.search.known import enqueue_known
from nas.search.ledger import OWNER, POINT, Ledger, Outcome, tally
from nas.search.local import LocalPool
from nas.search.pool import Began, Ended
from nas.search.settings import Gate, SweepSettings
from nas.search.storage import StudyPlace, open_storage, open_study
from nas.search.worker import Assignment, Worker

SETTINGS = SweepSettings(
    data=DataSettings("synthetic", None, ("I",), "HYP"),
    gates=(Gate("filter", ("deep_svdd",), ("MI", "noise")),),
    costs=("flash_bytes",),
    sampler="random",
)


class PoolHere:
    """A pool without processes: a worker is an object, and runs its trial when it is given one."""

    def __init__(self, assignment, n_workers, key):
        self.workers = [Worker(assignment, (*key, number)) for number in range(n_workers)]
        self.happened = []

    def start(self):
        pass

    def idle(self):
        busy = {event.worker for event in self.happened}
        return [number for number in range(len(self.workers)) if number not in busy]

    def give(self, worker):
        self.happened.append(Began(worker, self.workers[worker].begin()))
        self.happened.append(Ended(worker, self.workers[worker].finish()))

    def events(self, timeout_s):
        happened, self.happened = self.happened, []
        return happened

    def stop(self):
        for worker in self.workers:
            worker.close()
        return []


class StudyHere:
    """A study in a folder, and runs of it."""

    def __init__(self, folder, url=None, settings=SETTINGS, heartbeat_s=1):
        self.place = StudyPlace(folder, url, heartbeat_s)
        self.settings = settings
        self.storage = open_storage(self.place)
        self.study = open_study(self.place, settings, self.storage)
        self.ledger = Ledger(self.study, self.storage, self.place)

    def run(self, budget, make_evaluate, n_workers=1):
        """Run in this process."""
        assignment = Assignment(self.place, self.settings, make_evaluate)
        return self.drive(PoolHere(assignment, n_workers, self.key), budget, lambda counts: None)

    def run_processes(self, budget, make_evaluate, n_workers=1, watch=lambda counts: None):
        """Run in processes, as the command does."""
        assignment = Assignment(self.place, self.settings, make_evaluate)
        logs = self.place.folder / "logs"
        return self.drive(LocalPool(assignment, n_workers, logs, self.key), budget, watch)

    @property
    def key(self):
        return (len(self.study.trials),)

    def drive(self, pool, budget, watch):
        Driver(self.study, self.ledger, pool, budget, watch).run()
        return tally(self.study)


def trivial():
    """Return an objective whose values tell the parameters."""

    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        return x, (1 - x) ** 2

    return evaluate


def sleeping(seconds):
    def evaluate(trial):
        x = trial.suggest_float("x", 0, 1)
        time.sleep(seconds)
        return x, 1 - x

    return evaluate


def kill_at(here, settled_counts):
    """Return a watch that kills a worker at random at each of the counts."""
    due, rng = list(settled_counts), np.random.default_rng(0)

    def watch(counts):
        if not due or counts[Outcome.DONE] < due[0]:
            return
        running = here.study.get_trials(states=(TrialState.RUNNING,))
        owners = [trial.user_attrs[OWNER] for trial in running if OWNER in trial.user_attrs]
        if owners:
            os.kill(owners[rng.integers(len(owners))]["pid"], signal.SIGKILL)
            due.pop(0)

    return watch, due


def assert_nothing_lost_nothing_twice(here, n_points):
    trials = here.study.get_trials()
    assert tally(here.study) == {Outcome.DONE: n_points}
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(complete) == n_points
    assert len({t.user_attrs.get(POINT, t.number) for t in complete}) == n_points
    assert len({t.params["x"] for t in complete}) == n_points
    failed = [t for t in trials if t.state == TrialState.FAIL]
    assert len(trials) == n_points + len(failed)
    return failed


@dataclass(frozen=True)
class Pretended(Evaluation):
    """Trials whose AUROC is a formula: more for a larger network, for more windows, by chance."""

    def _areas(self, candidates, n_windows):
        costs = costs_of(list(candidates.values()), self.settings)
        rng = np.random.default_rng([costs.n_parameters, costs.macs, n_windows])
        area = 0.4 + 0.04 * log10(costs.n_parameters + 1) + 0.01 * log10(n_windows)
        return {
            f"{gate.name}:{surrogate}": area + rng.normal(0, 0.02)
            for gate in self.settings.gates
            for surrogate in gate.surrogates
        }


class PretendedWindows:
    """Stands for windows nobody reads."""

    n_train = 9000


def pretended_study(folder, settings, budget):
    """Return a study of pretended trials, begun as the command would."""
    here = StudyHere(folder, settings=settings)
    if not here.study.trials:
        enqueue_known(here.study, settings)
    here.run(budget, lambda: Pretended(settings, PretendedWindows()))
    return here
