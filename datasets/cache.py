"""All signals of a data set in one memory-mapped file, so that the second load takes seconds.

A cache folder holds `adc_counts.npy`, int16 (n_records, n_samples, n_leads), and `index.json` with
a *key*, the digest of all the signals were made from, and the records that had none. A cache whose
key is not the one asked for, or whose signals have another shape, is built again. The index is
removed before the signals change and written after them, each by renaming a finished file, so a
build that was cut short never looks whole.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .locks import locked
from .progress import progress
from .records import Int16Array

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class SignalCache:
    """The signals of a data set, open for reading.

    Parameters
    ----------
    adc_counts : int16 array (n_records, n_samples, n_leads), memory-mapped, read-only.
    rows : record_id -> its row in `adc_counts`, for every readable record.
    unreadable : record_id -> why there is no signal of it.
    """

    adc_counts: Int16Array
    rows: dict[str, int]
    unreadable: dict[str, str]


ReadSignals = Callable[[], Iterator[Int16Array | ValueError]]
"""Yields one signal (n_samples, n_leads) a record, or the error why there is none, in order."""


def open_signals(
    folder: Path,
    key: str,
    record_ids: Sequence[str],
    shape: tuple[int, int],
    read_signals: ReadSignals,
    description: str,
) -> SignalCache:
    """Return the cache in `folder`, building it first where it is missing, stale or damaged.

    Parameters
    ----------
    folder : of this cache alone; made where it is missing.
    key : digest of everything the signals depend on.
    record_ids : one a signal, in the order of `read_signals`.
    shape : (n_samples, n_leads) of every signal.
    read_signals : called when the cache has to be built; a record whose error it yields is
        reported.
    description : of the progress bar.
    """
    cached = _read(folder, key, record_ids, shape)
    if cached is None:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock", "to build this cache"):
            # Another process may have built it while this one waited for the lock.
            cached = _read(folder, key, record_ids, shape)
            if cached is None:
                _build(folder, key, record_ids, shape, read_signals, description)
                cached = _read(folder, key, record_ids, shape)
    if cached is None:
        raise OSError(f"{folder}: the cache just written there cannot be read back")
    if cached.unreadable:
        first = "; ".join(list(cached.unreadable.values())[:3])
        logger.warning(
            "%d of %d records are broken: %s%s",
            len(cached.unreadable),
            len(record_ids),
            first,
            "; ..." if len(cached.unreadable) > 3 else "",
        )
    return cached


def cache_folder(name: str, data: Path | None, cache: str | Path | None) -> Path:
    """Return the folder for the cache `name` of the data set in `data`.

    Under `cache` where that is given; else beside the data, in `.beatgate/`; else, where the data
    cannot be written to or there is none, in the user's cache folder.
    """
    if data is None:
        return Path(cache or _user_cache()) / name
    # Two copies of a data set under one cache folder must not overwrite each other.
    own_name = f"{name}-{digest(str(data.resolve()))[:8]}"
    if cache is not None:
        return Path(cache) / own_name
    beside = data / ".beatgate" / name
    try:
        beside.mkdir(parents=True, exist_ok=True)
        if not os.access(beside, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return beside
    except OSError as error:
        elsewhere = _user_cache() / own_name
        logger.warning("%s: %s, so the cache goes to %s", beside, error.strerror, elsewhere)
        return elsewhere


def digest(*parts: object) -> str:
    """Return the SHA-256 of `parts` as JSON, in hex."""
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def read_json(path: Path, key: str) -> Any:
    """Return what `write_json` stored under `key`, or None where that is not there."""
    try:
        document = json.loads(path.read_bytes())
        return document["value"] if document["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_json(path: Path, key: str, value: object) -> None:
    """Write `value` under `key` to `path`: the whole file, or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"key": key, "value": value}))


def _read(
    folder: Path, key: str, record_ids: Sequence[str], shape: tuple[int, int]
) -> SignalCache | None:
    unreadable = read_json(folder / "index.json", key)
    if unreadable is None:
        return None
    path = folder / "adc_counts.npy"
    try:
        adc_counts = np.load(path, mmap_mode="r")
        if adc_counts.dtype != np.int16 or adc_counts.shape != (len(record_ids), *shape):
            raise ValueError(f"holds {adc_counts.dtype} {adc_counts.shape}")
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s: the cache is damaged (%s) and is built again", path, error)
        return None
    rows = {record_id: row for row, record_id in enumerate(record_ids)}
    for record_id in unreadable:
        del rows[record_id]
    return SignalCache(adc_counts, rows, unreadable)


def _build(
    folder: Path,
    key: str,
    record_ids: Sequence[str],
    shape: tuple[int, int],
    read_signals: ReadSignals,
    description: str,
) -> None:
    """Write signals and index; one record at a time, so memory does not grow with the set."""
    for leftover in folder.glob("adc_counts.npy.*.tmp"):  # of a build that was killed
        leftover.unlink()
    header = {"descr": "<i2", "fortran_order": False, "shape": (len(record_ids), *shape)}
    unreadable = {}
    with (
        replacing(folder / "adc_counts.npy") as temporary,
        temporary.open("wb") as file,
        progress(description, len(record_ids)) as advance,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for record_id, signal in zip(record_ids, read_signals(), strict=True):
            if isinstance(signal, ValueError):
                unreadable[record_id] = str(signal)
                signal = np.zeros(shape, np.int16)
            assert signal.shape == shape, f"signal of record {record_id}: {signal.shape}"
            file.write(signal.astype("<i2", order="C").tobytes())
            advance()
        (folder / "index.json").unlink(missing_ok=True)
    write_json(folder / "index.json", key, unreadable)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name; what was written there becomes `path` if nothing went wrong."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave a whole-looking file of zeros
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beatgate"
