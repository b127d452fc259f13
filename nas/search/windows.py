"""The windows of a search, written once and read by every worker from the same pages of memory.

    train.npy, train-labels.npy    in-distribution, in a random order of the records
    twin0.npy, twin0-faults.npy    the same with generated faults, where a family learns from them
    validation.npy                 in-distribution
    MI.npy, noise.npy, ...         of each surrogate, what is to be told apart from validation
    windows.json                   what all of it was made of

Windows here are the longest there are and do not overlap. A shorter window is a half or a quarter
of one: the same bytes in another shape, so every length sees the same signal at the same cost. A
part of the training windows is the first so many of them.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets import SUPERCLASSES, EcgRecord, LeaveOneOut, WindowBatch
from datasets.faults import FaultSettings, add_fault
from datasets.locks import locked
from datasets.noise import RECORDINGS, NoiseSource, SyntheticNoise
from datasets.nstdb import noise_recordings
from datasets.progress import progress
from datasets.records import BoolArray, Int8Array
from export.chain_windows import windows_of
from export.training_run import DataSettings

from ..candidate import WINDOWS_S
from ..damage import damaged_windows, moved
from ..training_data import familiar_windows
from ..windows import Augmentation, Damaged, TrainingWindows
from .settings import NOISE, SweepSettings

WINDOW_S = max(WINDOWS_S)
FOLDER, ABOUT = "windows", "windows.json"
FORMAT = 1
SNR_DB = (6.0, 0.0, -6.0)
LEARN_FAULTS = ("quality",)
"""Families that ask for the faulty twins of the windows."""
N_TWINS = 2
"""Of every window: what those families draw at most, from the seeds 0, 1, ..."""


@dataclass(frozen=True)
class SweepWindows:
    """The windows in a folder, opened read-only; equal bytes are in memory once for all workers.

    Parameters
    ----------
    folder : that `write_windows` filled.
    classes : superclasses in distribution; lsb_mv : mV a code.
    """

    folder: Path
    classes: tuple[str, ...]
    lsb_mv: float

    def training(
        self, window_s: float, n_windows_max: int, augmentation: Augmentation
    ) -> TrainingWindows:
        """Return the first training windows.

        Parameters
        ----------
        window_s : length in seconds; n_windows_max : in windows of `WINDOW_S`.
        """
        n_parts = parts_of(window_s)
        codes = self._train[:n_windows_max]
        return TrainingWindows(
            codes=in_parts(codes, n_parts),
            lsb_mv=self.lsb_mv,
            labels=np.repeat(self._labels[:n_windows_max], n_parts, axis=0),
            classes=self.classes,
            augmentation=augmentation,
            damaged=lambda seed: self._damaged(seed, codes, n_parts),
        )

    def scored(self, name: str, window_s: float) -> TrainingWindows:
        """Return windows to score: "validation", or a surrogate by its name."""
        codes = in_parts(self._open(name), parts_of(window_s))
        nothing = np.zeros((len(codes), 0), np.bool_)
        return TrainingWindows(codes, self.lsb_mv, labels=nothing, classes=())

    def _damaged(self, seed: int, codes: Int8Array, n_parts: int) -> Damaged:
        """Return the faulty twins of the training windows `codes`, each in `n_parts`.

        A part shows the faults of its whole window, unless they left it as it was.
        """
        twins = in_parts(self._open(twin_name(seed))[: len(codes)], n_parts)
        faults = self._open(f"{twin_name(seed)}-faults")[: len(codes)]
        shown = moved(in_parts(codes, n_parts), twins)
        return Damaged(twins, np.repeat(faults, n_parts, axis=0) & shown[:, np.newaxis])

    @property
    def n_train(self) -> int:
        """Training windows of `WINDOW_S` there are."""
        return len(self._train)

    @cached_property
    def _train(self) -> Int8Array:
        return self._open("train")

    @cached_property
    def _labels(self) -> BoolArray:
        return self._open("train-labels")

    def _open(self, name: str) -> npt.NDArray[Any]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]


def twin_name(seed: int) -> str:
    """Return what the twins that `seed` gives are kept as."""
    return f"twin{seed}"


def parts_of(window_s: float) -> int:
    """Return how many windows of `window_s` make one of `WINDOW_S`.

    Raises
    ------
    ValueError : no whole number of them does.
    """
    n_parts = round(WINDOW_S / window_s)
    if n_parts < 1 or not np.isclose(n_parts * window_s, WINDOW_S):
        raise ValueError(f"window_s must divide {WINDOW_S:g} s, got {window_s:g}")
    return n_parts


def in_parts(codes: Int8Array, n_parts: int) -> Int8Array:
    """Return windows cut into `n_parts` each, without a copy.

    Raises
    ------
    ValueError : the parts would not be of one length.
    """
    n_windows, window_len, n_leads = codes.shape
    if window_len % n_parts:
        raise ValueError(f"{window_len} samples must divide into {n_parts} windows")
    return codes.reshape(n_windows * n_parts, window_len // n_parts, n_leads)


def describe(data: DataSettings) -> DataSettings:
    """Return the settings with the windows of a search: the longest, side by side."""
    return replace(data, window_s=WINDOW_S, hop_s=WINDOW_S)


def open_windows(folder: Path, settings: SweepSettings, protocol: LeaveOneOut) -> SweepWindows:
    """Return the windows of a study, which are written where they are not there yet.

    Parameters
    ----------
    folder : of the study.
    protocol : the door to the recordings, without the surrogate class. Only its training and
        selection roles are asked for.

    Raises
    ------
    ValueError : a role has no record, or a recording does not fit the settings.
    OSError : the disk is full.
    """
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    about = _about(settings)
    with locked(target / ".lock", "to write the windows"):
        if _read(target / ABOUT) != about:
            (target / ABOUT).unlink(missing_ok=True)
            _write(target, settings, protocol)
            (target / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    return SweepWindows(target, settings.trained_classes, settings.data.lsb_mv)


def needs_twins(settings: SweepSettings) -> bool:
    """Return whether a family may be drawn that learns from generated faults."""
    return any(name in LEARN_FAULTS for gate in settings.gates for name in gate.detectors)


def written_windows(folder: Path, settings: SweepSettings) -> SweepWindows:
    """Return the windows of a study that has them.

    Raises
    ------
    FileNotFoundError : it has none.
    """
    if not (folder / FOLDER / ABOUT).exists():
        raise FileNotFoundError(
            f"{folder / FOLDER / ABOUT} must exist, it does not: run the study's sweep here first"
        )
    return SweepWindows(folder / FOLDER, settings.trained_classes, settings.data.lsb_mv)


def _about(settings: SweepSettings) -> dict[str, Any]:
    """Return all that decides the windows, in JSON types."""
    about = {
        "format": FORMAT,
        "data": describe(settings.data).identity(),
        "surrogates": settings.surrogates,
        "twins": N_TWINS if needs_twins(settings) else 0,
        "windows_max": settings.windows_max,
        "noise": (settings.to_json()["noise"], *noise_kinds(settings)),
        "seed": settings.seed,
    }
    return json.loads(json.dumps(about))  # type: ignore[no-any-return]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    except (FileNotFoundError, ValueError):
        return None


def _write(target: Path, settings: SweepSettings, protocol: LeaveOneOut) -> None:
    data = describe(settings.data)
    train = familiar_windows(protocol, data, "train")
    chosen = _shuffled(train, settings.seed)[: settings.windows_max]
    _save(target / "train.npy", train.x[chosen])
    columns = [SUPERCLASSES.index(name) for name in settings.trained_classes]
    _save(target / "train-labels.npy", train.labels[chosen][:, columns])
    if needs_twins(settings):
        for seed in range(N_TWINS):
            damaged = damaged_windows(protocol, data, train.x, seed)
            _save(target / f"{twin_name(seed)}.npy", damaged.codes[chosen])
            _save(target / f"{twin_name(seed)}-faults.npy", damaged.faults[chosen])
    _save(target / "validation.npy", familiar_windows(protocol, data, "validation").x)
    for surrogate in settings.surrogate_classes:
        _save(target / f"{surrogate}.npy", familiar_windows(protocol, data, "surrogate").x)
    if NOISE in settings.surrogates:
        _save(target / f"{NOISE}.npy", _noisy(protocol, settings, data).x)


def _shuffled(batch: WindowBatch, seed: int) -> npt.NDArray[np.intp]:
    """Return an order of the windows in which records follow by chance, each one's in order."""
    ids, record = np.unique(batch.record_ids, return_inverse=True)
    place = np.random.default_rng((seed, 0)).permutation(len(ids))
    return np.argsort(place[record], kind="stable")


def _noisy(protocol: LeaveOneOut, settings: SweepSettings, data: DataSettings) -> WindowBatch:
    """Return the validation records, each with noise of a kind and an SNR drawn for it."""
    source: NoiseSource = SyntheticNoise()
    if settings.noise_data is not None:
        source = protocol.noise("validation", Path(settings.noise_data))
    kinds = noise_kinds(settings)
    records = protocol.records("validation", data.leads)
    noisy = []
    with progress("Adding noise", total=len(records)) as advance:
        for record in records:
            noisy.append(_with_noise(record, source, kinds, settings.seed))
            advance()
    return windows_of(noisy, data.chain, data.window_len, data.hop_len)


def noise_kinds(settings: SweepSettings) -> tuple[str, ...]:
    """Return the kinds of noise there are: all, or those that the folder has recordings of.

    Raises
    ------
    ValueError : it has none.
    """
    if settings.noise_data is None:
        return tuple(RECORDINGS)
    there = noise_recordings(Path(settings.noise_data))
    kinds = tuple(kind for kind, recording in RECORDINGS.items() if recording in there)
    if not kinds:
        raise ValueError(f"{settings.noise_data} must hold one of {', '.join(RECORDINGS.values())}")
    return kinds


def _with_noise(
    record: EcgRecord, source: NoiseSource, kinds: tuple[str, ...], seed: int
) -> EcgRecord:
    rng = np.random.default_rng([seed, *record.record_id.encode()])
    kind, snr_db = rng.choice(kinds), float(rng.choice(SNR_DB))
    options = FaultSettings.of(record, "percentiles", snr_db=snr_db, noise=source)
    return add_fault(record, str(kind), rng, options)


def _save(path: Path, values: npt.NDArray[Any]) -> None:
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, values)
    temporary.replace(path)
