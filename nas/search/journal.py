"""The study's default storage: one file of lines, written so that a kill never spoils it.

Optuna's own backend leaves three things to chance that a search of days meets: a process killed
while it writes leaves half a line, behind which the next one writes; one killed while it holds the
lock stops the others for half a minute; and a full disk leaves both.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import JournalFileBackend

LOCK_WAIT_S = 60.0
"""A line is written in milliseconds: whoever waits longer waits for a process that was stopped."""
POLL_S = 0.005
TAIL_BYTES = 1 << 16


class JournalError(OSError):
    """The journal cannot be written; its text names the file and the reason."""


class Journal(JournalFileBackend):
    """Optuna's journal file, with a lock the system frees and no half line ever read.

    Parameters
    ----------
    path : the file; made if need be. Beside it lies a lock file.
    lock_wait_s : how long to wait for the lock.

    Raises
    ------
    JournalError : the file cannot be made; or later, written.
    """

    def __init__(self, path: Path, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path, self._lock_wait_s = path, lock_wait_s
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write whole lines, or none.

        Raises
        ------
        JournalError : the disk is full, the file may not be written, or another process holds the
            lock.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with _told(self._path), self._locked(), open(self._path, "r+b") as file:
            end = _end_of_whole_lines(file)
            try:
                file.seek(end)
                file.truncate()
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(f"{self._path}.lock", "a") as file:
            give_up = time.monotonic() + self._lock_wait_s
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:
                        raise JournalError(
                            f"{self._path} must be free to be written within "
                            f"{self._lock_wait_s:g} s, another process has held its lock"
                        ) from None
                    time.sleep(POLL_S)
            yield


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the system says into an error that names the file."""
    try:
        yield
    except JournalError:
        raise
    except OSError as error:
        raise JournalError(f"{path} must be written, got: {error.strerror or error}") from error


def _end_of_whole_lines(file: BinaryIO) -> int:
    """Return the offset behind the last line feed; what follows was written by a killed process."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
