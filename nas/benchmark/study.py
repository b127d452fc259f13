"""Which slots the benchmark has, in which order, and what decides the cell in each."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets import SUPERCLASSES, Dataset, LeaveOneOut, leave_one_out, open_dataset
from datasets.cache import digest
from datasets.noise import RECORDINGS
from export.training_run import DataSettings

from .. import classifier
from ..candidate import WINDOW_S, Candidate, default_candidate
from ..detectors import DETECTORS
from ..training_data import describe_data
from .sources import EVALUATION, TRAINING, digest_of, family_files

HOLD_OUTS = ("HYP", "CD", "MI", "STTC")
LEADS = {"12": None, "I": ("I",), "I+II": ("I", "II")}
"""Sets of leads by name, None for all the data set has; in the order they are run."""
BASELINES = "baselines"
"""The row that holds all baselines, and trains the diagnostic classifier for some of them."""
ROWS = (*DETECTORS, BASELINES)
BASELINE_FILES = ("nas/baselines.py", "nas/classifier.py", "nas/plan.py")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the table.

    Parameters
    ----------
    row : a family of `DETECTORS`, or `BASELINES`.
    hold_out : of `HOLD_OUTS`; leads : a key of `LEADS`; seed : of the training.
    """

    row: str
    hold_out: str
    leads: str
    seed: int

    @property
    def name(self) -> str:
        """The slot in one word, its cell's file name."""
        return f"{self.row}-{self.hold_out}-{self.leads}-{self.seed}"

    @property
    def data(self) -> tuple[str, str]:
        """What its training windows depend on; slots that share it share them."""
        return self.hold_out, self.leads


def slots_of(
    detectors: Sequence[str],
    hold_outs: Sequence[str] = HOLD_OUTS,
    leads: Sequence[str] = tuple(LEADS),
    n_seeds: int = 1,
) -> list[Slot]:
    """Return the slots, ordered so that a table that is not complete yet says something.

    One seed of everything comes before the second, all leads and lead I before the pair. Baselines
    are fitted with one seed.

    Raises
    ------
    ValueError : a name is none there is, or `n_seeds` is below 1.
    """
    for what, given, known in (
        ("detectors", detectors, ROWS),
        ("hold-out", hold_outs, HOLD_OUTS),
        ("leads", leads, tuple(LEADS)),
    ):
        if not given or not set(given) <= set(known):
            wrong = ", ".join(name for name in given if name not in known) or "none"
            raise ValueError(f"{what} must be among {', '.join(known)}, got {wrong}")
    if n_seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {n_seeds}")
    return [
        Slot(row, hold_out, name, seed)
        for seed in range(n_seeds)
        for name in LEADS
        for hold_out in HOLD_OUTS
        for row in ROWS
        if name in leads and hold_out in hold_outs and row in detectors
        if seed == 0 or row != BASELINES
    ]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all cells of a table share, as the command line gives it.

    Parameters
    ----------
    dataset, data, cache : as in `datasets.open_dataset`.
    rehearsal : as in `datasets.leave_one_out`.
    noise : folder of the Noise Stress Test database, None for no noise.
    """

    dataset: str
    data: str | None = None
    cache: Path | None = None
    rehearsal: bool = True
    noise: Path | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of all that decides a slot: its trained network alone, and its scores."""

    training: str
    cell: str


class Study:
    """The recordings of a table, opened, and the keys of its slots.

    Parameters
    ----------
    setting : what to open.

    Raises
    ------
    ValueError : as in `open_dataset` and `describe_data`, or the noise folder has no recording.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.dataset: Dataset = open_dataset(setting.dataset, setting.data, None, setting.cache)
        self._protocols: dict[str, LeaveOneOut] = {}
        self._roles: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, DataSettings] = {}
        self._sources: dict[str, str] = {}

    def protocol(self, hold_out: str) -> LeaveOneOut:
        """Return who may see which record, the test sealed."""
        if hold_out not in self._protocols:
            self._protocols[hold_out] = leave_one_out(
                self.dataset, hold_out, rehearsal=self.setting.rehearsal
            )
        return self._protocols[hold_out]

    def settings(self, hold_out: str, leads: str, window_s: float = WINDOW_S) -> DataSettings:
        """Return what a network of that slot is trained on."""
        if leads not in self._settings:
            names = LEADS[leads] or self.dataset.leads
            protocol = self.protocol(hold_out)
            self._settings[leads] = describe_data(
                protocol, self.setting.data, names, self.dataset.fs, 0.5, None
            )
        return replace(self._settings[leads], hold_out=hold_out, window_s=window_s)

    @cached_property
    def noise(self) -> dict[str, str]:
        """The SHA-256 of every noise recording there is, by kind of noise; empty without noise."""
        found = {}
        for kind, name in RECORDINGS.items():
            files = [Path(self.setting.noise or "") / f"{name}.{s}" for s in ("hea", "dat")]
            if self.setting.noise is not None and all(file.is_file() for file in files):
                content = b"".join(file.read_bytes() for file in files)
                found[kind] = hashlib.sha256(content).hexdigest()
        if self.setting.noise is not None and not found:
            raise ValueError(
                f"{self.setting.noise} must hold one of {', '.join(RECORDINGS.values())}, "
                "with .hea and .dat; it has none"
            )
        return found

    @cached_property
    def noise_remarks(self) -> list[str]:
        """The comments in the headers of the noise recordings: where one is not the original."""
        remarks = []
        for kind in self.noise:
            header = Path(self.setting.noise or "") / f"{RECORDINGS[kind]}.hea"
            lines = header.read_text(encoding="utf-8").splitlines()
            remarks += [f"{kind}: {line[1:].strip()}" for line in lines if line.startswith("#")]
        return remarks

    def keys(self, slot: Slot) -> Keys:
        """Return what decides the cell in `slot`."""
        if slot.row == BASELINES:
            decided: dict[str, Any] = {"plan": asdict(classifier.PLAN)}
            decided["params"] = asdict(classifier.Params())
            settings, files = self.settings(*slot.data), [*BASELINE_FILES]
        else:
            candidate = self.candidate(slot)
            decided = candidate.to_json()
            settings = self.settings(*slot.data, candidate.window_s)
            files = family_files(slot.row)
        if slot.row not in self._sources:
            self._sources[slot.row] = digest_of([*TRAINING, *files])
        if "evaluation" not in self._sources:
            self._sources["evaluation"] = digest_of(EVALUATION)
        training = digest(
            settings.identity(),
            self._role_counts(slot.hold_out),
            decided,
            slot.seed,
            self._sources[slot.row],
        )
        return Keys(training, digest(training, self.noise, self._sources["evaluation"]))

    def candidate(self, slot: Slot) -> Candidate:
        """Return what is trained in the slot of a family: its hand-picked default."""
        return default_candidate(slot.row)

    def _role_counts(self, hold_out: str) -> dict[str, Any]:
        """Return records and patients of every role: which records are on this disk decides too."""
        if hold_out not in self._roles:
            self._roles[hold_out] = self.protocol(hold_out).counts()
        return self._roles[hold_out]


assert set(HOLD_OUTS) == set(SUPERCLASSES) - {"NORM"}
