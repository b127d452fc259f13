"""PTB-XL: 21,799 clinical 12-lead recordings of 10 s, as PhysioNet lays them out.

References
----------
Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7,
154 (2020), https://doi.org/10.1038/s41597-020-0495-6; files: https://physionet.org/content/ptb-xl/
"""

import ast
import contextlib
import csv
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .cache import cache_folder, digest, open_signals, read_json, write_json
from .dataset import DatasetCard
from .recordings import RecordInfo, Recordings, cached_recordings
from .records import SUPERCLASSES, Int16Array
from .wfdb_files import read_wfdb

logger = logging.getLogger(__name__)

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
DURATION_S = 10
ADC_GAIN = 1000.0  # counts per mV: every header of the data set says 1000.0(0)/mV

DATABASE_CSV = "ptbxl_database.csv"
STATEMENTS_CSV = "scp_statements.csv"
PATH_COLUMN = {100.0: "filename_lr", 500.0: "filename_hr"}
NOISE_COLUMNS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
AGE_OVER_89 = 300.0  # what the set writes instead of such an age; we hand out 90


VERSION = 1  # of how the tables are read below; part of the cache's key


def open_ptbxl(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the PTB-XL folder `data`, which may lack some of the records its CSV lists.

    Superclasses: those of the record's diagnostic SCP statements, each statement at whatever
    likelihood, as in the `example_physionet.py` that comes with the data set.

    Raises
    ------
    ValueError : `data` is not a PTB-XL folder, or its CSV breaks a rule.
    """
    if data is None:
        raise ValueError("ptbxl needs its folder as data, the one that holds ptbxl_database.csv")
    data = Path(data)
    csv_digest = digest(VERSION, *(_sha256(data / name) for name in (DATABASE_CSV, STATEMENTS_CSV)))
    folder = cache_folder(f"ptbxl-{fs:g}hz", data, cache)
    listed = _listed(data, fs, folder, csv_digest)
    on_disk = [(info, state) for info in listed if any(state := _file_state(data / info.where))]
    if not on_disk:
        raise ValueError(
            f"{data}: at least one of the {len(listed):,} records {DATABASE_CSV} lists must be "
            f"there at {fs:g} Hz, got none"
        )
    present = [info for info, _ in on_disk]
    signals = open_signals(
        folder,
        digest(csv_digest, fs, [(info.record_id, *state) for info, state in on_disk]),
        [info.record_id for info in present],
        (round(DURATION_S * fs), len(LEADS)),
        partial(_read_signals, data, present, fs),
        "Reading PTB-XL",
    )
    recordings = cached_recordings(PTBXL, fs, ADC_GAIN, listed, signals, csv_digest, data)
    if recordings.n_absent:
        logger.warning(
            "%s: %d of %d records are absent", data, recordings.n_absent, recordings.n_listed
        )
    return recordings


def read_signal(stem: Path, fs: float) -> Int16Array:
    """Return the ADC counts of the WFDB record `stem`.hea, `stem`.dat, int16 (n_samples, 12).

    Raises
    ------
    ValueError : a file is missing, of the wrong size, or not what PTB-XL publishes; the text names
        file, rule, value.
    """
    path = stem.with_name(f"{stem.name}.hea")
    channels = read_wfdb(path).channels
    expected = {
        "fs": (channels.fs, fs),
        "n_samples": (channels.n_samples, round(DURATION_S * fs)),
        "leads": (_sorted_names(channels.leads), _sorted_names(LEADS)),
        "counts per mV": (_listed_once(channels.adc_gains), f"{ADC_GAIN:g}"),
        "baseline": (_listed_once(channels.baselines), "0"),
    }
    for rule, (value, wanted) in expected.items():
        if value != wanted:
            raise ValueError(f"{path}: {rule} must be {wanted}, got {value}")
    names = [lead.upper() for lead in channels.leads]
    columns = [names.index(lead.upper()) for lead in LEADS]
    return channels.read(0, channels.n_samples, columns).astype(np.int16)


def _read_signals(
    data: Path, present: Sequence[RecordInfo], fs: float
) -> Iterator[Int16Array | ValueError]:
    for info in present:
        try:
            yield read_signal(data / info.where, fs)
        except ValueError as error:
            yield error


def _file_state(stem: Path) -> tuple[int, ...]:
    """Return size and time of the record's two files, () where neither is there."""
    state: tuple[int, ...] = ()
    for suffix in (".hea", ".dat"):
        try:
            status = os.stat(f"{stem}{suffix}")
            state += (status.st_size, status.st_mtime_ns)
        except OSError:
            state += (0, 0)
    return state if any(state) else ()


def _listed(data: Path, fs: float, folder: Path, csv_digest: str) -> list[RecordInfo]:
    """Return what the CSV lists; from the cache where the CSV is the one it was made from."""
    table = folder / "records.json"
    if (rows := read_json(table, csv_digest)) is not None:
        with contextlib.suppress(TypeError):  # rows of an older version: read the CSV again
            return [RecordInfo(**row) for row in rows]
    infos = _read_database(data, fs)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(table, csv_digest, [asdict(info) for info in infos])
    return infos


def _read_database(data: Path, fs: float) -> list[RecordInfo]:
    class_by_code = _read_statements(data / STATEMENTS_CSV)
    path = data / DATABASE_CSV
    infos: dict[str, RecordInfo] = {}
    for line, row in _read_csv(path, (*CELL_RULES, *NOISE_COLUMNS)):
        where = f"{path}, line {line}"
        cells = {column: _parse(column, row[column], where) for column in CELL_RULES}
        if unknown := sorted(cells["scp_codes"] - set(class_by_code)):
            raise ValueError(
                f"{where}: scp_codes must be among those of {STATEMENTS_CSV}, got {unknown[0]}"
            )
        found = {class_by_code[code] for code in cells["scp_codes"]}
        info = RecordInfo(
            record_id=cells["ecg_id"],
            subject_id=cells["patient_id"],
            fold=cells["strat_fold"],
            superclasses=tuple(name for name in SUPERCLASSES if name in found),
            noise_flags=tuple(column for column in NOISE_COLUMNS if row[column].strip()),
            sex=cells["sex"],
            age=cells["age"],
            where=cells[PATH_COLUMN[fs]],
        )
        if infos.setdefault(info.record_id, info) is not info:
            raise ValueError(f"{where}: ecg_id must be unique, got {info.record_id} again")
    return list(infos.values())


def _read_statements(path: Path) -> dict[str, str]:
    """Return the superclass of every SCP code, "" where the code is not a diagnostic one."""
    class_by_code = {}
    for line, row in _read_csv(path, ("", "diagnostic", "diagnostic_class")):
        diagnostic = row["diagnostic"] in ("1", "1.0")
        name = row["diagnostic_class"] if diagnostic else ""
        if diagnostic and name not in SUPERCLASSES:
            raise ValueError(
                f"{path}, line {line}: diagnostic_class must be one of {', '.join(SUPERCLASSES)}, "
                f"got {name!r}"
            )
        class_by_code[row[""]] = name
    return class_by_code


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of every row, having checked that all `columns` are there."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            for column in columns:
                if column not in (reader.fieldnames or ()):
                    raise ValueError(f"{path}: column {column!r} must be there, it is missing")
            for row in reader:
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: must be a CSV file in UTF-8, got {error}") from error


def _parse(column: str, cell: str, where: str) -> Any:
    parse, rule = CELL_RULES[column]
    try:
        return parse(cell)
    except (ValueError, KeyError, OverflowError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{where}: {column} must be {rule}, got {cell!r}") from error


def _whole_number(cell: str) -> str:
    """Return "7" for "7" and "7.0": PTB-XL's versions print their ids either way."""
    if float(cell) != int(float(cell)):
        raise ValueError
    return str(int(float(cell)))


def _fold(cell: str) -> int:
    return {str(fold): fold for fold in range(1, 11)}[_whole_number(cell)]


def _age(cell: str) -> float | None:
    if not cell:
        return None
    age = float(cell)
    if not 0 <= age <= AGE_OVER_89:
        raise ValueError
    return 90.0 if age == AGE_OVER_89 else age


def _codes(cell: str) -> set[str]:
    likelihood_by_code = ast.literal_eval(cell)
    if not isinstance(likelihood_by_code, dict):
        raise ValueError
    return {str(code) for code in likelihood_by_code}


def _inner_path(cell: str) -> str:
    """Refuse a path that leads out of the data set: the CSV is a file from elsewhere."""
    path = PurePosixPath(cell)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError
    return cell


CELL_RULES: dict[str, tuple[Callable[[str], Any], str]] = {
    "ecg_id": (_whole_number, "a whole number"),
    "patient_id": (_whole_number, "a whole number"),
    "age": (_age, "years, 300 for over 89, or empty"),
    "sex": ({"0": "male", "1": "female", "": None}.__getitem__, "0, 1 or empty"),
    "scp_codes": (_codes, "a dict from SCP code to likelihood"),
    "strat_fold": (_fold, "a fold in 1-10"),
    "filename_lr": (_inner_path, "a path inside the data set"),
    "filename_hr": (_inner_path, "a path inside the data set"),
}


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: must be there in a PTB-XL folder, it is missing")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sorted_names(leads: Sequence[str]) -> str:
    return ", ".join(sorted(lead.upper() for lead in leads))


def _listed_once(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in dict.fromkeys(values))


PTBXL = DatasetCard(
    name="ptbxl",
    about="clinical 12-lead recordings with cardiologists' statements",
    leads=LEADS,
    fs=(100.0, 500.0),
    size="21,799 records of 10 s, 18,869 subjects",
    licence="CC BY 4.0",
    citation=(
        "Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, "
        "Scientific Data 7, 154 (2020), https://doi.org/10.1038/s41597-020-0495-6"
    ),
    needs_folder=True,
    open=open_ptbxl,
)
