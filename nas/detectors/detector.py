"""What a detector family is to the rest of the project."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..plan import TrainingPlan

Float32Array = npt.NDArray[np.float32]


class Detector(Protocol):
    """What a module of this package gives; `DETECTORS` holds the modules themselves.

    A detector learns from in-distribution windows alone, without labels. Training moves the
    network's outputs towards `targets`; afterwards the score rule `score_rule`, which exists in
    numpy and in C, turns outputs into one score a window, higher = more anomalous.

    Attributes
    ----------
    score_rule : name of the score rule the shipped network is read with.
    Params : frozen dataclass of the architecture; its defaults are the hand-picked one.
    PLAN : the training plan that goes with those defaults.
    """

    score_rule: str
    Params: type[Any]
    PLAN: TrainingPlan

    def build(self, params: Any, input_shape: tuple[int, int]) -> Any:
        """Return the network that ships and nothing else, a `keras.Model`.

        Parameters
        ----------
        params : an instance of `Params`.
        input_shape : (window_len, n_leads); the input is float32 in mV.

        Raises
        ------
        ValueError : the window is too short for the architecture.
        """
        ...

    def score_constants(self, outputs: Float32Array) -> dict[str, Float32Array]:
        """Return what the score rule needs beside the outputs, fixed before training.

        `outputs` is float32 (n_windows, n_outputs): the untrained network on the training windows.
        """
        ...

    def targets(self, constants: dict[str, Float32Array], x: Float32Array) -> Float32Array:
        """Return what the outputs are compared with, float32 (n_windows, ...); may be a view."""
        ...

    def loss(self, target: Any, output: Any) -> Any:
        """Return the loss of each window of a batch; backend tensors in, (n_batch,) out."""
        ...
