"""Which files were seen to match their checksum: so that a second run does not hash them again.

The journal is a text file that only grows: `<sha256> <bytes> <mtime in ns> <path>` a line, the last
line of a path counts. A file is taken for whole where checksum, size and time of change are still
those of its line; else it is hashed again. A line that was cut short, as by a full disk, matches
nothing and costs one hash.
"""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

LINE = re.compile(
    r"(?P<sha256>[0-9a-f]{64}|-) (?P<bytes>\d{1,20}) (?P<mtime_ns>\d{1,20}) (?P<path>.+)"
)
NO_SUM = "-"  # stands in a line for: what the journal said of this file no longer holds


class Journal:
    """The journal in the file `path`, open for appending.

    Entering it reads what is there; a torn last line is ended first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, tuple[str, int, int]] = {}
        self._fd = -1

    def __enter__(self) -> Self:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o666)
        text = self.path.read_text(encoding="utf-8", errors="replace")
        if text and not text.endswith("\n"):
            self._append("\n")
        for line in text.split("\n"):
            if match := LINE.fullmatch(line):
                entry = (match["sha256"], int(match["bytes"]), int(match["mtime_ns"]))
                self._entries[match["path"]] = entry
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def vouches(self, name: str, sha256: str, status: os.stat_result) -> bool:
        """Return whether the file `name` had this checksum and has not changed since."""
        return self._entries.get(name) == (sha256, status.st_size, status.st_mtime_ns)

    def remember(self, name: str, sha256: str, status: os.stat_result) -> None:
        """Note that the file `name` was just seen to have this checksum."""
        self._append(f"{sha256} {status.st_size} {status.st_mtime_ns} {name}\n")

    def forget(self, name: str) -> None:
        """Note that the file `name` was seen not to match."""
        self._append(f"{NO_SUM} 0 0 {name}\n")

    def _append(self, text: str) -> None:
        rest = text.encode()
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
