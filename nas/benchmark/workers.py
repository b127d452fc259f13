"""Processes that work tasks off beside one another; a dead one costs its task and nothing else."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..backend import ONE_THREAD

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Task, Result]):
    """What became of a task: its result, or in `error` why there is none."""

    task: Task
    result: Result | None
    error: str | None


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: Any
    connection: Connection
    group: Hashable = None
    task: Task | None = field(default=None)


def run_tasks(
    tasks: Sequence[Task],
    group_of: Callable[[Task], Hashable],
    make: Callable[[], Callable[[Task], Result]],
    n_workers: int,
    log: Path,
    may_start: Callable[[], bool] = lambda: True,
    on_start: Callable[[list[Task]], None] = lambda running: None,
) -> Iterator[Outcome[Task, Result]]:
    """Yield the outcome of every task as it comes.

    A worker goes on with tasks of the group it is in, then with a group that no other one is in,
    so that what a group shares is made once. On leaving, also by an exception, running tasks are
    ended.

    Parameters
    ----------
    make : called once in each worker; returns what does a task there. Both it and the tasks are
        pickled. What it raises is the error of each task that worker would have done.
    n_workers : processes at most.
    log : file that the workers' output and tracebacks are added to.
    may_start : asked before each start; once it says no, no task is started any more.
    on_start : told the running tasks whenever one starts.
    """
    left = list(tasks)
    workers: list[_Worker[Task]] = []
    try:
        while left or any(worker.task is not None for worker in workers):
            while left and may_start():
                worker = _idle(workers, n_workers, make, log)
                if worker is None:
                    break
                taken = {other.group for other in workers if other.task is not None}
                worker.task = left.pop(_next(left, group_of, worker.group, taken))
                worker.group = group_of(worker.task)
                worker.connection.send(worker.task)
                on_start([w.task for w in workers if w.task is not None])
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return  # nothing more may start
            ready = wait([worker.connection for worker in busy])
            for worker in (worker for worker in busy if worker.connection in ready):
                yield _outcome(worker)
                if not worker.process.is_alive():
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _idle(
    workers: list[_Worker[Task]], n_workers: int, make: Callable[[], Any], log: Path
) -> _Worker[Task] | None:
    """Return a worker without a task, or a new one; None where all there may be are busy."""
    for worker in workers:
        if worker.task is None:
            return worker
    if len(workers) >= n_workers:
        return None
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    process = context.Process(target=_work, args=(theirs, make, log), daemon=True)
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    theirs.close()
    workers.append(_Worker(process, ours))
    return workers[-1]


def _next(
    left: Sequence[Task],
    group_of: Callable[[Task], Hashable],
    group: Hashable,
    taken: set[Hashable],
) -> int:
    """Return which of the tasks left a worker of `group` takes."""
    groups = [group_of(task) for task in left]
    if group in groups:
        return groups.index(group)
    return next((i for i, other in enumerate(groups) if other not in taken), 0)


def _outcome(worker: _Worker[Task]) -> Outcome[Task, Any]:
    task, worker.task = worker.task, None
    assert task is not None
    try:
        result, error = worker.connection.recv()
    except EOFError:
        worker.process.join()
        result, error = None, f"its process ended with exit code {worker.process.exitcode}"
    return Outcome(task, result, error)


def _work(connection: Connection, make: Callable[[], Callable[[Any], Any]], log: Path) -> None:
    """Do the tasks that come through `connection` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with log.open("a", buffering=1, encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        do = None
        while True:
            try:
                task = connection.recv()
            except EOFError:
                return
            print(f"== {task}", flush=True)
            try:
                do = do or make()
                connection.send((do(task), None))
            except Exception as error:
                traceback.print_exc(file=sys.stdout)
                text = " ".join(str(error).split())
                connection.send((None, f"{type(error).__name__}: {text}"))
