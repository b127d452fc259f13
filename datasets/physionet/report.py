"""What `fetch`, `verify` and `list` say: as lines to read, and as one JSON object."""

import shlex
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .checksums import SUMS_NAME, BadFile
from .fetching import BAD_FILES_MAX, Fetched
from .layouts import PublishedLayout
from .verifying import Verified


def fetched_json(
    layout: PublishedLayout, rates: Collection[int], dest: Path, fetched: Fetched
) -> dict[str, Any]:
    """Return what a fetch did, and the next command to type, as one JSON object."""
    return {
        "dataset": layout.name,
        "version": layout.version,
        "dest": str(dest),
        "next": None if fetched.bad else _next_command(layout, rates, dest),
    } | asdict(fetched)


def fetched_text(
    layout: PublishedLayout, rates: Collection[int], dest: Path, fetched: Fetched
) -> str:
    """Return what a good fetch did, and the next command to type."""
    rate = fetched.bytes_fetched / max(fetched.seconds, 1e-3) / 1e6
    return (
        f"{layout.name} {layout.version} is complete in {dest}: {fetched.n_files:,} files, "
        f"{fetched.n_fetched:,} of them fetched now "
        f"({fetched.bytes_fetched / 1e6:,.1f} MB, {fetched.seconds:.1f} s, {rate:.1f} MB/s)\n"
        f"next: {_next_command(layout, rates, dest)}"
    )


def fetched_complaint(fetched: Fetched) -> str:
    """Return what went wrong with a fetch whose bytes did not match the list of checksums."""
    stopped = ", where it stopped" if len(fetched.bad) == BAD_FILES_MAX else ""
    return (
        f"{_bad_lines(fetched.bad)}\n"
        f"{_count(len(fetched.bad), 'file')} did not match {SUMS_NAME} after several downloads"
        f"{stopped}; all {fetched.n_present + fetched.n_fetched:,} files in place do"
    )


def verified_json(layout: PublishedLayout, folder: Path, verified: Verified) -> dict[str, Any]:
    """Return what a check found as one JSON object."""
    head = {"dataset": layout.name, "version": layout.version, "dir": str(folder)}
    return head | asdict(verified)


def verified_text(layout: PublishedLayout, folder: Path, verified: Verified) -> str:
    """Return what a good check found."""
    rates = " and ".join(str(rate) for rate in verified.rates)
    return (
        f"{layout.name}{f' at {rates} Hz' if rates else ''} in {folder}: all "
        f"{verified.n_files:,} files ({verified.n_bytes / 1e6:,.1f} MB) match {SUMS_NAME}"
    )


def verified_complaint(verified: Verified) -> str:
    """Return which files are missing or wrong."""
    n_missing = sum(file.got is None for file in verified.bad)
    return (
        f"{_bad_lines(verified.bad)}\n"
        f"of {verified.n_files:,} files, {n_missing:,} missing and "
        f"{len(verified.bad) - n_missing:,} not as {SUMS_NAME} says: fetch again to repair them"
    )


def fetchable_json(layout: PublishedLayout) -> dict[str, Any]:
    """Return what can be fetched of a data set as one JSON object."""
    return {
        "version": layout.version,
        "url": layout.url,
        "choices": [
            {
                "fs": name or None,
                "n_files": layout.n_files(rates),
                "disk_bytes": layout.disk_bytes(rates),
            }
            for name, rates in _choices(layout)
        ],
    }


def fetchable_text(layout: PublishedLayout) -> str:
    """Return what can be fetched of a data set, and the disk it takes, in one line."""
    sizes = [
        f"{f'--fs {name}: ' if name else ''}{layout.disk_bytes(rates) / 1e9:.2f} GB on disk, "
        f"{layout.n_files(rates):,} files"
        for name, rates in _choices(layout)
    ]
    return f"fetch: version {layout.version}, {'; '.join(sizes)}"


def _next_command(layout: PublishedLayout, rates: Collection[int], dest: Path) -> str:
    return layout.next_command.format(dest=shlex.quote(str(dest)), fs=min(rates, default=""))


def _choices(layout: PublishedLayout) -> list[tuple[str, tuple[int, ...]]]:
    if not layout.rates:
        return [("", ())]
    return [*((str(rate), (rate,)) for rate in layout.rates), ("both", layout.rates)]


def _bad_lines(bad: tuple[BadFile, ...]) -> str:
    return "\n".join(str(file) for file in bad)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
