"""Recordings in, windows and labels out. `open_dataset` is the door; importing this is cheap."""

from pathlib import Path

from .butqdb import BUTQDB
from .dataset import Dataset, DatasetCard
from .files import FILES
from .mitdb import MITDB
from .nstdb import NSTDB
from .protocol import Candidate, LeaveOneOut, leave_one_out
from .ptbxl import PTBXL
from .reader import RecordReader
from .recordings import lead_columns
from .records import SUPERCLASSES, Annotations, EcgRecord, Stretch, WindowBatch
from .splits import SPLITS, split_of
from .synthetic import SYNTHETIC
from .windows import window_starts

__all__ = [
    "DATASETS",
    "SPLITS",
    "SUPERCLASSES",
    "Annotations",
    "Candidate",
    "Dataset",
    "DatasetCard",
    "EcgRecord",
    "LeaveOneOut",
    "RecordReader",
    "Stretch",
    "WindowBatch",
    "lead_columns",
    "leave_one_out",
    "open_dataset",
    "split_of",
    "window_starts",
]

DATASETS: dict[str, DatasetCard] = {
    "ptbxl": PTBXL,
    "butqdb": BUTQDB,
    "nstdb": NSTDB,
    "mitdb": MITDB,
    "synthetic": SYNTHETIC,
    "files": FILES,
}


def open_dataset(
    name: str,
    data: str | Path | None = None,
    fs: float | None = None,
    cache: str | Path | None = None,
) -> Dataset:
    """Open a data set for reading; the first time, this builds its cache of signals.

    Parameters
    ----------
    name : a key of `DATASETS`.
    data : the folder the data set was downloaded to; for `synthetic`, None or its settings such as
        "n_subjects=60,seed=1"; for `files`, a recording or a folder of them, such as
        "watch.csv,fs=250,units=uV".
    fs : sample rate in Hz, one the data set is published at; None = the first of its card, or that
        of the recordings where the card names none.
    cache : folder for the cache; default beside the data, or else in ~/.cache/beatgate.

    Raises
    ------
    ValueError : the name, `data` or `fs` is not one there is; the text says which there are.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name}")
    return DATASETS[name](data, fs, cache)
