"""Variational autoencoder: rebuilds through a bottleneck of Gaussians that is kept near N(0, 1).

Kingma and Welling, ICLR 2014. The encoder gives a mean mu and a log-variance v for every value of
the bottleneck; training draws z = mu + exp(v / 2) * eps and makes small, for a window of n values,

    1/n * [ |x - x_hat(z)|^2 / (2 sigma^2) + n log sigma + beta * KL ],
    KL = 1/2 * sum over the bottleneck of mu^2 + exp(v) - v - 1,

which for beta = 1 is the negative evidence lower bound (beta: Higgins et al., ICLR 2017) of a
Gaussian likelihood of noise sigma. sigma is fixed, or what a batch's error gives: the optimum of
the likelihood (Rybkin et al., ICML 2021). The score is the same sum for z = mu without its
constant n log sigma, so nothing is drawn where it runs; its sigma, where none is fixed, is what
z = mu leaves of all training windows.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from datasets.records import Int64Array
from export.score_rules import TablePart

from ..layers import Layers, shape_of
from ..plan import TrainingPlan
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train, outputs_of
from .reconstruction import Coder, start_at_zero, suggest_coder

PLAN = TrainingPlan(epochs=5, batch_size=128, learning_rate=3e-3, weight_decay=1e-4)

LOG_VARIANCE_MAX = 6.0
"""|v| stays below: tanh in the network times this in training and score, so exp(v) < 404."""
LOG_VARIANCE_START = -4.0
MEAN_GAIN = 0.25
"""The output holds mu times this, beside the residual in mV and tanh: one int8 scale for three."""


@dataclass(frozen=True, slots=True)
class Params:
    """The network and its likelihood.

    Parameters
    ----------
    coder : encoder and decoder; its embedding is the number of Gaussians.
    beta : weight of the divergence.
    noise_mv : sigma; 0 = the root mean square error, of every batch in training and of all training
        windows in the score.

    Raises
    ------
    ValueError : a value is out of range.
    """

    coder: Coder = field(default_factory=Coder)
    beta: float = 1.0
    noise_mv: float = 0.0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not 0 < self.beta < 1e3:
            raise ValueError(f"beta must be in (0, 1000), got {self.beta}")
        if not 0 <= self.noise_mv < 10:
            raise ValueError(f"noise_mv must be in [0, 10), got {self.noise_mv}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw a coder, beta and sigma."""
    return Params(
        coder=suggest_coder(trial, input_shape),
        beta=trial.suggest_float("beta", 0.1, 10.0, log=True),
        noise_mv=trial.suggest_categorical("noise_mv", (0.0, 0.05, 0.1)),
    )


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return residual, `MEAN_GAIN` * mu and v / `LOG_VARIANCE_MAX`, one vector."""
    coder = params.coder
    signal = coder.encode(layers, x)
    mean = layers.conv(coder.embedding, 1, name="latent_mean")(signal)
    log_variance = layers.conv(coder.embedding, 1, name="latent_log_variance")(signal)
    rebuilt = coder.decode(layers, mean, shape_of(x))
    gain = np.full(coder.embedding, MEAN_GAIN, np.float32)
    parts = (
        layers.subtract(x, rebuilt, name="residual"),
        layers.multiply_by(mean, gain),
        layers.activation(log_variance, "tanh"),
    )
    return layers.concatenate([layers.reshape(part, (_size(part),)) for part in parts])


def _size(x: Any) -> int:
    return math.prod(shape_of(x))


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Make the negative bound small, then score by it."""
    import keras

    start_at_zero(model)
    _start_certain(model)
    train(_negative_bound(params, model, windows))
    error = keras.Model(model.input, _mean_square(model.get_layer("residual").output))
    variance = params.noise_mv**2 or float(outputs_of(error, windows).mean())
    n = math.prod(windows.shape)
    n_latent = _size(model.get_layer("latent_mean").output)
    divergence = params.beta / 2 / n
    parts = (
        TablePart(n, "square", 1 / (2 * variance * n), 1.0),
        TablePart(n_latent, "square", divergence, 1 / MEAN_GAIN),
        TablePart(n_latent, "gaussian_kl_log_variance", divergence, LOG_VARIANCE_MAX),
    )
    return Scoring("table_sum", {"parts": [asdict(part) for part in parts]})


def _start_certain(model: Any) -> None:
    """Let the bottleneck's noise be small at first, so that the decoder can learn from it.

    From unit variances on, the divergence wins before the decoder uses the bottleneck: it collapses
    to N(0, 1) for every window.
    """
    head = model.get_layer("latent_log_variance")
    kernel, bias = head.get_weights()
    start = np.arctanh(LOG_VARIANCE_START / LOG_VARIANCE_MAX)
    head.set_weights([np.zeros_like(kernel), np.full_like(bias, start)])


def _mean_square(residual: Any) -> Any:
    from keras import ops

    return ops.mean(ops.square(residual), axis=(1, 2))


def _negative_bound(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the training loss of the module's docstring; eps is an input."""
    import keras
    from keras import ops

    mean = model.get_layer("latent_mean").output
    log_variance = LOG_VARIANCE_MAX * ops.tanh(model.get_layer("latent_log_variance").output)
    rebuilt = model.get_layer("residual").input[1]
    eps = keras.Input(shape_of(mean))
    drawn = keras.Model(mean, rebuilt)(mean + ops.exp(log_variance / 2) * eps)
    error = _mean_square(model.input - drawn)
    if params.noise_mv:
        variance = ops.full_like(error, params.noise_mv**2)
    else:
        variance = ops.stop_gradient(ops.ones_like(error) * ops.mean(error))
    divergence = ops.sum(
        ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=(1, 2)
    ) / (2 * math.prod(windows.shape))
    loss = error / (2 * variance) + ops.log(variance) / 2 + params.beta * divergence

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Float32Array, ...]:
        x_mv = windows.batch(index, rng)
        return x_mv, rng.standard_normal((len(x_mv), *shape_of(mean)), np.float32)

    return Objective(keras.Model([model.input, eps], loss), inputs)
