"""What a data set is to the rest of the project, and the card that describes it in `DATASETS`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .records import EcgRecord


class Dataset(Protocol):
    """Recordings of one data set at one sample rate, open for reading.

    Attributes
    ----------
    name, source : the data set's name; its citation and licence.
    fs : sample rate in Hz of every record.
    leads : canonical names of the leads every record has.
    n_listed, n_absent : records the data set lists; those of them that are not on this disk.
    fingerprint : the same for the same recordings and labels, wherever they lie.
    unreadable : record_id -> why its files, which are there, cannot be used.
    """

    name: str
    source: str
    fs: float
    leads: tuple[str, ...]
    n_listed: int
    n_absent: int
    fingerprint: str
    unreadable: dict[str, str]

    def record_ids(self, split: str | None = None) -> list[str]:
        """Return the ids of the records of `split`, or of all, that are on this disk.

        Raises
        ------
        ValueError : `split` is unknown, none of its records is there, or one of them is broken: a
            result must not depend on which files happened to be damaged.
        """
        ...

    def load(self, record_id: str, leads: Sequence[str] | None = None) -> EcgRecord:
        """Return one record with `leads` in the order asked for, or with all its leads.

        Raises
        ------
        ValueError : the record is not listed or not usable, or a lead is not there.
        FileNotFoundError : the record is listed and its file is absent.
        """
        ...


class OpenDataset(Protocol):
    """What opens one data set."""

    def __call__(self, data: str | Path | None, fs: float, cache: str | Path | None) -> Dataset:
        """Open it; parameters as in `datasets.open_dataset`."""
        ...


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """One entry of `DATASETS`: what `python -m datasets list` shows, and how to open it.

    Parameters
    ----------
    about, size : one line each.
    leads, fs : what it can be opened with.
    licence, citation : of the recordings.
    needs_folder : whether `data` names a folder on disk, and not settings.
    open : called with a rate out of `fs`; the card itself checks that and is called instead.
    """

    name: str
    about: str
    leads: tuple[str, ...]
    fs: tuple[float, ...]
    size: str
    licence: str
    citation: str
    needs_folder: bool
    open: OpenDataset

    @property
    def source(self) -> str:
        """Citation and licence in one line."""
        return f"{self.citation} Licence: {self.licence}."

    def __call__(
        self,
        data: str | Path | None = None,
        fs: float | None = None,
        cache: str | Path | None = None,
    ) -> Dataset:
        """Open the data set; parameters as in `datasets.open_dataset`."""
        if fs is None:
            fs = self.fs[0]
        if fs not in self.fs:
            rates = " or ".join(f"{rate:g}" for rate in self.fs)
            raise ValueError(f"fs of {self.name} must be {rates} Hz, got {fs:g}")
        return self.open(data, float(fs), cache)  # 100 and 100.0 are one cache
