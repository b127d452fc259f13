"""What a detector family is to the rest of the project."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from datasets.records import Int64Array

from ..layers import Counts, Layers, build, count
from ..plan import TrainingPlan
from ..windows import Float32Array, TrainingWindows

Inputs = Callable[[Int64Array, np.random.Generator], tuple[npt.NDArray[Any], ...]]


@dataclass(frozen=True, slots=True)
class Objective:
    """What one stage of a training makes small.

    Parameters
    ----------
    network : `keras.Model` from `inputs` - a list where there are several, the tensor itself where
        there is one - to the loss of each window, (n_batch,). It holds the weights to train, shares
        them with the network that ships, and may hold more.
    inputs : (indices of the batch's windows, random generator of this step) -> the network's inputs
        in order. Whatever is random - noise, masks, sampling - is drawn here by numpy, so that
        both backends see the same.
    """

    network: Any
    inputs: Inputs


class Train(Protocol):
    """Trains one stage; handed to `Detector.fit`."""

    def __call__(
        self, objective: Objective, stage: str = "main", epochs: int | None = None
    ) -> None:
        """Make the objective small, seeded and resumable.

        Parameters
        ----------
        stage : name of the stage, one of its own for each call; a checkpoint is kept under it.
        epochs : passes over the windows; default the plan's.

        Raises
        ------
        CheckFailed : the loss is no longer finite; the weights are then those of the last good
            epoch.
        """
        ...


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the outputs of a trained network become a score.

    Parameters
    ----------
    rule : name of a rule in `export.score_rules.SCORE_RULES`.
    constants : what the rule needs beside the outputs, in JSON types.
    """

    rule: str
    constants: dict[str, Any] = field(default_factory=dict)


class Detector(Protocol):
    """What a module of this package gives; `DETECTORS` holds the modules themselves.

    Attributes
    ----------
    Params : frozen dataclass of the architecture and of what else the family chooses; its defaults
        are the hand-picked ones. Nested dataclasses, tuples and numbers only: it is kept as JSON.
    PLAN : the training plan that goes with those defaults.
    """

    Params: type[Any]
    PLAN: TrainingPlan

    def suggest(self, trial: Any, input_shape: tuple[int, int]) -> Any:
        """Return an instance of `Params` drawn from `trial`, an `optuna.Trial`.

        Every point drawn can be built for windows of `input_shape` (window_len, n_leads); whether
        it is small enough is the caller's to see.
        """
        ...

    def network(self, layers: Layers, params: Any, x: Any) -> Any:
        """Return the symbolic output of the network that ships, of windows `x` in mV.

        Raises
        ------
        ValueError : the parameters do not fit the window.
        """
        ...

    def fit(self, params: Any, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
        """Train `model` in place and return how it is scored, higher = more anomalous.

        Parameters
        ----------
        params : an instance of `Params`.
        model : `network` of these parameters as a `keras.Model`, untrained.
        windows : in-distribution windows; what is not drawn from `train`'s generator is drawn from
            fixed seeds, so that one seed gives one result.
        train : runs a stage. A killed training calls `fit` again from the start, and stages that
            were finished return at once with the weights they ended with.
        """
        ...


def build_detector(detector: Detector, params: Any, input_shape: tuple[int, int]) -> Any:
    """Return the untrained network that ships and nothing else, a `keras.Model`.

    Raises
    ------
    ValueError : the window is too short for the architecture.
    """
    return build(detector.network, params, input_shape, "filter")


def count_detector(detector: Detector, params: Any, input_shape: tuple[int, int]) -> Counts:
    """Return parameters and multiply-accumulates without building anything.

    Raises
    ------
    ValueError : as `build_detector`.
    """
    return count(detector.network, params, input_shape)


def outputs_of(model: Any, windows: TrainingWindows, batch_size: int = 512) -> Float32Array:
    """Return the outputs for all windows as they are, float32 (n_windows, ...)."""
    parts = [
        model.predict_on_batch(windows.x_mv(slice(start, start + batch_size)))
        for start in range(0, len(windows), batch_size)
    ]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])
