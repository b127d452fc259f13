"""A small benchmark: a data set of beats, its test records, and cells of scores made up."""

from dataclasses import replace

import numpy as np

from datasets import SUPERCLASSES, EcgRecord
from datasets.dataset import Member
from datasets.reader import RecordReader
from datasets.splits import rehearsal_split_of
from nas.benchmark.cells import Cell, ScoredRecords, rank
from nas.benchmark.study import BASELINES, Keys

LEAD_NAMES = ("I", "II", "V1")
N_RECORDS = 420
DETAILS = {
    "n_parameters": 29_512,
    "macs_per_window": 1_798_256,
    "blob_bytes": 32_016,
    "arena_bytes": 2_880,
    "execution": "along the stream, every 20 frames",
    "training_s": 40.0,
    "evaluation_s": 4.0,
    "spearman_int8_float": 0.999,
    "commit": "abc",
    "versions": {"keras": "3"},
    "dataset": "toy",
    "rehearsal": True,
}


class ToyDataset:
    """Records with beats; the superclass sets their height, every seventh carries a remark."""

    name, source, fs, leads, n_listed, n_absent = "toy", "none", 100.0, LEAD_NAMES, N_RECORDS, 0
    fingerprint = "toy"
    unreadable: dict[str, str] = {}  # noqa: RUF012

    def record(self, i, signal=True):
        rng = np.random.default_rng(i)
        counts = np.zeros((0, len(LEAD_NAMES)), np.int16)
        if signal:
            counts = rng.normal(0, 20, (1000, len(LEAD_NAMES)))
            counts[rng.integers(60) :: 80] += 300 + 200 * (i % 5)
        return EcgRecord(
            record_id=str(i),
            subject_id=str(i),
            fs=self.fs,
            leads=LEAD_NAMES,
            adc_counts=counts.astype(np.int16),
            adc_gain=1000.0,
            fold=1 + i % 8 if i % 3 else 9,
            superclasses=frozenset({SUPERCLASSES[i % 5]} | ({"MI"} if i % 11 == 0 else set())),
            noise_flags=frozenset({"static_noise"} if i % 7 == 0 else ()),
            sex="female" if i % 2 else "male",
            age=None if i % 8 == 0 else 30.0 + i % 50,
        )

    def members(self):
        return {str(i): Member.of(self.record(i, signal=False)) for i in range(N_RECORDS)}

    def open(self, record_id, leads=None):
        whole = self.record(int(record_id))
        names = tuple(leads or LEAD_NAMES)
        counts = whole.adc_counts[:, [LEAD_NAMES.index(name) for name in names]]
        return RecordReader(
            replace(whole, leads=names, adc_counts=counts[:0]),
            len(counts),
            lambda start, stop: np.array(counts[start:stop], order="C"),
        )


def toy_records():
    """Return the toy's test records, whatever is held out."""
    records = map(ToyDataset().record, range(N_RECORDS))
    tested = [r for r in records if rehearsal_split_of(r.fold, r.subject_id) == "test"]
    return ScoredRecords.of(tested)


def toy_cell(slot, scores, noisy=(), noise_of=()):
    """Return a cell of float scores of the toy's test records, calibrated on 0, 1, ... 39."""
    calibration = np.arange(40.0)
    names = ["amplitude", "pca"] if slot.row == BASELINES else ["int8", "float"]
    ranked = rank(calibration, scores, noisy)
    return Cell(
        slot=slot,
        keys=Keys("t", "c"),
        scores=dict.fromkeys(names, ranked),
        records=toy_records().sha256,
        noise_kinds=("muscle",) if len(noisy) else (),
        noise_snr_db=(0.0,) if len(noisy) else (),
        noise_of=noise_of,
        n_calibration=40,
        details=DETAILS,
    )
