"""Masked anomaly detection: every sample is predicted from the window around it.

Fu and Xue, arXiv:2205.02100. A network is trained to fill in masked segments of a window from the
rest. Here the masks are fixed and complementary: each hides one segment a period, about one K-th
of it, in all leads at once, and together they hide every sample exactly once. The network that
ships runs one small network on each of the K masked windows with the same weights and puts the K
predictions of hidden samples together to one window, x_hat; the score is the mean error of the
whole ensemble.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from datasets.records import Int64Array

from ..blocks import Block
from ..layers import Layers, Shape, shape_of
from ..plan import TrainingPlan
from ..repeat import apply_to_each
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train
from .reconstruction import (
    ERRORS,
    Coder,
    check_error,
    errors_of,
    mean_error,
    start_at_zero,
    suggest_coder,
)

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
    period : samples of which each mask hides one segment, about period / K long. The divisor of the
        window nearest to it, and not below K, is taken.
    error : of a residual, in training and in the score: one of `reconstruction.ERRORS`.

    Raises
    ------
    ValueError : a value is out of range.
    """

    coder: Coder = field(
        default_factory=lambda: Coder((Block(16, 9, stride=5), Block(32, 5, stride=2)), 24)
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


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw masks, and a coder that can be run on every masked window within a blob's limits."""
    coder = suggest_coder(trial, input_shape)
    n_masks = trial.suggest_categorical("n_masks", MASKS)
    return Params(
        coder=replace(coder, blocks=coder.blocks[: BLOCKS_MAX // n_masks]),
        n_masks=n_masks,
        period=trial.suggest_categorical("period", PERIODS),
        error=trial.suggest_categorical("error", ERRORS),
    )


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return the residual of every sample, of the window's shape.

    Masks are applied to the signal folded to one row a period, where they are the same constants
    for every row.
    """
    shape = shape_of(x)
    hidden = hidden_samples(params, shape)
    folded = (shape[0] * shape[1] // hidden.shape[1], hidden.shape[1])
    periods = layers.reshape(x, folded)
    masked = [
        layers.reshape(layers.multiply_by(periods, 1 - row), shape, name=f"masked_{k}")
        for k, row in enumerate(hidden)
    ]
    residual = periods
    for k, rebuilt in enumerate(apply_to_each(layers, params.coder.rebuild, masked)):
        predicted = layers.reshape(rebuilt, folded, name=f"rebuilt_{k}")
        residual = layers.subtract(residual, layers.multiply_by(predicted, hidden[k]))
    return layers.reshape(residual, shape)


def hidden_samples(params: Params, shape: Shape) -> Float32Array:
    """Return where each mask hides the samples of a period, with all their leads one after another.

    Returns
    -------
    float32 (n_masks, period * n_leads), 1 where hidden, else 0; every column has one 1.

    Raises
    ------
    ValueError : the window is shorter than one sample a mask.
    """
    window_len, n_leads = shape
    if window_len < params.n_masks:
        raise ValueError(f"{params.n_masks} masks need as many samples")
    divisors = [n for n in range(params.n_masks, window_len + 1) if window_len % n == 0]
    period = min(divisors, key=lambda n: abs(n - params.period))
    mask_of = np.repeat(np.arange(period) * params.n_masks // period, n_leads)
    return np.eye(params.n_masks, dtype=np.float32)[:, mask_of]


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Make the error of the predictions small, then score by it."""
    start_at_zero(model)
    train(_filling_in(params, model, windows))
    return Scoring("table_sum", mean_error(windows.shape, params.error))


def _filling_in(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the mean error of hidden samples, of one mask drawn for every window.

    In expectation that is the ensemble's error at one K-th of its cost, but that masks count alike
    which hide unequally much, such as 17, 17 and 16 samples of a period of 50.
    """
    import keras
    from keras import ops

    fill_in = keras.Model(model.get_layer("masked_0").output, model.get_layer("rebuilt_0").output)
    masked = keras.Input(windows.shape)
    x, hidden = keras.Input(windows.shape), keras.Input(windows.shape)
    rebuilt = ops.reshape(fill_in(masked), (-1, *windows.shape))
    errors = errors_of(x - rebuilt, params.error) * hidden
    error = ops.sum(errors, axis=(1, 2)) / ops.sum(hidden, axis=(1, 2))
    rows = hidden_samples(params, windows.shape)
    masks = np.tile(rows, math.prod(windows.shape) // rows.shape[1])
    masks = masks.reshape(params.n_masks, *windows.shape)

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Float32Array, ...]:
        x_mv = windows.batch(index, rng)
        hidden_from = masks[rng.integers(params.n_masks, size=len(x_mv))]
        return x_mv * (1 - hidden_from), x_mv, hidden_from

    return Objective(keras.Model([masked, x, hidden], error), inputs)
