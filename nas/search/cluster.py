"""Workers on a Ray cluster, which finds the machine for each; no scheduler of our own.

The study has to be in a database, and its folder on a disk that every machine sees at one path: the
workers read the windows there.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend import ONE_THREAD
from .local import SHARED_GPU
from .owners import Owner
from .pool import Began, Broken, Died, Ended, Event
from .worker import STORAGE_ERRORS, Assignment, Worker

ROOT = Path(__file__).parents[2]
NOT_SENT = (".git", ".venv", "build", "docs", "runs", "tests")
"""Of the checkout, which every machine gets a copy of."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workers run, and what each of them takes.

    Parameters
    ----------
    address : of a Ray cluster, such as ray://head:10001 or auto for the one this machine is in.
    n_cpus, n_gpus : of a worker; parts of a GPU are shared.
    """

    address: str
    n_cpus: float = 1.0
    n_gpus: float = 0.0


@dataclass(slots=True)
class _Actor:
    """A worker on the cluster, and the call that it has not answered."""

    handle: Any
    call: Any
    ready: bool = False
    busy: bool = False
    number: int | None = None


class RayWorker:
    """What runs on the cluster: a worker that is made there."""

    def __init__(self, assignment: Assignment, key: tuple[int, ...]) -> None:
        self._worker = Worker(assignment, key)

    def ready(self) -> None:
        """Return once it is made."""

    def begin(self) -> int:
        """Take the next trial and return its number."""
        return self._worker.begin()

    def finish(self) -> str | None:
        """See it through."""
        return self._worker.finish()


class RayPool:
    """A `nas.search.pool.Pool` on a cluster.

    Parameters
    ----------
    cluster : where; assignment, key : as of `LocalPool`.
    n_workers : at most; those that the cluster has no room for wait until it has.
    """

    def __init__(
        self, cluster: Cluster, assignment: Assignment, n_workers: int, key: tuple[int, ...]
    ) -> None:
        self._cluster, self._assignment, self._key = cluster, assignment, key
        self._numbers = range(n_workers)
        self._actors: dict[int, _Actor] = {}
        self._n_started = 0

    def start(self) -> None:
        """Connect to the cluster and start all workers.

        Raises
        ------
        ConnectionError : there is no cluster.
        """
        import ray

        if not ray.is_initialized():
            environment = {**ONE_THREAD, **SHARED_GPU, **_backend()}
            ray.init(
                self._cluster.address,
                runtime_env={
                    "working_dir": str(ROOT),
                    "excludes": list(NOT_SENT),
                    "env_vars": environment,
                },
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        for number in self._numbers:
            self._start(number)

    def idle(self) -> list[int]:
        """Return the workers that are ready for a trial."""
        return [number for number, actor in self._actors.items() if actor.ready and not actor.busy]

    def give(self, worker: int) -> None:
        """Have an idle worker run the study's next trial."""
        actor = self._actors[worker]
        actor.busy, actor.number = True, None
        actor.call = actor.handle.begin.remote()

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened; dead workers are started anew."""
        import ray

        calls = [actor.call for actor in self._actors.values() if actor.call is not None]
        done, _ = ray.wait(calls, num_returns=1, timeout=timeout_s) if calls else ([], [])
        found: list[Event] = []
        for number, actor in list(self._actors.items()):
            if actor.call in done:
                found += self._answer(number, actor)
        return found

    def stop(self) -> list[Owner]:
        """End all workers; what they had begun is found by their owners' death."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor.handle)
        self._actors.clear()
        return []

    def _start(self, number: int) -> None:
        import ray

        key = (*self._key, self._n_started)
        options = {"num_cpus": self._cluster.n_cpus, "num_gpus": self._cluster.n_gpus}
        actor: Any = ray.remote(RayWorker)
        handle = actor.options(**options).remote(self._assignment, key)
        self._n_started += 1
        self._actors[number] = _Actor(handle, handle.ready.remote())

    def _answer(self, number: int, actor: _Actor) -> list[Event]:
        """Return what an answered call says, and make the next one."""
        import ray

        call, actor.call = actor.call, None
        try:
            value = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            return [Broken(number, str(error.cause))]
        except ray.exceptions.RayActorError as error:
            if isinstance(error.__cause__, (*STORAGE_ERRORS, ValueError, ImportError)):
                return [Broken(number, str(error.__cause__))]
            self._start(number)
            return [Died(number, while_starting=not actor.ready)]
        if not actor.ready:
            actor.ready = True
            return []
        if actor.number is None:
            actor.number, actor.call = value, actor.handle.finish.remote()
            return [Began(number, value)]
        actor.busy = False
        return [Ended(number, value)]


def _backend() -> dict[str, str]:
    """Return the Keras backend that was chosen here, which the workers share."""
    name = "KERAS_BACKEND"
    return {name: os.environ[name]} if name in os.environ else {}
