"""Simulated 12-lead recordings: the data set that needs no download.

Its classes are *caricatures* that borrow the names of PTB-XL's superclasses: each bends the waves
of a simulated beat in the direction textbooks describe (`datasets.morphology`). They exercise the
code. They have no clinical meaning, and no figure made from them says anything about patients.

Every machine simulates the same bytes: there is no solver, no step that could amplify the last
bit in which processors differ, and rounding to ADC counts removes that bit.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from .cache import cache_folder, digest, open_signals
from .dataset import DatasetCard
from .faults import FAULTS, FaultSettings, add_fault
from .morphology import (
    BEATS,
    DOWER,
    MEASURED_LEADS,
    P_WAVE,
    VENTRICULAR_BEAT,
    draw_beats,
    individual,
    rotate,
)
from .ptbxl import LEADS
from .recordings import RecordInfo, Recordings, cached_recordings
from .records import SUPERCLASSES, Annotations, EcgRecord, FloatArray, Int16Array, Stretch
from .rhythm import ATRIAL_FIBRILLATION, Rhythm, draw_rhythm, fibrillation_waves

VERSION = 3  # of the simulation; part of the cache's key
DURATION_S = 10
FS_SIMULATED = 500
ADC_GAIN = 1000.0  # counts per mV, as in PTB-XL
FAULTY_PART = 0.15  # of the records
PREMATURE_PART = 0.12  # of the records; in them, of the beats
FAULT_S_MIN = 3

FOLD_CYCLE = (1, 9, 10, 2, 9, 3, 9, 4, 9, 10, 5, 9, 6, 9, 10, 7, 9, 8, 9, 10)
"""The fold of a class's records, in turn. Fold 9 is large: half of it has to give a threshold at
5 % false rejects, for which split conformal calibration needs 19 clean in-distribution records."""

NOISE_FLAGS = {
    "baseline_wander": "baseline_drift",
    "muscle": "static_noise",
    "mains_hum": "static_noise",
    "electrode_motion": "burst_noise",
    "saturation": "electrodes_problems",
    "lead_off": "electrodes_problems",
    "flat_line": "electrodes_problems",
    "dropped_samples": "electrodes_problems",
}
"""Fault -> the flag, one of PTB-XL's, that a record with it carries."""
BLOCK_SYMBOLS = {"left bundle branch block": "L", "right bundle branch block": "R"}
"""Finding -> WFDB's code of its beats; those of all others are normal, "N", or premature."""
assert NOISE_FLAGS.keys() == FAULTS.keys()
assert tuple(BEATS) == SUPERCLASSES


@dataclass(frozen=True, slots=True)
class SyntheticOptions:
    """What is simulated; the same options give the same bytes.

    Parameters
    ----------
    n_subjects : each has one record.
    seed : of every random choice.
    """

    n_subjects: int = 240
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if self.n_subjects < 1 or self.seed < 0:
            raise ValueError(
                "synthetic needs n_subjects of 1 or more and a seed of 0 or more, "
                f"got n_subjects={self.n_subjects},seed={self.seed}"
            )

    @classmethod
    def from_text(cls, text: str) -> "SyntheticOptions":
        """Return the options written as "n_subjects=60,seed=1"; what is left out is default.

        Raises
        ------
        ValueError : the text names another option, or a value is not a whole number.
        """
        known = [field.name for field in fields(cls)]
        values = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in known or not value.isdecimal():
                raise ValueError(
                    f"data of synthetic must be like n_subjects=60,seed=1, got {text!r}"
                )
            values[name] = int(value)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Subject:
    """All that is drawn of a record before its signal.

    Parameters
    ----------
    info : what the data set lists.
    finding : a key of `BEATS` of the superclass.
    rhythm : when the heart beats.
    fault : its name in `FAULTS` and its stretch [start, stop) in s, or None.
    """

    info: RecordInfo
    finding: str
    rhythm: Rhythm
    fault: tuple[str, int, int] | None

    def annotations(self, fs: float) -> Annotations:
        """Return beats, rhythm and fault in samples at `fs`."""
        n_samples = round(DURATION_S * fs)
        beats = np.rint(self.rhythm.times_s * fs).astype(np.int64)
        inside = (beats >= 0) & (beats < n_samples)
        symbols = self.rhythm.symbols
        symbols = np.where(symbols == "N", BLOCK_SYMBOLS.get(self.finding, "N"), symbols)
        stretches = [Stretch(0, n_samples, "rhythm", self.rhythm.name)]
        if self.fault is not None:
            name, start_s, stop_s = self.fault
            stretches.append(Stretch(round(start_s * fs), round(stop_s * fs), "fault", name))
        return Annotations(tuple(stretches), beats[inside], symbols[inside])


def open_synthetic(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the data set of the options in `data`, a text as `SyntheticOptions.from_text` reads."""
    options = SyntheticOptions.from_text(str(data or ""))
    listed = [draw_subject(options, index).info for index in range(options.n_subjects)]
    key = digest(VERSION, fs, asdict(options))
    signals = open_signals(
        cache_folder(f"synthetic-{key[:12]}", None, cache),
        key,
        [info.record_id for info in listed],
        (round(DURATION_S * fs), len(LEADS)),
        partial(_simulate_all, options, fs),
        "Simulating records",
    )

    def annotate(info: RecordInfo) -> Annotations:
        return draw_subject(options, int(info.record_id)).annotations(fs)

    root = Path("synthetic")
    return cached_recordings(SYNTHETIC, fs, ADC_GAIN, listed, signals, key, root, annotate)


def simulate(options: SyntheticOptions, fs: float, index: int) -> Int16Array:
    """Return the ADC counts of record `index`, int16 (n_samples, 12): one signal, at any `fs`."""
    subject = draw_subject(options, index)
    rng = _rng(options, index, "signal")
    measured_mv = _decimated(_measured_mv(subject, rng), fs)
    record = EcgRecord(
        record_id=subject.info.record_id,
        subject_id=subject.info.subject_id,
        fs=fs,
        leads=MEASURED_LEADS,
        adc_counts=np.rint(measured_mv * ADC_GAIN).astype(np.int16),
        adc_gain=ADC_GAIN,
        annotations=subject.annotations(fs),
    )
    if subject.fault is not None:
        record = _with_fault(record, subject.fault, rng)
    return twelve_leads(record.adc_counts)


def twelve_leads(adc_counts: Int16Array) -> Int16Array:
    """Return the counts of all of `LEADS`, int16 (n_samples, 12), from those of `MEASURED_LEADS`.

    As recorders do: III = II - I (Einthoven), aVR = -(I + II) / 2, aVL = I - II / 2 and
    aVF = II - I / 2 (Goldberger), halves rounded down, what does not fit in int16 clipped.
    """
    lead_i, lead_ii, *chest = adc_counts.astype(np.int64).T
    limbs = (
        lead_i,
        lead_ii,
        lead_ii - lead_i,
        -(lead_i + lead_ii) // 2,
        (2 * lead_i - lead_ii) // 2,
        (2 * lead_ii - lead_i) // 2,
    )
    # The lowest code means "missing" in WFDB files, so the converter stops one above it.
    rail = np.iinfo(np.int16).max
    counts = np.clip(np.stack([*limbs, *chest], axis=1), -rail, rail)
    return np.asarray(counts, np.int16)


def draw_subject(options: SyntheticOptions, index: int) -> Subject:
    """Return who record `index` is of, and what is wrong: with the heart, and with the recording.

    The sick are older than the healthy, and among the sick the older fibrillate more.
    """
    rng = _rng(options, index, "subject")
    superclass = SUPERCLASSES[index % len(SUPERCLASSES)]
    sex = str(rng.choice(["male", "female"]))
    age = round(np.clip(rng.normal(50 if superclass == "NORM" else 64, 14), 18, 89))
    finding = str(rng.choice(list(BEATS[superclass])))
    fibrillating = superclass != "NORM" and rng.random() < max(0.03, 0.006 * (age - 45))
    premature = rng.random() < PREMATURE_PART
    heart_rate = rng.normal(88 if fibrillating else 71, 11) + (3 if sex == "female" else 0)
    rhythm = draw_rhythm(
        rng,
        DURATION_S,
        heart_rate=float(np.clip(heart_rate, 48, 120)),
        fibrillating=fibrillating,
        premature_part=PREMATURE_PART if premature else 0.0,
    )
    fault = None
    if rng.random() < FAULTY_PART:
        start_s = int(rng.integers(0, DURATION_S - FAULT_S_MIN + 1))
        stop_s = int(rng.integers(start_s + FAULT_S_MIN, DURATION_S + 1))
        fault = (str(rng.choice(list(FAULTS))), start_s, stop_s)
    info = RecordInfo(
        record_id=f"{index:05d}",
        subject_id=f"s{index:05d}",
        fold=FOLD_CYCLE[index // len(SUPERCLASSES) % len(FOLD_CYCLE)],
        where="simulated",
        superclasses=(superclass,),
        noise_flags=(NOISE_FLAGS[fault[0]],) if fault else (),
        sex=sex,
        age=float(age),
    )
    return Subject(info, finding, rhythm, fault)


def _rng(options: SyntheticOptions, index: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([options.seed, index, *purpose.encode()])


def _measured_mv(subject: Subject, rng: np.random.Generator) -> FloatArray:
    """Return what the electrodes deliver, in mV at `FS_SIMULATED`, (n_samples, 8)."""
    info, rhythm = subject.info, subject.rhythm
    n_samples = DURATION_S * FS_SIMULATED
    assert info.age is not None
    voltage = (1.06 if info.sex == "male" else 0.94) * (1.1 - 0.002 * (info.age - 18))
    recovery = 1.02 if info.sex == "female" else 0.98  # women's QT is some 2 % longer
    beat = individual(BEATS[info.superclasses[0]][subject.finding], rng, voltage, recovery)
    atrial = individual((P_WAVE,), rng, 1.0, 1.0)
    beats = {"N": atrial + beat, "A": beat, "V": individual(VENTRICULAR_BEAT, rng, voltage, 1.0)}
    if rhythm.name == ATRIAL_FIBRILLATION:
        beats["N"] = beat
    breath = 1 + 0.04 * np.sin(2 * np.pi * rhythm.breath_hz * rhythm.times_s)
    dipole = draw_beats(
        [
            (time_s, rr_s, gain, beats[symbol])
            for time_s, rr_s, gain, symbol in zip(
                rhythm.times_s, rhythm.rr_s, breath, rhythm.symbols, strict=True
            )
        ],
        n_samples,
        FS_SIMULATED,
    )
    dipole = rotate(dipole, rng.normal(0, 10), rng.normal(0, 8))
    if rhythm.name == ATRIAL_FIBRILLATION:
        dipole += fibrillation_waves(rng, n_samples, FS_SIMULATED)
    leads_mv = dipole @ DOWER.T * rng.lognormal(0, 0.06, len(MEASURED_LEADS))
    time_s = np.arange(n_samples)[:, np.newaxis] / FS_SIMULATED
    sway = rng.uniform(0, 0.03, len(MEASURED_LEADS))
    leads_mv += sway * np.sin(2 * np.pi * (rhythm.breath_hz * time_s + rng.random()))
    return np.asarray(leads_mv + rng.normal(0, rng.uniform(0.006, 0.018), leads_mv.shape))


def _decimated(signal_mv: FloatArray, fs: float) -> FloatArray:
    import scipy.signal

    step = round(FS_SIMULATED / fs)
    return np.asarray(scipy.signal.resample_poly(signal_mv, 1, step, padtype="line"))


def _with_fault(
    record: EcgRecord, fault: tuple[str, int, int], rng: np.random.Generator
) -> EcgRecord:
    """Return the record with the fault in some or all of its leads."""
    name, start_s, stop_s = fault
    n_hit = int(rng.choice([1, 3, len(record.leads)]))
    # Lead I is always hit: it is what a wearable has, and what most of our examples use.
    others = rng.permutation(np.arange(1, len(record.leads)))[: n_hit - 1]
    settings = FaultSettings.of(
        record,
        start=round(start_s * record.fs),
        stop=round(stop_s * record.fs),
        leads=(0, *sorted(others.tolist())),
        snr_db=float(rng.uniform(-6, 6)),
        strength=1.0,
    )
    return add_fault(record, name, rng, settings)


def _simulate_all(options: SyntheticOptions, fs: float) -> Iterator[Int16Array]:
    yield from (simulate(options, fs, index) for index in range(options.n_subjects))


SYNTHETIC = DatasetCard(
    name="synthetic",
    about="simulated 12-lead recordings; the classes are caricatures without clinical meaning",
    leads=LEADS,
    fs=(100.0, 500.0),
    size="240 records of 10 s, one a subject; --data n_subjects=60,seed=1 for others",
    licence="none needed, made on this machine",
    citation=(
        "After McSharry et al., A dynamical model for generating synthetic electrocardiogram "
        "signals, IEEE Trans. Biomed. Eng. 50(3) (2003), and Sameni et al., Multichannel ECG and "
        "noise modeling, EURASIP J. Adv. Signal Process. 2007, 43407"
    ),
    needs_folder=False,
    open=open_synthetic,
)
