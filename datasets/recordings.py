"""A data set of short recordings of equal length, whose signals lie in one `SignalCache`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cache import SignalCache
from .dataset import DatasetCard
from .records import EcgRecord
from .splits import assert_disjoint, check_split, folds_of, split_of


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """All a data set says of one record, without its signal; fields as in `EcgRecord`.

    `where` names the file it comes from, for messages.
    """

    record_id: str
    subject_id: str
    fold: int
    superclasses: tuple[str, ...]
    noise_flags: tuple[str, ...]
    sex: str | None
    age: float | None
    where: str

    @property
    def split(self) -> str:
        """The split the record belongs to."""
        return split_of(self.fold, self.subject_id)


class Recordings:
    """The `Dataset` of records that are `listed` and whose signals are in `signals`.

    Parameters
    ----------
    card : what the data set is.
    fs : sample rate in Hz of `signals`.
    adc_gain : ADC counts per mV of every lead of every record; 0 mV is count 0.
    listed : the records the data set lists, on disk or not, in its own order.
    signals : of those that are on disk.
    fingerprint : as in `Dataset`; root : what `RecordInfo.where` is relative to, for messages.

    Raises
    ------
    ValueError : a subject is in more than one split.
    """

    def __init__(
        self,
        card: DatasetCard,
        fs: float,
        adc_gain: float,
        listed: Sequence[RecordInfo],
        signals: SignalCache,
        fingerprint: str,
        root: Path,
    ) -> None:
        assert_disjoint((info.subject_id, info.fold) for info in listed)
        self.name = card.name
        self.source = card.source
        self.leads = card.leads
        self.fs = fs
        self.adc_gain = adc_gain
        self.fingerprint = fingerprint
        self._root = root
        self.unreadable = signals.unreadable
        self.n_listed = len(listed)
        self.n_absent = len(listed) - len(signals.rows) - len(signals.unreadable)
        self._infos = {info.record_id: info for info in listed}
        self._signals = signals

    def record_ids(self, split: str | None = None) -> list[str]:
        """Return the ids of the records of `split`, or of all, that are on disk; see `Dataset`."""
        infos = list(self._infos.values())
        if split is not None:
            check_split(split)
            infos = [info for info in infos if info.split == split]
        broken = [info.record_id for info in infos if info.record_id in self.unreadable]
        if broken:
            raise ValueError(
                f"{self.unreadable[broken[0]]} ({len(broken)} broken records in all; delete their "
                "files to go on without them)"
            )
        present = [info.record_id for info in infos if info.record_id in self._signals.rows]
        if split is not None and not present:
            found = f"0 of the {len(infos):,} it lists are on disk" if infos else "it lists none"
            raise ValueError(
                f"split {split} needs records in {folds_of(split)} of {self.name}, {found}"
            )
        return present

    def load(self, record_id: str, leads: Sequence[str] | None = None) -> EcgRecord:
        """Return one record with `leads` in the order asked for; see `Dataset`."""
        row = self._signals.rows.get(record_id)
        if row is None:
            raise self._why_not(record_id)
        info = self._infos[record_id]
        adc_counts = self._signals.adc_counts[row]
        where = f"record {record_id} of {self._root}"
        columns = lead_columns(self.leads if leads is None else leads, self.leads, where)
        return EcgRecord(
            record_id=record_id,
            subject_id=info.subject_id,
            fs=self.fs,
            leads=tuple(self.leads[column] for column in columns),
            adc_counts=np.array(adc_counts[:, columns], order="C"),
            adc_gain=self.adc_gain,
            fold=info.fold,
            superclasses=frozenset(info.superclasses),
            noise_flags=frozenset(info.noise_flags),
            sex=info.sex,
            age=info.age,
        )

    def _why_not(self, record_id: str) -> Exception:
        if record_id in self.unreadable:
            return ValueError(self.unreadable[record_id])
        if record_id in self._infos:
            file = self._root / self._infos[record_id].where
            return FileNotFoundError(f"{file}: the files of record {record_id} are absent")
        return ValueError(f"record must be one that {self.name} lists, got {record_id}")


def lead_columns(
    leads: Sequence[str], available: Sequence[str], where: str | None = None
) -> list[int]:
    """Return the column of each of `leads` among the `available` ones, upper and lower case alike.

    Raises
    ------
    ValueError : no lead is asked for, one is asked for twice, or one is not there.

    Examples
    --------
    >>> lead_columns(["avr", "I"], available=("I", "II", "aVR"))
    [2, 0]
    """
    column_by_name = {name.upper(): column for column, name in enumerate(available)}
    inside = f" in {where}" if where is not None else ""
    for lead in leads:
        if lead.upper() not in column_by_name:
            raise ValueError(f"lead must be one of {', '.join(available)}, got {lead}{inside}")
    columns = [column_by_name[lead.upper()] for lead in leads]
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(
            f"leads must be one or more, each once, got {', '.join(leads) or 'none'}{inside}"
        )
    return columns
