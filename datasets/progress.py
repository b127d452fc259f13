"""A progress bar on stderr for work that takes longer than one waits without one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SHOW_AFTER_S = 2.0


class Advance(Protocol):
    """What moves a progress bar on."""

    def __call__(self, n: int = 1, note: str = "") -> None:
        """Count `n` more steps as done, and show `note` beside the bar."""
        ...


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show a progress bar on stderr once the work has taken 2 s, and clear it at the end.

    Nothing is shown where stderr is not a terminal.

    Examples
    --------
    >>> with progress("Reading records", total=3) as advance:
    ...     for _ in range(3):
    ...         advance()
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )
    task = bar.add_task(description, total=total, note="")
    start_s = time.monotonic()

    def advance(n: int = 1, note: str = "") -> None:
        bar.update(task, advance=n, note=note)
        due = time.monotonic() - start_s > SHOW_AFTER_S
        if due and console.is_terminal and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
