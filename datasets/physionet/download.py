"""One file from a source onto the disk: resumed, checked, and only then put in its place.

The bytes gather in a part, a file of its own. A part is never trusted: what it holds is hashed
before more is appended, and it gets its published name, in one step, only when it is on the disk
and its checksum is right. So a part from another version, or one that a power cut left full of
zeros, costs a second download and nothing else.
"""

import hashlib
import io
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..progress import Advance
from .checksums import BadFile
from .sources import CHUNK_BYTES, Body, CutShort, Patience, Source, StartUnknown
from .tree import Tree

logger = logging.getLogger(__name__)

WRONG_TRIES = 3  # downloads of one file whose bytes are not what the checksum says
SAY_FROM_S = 4.0  # shorter waits are part of every download


class Stopped(Exception):  # noqa: N818 - asked for
    """The whole fetch ends: another file failed, or Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that is whole and in its place, with its status there."""

    path: str
    status: os.stat_result


class Tally:
    """Counts bytes from several threads, and moves the progress bar while there is one."""

    def __init__(self) -> None:
        self.bytes_fetched = 0
        self.advance: Advance | None = None
        self._turn = threading.Lock()

    def arrive(self, n_bytes: int) -> None:
        """Count bytes that came from the source."""
        self.move(n_bytes)
        with self._turn:
            self.bytes_fetched += n_bytes

    def move(self, n: int = 0, note: str | None = None, more: int = 0) -> None:
        """Move the bar, if there is one; parameters as `Advance` has them."""
        with self._turn:
            if self.advance is not None:
                self.advance(n, note, more)


@dataclass(slots=True)
class Downloads:
    """The downloads of one fetch; all methods may run in several threads.

    Parameters
    ----------
    source, tree, patience : from where, to where, and how long to try.
    tally : told of every byte that comes, was here, or is thrown away.
    stop : set by who wants all downloads to end.
    """

    source: Source
    tree: Tree
    patience: Patience
    tally: Tally
    stop: threading.Event
    _quiet_until_s: float = field(init=False, default=0.0)  # monotonic; a server's wish binds all

    def place(self, name: str, sha256: str, bytes_max: int) -> Placed | BadFile:
        """Bring one file to its place; a `BadFile` says that the source has other bytes.

        Raises
        ------
        OSError : the disk is full, the file is not there, or the server brings nothing more.
        ValueError : the server sends more than a file may have, or to where we do not go.
        """
        part = self.tree.part(name, sha256)
        for _ in range(WRONG_TRIES):
            got, kind = self.gather(name, part, bytes_max, sha256)
            if got == sha256:
                path = self.tree.path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                part.replace(path)
                return Placed(name, path.lstat())
            self.tally.move(-part.stat().st_size)
            part.unlink()
        web_page = "the server sent a web page" if kind == "text/html" else ""
        return BadFile(name, sha256, got, web_page)

    def gather(
        self, name: str, part: Path, bytes_max: int, sha256: str | None = None
    ) -> tuple[str, str]:
        """Fill `part` to the whole file; return its SHA-256 and the media type it came with."""
        n_failed = 0
        best = part.stat().st_size if part.exists() else 0
        self.tally.move(best)
        while True:
            try:
                return self._go_on(name, part, bytes_max, sha256)
            except CutShort as cut:
                n_bytes = part.stat().st_size
                # A server that brings more each time is slow, one that does not is broken.
                n_failed = 1 if n_bytes > best else n_failed + 1
                best = max(best, n_bytes)
                if n_failed >= self.patience.tries:
                    raise ConnectionError(
                        f"{self.source.where(name)}: must bring new bytes in "
                        f"{self.patience.tries} tries, the last one: {cut}"
                    ) from cut
                self._wait(name, cut, n_failed)

    def _go_on(self, name: str, part: Path, bytes_max: int, sha256: str | None) -> tuple[str, str]:
        """Append to `part` what one request brings; return checksum and media type of the whole."""
        self._sleep(self._quiet_until_s - time.monotonic())
        with _open_part(part) as file:
            digest = _hash_rest(file)
            start = file.tell()
            if digest.hexdigest() == sha256:  # a fetch was killed between the last byte and here
                self._sync(name, file)
                return digest.hexdigest(), ""
            try:
                with self.source.open(name, start) as body:
                    if body.start != start:
                        self._empty(file)
                        digest = hashlib.sha256()
                    self._append(name, body, file, digest, bytes_max)
                    self._sync(name, file)
                    return digest.hexdigest(), body.kind
            except StartUnknown:
                self._empty(file)
                raise CutShort(f"the server knows no byte {start} of this file") from None

    def _append(
        self, name: str, body: Body, file: io.FileIO, digest: "hashlib._Hash", bytes_max: int
    ) -> None:
        for chunk in body.chunks:
            if self.stop.is_set():
                raise Stopped
            if file.tell() + len(chunk) > bytes_max:
                raise ValueError(
                    f"{self.source.where(name)}: must have at most {bytes_max:,} bytes, got more"
                )
            with _naming(self.tree.path(name)):
                _write_all(file, chunk)
            digest.update(chunk)
            self.tally.arrive(len(chunk))
        n_bytes = file.tell()
        if body.n_bytes is not None and n_bytes < body.n_bytes:
            raise CutShort(f"the connection ended after {n_bytes:,} of {body.n_bytes:,} bytes")

    def _sync(self, name: str, file: io.FileIO) -> None:
        with _naming(self.tree.path(name)):
            os.fsync(file.fileno())  # else a power cut may leave a whole-looking file of zeros

    def _empty(self, file: io.FileIO) -> None:
        self.tally.move(-file.seek(0, os.SEEK_END))
        file.seek(0)
        file.truncate()

    def _wait(self, name: str, cut: CutShort, n_failed: int) -> None:
        """Wait before the next try: as long as the server asks, else longer each time."""
        backoff_s = self.patience.backoff_s * 2.0 ** (n_failed - 2) if n_failed > 1 else 0.0
        # Connections that broke together must not all come back together.
        jittered_s = min(backoff_s, self.patience.backoff_max_s) * random.uniform(0.5, 1.0)
        if cut.wait_s:
            self._quiet_until_s = max(self._quiet_until_s, time.monotonic() + cut.wait_s)
        wait_s = max(jittered_s, cut.wait_s)
        if wait_s >= SAY_FROM_S:
            where = self.source.where(name)
            logger.warning("%s: %s; trying again in %.0f s", where, cut, wait_s)
        self._sleep(wait_s)

    def _sleep(self, wait_s: float) -> None:
        if self.stop.wait(max(0.0, wait_s)):
            raise Stopped


def _open_part(part: Path) -> io.FileIO:
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    return io.FileIO(fd, "r+")


def _hash_rest(file: io.FileIO) -> "hashlib._Hash":
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest


def _write_all(file: io.FileIO, chunk: bytes) -> None:
    """Write all of `chunk`: on a disk that fills up, a part of it may go through."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in errors of the system, which otherwise say only "No space left on device"."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
