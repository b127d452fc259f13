"""Recordings in, windows and labels out. `open_dataset` is the door; importing this is cheap."""

from pathlib import Path

from .dataset import Dataset, DatasetCard
from .ptbxl import PTBXL
from .recordings import lead_columns
from .records import SUPERCLASSES, Annotations, EcgRecord, Stretch, WindowBatch
from .splits import SPLITS, in_distribution, split_of
from .synthetic import SYNTHETIC
from .windows import window_starts

__all__ = [
    "DATASETS",
    "SPLITS",
    "SUPERCLASSES",
    "Annotations",
    "Dataset",
    "DatasetCard",
    "EcgRecord",
    "Stretch",
    "WindowBatch",
    "in_distribution",
    "lead_columns",
    "open_dataset",
    "split_of",
    "window_starts",
]

DATASETS: dict[str, DatasetCard] = {
    "ptbxl": PTBXL,
    "synthetic": SYNTHETIC,
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
        "n_subjects=60,seed=1".
    fs : sample rate in Hz, one the data set is published at; None = the first of its card.
    cache : folder for the cache; default beside the data, or else in ~/.cache/beatgate.

    Raises
    ------
    ValueError : the name, `data` or `fs` is not one there is; the text says which there are.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name}")
    return DATASETS[name](data, fs, cache)
