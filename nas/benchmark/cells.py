"""The files of the benchmark: a cell a slot, and the records that all of them score."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets import SUPERCLASSES, EcgRecord
from datasets.cache import digest, replacing
from datasets.records import BoolArray, FloatArray, Int64Array, StrArray
from export.threshold import fit_threshold

from .study import Keys, Slot

FORMAT = 1
STATES = ("done", "stale", "failed", "missing")
RANK_DTYPE = "<u2"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores as their ranks, which give every figure of the table and take two bytes each.

    Equal scores have equal ranks; a window is rejected iff its rank exceeds `threshold`, which is
    fitted on the ranks of the calibration windows as `fit_threshold` does on scores.

    Parameters
    ----------
    test : int64 (n_windows,), of the test records' windows in order.
    noisy : int64 (n_noisy,) for each condition of noise; empty without noise.
    threshold : at a false-reject rate of 5 %.
    """

    test: Int64Array
    noisy: tuple[Int64Array, ...]
    threshold: int

    def to_json(self) -> dict[str, Any]:
        """Return the ranks as text."""
        return {
            "threshold": self.threshold,
            "test": _text(self.test),
            "noisy": [_text(row) for row in self.noisy],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Ranked":
        """Return what `to_json` wrote."""
        return cls(
            test=_ranks(values["test"]),
            noisy=tuple(_ranks(row) for row in values["noisy"]),
            threshold=int(values["threshold"]),
        )


def rank(calibration: FloatArray, test: FloatArray, noisy: Sequence[FloatArray]) -> Ranked:
    """Return scores as ranks among all of them.

    Parameters
    ----------
    calibration : (n_calibration,), of clean in-distribution windows; integers or floats.
    test : (n_windows,); noisy : (n_noisy,) for each condition.

    Raises
    ------
    ValueError : a score is not finite, or there are too few calibration windows.
    """
    parts = [calibration, test, *noisy]
    scores = np.concatenate(parts)
    if n_bad := int((~np.isfinite(scores)).sum()):
        raise ValueError(f"scores must be finite, {n_bad} of {len(scores)} are not")
    levels, ranks = np.unique(scores, return_inverse=True)
    assert len(levels) <= np.iinfo(RANK_DTYPE).max + 1
    ends = np.cumsum([len(part) for part in parts])[:-1]
    of_calibration, of_test, *of_noisy = np.split(ranks.astype(np.int64), ends)
    return Ranked(of_test, tuple(of_noisy), fit_threshold(of_calibration).value)


@dataclass(frozen=True, slots=True)
class ScoredRecords:
    """Who is tested: the records of the test split that carry a superclass, whatever is held out.

    Parameters
    ----------
    record_ids, subject_ids, sexes : str (n_records,); a sex is "" where it is not known.
    labels : bool (n_records, 5), in order of `SUPERCLASSES`.
    ages : float (n_records,), years, NaN where unknown.
    clean : bool (n_records,), no remark of noise.
    """

    record_ids: StrArray
    subject_ids: StrArray
    labels: BoolArray
    sexes: StrArray
    ages: FloatArray
    clean: BoolArray

    @classmethod
    def of(cls, records: Sequence[EcgRecord]) -> "ScoredRecords":
        """Return what of `records` the table needs."""
        return cls(
            record_ids=np.array([record.record_id for record in records]),
            subject_ids=np.array([record.subject_id for record in records]),
            labels=np.array([[c in r.superclasses for c in SUPERCLASSES] for r in records]),
            sexes=np.array([record.sex or "" for record in records]),
            ages=np.array([np.nan if r.age is None else r.age for r in records], np.float64),
            clean=np.array([record.clean for record in records]),
        )

    def to_json(self) -> list[list[Any]]:
        """Return a row a record: id, subject, superclasses, sex, age, whether it is clean."""
        return [
            [
                str(self.record_ids[i]),
                str(self.subject_ids[i]),
                [c for c, carried in zip(SUPERCLASSES, self.labels[i], strict=True) if carried],
                str(self.sexes[i]),
                None if np.isnan(self.ages[i]) else float(self.ages[i]),
                bool(self.clean[i]),
            ]
            for i in range(len(self.record_ids))
        ]

    @classmethod
    def from_json(cls, rows: list[list[Any]]) -> "ScoredRecords":
        """Return what `to_json` wrote."""
        ids, subjects, carried, sexes, ages, clean = zip(*rows, strict=True)
        return cls(
            record_ids=np.array(ids),
            subject_ids=np.array(subjects),
            labels=np.array([[c in names for c in SUPERCLASSES] for names in carried]),
            sexes=np.array(sexes),
            ages=np.array([np.nan if age is None else age for age in ages], np.float64),
            clean=np.array(clean, np.bool_),
        )

    @property
    def sha256(self) -> str:
        """The same for the same records in the same order."""
        return digest(self.to_json())


@dataclass(frozen=True, slots=True)
class Cell:
    """What is kept of one slot.

    Parameters
    ----------
    slot : its place; keys : what decided it.
    error : why there are no scores; None where there are.
    scores : by name: "int8" and "float" of a family, or the baselines.
    records : `ScoredRecords.sha256` of the records scored.
    noise_kinds, noise_snr_db : the conditions of `Ranked.noisy`, kind by kind.
    noise_of : rows of the test records that noise was added to.
    n_calibration : windows the thresholds rest on.
    details : costs, seconds, versions, the protocol's settings, in JSON types.
    """

    slot: Slot
    keys: Keys
    error: str | None = None
    scores: Mapping[str, Ranked] = field(default_factory=dict)
    records: str = ""
    noise_kinds: tuple[str, ...] = ()
    noise_snr_db: tuple[float, ...] = ()
    noise_of: tuple[int, ...] = ()
    n_calibration: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the cell in JSON types."""
        return {
            "format": FORMAT,
            "slot": asdict(self.slot),
            "keys": asdict(self.keys),
            "error": self.error,
            "records": self.records,
            "n_calibration": self.n_calibration,
            "noise_kinds": list(self.noise_kinds),
            "noise_snr_db": list(self.noise_snr_db),
            "noise_of": " ".join(map(str, self.noise_of)),
            "details": dict(self.details),
            "scores": {name: ranked.to_json() for name, ranked in self.scores.items()},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Cell":
        """Return what `to_json` wrote."""
        return cls(
            slot=Slot(**values["slot"]),
            keys=Keys(**values["keys"]),
            error=values["error"],
            scores={name: Ranked.from_json(v) for name, v in values["scores"].items()},
            records=values["records"],
            noise_kinds=tuple(values["noise_kinds"]),
            noise_snr_db=tuple(values["noise_snr_db"]),
            noise_of=tuple(map(int, values["noise_of"].split())),
            n_calibration=values["n_calibration"],
            details=values["details"],
        )


class CellFiles:
    """The folder `cells` of the results, and the records beside it.

    Parameters
    ----------
    folder : of the results, such as docs/results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"

    def read(self, slot: Slot) -> Cell | None:
        """Return the cell in `slot`, None where there is none.

        Raises
        ------
        ValueError : the file is not one that `write` wrote.
        """
        path = self._cells / f"{slot.name}.json"
        return self._read(path) if path.is_file() else None

    def cells(self) -> list[Cell]:
        """Return all cells there are.

        Raises
        ------
        ValueError : as `read`.
        """
        return [self._read(path) for path in sorted(self._cells.glob("*.json"))]

    def _read(self, path: Path) -> Cell:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}")
            return Cell.from_json(values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} must be a cell of format {FORMAT}, it is not ({error!r}): delete it"
            ) from error

    def write(self, cell: Cell) -> None:
        """Write a cell: the whole file, or nothing."""
        _write(self._cells / f"{cell.slot.name}.json", cell.to_json())

    def state(self, cell: Cell | None, keys: Keys) -> str:
        """Return which of `STATES` a slot is in."""
        if cell is None:
            return "missing"
        if cell.keys.cell != keys.cell:
            return "stale"
        return "done" if cell.error is None else "failed"

    def read_records(self) -> ScoredRecords | None:
        """Return the records all cells score, None before the first cell."""
        path = self.folder / "records.json"
        if not path.is_file():
            return None
        return ScoredRecords.from_json(json.loads(path.read_text(encoding="utf-8")))

    def write_records(self, records: ScoredRecords) -> None:
        """Write the records all cells score."""
        rows = ",\n".join(json.dumps(row) for row in records.to_json())
        _write_text(self.folder / "records.json", f"[\n{rows}\n]\n")


def _write(path: Path, values: object) -> None:
    _write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _text(ranks: Int64Array) -> str:
    return base64.b64encode(ranks.astype(RANK_DTYPE).tobytes()).decode()


def _ranks(text: str) -> Int64Array:
    return np.frombuffer(base64.b64decode(text), RANK_DTYPE).astype(np.int64)
