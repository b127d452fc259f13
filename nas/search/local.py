"""Workers as processes of this machine, one thread each."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..backend import ONE_THREAD
from .owners import Owner
from .pool import Began, Broken, Died, Ended, Event
from .worker import STORAGE_ERRORS, Assignment, Worker

SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""JAX's first process on a GPU takes most of its memory otherwise."""
READY, BEGAN, ENDED, BROKEN = range(4)
STOP_S = 5.0
RENEWED_AFTER = 25
"""Trials of a process: Keras keeps a little of every network, some 70 MB with TensorFlow."""


@dataclass(slots=True)
class _Process:
    """A worker's process and what is known of it."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    busy: bool = False
    n_trials: int = 0


class LocalPool:
    """A `nas.search.pool.Pool` of processes; each ends with the process that made it.

    Parameters
    ----------
    assignment : what they work on.
    n_workers : how many.
    logs : folder for what they print.
    key : tells this pool's draws from those of a pool before it, given the seed.
    """

    def __init__(
        self, assignment: Assignment, n_workers: int, logs: Path, key: tuple[int, ...]
    ) -> None:
        self._assignment, self._logs, self._key = assignment, logs, key
        self._workers: dict[int, _Process] = {}
        self._numbers = range(n_workers)
        self._n_started = 0

    def start(self) -> None:
        """Start all workers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in self._numbers:
            self._start(number)

    def idle(self) -> list[int]:
        """Return the workers that are ready for a trial."""
        return [number for number, w in self._workers.items() if w.ready and not w.busy]

    def give(self, worker: int) -> None:
        """Have an idle worker run the study's next trial."""
        self._workers[worker].busy = True
        try:
            self._workers[worker].pipe.send(None)
        except BrokenPipeError:
            pass  # it died just now, which `events` will find

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened; dead workers are started anew."""
        pipes = [w.pipe for w in self._workers.values()]
        sentinels = [w.process.sentinel for w in self._workers.values()]
        wait([*pipes, *sentinels], timeout_s)
        found: list[Event] = []
        for number, worker in list(self._workers.items()):
            gone = not worker.process.is_alive()  # asked first: what it sent before is still read
            found += self._read(number, worker)
            broken = any(isinstance(event, Broken) for event in found)
            if gone and not broken:
                found.append(Died(number, while_starting=not worker.ready))
                worker.pipe.close()
                self._start(number)
            elif worker.n_trials >= RENEWED_AFTER and not worker.busy:
                _end([worker])
                self._start(number)
        return found

    def stop(self) -> list[Owner]:
        """End all workers and return those that had not ended by themselves."""
        workers = list(self._workers.values())
        owners = [owner for worker in workers if (owner := _owner(worker.process))]
        _end(workers)
        self._workers.clear()
        return owners

    def _start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(
                self._assignment,
                (*self._key, self._n_started),
                theirs,
                self._logs / f"worker-{number}.log",
            ),
            name=f"worker-{number}",
            daemon=True,
        )
        with _environment({**ONE_THREAD, **SHARED_GPU}), _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        self._n_started += 1
        self._workers[number] = _Process(process, ours)

    def _read(self, number: int, worker: _Process) -> list[Event]:
        found: list[Event] = []
        try:
            while worker.pipe.poll():
                kind, value = worker.pipe.recv()
                worker.ready = True
                if kind == BEGAN:
                    found.append(Began(number, value))
                elif kind == ENDED:
                    worker.busy = False
                    worker.n_trials += 1
                    found.append(Ended(number, value))
                elif kind == BROKEN:
                    found.append(Broken(number, value))
        except (EOFError, ConnectionResetError):
            pass  # all it sent was read
        return found


def _end(workers: Sequence[_Process]) -> None:
    """End processes at once."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(STOP_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _owner(process: BaseProcess) -> Owner | None:
    try:
        return Owner.of(process.pid) if process.pid else None
    except ProcessLookupError:
        return None


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set what a child inherits; what the user has set stays."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Have a child ignore Ctrl-C from its first moment: it is the parent's to act on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(assignment: Assignment, key: tuple[int, ...], pipe: Connection, log: Path) -> None:
    """Run trials when told to, until the pipe is closed; the body of a worker's process."""
    _end_with_parent()
    with open(log, "a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    try:
        worker = Worker(assignment, key)
        pipe.send((READY, None))
        while True:
            pipe.recv()
            pipe.send((BEGAN, worker.begin()))
            pipe.send((ENDED, worker.finish()))
    except EOFError:
        return
    except (*STORAGE_ERRORS, ValueError, OSError, ImportError) as error:
        pipe.send((BROKEN, str(error)))
        raise


def _end_with_parent() -> None:
    """End this process when the one that made it is gone, even killed, in the middle of a trial."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
