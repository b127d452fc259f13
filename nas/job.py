"""One training of one part of a run folder: what decides its result, and whether it is done."""

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.provenance import commit
from export.training_run import PARTS, DataSettings, TrainedPart, load_part

from .checkpoint import Checkpoint, differences
from .plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Job:
    """The training of `part` ("filter" or "classifier") of the folder `run`.

    Parameters
    ----------
    data : what it is trained on.
    seed : of initial weights and order of windows, in [0, 2^32).
    plan : how long and how fast.
    network : its kind and its parameters, in JSON types.
    overwrite : replace what the run holds of this part. The old network stays until the new one is
        trained, and an unfinished training of this very job is still resumed.

    Raises
    ------
    ValueError : the seed is out of range.
    """

    run: Path
    part: str
    data: DataSettings
    seed: int
    plan: TrainingPlan
    network: dict[str, Any]
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        assert self.part in PARTS
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2^32), got {self.seed}")

    @property
    def subject(self) -> dict[str, Any]:
        """Everything that decides the result, by name."""
        return {
            **self.data.identity(),
            "seed": self.seed,
            **asdict(self.plan),
            **self.network,
        }

    @property
    def details(self) -> dict[str, Any]:
        """What the run folder keeps of the job beside data settings and seed."""
        return {
            **self.network,
            "plan": asdict(self.plan),
            "versions": _versions(),
            "commit": commit(),
        }

    def checkpoint(self, n_train_windows: int) -> Checkpoint:
        """Return where the unfinished training is kept."""
        subject = {**self.subject, "n_train_windows": n_train_windows, **_versions()}
        checkpoint = Checkpoint(self.run / f"{self.part}.checkpoint", subject)
        if self.overwrite and not checkpoint.fits():
            checkpoint.remove()
        return checkpoint

    def finished(self) -> TrainedPart | None:
        """Return the finished training this job describes; None where there is work to do.

        Raises
        ------
        ValueError : the run's other network was trained on other data, or this one with other
            settings and the job does not overwrite.
        """
        self._check_other_part()
        trained = self._load(self.part)
        if trained is None or self.overwrite:
            return None
        before = {
            **trained.data.identity(),
            "seed": trained.seed,
            **trained.details.get("plan", {}),
            **{name: trained.details.get(name) for name in self.network},
        }
        if differing := differences(before, self.subject):
            raise ValueError(
                f"{self.run} already holds a {self.part} of other settings ({differing}): "
                "choose another folder, delete this one, or train again with --overwrite"
            )
        return trained

    def _check_other_part(self) -> None:
        other = next(part for part in PARTS if part != self.part)
        trained = self._load(other)
        if trained is None:
            return
        if differing := differences(trained.data.identity(), self.data.identity()):
            raise ValueError(
                f"both networks of {self.run} must share their data settings, "
                f"but since its {other} {differing}"
            )

    def _load(self, part: str) -> TrainedPart | None:
        try:
            return load_part(self.run, part)
        except FileNotFoundError:
            return None


def _versions() -> dict[str, str]:
    """Return the versions of what computes: Keras, the backend in use, numpy.

    A training of one backend does not fit a checkpoint of the other, whose entry is missing.
    """
    import keras

    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
    }
