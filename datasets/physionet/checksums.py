"""A data set's list of checksums, `SHA256SUMS.txt`, read as the input from elsewhere that it is."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUMS_NAME = "SHA256SUMS.txt"
SUMS_BYTES_MAX = 64 << 20  # PTB-XL's, the longest of ours, has 10 MB
LINE_CHARS_MAX = 1024

# sha256sum writes two blanks, or a blank and "*" for binary mode; PhysioNet writes one blank.
LINE = re.compile(r"(?P<sha256>[0-9a-fA-F]{64}) [ *]?(?P<path>[^\x00-\x1f\x7f\\]+)")


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not what the list of checksums says.

    Parameters
    ----------
    path : in the data set.
    expected : SHA-256 in hex, by the list.
    got : SHA-256 in hex of what is there, or None where nothing is.
    note : what else is known of it, or "".
    """

    path: str
    expected: str
    got: str | None
    note: str = ""

    def __str__(self) -> str:
        got = self.got or "no file"
        return f"{self.path}: sha256 must be {self.expected}, got {got}" + (
            f" ({self.note})" if self.note else ""
        )


def read_sums(path: Path) -> dict[str, str]:
    """Return path -> SHA-256 in lower-case hex of every file a list of checksums names.

    Parameters
    ----------
    path : the list; a line is 64 hex digits, blanks and a path relative to the list's folder.

    Raises
    ------
    FileNotFoundError : there is no list.
    ValueError : it is too long or cut short, or a line has another form, leads out of the folder,
        or names a file for the second time. The text names file, line, rule and value.
    """
    n_bytes = path.stat().st_size
    if n_bytes > SUMS_BYTES_MAX:
        raise ValueError(f"{path}: must have at most {SUMS_BYTES_MAX:,} bytes, got {n_bytes:,}")
    sums: dict[str, str] = {}
    for number, line in _lines(path):
        match = LINE.fullmatch(line)
        if match is None:
            rule = "must be 64 hex digits, blanks and a path"
            raise ValueError(f"{path}, line {number}: {rule}, got {line[:80]!r}")
        name = match["path"]
        if not _is_inner(name):
            raise ValueError(
                f"{path}, line {number}: the file must lie inside the data set, got {name[:80]!r}"
            )
        if name in sums:
            raise ValueError(f"{path}, line {number}: must list a file once, got {name!r} again")
        sums[name] = match["sha256"].lower()
    if not sums:
        raise ValueError(f"{path}: must list at least one file, it is empty")
    return sums


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex; memory does not grow with its size."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line, without its end and never more than a limit of it."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_CHARS_MAX + 1):
            number += 1
            if not line.endswith(b"\n"):
                rule = f"must be a line of at most {LINE_CHARS_MAX} characters, with its end"
                raise ValueError(f"{path}, line {number}: {rule}, got {line[:80]!r}")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError(
                    f"{path}, line {number}: must be UTF-8, got {line[:80]!r}"
                ) from None
            yield number, text.rstrip("\r\n")


def _is_inner(name: str) -> bool:
    """Return whether a path stays in its folder and is written in the one way to write it."""
    return not {"", ".", ".."} & set(name.split("/"))
