"""MIT-BIH Noise Stress Test Database: three recordings of noise, and twelve ECGs with one added.

References
----------
Moody, Muldrow and Mark, "A noise stress test for arrhythmia detectors", Computers in Cardiology 11,
381-384 (1984); files: https://physionet.org/content/nstdb/
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .dataset import DatasetCard
from .mitdb import open_with_beats
from .reader import RecordReader
from .recordings import RecordInfo, Recordings
from .records import Stretch
from .splits import TEST_FOLD
from .wfdb_files import WfdbRecord, read_wfdb
from .wfdb_folder import open_wfdb_folder

NOISES = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle artifact"}
ECG_IDS = tuple(
    f"{subject}e{snr}" for subject in ("118", "119") for snr in ("24", "18", "12", "06", "00", "_6")
)
FIRST_NOISE_S = 300.0
NOISE_S = 120.0
"""Electrode motion is added to an ECG after its first five minutes, in every second stretch of two
minutes (the page that ships with the data set)."""


def open_nstdb(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the folder `data` of the Noise Stress Test Database, which may lack some records.

    Its records are the twelve ECGs; for the noise itself see `noise_recordings`.

    Raises
    ------
    ValueError : `data` is not such a folder.
    """
    listed = [
        RecordInfo(record_id=name, subject_id=name[:3], fold=TEST_FOLD, where=name)
        for name in ECG_IDS
    ]
    return open_wfdb_folder(
        NSTDB, data, listed, lambda header: header.with_suffix(".atr"), _open_record
    )


def noise_recordings(folder: str | Path) -> dict[str, RecordReader]:
    """Open the recordings of noise in `folder`: "bw", "em" and "ma", those of them that are there.

    Each has two leads, "noise1" and "noise2", of half an hour at 360 Hz. Their headers state no
    gain, so it is WFDB's 200 counts a mV.

    Raises
    ------
    ValueError : none of them is there, or a file breaks a rule.
    """
    found = {name: Path(folder) / f"{name}.hea" for name in NOISES}
    found = {name: path for name, path in found.items() if path.is_file()}
    if not found:
        raise ValueError(f"{folder}: at least one of {', '.join(NOISES)} must be there, got none")
    infos = {name: RecordInfo(name, name, TEST_FOLD, name) for name in found}
    return {name: read_wfdb(path).channels.open(infos[name]) for name, path in found.items()}


def _open_record(
    info: RecordInfo, record: WfdbRecord, annotations: Path, leads: Sequence[str] | None
) -> RecordReader:
    """Open one ECG with the beats of the recording it was made from, its noisy parts marked."""
    reader = open_with_beats(info, record, annotations, leads)
    fs, n_samples = reader.record.fs, reader.n_samples
    starts = range(round(FIRST_NOISE_S * fs), n_samples, round(2 * NOISE_S * fs))
    noisy = [
        Stretch(start, min(start + round(NOISE_S * fs), n_samples), "fault", "electrode_motion")
        for start in starts
    ]
    marked = reader.record.annotations
    stretches = sorted([*marked.stretches, *noisy], key=lambda stretch: stretch.start)
    annotated = replace(marked, stretches=tuple(stretches))
    return replace(reader, record=replace(reader.record, annotations=annotated))


NSTDB = DatasetCard(
    name="nstdb",
    about="two-lead ECGs with electrode motion added at six noise levels, and the noise itself",
    leads=("MLII", "V1"),
    fs=(360.0,),
    size="12 records of 30 min, 2 subjects, and 3 recordings of noise; evaluation only",
    licence="ODC-By 1.0",
    citation=(
        "Moody, Muldrow and Mark, A noise stress test for arrhythmia detectors, Computers in "
        "Cardiology 11, 381-384 (1984), https://doi.org/10.13026/C2HS3T"
    ),
    needs_folder=True,
    open=open_nstdb,
)
