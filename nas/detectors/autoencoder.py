"""Autoencoder: a narrow bottleneck that only rebuilds well what it has learned to.

Trained on in-distribution windows to give them back, it is scored by what it misses: the mean
square or mean absolute residual x - x_hat. With `noise_mv` it is a denoising autoencoder (Vincent
et al., ICML 2008): it is shown noisy windows in training and asked for the clean ones.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datasets.records import Int64Array

from ..layers import Layers
from ..plan import TrainingPlan
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


@dataclass(frozen=True, slots=True)
class Params:
    """The network and what it makes small.

    Parameters
    ----------
    coder : encoder, bottleneck and decoder.
    error : of a residual, in training and in the score: one of `reconstruction.ERRORS`.
    noise_mv : rms of the white noise it learns to take out; 0 = it rebuilds what it is shown.

    Raises
    ------
    ValueError : a value is out of range.
    """

    coder: Coder = field(default_factory=Coder)
    error: str = "square"
    noise_mv: float = 0.0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        check_error(self.error)
        if not 0 <= self.noise_mv < 10:
            raise ValueError(f"noise_mv must be in [0, 10), got {self.noise_mv}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw a coder and its error."""
    return Params(
        coder=suggest_coder(trial, input_shape),
        error=trial.suggest_categorical("error", ERRORS),
        noise_mv=trial.suggest_categorical("noise_mv", (0.0, 0.05, 0.1)),
    )


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return the residual, of the window's shape."""
    return layers.subtract(x, params.coder.rebuild(layers, x))


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Make the mean error small, in training as in the score."""
    start_at_zero(model)
    train(_rebuilding(params, model, windows))
    return Scoring("table_sum", mean_error(windows.shape, params.error))


def _rebuilding(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the mean error of x_hat against the window without the noise that was added to it."""
    import keras
    from keras import ops

    noise = keras.Input(model.input.shape[1:])
    residual = model(model.input + noise) - noise
    error = ops.mean(errors_of(residual, params.error), axis=(1, 2))

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Float32Array, ...]:
        x_mv = windows.batch(index, rng)
        rms = np.float32(params.noise_mv)
        return x_mv, rms * rng.standard_normal(x_mv.shape, np.float32)

    return Objective(keras.Model([model.input, noise], error), inputs)
