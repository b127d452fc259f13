"""Simulated 12-lead recordings: the data set that needs no download.

Its classes are *caricatures* that borrow the names of PTB-XL's superclasses: each bends the waves
of a simulator in the direction textbooks describe (a deep Q, an inverted T, a wide QRS, a tall R).
They exercise the code. They have no clinical meaning, and no figure made from them says anything
about patients.

References
----------
Simulator: McSharry et al., "A dynamical model for generating synthetic electrocardiogram signals",
IEEE Trans. Biomed. Eng. 50(3), 289-294 (2003), as NeuroKit2 implements it (Makowski et al.,
Behavior Research Methods 53, 1689-1696, 2021).
"""

import importlib.metadata
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from .cache import cache_folder, digest, open_signals
from .dataset import DatasetCard
from .ptbxl import LEADS
from .recordings import RecordInfo, Recordings
from .records import SUPERCLASSES, FloatArray, Int16Array

VERSION = 2  # of the simulation below; part of the cache's key
DURATION_S = 10
FS_SIMULATED = 500  # at 100 Hz, NeuroKit2 0.2.13 loops for ever on about one seed in 80
N_SIMULATED = DURATION_S * FS_SIMULATED
ADC_GAIN = 1000.0  # counts per mV, as in PTB-XL
NOISY_PART = 0.15  # of the records; NOISE has the kinds
RECORDS_A_PROCESS_MIN = 20  # fewer are simulated sooner than a second process is up

FOLD_CYCLE = (1, 9, 10, 2, 9, 3, 9, 4, 9, 10, 5, 9, 6, 9, 10, 7, 9, 8, 9, 10)
"""The fold of a class's records, in turn. Fold 9 is large: half of it has to give a threshold at
5 % false rejects, for which split conformal calibration needs 19 clean in-distribution records."""


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
class Morphology:
    """One class of simulated beats, as NeuroKit2's parameters for the waves P, Q, R, S, T.

    Parameters
    ----------
    angles_deg, heights, widths : ECGSYN's `ti`, `ai`, `bi`; the defaults are the simulator's.
    gain : of the whole signal, which the simulator scales to a fixed range.
    """

    angles_deg: tuple[float, ...] = (-70, -15, 0, 15, 100)
    heights: tuple[float, ...] = (1.2, -5, 30, -7.5, 0.75)
    widths: tuple[float, ...] = (0.25, 0.1, 0.1, 0.1, 0.4)
    gain: float = 1.0


MORPHOLOGIES = {
    "NORM": Morphology(),
    "MI": Morphology(heights=(1.2, -18, 22, -5, -0.5), widths=(0.25, 0.14, 0.1, 0.1, 0.4)),
    "STTC": Morphology(heights=(1.2, -5, 30, -7.5, -0.35)),
    "CD": Morphology(
        angles_deg=(-80, -28, 0, 30, 110), widths=(0.25, 0.18, 0.2, 0.24, 0.4), gain=1.1
    ),
    # Tall, with inverted T: drawn far from the others, so that a demo without it in training has
    # something to reject.
    "HYP": Morphology(heights=(1.4, -6, 48, -14, -0.5), gain=2.6),
}
assert tuple(MORPHOLOGIES) == SUPERCLASSES


def open_synthetic(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the data set of the options in `data`, a text as `SyntheticOptions.from_text` reads."""
    options = SyntheticOptions.from_text(str(data or ""))
    listed = [_record_info(options, index) for index in range(options.n_subjects)]
    key = digest(VERSION, importlib.metadata.version("neurokit2"), fs, asdict(options))
    signals = open_signals(
        cache_folder(f"synthetic-{key[:12]}", None, cache),
        key,
        [info.record_id for info in listed],
        (round(DURATION_S * fs), len(LEADS)),
        partial(_simulate_all, options, fs),
        "Simulating records",
    )
    return Recordings(SYNTHETIC, fs, ADC_GAIN, listed, signals, key, Path("synthetic"))


def simulate(options: SyntheticOptions, fs: float, index: int) -> Int16Array:
    """Return the ADC counts of record `index`, int16 (n_samples, 12): one signal, at any `fs`."""
    import scipy.signal

    info = _record_info(options, index)
    rng = _rng(options, index, "signal")
    morphology = MORPHOLOGIES[info.superclasses[0]]
    beats_mv = _simulate_beats(morphology, rng)
    gains = morphology.gain * rng.lognormal(0, 0.15) * rng.lognormal(0, 0.1, len(LEADS))
    signal_mv = (beats_mv - np.median(beats_mv, axis=0)) * gains
    signal_mv += rng.normal(0, rng.uniform(0.01, 0.03), signal_mv.shape)
    for flag in info.noise_flags:
        signal_mv += NOISE[flag](rng)
    signal_mv = scipy.signal.resample_poly(signal_mv, 1, round(FS_SIMULATED / fs), padtype="line")
    int16 = np.iinfo(np.int16)
    # The lowest code means "missing" in WFDB files, so a saturated ADC stops one above it.
    counts = np.clip(np.round(signal_mv * ADC_GAIN), int16.min + 1, int16.max)
    return np.asarray(counts, np.int16)


def _record_info(options: SyntheticOptions, index: int) -> RecordInfo:
    rng = _rng(options, index, "info")
    superclass = SUPERCLASSES[index % len(SUPERCLASSES)]
    noisy = rng.random() < NOISY_PART
    return RecordInfo(
        record_id=f"{index:05d}",
        subject_id=f"s{index:05d}",
        fold=FOLD_CYCLE[index // len(SUPERCLASSES) % len(FOLD_CYCLE)],
        superclasses=(superclass,),
        noise_flags=(str(rng.choice(list(NOISE))),) if noisy else (),
        sex=str(rng.choice(["male", "female"])),
        age=float(rng.integers(30, 90)),
        where="simulated",
    )


def _rng(options: SyntheticOptions, index: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([options.seed, index, *purpose.encode()])


def _simulate_beats(morphology: Morphology, rng: np.random.Generator) -> FloatArray:
    """Return NeuroKit2's 12 leads in its own scale, (N_SIMULATED, 12), from a random phase on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NeuroKit2 and what it imports; none is about us
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        import neurokit2

        leads = neurokit2.ecg_simulate(
            duration=DURATION_S + 3,  # ECGSYN rounds up to 16 s anyway
            sampling_rate=FS_SIMULATED,
            method="multileads",
            noise=0,
            heart_rate=float(np.clip(rng.normal(72, 12), 48, 110)),
            heart_rate_std=rng.uniform(1, 4),
            random_state=int(rng.integers(2**31)),
            ti=np.array(morphology.angles_deg),
            ai=np.array(morphology.heights) * rng.lognormal(0, 0.15, 5),
            bi=np.array(morphology.widths) * rng.lognormal(0, 0.08, 5),
        )
    # Every simulation starts with an R wave; a recording does not.
    start = round(rng.uniform(0.5, 2.0) * FS_SIMULATED)
    return np.asarray(leads[list(LEADS)])[start : start + N_SIMULATED]


def _baseline_drift(rng: np.random.Generator) -> FloatArray:
    """Return slow sines, each lead with its own phase, in mV (N_SIMULATED, 12)."""
    time_s = np.arange(N_SIMULATED)[:, None] / FS_SIMULATED
    hz = rng.uniform(0.1, 0.5, (3, 1, 1))
    phase = rng.uniform(0, 2 * np.pi, (3, 1, len(LEADS)))
    waves = np.sin(2 * np.pi * hz * time_s + phase).sum(axis=0)
    return np.asarray(rng.uniform(0.2, 0.6) * waves)


def _muscle_noise(rng: np.random.Generator) -> FloatArray:
    """Return white noise whose strength comes and goes, in mV (N_SIMULATED, 12)."""
    time_s = np.arange(N_SIMULATED)[:, None] / FS_SIMULATED
    strength = 1 + 0.5 * np.sin(2 * np.pi * (0.2 * time_s + rng.random(len(LEADS))))
    return rng.uniform(0.15, 0.4) * strength * rng.normal(size=(N_SIMULATED, len(LEADS)))


NOISE = {"baseline_drift": _baseline_drift, "static_noise": _muscle_noise}
"""Noise by the flag a record with it carries; the flags are PTB-XL's."""


def _simulate_all(options: SyntheticOptions, fs: float) -> Iterator[Int16Array]:
    n_processes = min(os.cpu_count() or 1, options.n_subjects // RECORDS_A_PROCESS_MIN)
    if n_processes < 2:
        yield from (simulate(options, fs, index) for index in range(options.n_subjects))
        return
    # Plain processes, since `multiprocessing` would run the caller's script again in each of them.
    workers = [_start_worker(options, fs, first, n_processes) for first in range(n_processes)]
    shape = (round(DURATION_S * fs), len(LEADS))
    n_bytes = 2 * shape[0] * shape[1]
    try:
        for index in range(options.n_subjects):
            stdout = workers[index % n_processes].stdout
            data = stdout.read(n_bytes) if stdout else b""
            if len(data) < n_bytes:
                raise OSError(f"the process that simulates record {index:05d} ended early")
            yield np.frombuffer(data, np.int16).reshape(shape)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start_worker(
    options: SyntheticOptions, fs: float, first: int, step: int
) -> "subprocess.Popen[bytes]":
    """Start a process that writes the records `first`, `first + step`, ... to its stdout."""
    call = f"_write_signals({options.n_subjects}, {options.seed}, {fs}, {first}, {step})"
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import _write_signals; {call}"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        start_new_session=True,  # on Ctrl-C only the parent speaks, and ends the others
    )


def _write_signals(n_subjects: int, seed: int, fs: float, first: int, step: int) -> None:
    options = SyntheticOptions(n_subjects, seed)
    try:
        for index in range(first, n_subjects, step):
            sys.stdout.buffer.write(simulate(options, fs, index).tobytes())
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # the parent was killed; nobody is left to tell


SYNTHETIC = DatasetCard(
    name="synthetic",
    about="simulated 12-lead recordings; the classes are caricatures without clinical meaning",
    leads=LEADS,
    fs=(100.0, 500.0),
    size="240 records of 10 s, one a subject; --data n_subjects=60,seed=1 for others",
    licence="none needed, made on this machine",
    citation=(
        "McSharry et al., A dynamical model for generating synthetic electrocardiogram signals, "
        "IEEE Trans. Biomed. Eng. 50(3) (2003), by NeuroKit2"
    ),
    needs_folder=False,
    open=open_synthetic,
)
