"""A data set as the list of its records, and a function that opens one of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cache import SignalCache
from .dataset import DatasetCard, Member, refuse_broken
from .reader import RecordReader
from .records import Annotations, EcgRecord, Int16Array
from .splits import assert_disjoint, check_split, folds_of, split_of


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """All a data set says of one record, without its signal; fields as in `EcgRecord`.

    `where` names the file it comes from, for messages.
    """

    record_id: str
    subject_id: str
    fold: int
    where: str
    superclasses: tuple[str, ...] = ()
    noise_flags: tuple[str, ...] = ()
    sex: str | None = None
    age: float | None = None

    @property
    def split(self) -> str:
        """The split the record belongs to."""
        return split_of(self.fold, self.subject_id)

    def record(
        self,
        fs: float,
        leads: Sequence[str],
        adc_gain: float,
        baseline: int = 0,
        annotations: Annotations | None = None,
    ) -> EcgRecord:
        """Return the record without samples: `adc_counts` is int16 (0, n_leads)."""
        return EcgRecord(
            record_id=self.record_id,
            subject_id=self.subject_id,
            fs=fs,
            leads=tuple(leads),
            adc_counts=np.empty((0, len(leads)), np.int16),
            adc_gain=adc_gain,
            baseline=baseline,
            fold=self.fold,
            superclasses=frozenset(self.superclasses),
            noise_flags=frozenset(self.noise_flags),
            sex=self.sex,
            age=self.age,
            annotations=annotations or Annotations(),
        )


OpenRecord = Callable[[RecordInfo, Sequence[str] | None], RecordReader]
"""Opens a record that is on disk, with the leads asked for, or with all where that is None."""


class Recordings:
    """The `Dataset` of records that are `listed`.

    Parameters
    ----------
    card : what the data set is.
    fs : sample rate in Hz of every record.
    listed : the records the data set lists, on disk or not, in its own order.
    present : ids of those that can be opened; unreadable : as in `Dataset`.
    open_record : opens one that is present.
    fingerprint : as in `Dataset`; root : what `RecordInfo.where` is relative to, for messages.
    leads : as in `Dataset`; default those of the card.

    Raises
    ------
    ValueError : a subject is in more than one split.
    """

    def __init__(
        self,
        card: DatasetCard,
        fs: float,
        listed: Sequence[RecordInfo],
        present: Collection[str],
        unreadable: Mapping[str, str],
        open_record: OpenRecord,
        fingerprint: str,
        root: Path,
        leads: tuple[str, ...] | None = None,
    ) -> None:
        assert_disjoint((info.subject_id, info.fold) for info in listed)
        self.name = card.name
        self.source = card.source
        self.leads = card.leads if leads is None else leads
        self.fs = fs
        self.fingerprint = fingerprint
        self.unreadable = dict(unreadable)
        self.n_listed = len(listed)
        self.n_absent = len(listed) - len(present) - len(unreadable)
        self._infos = {info.record_id: info for info in listed}
        self._present = present
        self._open_record = open_record
        self._root = root

    def record_ids(self, split: str | None = None) -> list[str]:
        """Return the ids of the records of `split`, or of all, that are on disk; see `Dataset`."""
        infos = list(self._infos.values())
        if split is not None:
            check_split(split)
            infos = [info for info in infos if info.split == split]
        refuse_broken(self, (info.record_id for info in infos))
        present = [info.record_id for info in infos if info.record_id in self._present]
        if split is not None and not present:
            found = f"0 of the {len(infos):,} it lists are on disk" if infos else "it lists none"
            raise ValueError(
                f"split {split} needs records in {folds_of(split)} of {self.name}, {found}"
            )
        return present

    def members(self) -> dict[str, Member]:
        """Return what decides who may see each record on disk; see `Dataset`."""
        return {
            i: Member(i, info.subject_id, info.fold, frozenset(info.superclasses))
            for i, info in self._infos.items()
            if i in self._present or i in self.unreadable
        }

    def open(self, record_id: str, leads: Sequence[str] | None = None) -> RecordReader:
        """Open one record with `leads` in the order asked for; see `Dataset`."""
        if record_id not in self._present:
            raise self._why_not(record_id)
        return self._open_record(self._infos[record_id], leads)

    def load(self, record_id: str, leads: Sequence[str] | None = None) -> EcgRecord:
        """Return one record with all its samples; see `Dataset`."""
        return self.open(record_id, leads).whole()

    def _why_not(self, record_id: str) -> Exception:
        if record_id in self.unreadable:
            return ValueError(self.unreadable[record_id])
        if record_id in self._infos:
            file = self._root / self._infos[record_id].where
            return FileNotFoundError(f"{file}: the files of record {record_id} are absent")
        return ValueError(f"record must be one that {self.name} lists, got {record_id}")


def cached_recordings(
    card: DatasetCard,
    fs: float,
    adc_gain: float,
    listed: Sequence[RecordInfo],
    signals: SignalCache,
    fingerprint: str,
    root: Path,
    annotate: Callable[[RecordInfo], Annotations] | None = None,
) -> Recordings:
    """Return the data set of short recordings of equal length, whose signals are in a cache.

    Parameters
    ----------
    adc_gain : ADC counts per mV of every lead of every record; 0 mV is count 0.
    signals : of the records that are on disk, all at `fs` and with the leads of the card.
    annotate : returns what is marked in a record; None = nothing is.
    card, fs, listed, fingerprint, root : as in `Recordings`.
    """

    def open_record(info: RecordInfo, leads: Sequence[str] | None) -> RecordReader:
        where = f"record {info.record_id} of {root}"
        columns = lead_columns(card.leads if leads is None else leads, card.leads, where)
        adc_counts = signals.adc_counts[signals.rows[info.record_id]]

        def read(start: int, stop: int) -> Int16Array:
            return np.array(adc_counts[start:stop, columns], order="C")

        names = [card.leads[column] for column in columns]
        annotations = annotate(info) if annotate else None
        record = info.record(fs, names, adc_gain, annotations=annotations)
        return RecordReader(record, len(adc_counts), read)

    return Recordings(
        card, fs, listed, signals.rows, signals.unreadable, open_record, fingerprint, root
    )


class LeadAbsentError(ValueError):
    """A lead was asked for that a recording does not have; `available` are those it has."""

    def __init__(self, lead: str, available: Sequence[str], inside: str) -> None:
        super().__init__(f"lead must be one of {', '.join(available)}, got {lead}{inside}")
        self.available = tuple(available)


def lead_columns(
    leads: Sequence[str], available: Sequence[str], where: str | None = None
) -> list[int]:
    """Return the column of each of `leads` among the `available` ones, upper and lower case alike.

    Raises
    ------
    LeadAbsentError : a lead is not there.
    ValueError : no lead is asked for, or one twice.

    Examples
    --------
    >>> lead_columns(["avr", "I"], available=("I", "II", "aVR"))
    [2, 0]
    """
    column_by_name = {name.upper(): column for column, name in enumerate(available)}
    inside = f" in {where}" if where is not None else ""
    for lead in leads:
        if lead.upper() not in column_by_name:
            raise LeadAbsentError(lead, available, inside)
    columns = [column_by_name[lead.upper()] for lead in leads]
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(
            f"leads must be one or more, each once, got {', '.join(leads) or 'none'}{inside}"
        )
    return columns
