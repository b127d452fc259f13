"""A tiny PTB-XL folder in the published layout, written without wfdb."""

import csv

import numpy as np

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
FOLD_9_PATIENTS = (1, 2)  # hash into the two halves of fold 9

STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
SR,sinus rhythm,,,1.0,,
"""


def database_row(ecg_id, /, **cells):
    """Return one row of ptbxl_database.csv, as v1.0.1 prints it."""
    row = {
        "ecg_id": ecg_id,
        "patient_id": f"{1000 + ecg_id}.0",
        "age": "56.0",
        "sex": "1",
        "report": "sinus rhythm, normal",
        "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
        "baseline_drift": "",
        "static_noise": "",
        "burst_noise": "",
        "electrodes_problems": "",
        "strat_fold": "1",
        "filename_lr": f"records100/00000/{ecg_id:05d}_lr",
        "filename_hr": f"records500/00000/{ecg_id:05d}_hr",
    }
    return row | cells


def signal_of(ecg_id, fs=100):
    """Return the counts the record is written with, int16 (10 * fs, 12)."""
    return np.random.default_rng(ecg_id).integers(-900, 900, (10 * fs, 12)).astype(np.int16)


def header_text(name, fs=100, leads=LEADS, gain="1000.0(0)/mV", n_samples=None, fmt="16", dat=None):
    """Return the text of a .hea file."""
    lines = [f"{name} {len(leads)} {fs} {10 * fs if n_samples is None else n_samples}"]
    lines += [f"{dat or name + '.dat'} {fmt} {gain} 16 0 0 0 0 {lead}" for lead in leads]
    return "\n".join(lines) + "\n"


def write_record(folder, row, fs=100, signal=None, **header):
    """Write the two files of `row`."""
    stem = folder / row["filename_lr" if fs == 100 else "filename_hr"]
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_name(f"{stem.name}.hea").write_text(header_text(stem.name, fs, **header))
    signal = signal_of(row["ecg_id"], fs) if signal is None else signal
    signal.astype("<i2").tofile(stem.with_name(f"{stem.name}.dat"))


def write_tables(folder, rows, statements=STATEMENTS):
    """Write the two CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "scp_statements.csv").write_text(statements)


def write_ptbxl(folder, rows=None, fs=100):
    """Write a folder with all files of `rows`; by default a record in each split."""
    if rows is None:
        folds = (1, 9, 9, 10)
        patients = (7, *FOLD_9_PATIENTS, 8)
        rows = [
            database_row(ecg_id, strat_fold=fold, patient_id=patient)
            for ecg_id, (fold, patient) in enumerate(zip(folds, patients, strict=True), start=1)
        ]
    write_tables(folder, rows)
    for row in rows:
        write_record(folder, row, fs)
    return folder
