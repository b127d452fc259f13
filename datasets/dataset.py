"""What a data set is to the rest of the project, and the card that describes it in `DATASETS`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .reader import RecordReader
from .records import EcgRecord, check_superclasses


@dataclass(frozen=True, slots=True)
class Member:
    """What decides who may see a record.

    Parameters
    ----------
    record_id, subject_id, fold, superclasses : as in `EcgRecord`.

    Raises
    ------
    ValueError : a superclass is none of `SUPERCLASSES`.
    """

    record_id: str
    subject_id: str
    fold: int
    superclasses: frozenset[str]

    def __post_init__(self) -> None:
        check_superclasses(self.superclasses, self.record_id)

    @classmethod
    def of(cls, record: EcgRecord) -> "Member":
        """Return the membership of `record`.

        Raises
        ------
        ValueError : it has no fold.
        """
        if record.fold is None:
            raise ValueError(f"a record must have a fold to have a role, {record.record_id} has no")
        return cls(record.record_id, record.subject_id, record.fold, record.superclasses)


class Dataset(Protocol):
    """Recordings of one data set at one sample rate, open for reading.

    Attributes
    ----------
    name, source : the data set's name; its citation and licence.
    fs : sample rate in Hz of every record.
    leads : names of the leads its records have. In a data set whose records differ a record may
        lack some of them: `open(record_id).record.leads` says which it has.
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

    def members(self) -> dict[str, Member]:
        """Return record_id -> membership of every record on this disk, also of the broken ones.

        By what the data set lists: no record is opened for it.
        """
        ...

    def open(self, record_id: str, leads: Sequence[str] | None = None) -> RecordReader:
        """Open one record, of whatever length, with `leads` in the order asked for, or with all.

        Memory for reading it in chunks does not grow with its length.

        Raises
        ------
        ValueError : the record is not listed or not usable, or a lead is not there.
        FileNotFoundError : the record is listed and its file is absent.
        """
        ...

    def load(self, record_id: str, leads: Sequence[str] | None = None) -> EcgRecord:
        """Return one record with all its samples in memory; as `open`, then `whole`."""
        ...


def refuse_broken(dataset: Dataset, record_ids: Iterable[str]) -> None:
    """Raise ValueError where one of the records is on disk and cannot be used."""
    broken = [i for i in record_ids if i in dataset.unreadable]
    if broken:
        raise ValueError(
            f"{dataset.unreadable[broken[0]]} ({len(broken)} broken records in all; delete their "
            "files to go on without them)"
        )


class OpenDataset(Protocol):
    """What opens one data set."""

    def __call__(self, data: str | Path | None, fs: float, cache: str | Path | None) -> Dataset:
        """Open it; parameters as in `datasets.open_dataset`, `fs` 0 where the card names none."""
        ...


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """One entry of `DATASETS`: what `python -m datasets list` shows, and how to open it.

    Parameters
    ----------
    about, size : one line each.
    leads, fs : what it can be opened with; empty where that is up to the recordings.
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
        default, *_ = self.fs or (0.0,)
        chosen = default if fs is None else float(fs)  # 100 and 100.0 are one cache
        if self.fs and chosen not in self.fs:
            rates = " or ".join(f"{rate:g}" for rate in self.fs)
            raise ValueError(f"fs of {self.name} must be {rates} Hz, got {chosen:g}")
        return self.open(data, chosen, cache)
