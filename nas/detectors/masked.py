"""Masked anomaly detection: every sample is predicted from the window around it.

Fu and Xue, arXiv:2205.02100. A network is trained to fill in masked segments of a window from the
rest. Here the masks are fixed and complementary: each hides every K-th segment in all leads at
once, and together they hide every sample exactly once. The network that ships runs one small
network on each of the K masked windows with the same weights and puts the K predictions of hidden
samples together to one window, x_hat; the score is the mean error of the whole ensemble.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datasets.records import Int64Array

from ..blocks import Block
from ..layers import Layers, shape_of
from ..plan import TrainingPlan
from ..repeat import apply_to_each
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train
from .reconstruction import ERRORS, Coder, check_error, errors_of, mean_error, suggest_coder

PLAN = TrainingPlan(epochs=5, batch_size=128, learning_rate=3e-3, weight_decay=1e-4)

MASKS = (2, 3, 4)
PERIODS = (10, 25, 50, 125, 250)
BLOCKS_MAX = 9
"""Blocks times masks of a network that is drawn: all of them keep below a blob's 128 tensors."""


@dataclass(frozen=True, slots=True)
class Params:
    """The network, what is hidden from it, and what it makes small.

    Parameters
    ----------
    coder : encoder and decoder.
    n_masks : K, one of `MASKS`.
    period : samples in which each mask hides one segment, about period / K long; must divide the
        window.
    error : of a residual, in training and in the score: one of `reconstruction.ERRORS`.

    Raises
    ------
    ValueError : a value is out of range.
    """

    coder: Coder = field(
        default_factory=lambda: Coder(
            (Block(16, 9, stride=2), Block(32, 9, stride=5)), embedding=32
        )
    )
    n_masks: int = 3
    period: int = 50
    error: str = "square"

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        check_error(self.error)
        if self.n_masks not in MASKS:
            raise ValueError(f"n_masks must be one of {MASKS}, got {self.n_masks}")
        if self.period < self.n_masks:
            raise ValueError(f"period must be at least n_masks {self.n_masks}, got {self.period}")

    @property
    def hidden(self) -> Float32Array:
        """(n_masks, period), 1 where a mask hides a sample, else 0; its columns sum to 1."""
        mask_of = np.arange(self.period) * self.n_masks // self.period
        return np.eye(self.n_masks, dtype=np.float32)[:, mask_of]


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw a coder that can be run on every masked window within a blob's limits."""
    coder = suggest_coder(trial, input_shape[0])
    n_masks = trial.suggest_categorical("n_masks", MASKS)
    periods = [period for period in PERIODS if input_shape[0] % period == 0]
    return Params(
        coder=replace(coder, blocks=coder.blocks[: BLOCKS_MAX // n_masks]),
        n_masks=n_masks,
        period=trial.suggest_categorical("period", PERIODS),
        error=trial.suggest_categorical("error", ERRORS),
    )
