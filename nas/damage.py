"""Faulty twins of the training windows: generated faults in the raw recordings, before the chain.

No recorded noise and no quality label goes in, so that what a detector trained on them is worth can
be measured on recorded noise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datasets import EcgRecord, LeaveOneOut, WindowBatch
from datasets.faults import FAULTS, NOISE_FAULTS, FaultSettings, add_fault
from datasets.noise import GENERATORS
from datasets.progress import progress
from datasets.records import BoolArray, FloatArray, Int8Array, Stretch
from export.chain_windows import samples_shown, windows_of
from export.signal_chain import SignalChain
from export.training_run import DataSettings

from .windows import Damaged

SNR_DB = (-6.0, 18.0)  # of noise, drawn evenly
STRENGTH = (0.3, 1.0)  # of the faults that have no SNR
STRETCH_S_MIN = 2.5
WHOLE_PART = 0.5  # of the faults last the whole recording, and as many hit every lead
SECOND_PART = 0.25  # of the recordings have a second fault

NEGLIGIBLE = 0.2
"""A window whose codes moved by less than this part of the ECG keeps the label of a clean one: RMS
of what was added to RMS of the ECG, both about their means, in the lead that moved most; -14 dB."""

MOVED_CODES_MIN = 1.0  # RMS; less is rounding, however small the ECG
OUTSIDE = 0.005  # part of a lead's samples above, and below, what counts as its QRS amplitude
QRS_MV_MIN = 0.1  # what noise is set against in a lead that shows hardly any ECG

BANK_S = 20.0
N_IN_BANK = 256


def damaged_windows(
    protocol: LeaveOneOut, settings: DataSettings, clean: Int8Array, seed: int
) -> Damaged:
    """Return the training split's windows once more, with generated faults in the recordings.

    Parameters
    ----------
    protocol : the door to the recordings; settings : leads, signal chain, window and hop.
    clean : int8 (n_windows, window_len, n_leads), the windows without faults.
    seed : of every random choice. Each recording has a generator of its own, by its place among the
        split's: its faults do not depend on how many numbers the others took, but another set of
        recordings moves the places.
    """
    record_ids = protocol.record_ids("train")
    marks: dict[str, tuple[Stretch, ...]] = {}

    def faulty_records(advance: Callable[[], None]) -> Iterator[EcgRecord]:
        for i, record_id in enumerate(record_ids):
            record = protocol.open(record_id, "train", settings.leads).whole()
            faulty = with_faults(record, np.random.default_rng((seed, i)))
            known = record.annotations.stretches
            marks[record_id] = tuple(s for s in faulty.annotations.stretches if s not in known)
            yield faulty
            advance()

    with progress("Synthetic faults", total=len(record_ids)) as advance:
        records = faulty_records(advance)
        batch = windows_of(records, settings.chain, settings.window_len, settings.hop_len)
    assert batch.x.shape == clean.shape
    faults = _faults_shown(batch, marks, settings.chain)
    return Damaged(batch.x, faults & moved(clean, batch.x)[:, np.newaxis])


def with_faults(record: EcgRecord, rng: np.random.Generator) -> EcgRecord:
    """Return `record` with one or two faults of random kind, place, leads and strength."""
    qrs_counts = _qrs_counts(record)
    names = list(FAULTS)
    for name in rng.choice(names, 1 + (rng.random() < SECOND_PART), replace=False).tolist():
        start, stop = _stretch(len(record.adc_counts), record.fs, rng)
        options = FaultSettings(
            fs=record.fs,
            adc_gain=record.adc_gain,
            baseline=record.baseline,
            strength=1.0 if name in NOISE_FAULTS else rng.uniform(*STRENGTH),
            start=start,
            stop=stop,
            leads=_leads(len(record.leads), rng),
            snr_db=rng.uniform(*SNR_DB),
            qrs_counts=qrs_counts,
            noise=noise_bank(record.fs),
        )
        record = add_fault(record, name, rng, options)
    return record


def moved(clean: Int8Array, damaged: Int8Array) -> BoolArray:
    """Return which windows the faults changed by more than `NEGLIGIBLE`, bool (n_windows,)."""
    parts = []
    for start in range(0, len(clean), 1000):
        ecg = clean[start : start + 1000].astype(np.float32)
        by = (damaged[start : start + 1000] - ecg).std(axis=1)
        parts.append((by > np.maximum(NEGLIGIBLE * ecg.std(axis=1), MOVED_CODES_MIN)).any(axis=1))
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class NoiseBank:
    """Noise drawn from recordings that were generated once, since generating takes long.

    Parameters
    ----------
    noise : kind -> float64 (n_samples, n_recordings), by `datasets.noise.SyntheticNoise`'s models.
    """

    noise: dict[str, FloatArray]

    @property
    def name(self) -> str:
        """The source in a few words."""
        return "generated beforehand"

    def draw(
        self, kind: str, n_samples: int, n_leads: int, fs: float, rng: np.random.Generator
    ) -> FloatArray:
        """Return a stretch of recordings of one kind, either way up; see `NoiseSource`.

        Each lead is drawn by itself.
        """
        bank = self.noise[kind]
        start = rng.integers(max(1, len(bank) - n_samples + 1))
        samples = (start + np.arange(n_samples)) % len(bank)
        columns = rng.integers(bank.shape[1], size=n_leads)
        return np.asarray(bank[np.ix_(samples, columns)] * rng.choice([-1.0, 1.0], n_leads))


@lru_cache(maxsize=1)
def noise_bank(fs: float) -> NoiseBank:
    """Return `N_IN_BANK` recordings of every kind, the same ones every time."""
    rng = np.random.default_rng(0)
    n_samples = round(BANK_S * fs)
    return NoiseBank(
        {
            kind: np.hstack([generate(n_samples, 1, fs, rng) for _ in range(N_IN_BANK)])
            for kind, generate in GENERATORS.items()
        }
    )


def _qrs_counts(record: EcgRecord) -> tuple[float, ...]:
    """Return roughly the QRS amplitude of every lead in counts.

    The percentiles of `datasets.snr` by sorting: looking for beats takes longer than all the rest.
    """
    ordered = np.sort(record.adc_counts, axis=0)
    cut = round(OUTSIDE * (len(ordered) - 1))
    span = ordered[-1 - cut].astype(np.float64) - ordered[cut]
    return tuple(np.maximum(span, QRS_MV_MIN * record.adc_gain).tolist())


def _stretch(n_samples: int, fs: float, rng: np.random.Generator) -> tuple[int, int | None]:
    """Return the whole recording, or part of it."""
    shortest = round(STRETCH_S_MIN * fs)
    if rng.random() < WHOLE_PART or n_samples <= shortest:
        return 0, None
    length = int(rng.integers(shortest, n_samples))
    start = int(rng.integers(n_samples - length + 1))
    return start, start + length


def _leads(n_leads: int, rng: np.random.Generator) -> tuple[int, ...] | None:
    """Return all leads, or some of them."""
    if rng.random() < WHOLE_PART:
        return None
    hit = rng.permutation(n_leads)[: rng.integers(1, n_leads + 1)]
    return tuple(sorted(hit.tolist()))


def _faults_shown(
    batch: WindowBatch, marks: dict[str, tuple[Stretch, ...]], chain: SignalChain
) -> BoolArray:
    """Return which faults lie in which window, bool (n_windows, n_kinds) in the order of FAULTS."""
    begins, ends = samples_shown(chain, batch.starts, batch.x.shape[1])
    column = {name: i for i, name in enumerate(FAULTS)}
    shown = np.zeros((len(batch), len(FAULTS)), np.bool_)
    for i, (record_id, begin, end) in enumerate(zip(batch.record_ids, begins, ends, strict=True)):
        for mark in marks[str(record_id)]:
            if mark.start < end and mark.stop > begin:
                shown[i, column[mark.label]] = True
    return shown
