"""The same work on many items in a few threads."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAVE_AFTER_S = 2.0


@contextmanager
def in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    n_threads: int,
    stop: threading.Event | None = None,
) -> Iterator[Iterator[Result]]:
    """Yield an iterator over `work(item)` of all items as they are done; it raises the first error.

    Leaving the context, also by an error or Ctrl-C, sets `stop`: then no further item is begun, and
    work that looks at `stop` itself can end early. A thread that is stuck, as in a read from a
    server that has gone silent, is not waited for longer than 2 s; it cannot keep the process
    alive. An executor of `concurrent.futures` would wait for it.
    """
    stop = stop or threading.Event()
    done: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        todo.put(item)

    def run() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            future: Future[Result] = Future()
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
            done.put(future)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(n_threads, len(items)))]
    for thread in threads:
        thread.start()
    try:
        yield (done.get().result() for _ in items)
    finally:
        stop.set()
        deadline_s = time.monotonic() + LEAVE_AFTER_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
