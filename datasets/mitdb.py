"""MIT-BIH Arrhythmia Database: 48 two-lead ECGs of half an hour with every beat annotated.

References
----------
Moody and Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. in Med. and Biol. 20(3),
45-50 (2001); files: https://physionet.org/content/mitdb/
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .dataset import DatasetCard
from .reader import RecordReader
from .recordings import RecordInfo, Recordings
from .splits import TEST_FOLD
from .wfdb_annotations import read_annotations
from .wfdb_files import WfdbRecord
from .wfdb_folder import open_wfdb_folder

RECORD_IDS = tuple(
    str(number)
    for number in (*range(100, 125), *range(200, 235))
    if number not in {110, 120, 204, 206, 211, 216, 218, 224, 225, 226, 227, 229}
)
SAME_SUBJECT = {"202": "201"}
"""Records 201 and 202 come from one man (the directory that ships with the data set)."""

PATIENT = re.compile(r"^(?P<age>-?\d+) (?P<sex>[MF])\b")
"""How a header's first comment begins; an unknown age is -1."""


def open_mitdb(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the folder `data` of the MIT-BIH Arrhythmia Database, which may lack some records.

    Raises
    ------
    ValueError : `data` is not such a folder.
    """
    listed = [
        RecordInfo(
            record_id=record_id,
            subject_id=SAME_SUBJECT.get(record_id, record_id),
            fold=TEST_FOLD,
            where=record_id,
        )
        for record_id in RECORD_IDS
    ]
    return open_wfdb_folder(
        MITDB, data, listed, lambda header: header.with_suffix(".atr"), open_with_beats
    )


def open_with_beats(
    info: RecordInfo, record: WfdbRecord, annotations: Path, leads: Sequence[str] | None
) -> RecordReader:
    """Open one record with its beats, rhythms, and what its header says of the patient."""
    channels = record.channels
    patient = PATIENT.match(record.comments[0]) if record.comments else None
    if patient:
        age = float(patient["age"])
        sex = {"M": "male", "F": "female"}[patient["sex"]]
        info = replace(info, sex=sex, age=age if age >= 0 else None)
    return channels.open(info, leads, read_annotations(annotations, channels.n_samples))


MITDB = DatasetCard(
    name="mitdb",
    about="two-lead ambulatory ECGs of half an hour; beats and rhythms annotated",
    leads=("MLII", "V1", "V2", "V4", "V5"),
    fs=(360.0,),
    size="48 records of 30 min with two of the leads each, 47 subjects; evaluation only",
    licence="ODC-By 1.0",
    citation=(
        "Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. in Med. and "
        "Biol. 20(3), 45-50 (2001), https://doi.org/10.13026/C2F305"
    ),
    needs_folder=True,
    open=open_mitdb,
)
