"""Studies for tests: run without processes, and judged by a formula instead of trainings."""

from dataclasses import dataclass
from math import log10

import numpy as np

from export.training_run import DataSettings
from nas.search.costs import costs_of
from nas.search.driver import Driver
from nas.search.evaluate import Evaluation
from nas.search.known import enqueue_known
from nas.search.ledger import Ledger, tally
from nas.search.local import LocalPool
from nas.search.pool import Began, Ended
from nas.search.settings import Gate, SweepSettings
from nas.search.storage import StudyPlace, open_storage, open_study
from nas.search.worker import Assignment, Worker

SETTINGS = SweepSettings(
    data=DataSettings("synthetic", None, ("I",), "HYP"),
    gates=(Gate("filter", ("deep_svdd",), ("MI", "noise")),),
    costs=("parameters",),
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
        def began(trial):
            self.happened.append(Began(worker, trial))

        failure = self.workers[worker].run_trial(began)
        self.happened.append(Ended(worker, failure))

    def events(self, timeout_s):
        happened, self.happened = self.happened, []
        return happened

    def stop(self):
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


@dataclass(frozen=True)
class Pretended(Evaluation):
    """Trials whose AUROC is a formula: more for a larger network and more windows, and by chance."""

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
