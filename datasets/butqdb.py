"""BUT QDB: single-lead ECGs of a day and more, every graded sample by three annotators.

Quality classes: 1 = all waves can be measured; 2 = the QRS complexes can be found, the rest not;
3 = not even those.

References
----------
Nemcova et al., "Brno University of Technology ECG Quality Database (BUT QDB)" (version 1.0.0),
PhysioNet (2020), https://doi.org/10.13026/kah4-0w24. Its authors' reader of the annotations, which
shows that samples count from 1 and that ends are inclusive: ann_reader in
https://github.com/BioSig-BUT/BUT-QDB-supplement
"""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dataset import DatasetCard
from .reader import RecordReader
from .recordings import RecordInfo, Recordings
from .records import Annotations, Int64Array, Stretch
from .splits import TEST_FOLD
from .wfdb_files import WfdbRecord
from .wfdb_folder import open_wfdb_folder

RECORD_IDS = (
    *("100001", "100002", "103001", "103002", "103003", "104001", "105001", "111001", "113001"),
    *("114001", "115001", "118001", "121001", "122001", "123001", "124001", "125001", "126001"),
)
FULLY_GRADED = ("100001", "105001", "111001")
"""Of the others only stretches are graded: two of 20 min each, and in three of them some more."""

CLASSES = (1, 2, 3)
N_ANNOTATORS = 3
GRADERS = ("annotator 1", "annotator 2", "annotator 3", "consensus")


def open_butqdb(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the BUT QDB folder `data`, which may lack some of the 18 records.

    The first three digits of a record's id are its subject.

    Raises
    ------
    ValueError : `data` is not such a folder.
    """
    listed = [
        RecordInfo(
            record_id=record_id,
            subject_id=record_id[:3],
            fold=TEST_FOLD,
            where=f"{record_id}/{record_id}_ECG",
        )
        for record_id in RECORD_IDS
    ]
    return open_wfdb_folder(BUTQDB, data, listed, _annotation_file, _open_record)


def read_grades(path: Path, n_samples: int) -> Annotations:
    """Return the graded stretches in `path`, a file ..._ANN.csv, of a record of `n_samples`.

    The file has no header and 12 columns, (first sample, last sample, class) for each of three
    annotators and their consensus, samples from 1; class 0 or no row = not graded. A stretch has
    the consensus class as its label, and is cut where the part of the annotators who agree with
    the consensus changes.

    Raises
    ------
    ValueError : the file breaks a rule; the text names line, column, rule and value.
    """
    rows_by_grader = _read_rows(path, n_samples)
    edges = np.unique(
        np.concatenate([rows[:, :2].ravel() for rows in rows_by_grader] + [[0, n_samples]])
    )
    *annotators, consensus = (_class_at(rows, edges[:-1]) for rows in rows_by_grader)
    n_agreeing = sum((annotator == consensus).astype(np.int64) for annotator in annotators)
    pieces = zip(consensus, n_agreeing, edges[:-1], edges[1:], strict=True)
    stretches = []
    for (grade, n_agree), group in itertools.groupby(pieces, key=lambda piece: piece[:2]):
        run = list(group)
        if grade:
            agreement = int(n_agree) / N_ANNOTATORS
            start, stop = int(run[0][2]), int(run[-1][3])
            stretches.append(Stretch(start, stop, "quality", str(grade), agreement))
    return Annotations(tuple(stretches))


def _annotation_file(header: Path) -> Path:
    return header.with_name(header.name.replace("_ECG.hea", "_ANN.csv"))


def _open_record(
    info: RecordInfo, record: WfdbRecord, annotations: Path, leads: Sequence[str] | None
) -> RecordReader:
    channels = record.channels
    return channels.open(info, leads, read_grades(annotations, channels.n_samples))


def _read_rows(path: Path, n_samples: int) -> list[Int64Array]:
    """Return [start, stop, class] of every row of each grader, int64 (n_rows, 3), half-open."""
    rows_by_grader: list[list[tuple[int, int, int]]] = [[] for _ in GRADERS]
    try:
        with path.open(encoding="ascii", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if len(cells) != 3 * len(GRADERS):
                    raise ValueError(
                        f"{where}: must have {3 * len(GRADERS)} columns, got {len(cells)}"
                    )
                for number, (grader, rows) in enumerate(zip(GRADERS, rows_by_grader, strict=True)):
                    triplet = cells[3 * number : 3 * number + 3]
                    if any(triplet):  # a grader with fewer rows has empty cells below them
                        after = rows[-1][1] if rows else 0
                        rows.append(_parse_row(triplet, after, n_samples, f"{where}, {grader}"))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: must be a CSV file in ASCII, got {error}") from error
    if not rows_by_grader[-1]:
        raise ValueError(f"{path}: must have rows of the consensus, got none")
    return [np.array(rows, np.int64).reshape(-1, 3) for rows in rows_by_grader]


def _parse_row(cells: list[str], after: int, n_samples: int, where: str) -> tuple[int, int, int]:
    try:
        first, last, grade = (_whole_number(cell) for cell in cells)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{where}: first sample, last sample and class must be whole numbers, "
            f"got {','.join(cells)}"
        ) from error
    if not after < first <= last <= n_samples:
        raise ValueError(
            f"{where}: samples must ascend from {after + 1} to at most {n_samples}, "
            f"got {first} to {last}"
        )
    if grade not in (0, *CLASSES):
        raise ValueError(f"{where}: class must be 1, 2, 3, or 0 for not graded, got {grade}")
    return first - 1, last, grade


def _whole_number(cell: str) -> int:
    """Return 3 for "3" and "3.0": spreadsheets print whole numbers either way."""
    if float(cell) != int(float(cell)):
        raise ValueError
    return int(float(cell))


def _class_at(rows: Int64Array, samples: Int64Array) -> Int64Array:
    """Return the class `rows` give each of `samples`, 0 where they give none."""
    if not len(rows):
        return np.zeros(len(samples), np.int64)
    index = np.searchsorted(rows[:, 0], samples, side="right") - 1
    row = rows[np.maximum(index, 0)]
    inside = (index >= 0) & (samples < row[:, 1])
    return np.where(inside, row[:, 2], 0)


BUTQDB = DatasetCard(
    name="butqdb",
    about="single-lead ECGs of a day and more; 99 h graded for quality by three annotators",
    leads=("ECG",),
    fs=(1000.0,),
    size="18 records of 24 to 39 h, 15 subjects; for evaluation only (split test)",
    licence="CC BY 4.0",
    citation=(
        "Nemcova et al., Brno University of Technology ECG Quality Database (BUT QDB), PhysioNet "
        "(2020), https://doi.org/10.13026/kah4-0w24"
    ),
    needs_folder=True,
    open=open_butqdb,
)
