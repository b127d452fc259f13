"""A data set on this disk against its list of checksums: every byte of every file."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..progress import progress
from .checksums import SUMS_NAME, BadFile, read_sums, sha256_of
from .journal import Journal
from .layouts import PublishedLayout
from .threads import in_threads
from .tree import Tree


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found.

    Parameters
    ----------
    rates : sample rates in Hz whose files were checked; empty where the data set has one.
    n_files, n_bytes : files that had to be there, bytes that were read.
    bad : files that are missing or not what the list of checksums says.
    """

    rates: tuple[int, ...]
    n_files: int
    n_bytes: int
    bad: tuple[BadFile, ...]


def verify(
    layout: PublishedLayout, folder: Path, rates: Iterable[int] | None = None, n_jobs: int = 4
) -> Verified:
    """Hash every file of a data set in `folder`, and say which are missing or wrong.

    A later fetch brings the wrong ones again: its journal no longer vouches for them.

    Parameters
    ----------
    rates : which files have to be there; None = those of which `folder` holds any.

    Raises
    ------
    ValueError : the list of checksums is malformed, or the folder holds links.
    FileNotFoundError : there is no list of checksums.
    """
    tree = Tree(folder.resolve())
    sums_path = tree.path(SUMS_NAME)
    if tree.status(SUMS_NAME) is None:
        raise FileNotFoundError(f"{sums_path}: must be there to verify by, it is missing")
    sums = read_sums(sums_path)
    tree.refuse_links(sums)
    chosen = tuple(rates) if rates is not None else _rates_here(layout, tree, sums)
    names = list(layout.wanted(sums, chosen))
    if not names:
        raise ValueError(f"{sums_path}: must list files of {layout.slug}, it lists none")
    statuses = {name: tree.status(name) for name in names}
    here = {name: status.st_size for name, status in statuses.items() if status is not None}

    def check(name: str) -> tuple[str, str]:
        return name, sha256_of(tree.path(name))

    bad = [BadFile(name, sums[name], None) for name in names if name not in here]
    with (
        progress("Verifying", sum(here.values()), in_bytes=True) as advance,
        in_threads(check, list(here), n_jobs) as checked,
    ):
        for name, sha256 in checked:
            advance(here[name])
            if sha256 != sums[name]:
                bad.append(BadFile(name, sums[name], sha256))
    _forget(tree, bad)
    bad.sort(key=lambda file: file.path)
    return Verified(chosen, len(names), sum(here.values()), tuple(bad))


def _rates_here(layout: PublishedLayout, tree: Tree, sums: Iterable[str]) -> tuple[int, ...]:
    """Return the rates of which there is any file, or the first: then all of it is missing."""
    groups = layout.wanted(sums, layout.rates)
    here = {group.fs for name, group in groups.items() if tree.status(name) is not None}
    return tuple(rate for rate in layout.rates if rate in here) or layout.rates[:1]


def _forget(tree: Tree, bad: Iterable[BadFile]) -> None:
    """Take the bad files out of the journal; where one may not write, one cannot fetch either."""
    if os.access(tree.journal, os.W_OK):
        with Journal(tree.journal) as journal:
            for file in bad:
                journal.forget(file.path)
