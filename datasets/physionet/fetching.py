"""A published data set onto this disk, whole and checked, whatever happens on the way."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..locks import locked
from ..progress import progress
from .checksums import SUMS_BYTES_MAX, SUMS_NAME, BadFile, read_sums, sha256_of
from .download import Downloads, Placed, Tally
from .journal import Journal
from .layouts import FileGroup, PublishedLayout
from .sources import Patience, Source
from .threads import in_threads
from .tree import Tree

logger = logging.getLogger(__name__)

BAD_FILES_MAX = 10  # a wrong list of checksums shows after as many files, not after 43,000
JOBS_MAX = 32
SPARE_BYTES = 64 << 20  # that a fetch leaves free: journal, folders, and others who write


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did.

    Parameters
    ----------
    n_files : files of the data set at the rates asked for.
    n_present : those that were whole before it began.
    n_fetched, bytes_fetched : files it brought, and bytes, those thrown away included.
    seconds : it took.
    bad : files whose bytes are not what the list of checksums says; the fetch stops after 10.
    """

    n_files: int
    n_present: int
    n_fetched: int
    bytes_fetched: int
    seconds: float
    bad: tuple[BadFile, ...]


def fetch(
    layout: PublishedLayout,
    rates: Collection[int],
    dest: Path,
    source: Source,
    n_jobs: int = 8,
    patience: Patience | None = None,
) -> Fetched:
    """Bring the files of a data set into `dest`, except those that are there and whole.

    However it ends - an error, a full disk, a kill, a power cut - every file under a published name
    is whole, and a second call goes on where the first one was.

    Parameters
    ----------
    layout, rates : which files are wanted.
    dest : folder; made where it is missing. One fetch at a time: a second one waits.
    source : where from, as `source_of` gives it.
    n_jobs : connections at a time, 1-32.

    Raises
    ------
    ValueError : the list of checksums is malformed or lists none of the files of a kind, `dest`
        holds links, the server redirects to where we do not go or sends far too much.
    OSError : the disk is too small or full, or the server cannot be reached or lacks a file.
    """
    if not 1 <= n_jobs <= JOBS_MAX:
        raise ValueError(f"jobs must be in 1-{JOBS_MAX}, got {n_jobs}")
    start_s = time.monotonic()
    tree = Tree(dest.resolve())
    tree.make()
    tally = Tally()
    with locked(tree.lock, "to finish its fetch"):
        tree.parts.mkdir(exist_ok=True)
        downloads = Downloads(source, tree, patience or Patience(), tally, threading.Event())
        sums = _fetch_sums(downloads, tree)
        wanted = _wanted(layout, rates, sums, source.where(SUMS_NAME))
        with Journal(tree.journal) as journal:
            absent = _absent(tree, wanted, sums, journal, n_jobs)
            _check_space(tree, absent)
            n_fetched, bad = _fetch_files(downloads, absent, sums, journal, n_jobs)
        if not bad:
            shutil.rmtree(tree.parts)
    seconds = time.monotonic() - start_s
    n_present = len(wanted) - len(absent)
    return Fetched(len(wanted), n_present, n_fetched, tally.bytes_fetched, seconds, tuple(bad))


def _fetch_sums(downloads: Downloads, tree: Tree) -> dict[str, str]:
    """Bring the list of checksums, which nothing vouches for but its form, and put it in place."""
    tree.status(SUMS_NAME)
    part = tree.part(SUMS_NAME, "")
    part.unlink(missing_ok=True)
    downloads.gather(SUMS_NAME, part, SUMS_BYTES_MAX)
    try:
        sums = read_sums(part)
    except ValueError as error:
        text = str(error).removeprefix(str(part))
        raise ValueError(f"{downloads.source.where(SUMS_NAME)}{text}") from error
    part.replace(tree.path(SUMS_NAME))
    return sums


def _wanted(
    layout: PublishedLayout, rates: Collection[int], sums: Mapping[str, str], where: str
) -> dict[str, FileGroup]:
    wanted = layout.wanted(sums, rates)
    groups = [group for group in layout.groups_of(rates) if group.needed]
    for group in groups:
        if group not in wanted.values():
            raise ValueError(f"{where}: must list files {group.pattern}, it lists none")
    n_listed = sum(group.needed for group in wanted.values())
    n_published = sum(group.n_files for group in groups)
    if n_listed < n_published:
        whole = f"{layout.slug} {layout.version}"
        logger.warning("%s lists %d of the %d files of %s", where, n_listed, n_published, whole)
    return wanted


def _absent(
    tree: Tree,
    wanted: Mapping[str, FileGroup],
    sums: Mapping[str, str],
    journal: Journal,
    n_jobs: int,
) -> dict[str, FileGroup]:
    """Return what is missing or wrong; files the journal does not vouch for are hashed."""
    tree.refuse_links(wanted)
    statuses = {name: tree.status(name) for name in wanted}
    doubtful = {
        name: status
        for name, status in statuses.items()
        if status is not None and not journal.vouches(name, sums[name], status)
    }
    absent = {name: group for name, group in wanted.items() if statuses[name] is None}

    def check(name: str) -> tuple[str, str]:
        return name, sha256_of(tree.path(name))

    total = sum(status.st_size for status in doubtful.values())
    with (
        progress("Checking files that are here", total, in_bytes=True) as advance,
        in_threads(check, list(doubtful), n_jobs) as checked,
    ):
        for name, sha256 in checked:
            advance(doubtful[name].st_size)
            if sha256 == sums[name]:
                journal.remember(name, sha256, doubtful[name])
            else:
                absent[name] = wanted[name]
    return absent


def _check_space(tree: Tree, absent: Mapping[str, FileGroup]) -> None:
    """Refuse to begin what cannot end; sizes are typical ones, less what is here in parts."""
    with os.scandir(tree.parts) as parts:
        here_bytes = sum(part.stat().st_size for part in parts)
    needed_bytes = sum(group.disk_bytes for group in absent.values()) - here_bytes + SPARE_BYTES
    free_bytes = shutil.disk_usage(tree.root).free
    if absent and needed_bytes > free_bytes:
        raise OSError(
            f"{tree.root}: must have {needed_bytes / 1e9:.2f} GB free for {len(absent):,} files, "
            f"it has {free_bytes / 1e9:.2f} GB"
        )


def _fetch_files(
    downloads: Downloads,
    absent: Mapping[str, FileGroup],
    sums: Mapping[str, str],
    journal: Journal,
    n_jobs: int,
) -> tuple[int, list[BadFile]]:
    """Fetch `absent`; return how many came, and those whose bytes are wrong."""

    def place(name: str) -> Placed | BadFile:
        return downloads.place(name, sums[name], absent[name].bytes_max)

    tally = downloads.tally
    n_fetched = 0
    bad: list[BadFile] = []
    total = sum(group.typical_bytes for group in absent.values())
    with (
        progress("Fetching", total, in_bytes=True) as tally.advance,
        in_threads(place, list(absent), n_jobs, downloads.stop) as results,
    ):
        for result in results:
            if isinstance(result, BadFile):
                bad.append(result)
                if len(bad) == BAD_FILES_MAX:
                    break
                continue
            n_fetched += 1
            journal.remember(result.path, sums[result.path], result.status)
            error = result.status.st_size - absent[result.path].typical_bytes
            tally.move(0, f"{n_fetched:,} of {len(absent):,} files", error)
    tally.advance = None
    return n_fetched, sorted(bad, key=lambda file: file.path)
