"""Data sets that PhysioNet ships as a folder of WFDB records with annotations."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from .cache import digest
from .dataset import DatasetCard
from .reader import RecordReader
from .recordings import RecordInfo, Recordings
from .wfdb_files import WfdbRecord, read_wfdb

logger = logging.getLogger(__name__)

OpenWfdb = Callable[[RecordInfo, WfdbRecord, Path, Sequence[str] | None], RecordReader]
"""Opens a record out of its header and the path of its annotations, with the leads asked for."""


def open_wfdb_folder(
    card: DatasetCard,
    data: str | Path | None,
    listed: Sequence[RecordInfo],
    annotations_of: Callable[[Path], Path],
    open_record: OpenWfdb,
) -> Recordings:
    """Open the folder `data`, which may lack some of the records `listed`.

    Headers are read at once, samples and annotations when a record is opened.

    Parameters
    ----------
    card : of the data set; all its records have the card's one rate.
    listed : `where` of each is the path of its header from `data`, without .hea.
    annotations_of : returns the annotation file that belongs to a header.
    open_record : opens one record.

    Raises
    ------
    ValueError : `data` is not given, or none of the records is in it.
    """
    if data is None:
        raise ValueError(
            f"{card.name} needs its folder as data, the one that holds {listed[0].where}.hea"
        )
    root = Path(data)
    headers: dict[str, WfdbRecord] = {}
    unreadable: dict[str, str] = {}
    states = []
    for info in listed:
        path = root / f"{info.where}.hea"
        if not path.is_file() and not path.with_suffix(".dat").is_file():
            continue
        try:
            headers[info.record_id] = _read_header(path, card.fs[0])
            files = (path, annotations_of(path))
            states.append([info.record_id, *map(_sha256, files)])
        except ValueError as error:
            headers.pop(info.record_id, None)
            unreadable[info.record_id] = str(error)
    if not headers and not unreadable:
        raise ValueError(f"{root}: at least one of the {len(listed)} records must be there")

    def open_listed(info: RecordInfo, leads: Sequence[str] | None) -> RecordReader:
        path = annotations_of(root / f"{info.where}.hea")
        return open_record(info, headers[info.record_id], path, leads)

    recordings = Recordings(
        card, card.fs[0], listed, headers, unreadable, open_listed, digest(states), root
    )
    if recordings.n_absent:
        logger.warning("%s: %d of %d records are absent", root, recordings.n_absent, len(listed))
    return recordings


def _read_header(path: Path, fs: float) -> WfdbRecord:
    record = read_wfdb(path)
    if record.channels.fs != fs:
        raise ValueError(f"{path}: fs must be {fs:g} Hz, got {record.channels.fs:g}")
    return record


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    return hashlib.sha256(path.read_bytes()).hexdigest()
