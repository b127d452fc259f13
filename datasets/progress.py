"""A progress bar on stderr for work that takes longer than one waits without one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SHOW_AFTER_S = 2.0


class Advance(Protocol):
    """What moves a progress bar on."""

    def __call__(self, n: int = 1, note: str | None = None, more: int = 0) -> None:
        """Count `n` more steps as done and `more` as still to do; show `note` beside the bar."""
        ...


@contextmanager
def progress(description: str, total: int, in_bytes: bool = False) -> Iterator[Advance]:
    """Show a progress bar on stderr once the work has taken 2 s, and clear it at the end.

    Nothing is shown where stderr is not a terminal. With `in_bytes`, steps are bytes, and the bar
    shows their rate.

    Examples
    --------
    >>> with progress("Reading records", total=3) as advance:
    ...     for _ in range(3):
    ...         advance()
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    counts: tuple[ProgressColumn, ...] = (MofNCompleteColumn(),)
    if in_bytes:
        counts = (DownloadColumn(), TransferSpeedColumn())
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )
    task = bar.add_task(description, total=total, note="")
    start_s = time.monotonic()

    def advance(n: int = 1, note: str | None = None, more: int = 0) -> None:
        nonlocal total
        total += more
        bar.update(task, total=total, advance=n)
        if note is not None:
            bar.update(task, note=note)
        due = time.monotonic() - start_s > SHOW_AFTER_S
        if due and console.is_terminal and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
