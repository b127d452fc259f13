"""Records in BUT QDB's published layout: a day of simple beats, written fast and without wfdb."""

import itertools
import json
import os
from pathlib import Path

import numpy as np

FS = 1000
BLOCK_LEN = 61_111  # of the signal that repeats; a prime, so that no window sees it at one phase
GAIN, BASELINE = 1.025, -312  # counts per uV and the count of 0 mV: they differ by record
GRADERS = ("ann1", "ann2", "ann3", "cons")


def real_grades():
    """Return the published [first, last, class] rows by record and grader, None without them."""
    path = Path(os.environ.get("BEATGATE_DATA", "")) / "butqdb-annotations"
    lookup = path / "segment-class_lookup.json"
    if not (os.environ.get("BEATGATE_DATA") and lookup.is_file()):
        return None
    return json.loads(lookup.read_text())


def synthetic_grades(n_samples, seed=0):
    """Return rows of four graders for a record graded in full; annotators disagree in places."""
    rng = np.random.default_rng(seed)
    grades = {}
    for grader in GRADERS:
        # Long runs of the consensus' class, and for the others an edge here and there elsewhere.
        edges = np.unique(rng.integers(1, n_samples, max(n_samples // 40_000, 3)))
        bounds = [0, *edges.tolist(), n_samples]
        classes = rng.choice([1, 1, 1, 2, 2, 3], len(bounds) - 1).tolist()
        grades[grader] = [
            [start, stop - 1, grade]
            for (start, stop), grade in zip(itertools.pairwise(bounds), classes, strict=True)
        ]
    return grades


def grades_text(grades):
    """Return the text of ..._ANN.csv: samples from 1, ends inclusive, short columns padded."""
    rows = [
        [cell for row in line for cell in row]
        for line in itertools.zip_longest(
            *(
                [[first + 1, last + 1, int(grade)] for first, last, grade in grades[g]]
                for g in GRADERS
            ),
            fillvalue=("", "", ""),
        )
    ]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def block_counts():
    """Return the counts that repeat, int16 (BLOCK_LEN,): 75 beats of 1 mV a minute, and noise."""
    time_s = np.arange(BLOCK_LEN) / FS
    phase_s = time_s % 0.8
    waves = [(0.1, 0.16, 0.02), (-0.1, 0.28, 0.01), (1.0, 0.3, 0.01), (0.25, 0.55, 0.04)]
    signal_mv = sum(h * np.exp(-0.5 * ((phase_s - at) / width) ** 2) for h, at, width in waves)
    signal_mv += 0.1 * np.sin(2 * np.pi * 0.25 * time_s)
    signal_mv += np.random.default_rng(0).normal(0, 0.02, BLOCK_LEN)
    return np.round(signal_mv * 1000 * GAIN + BASELINE).astype(np.int16)


def counts_at(start, stop):
    """Return what a record holds at samples [start, stop), int16 (stop - start, 1)."""
    return block_counts()[np.arange(start, stop) % BLOCK_LEN][:, None]


def write_record(folder, record_id="100001", n_samples=60 * FS, grades=None, fs=FS, gain=GAIN):
    """Write the files of one record in `folder`; return the folder."""
    directory = Path(folder) / record_id
    directory.mkdir(parents=True)
    name = f"{record_id}_ECG"
    (directory / f"{name}.hea").write_text(
        f"{name} 1 {fs} {n_samples}\n{name}.dat 16 {gain}({BASELINE})/uV 0 0 0 0 0 ECG\n#ECG\n"
    )
    block = block_counts().astype("<i2")
    with (directory / f"{name}.dat").open("wb") as file:
        for start in range(0, n_samples, BLOCK_LEN):
            file.write(block[: n_samples - start].tobytes())
    grades = synthetic_grades(n_samples) if grades is None else grades
    (directory / f"{record_id}_ANN.csv").write_text(grades_text(grades))
    return Path(folder)


def write_day(folder, hours=24.0, fs=FS):
    """Write record 100001, graded in full, `hours` long; return the folder."""
    return write_record(folder, n_samples=round(hours * 3600 * fs), fs=fs)
