"""The last whole epoch of a training that is not finished, kept so that a killed one goes on."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training keeps its last whole epochs, and what it is a training of.

    Parameters
    ----------
    folder : of all its stages; created when the first epoch ends, removed by `remove`.
    subject : everything that decides the result, by name, in JSON types. Only a checkpoint of the
        same subject is resumed.
    """

    folder: Path
    subject: dict[str, Any]

    def stage(self, name: str) -> "StageCheckpoint":
        """Return where one stage of the training keeps its own epochs."""
        return StageCheckpoint(self.folder, name, {**self.subject, "stage": name})

    def fits(self) -> bool:
        """Return whether every stage that is kept could be resumed."""
        try:
            for state in self.folder.glob(f"*/{STATE}"):
                self.stage(state.parent.name).losses()
        except ValueError:
            return False
        return True

    def remove(self) -> None:
        """Forget the training."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class StageCheckpoint:
    """The last whole epoch of one stage.

    Parameters
    ----------
    root : folder of the training; name : of the stage.
    subject : as in `Checkpoint`, and the stage.
    """

    root: Path
    name: str
    subject: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return self.root / self.name

    @property
    def state_path(self) -> Path:
        """The file that names the weights; it is replaced last, by rename."""
        return self.folder / STATE

    def save(self, model: Any, losses: list[float]) -> None:
        """Keep the model after `len(losses)` epochs; killed at any point, the last one stands."""
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = self.folder / f"epoch-{len(losses)}.weights.h5"
        model.save_weights(weights, overwrite=True)
        state = {
            "weights": weights.name,
            "sha256": _sha256(weights),
            "losses": losses,
            "subject": self.subject,
        }
        temporary = self.state_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(state, indent=2))
        temporary.replace(self.state_path)
        for old in self.folder.glob("epoch-*"):
            if old != weights:
                old.unlink()

    def losses(self) -> list[float]:
        """Return the loss of every epoch that is kept; empty where there is no checkpoint.

        Raises
        ------
        ValueError : the folder holds a training of another subject, or a damaged one.
        """
        return list(self._state()["losses"])

    def restore(self, model: Any) -> None:
        """Load weights and optimizer state into a compiled `model`, if an epoch is kept.

        Raises
        ------
        ValueError : as `losses`, or the weights are those of another network.
        """
        name = self._state()["weights"]
        if name is None:
            return
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self.folder / name)
        except (KeyError, ValueError, OSError) as error:
            raise self._damaged(error) from error

    def _state(self) -> dict[str, Any]:
        if not self.state_path.exists():
            return {"weights": None, "losses": []}
        try:
            state: dict[str, Any] = json.loads(self.state_path.read_text())
            differing = differences(state["subject"], self.subject)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(error) from error
        if differing:
            raise ValueError(
                f"{self.folder} must be an unfinished training of the same settings, but "
                f"{differing}: repeat its settings, or delete {self.root} to start again "
                "(--overwrite of a training command does)"
            )
        try:
            weights = self.folder / state["weights"]
            if _sha256(weights) != state["sha256"]:
                raise ValueError(f"{weights.name} is not what was written")
            list(state["losses"])
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise self._damaged(error) from error
        return state

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.folder} must be an unfinished training, got a damaged one "
            f"({type(error).__name__}: {error}): delete {self.root} to start again"
        )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words where two subjects differ, "" where they agree.

    Examples
    --------
    >>> differences({"seed": 0, "leads": ["I"]}, {"seed": 1, "leads": ("I",)})
    'seed was 0 and is 1'
    """
    before, now = json.loads(json.dumps([before, now]))
    return ", ".join(
        f"{name} was {before.get(name)} and is {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    )
