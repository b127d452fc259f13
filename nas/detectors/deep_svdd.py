"""Deep SVDD: an encoder that maps normal windows close to one fixed point.

Ruff et al., Deep One-Class Classification, ICML 2018. The one-class form makes the mean squared
distance of the embeddings to a centre c small; the soft-boundary form makes small a sphere around c
that a fraction nu of the windows may leave. c is the mean embedding before training, or after
pretraining as an autoencoder. The trivial solution, a network that answers c to whatever it is
shown, is kept out of reach as in the paper's section 3.3: no bias anywhere, unbounded activations,
no coordinate of c near 0.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blocks import Block, Style, encode, suggest_blocks, upsample
from ..layers import KerasLayers, Layers, shape_of
from ..plan import TrainingPlan
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train, outputs_of

PLAN = TrainingPlan(epochs=8, batch_size=128, learning_rate=1e-3, weight_decay=1e-4)

CENTRE_MIN = 0.1
"""Smallest |coordinate| of the centre, in standard deviations of the untrained embeddings.

A zero coordinate is met by zero weights. The authors' code keeps them 0.1 away; ours is relative,
since the embeddings' size follows the signal's unit.
"""
RADIUS_RATE = 10.0  # of a soft boundary, relative to the weights' rate
OBJECTIVES = ("one_class", "soft_boundary")


@dataclass(frozen=True, slots=True)
class Params:
    """The encoder - valid, bias-free convolutions, then the mean over time - and its objective.

    Parameters
    ----------
    blocks : of the encoder; the last one's width is the embedding's, and it has no activation.
    activation : between them, unbounded: "relu" or "leaky_relu".
    objective : one of `OBJECTIVES`.
    nu : fraction of the windows that a soft boundary may leave outside.
    pretrain_epochs : epochs as the encoder of an autoencoder beforehand.

    Raises
    ------
    ValueError : there is no block, or a value is not one there is.
    """

    blocks: tuple[Block, ...] = (
        Block(16, 7, stride=2),
        Block(24, 5, stride=2),
        Block(48, 5, stride=5),
        Block(64, 3),
        Block(64, 3),
    )
    activation: str = "relu"
    objective: str = "one_class"
    nu: float = 0.05
    pretrain_epochs: int = 0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not self.blocks:
            raise ValueError("blocks must hold at least one block, got none")
        if self.activation not in ("relu", "leaky_relu"):
            raise ValueError(
                f"activation must be unbounded (relu, leaky_relu), got {self.activation}"
            )
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective}"
            )
        if not 0 < self.nu < 1:
            raise ValueError(f"nu must be in (0, 1), got {self.nu}")
        if self.pretrain_epochs < 0:
            raise ValueError(f"pretrain_epochs must be at least 0, got {self.pretrain_epochs}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw an encoder whose receptive field fits the window."""
    blocks = suggest_blocks(trial, (2, 6), (8, 16, 24, 32, 48, 64, 96), strides=(1, 2, 5))
    return Params(
        blocks=fitted_blocks(blocks, input_shape[0]),
        activation=trial.suggest_categorical("activation", ("relu", "leaky_relu")),
        objective=trial.suggest_categorical("objective", OBJECTIVES),
        nu=trial.suggest_float("nu", 0.01, 0.2, log=True),
        pretrain_epochs=trial.suggest_categorical("pretrain_epochs", (0, 2)),
    )


def fitted_blocks(blocks: tuple[Block, ...], window_len: int) -> tuple[Block, ...]:
    """Return the leading blocks whose valid convolutions fit `window_len` columns."""
    columns = window_len
    for i, block in enumerate(blocks):
        columns = (columns - (block.kernel - 1) * block.dilation - 1) // block.stride + 1
        if columns < 1:
            return blocks[:i]
    return blocks


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return the embedding."""
    style = Style(params.activation, padding="valid", use_bias=False)
    return layers.mean(encode(layers, x, params.blocks, style, linear_end=True))


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Pretrain where asked, fix the centre, and draw the embeddings towards it."""
    if params.pretrain_epochs:
        train(_reconstruction(params, model, windows), "pretraining", params.pretrain_epochs)
    embeddings = outputs_of(model, windows)
    centre = centre_of(embeddings)
    train(_distance(params, model, windows, embeddings, centre))
    return Scoring("squared_distance", {"centre": centre.tolist()})


def centre_of(outputs: Float32Array) -> Float32Array:
    """Return the mean embedding, its coordinates kept away from 0; float32 (n_outputs,)."""
    centre = outputs.mean(axis=0)
    nearest = np.float32(CENTRE_MIN * outputs.std())
    pushed = np.where(centre < 0, -nearest, nearest)
    return np.where(np.abs(centre) < nearest, pushed, centre).astype(np.float32)


def _distance(
    params: Params,
    model: Any,
    windows: TrainingWindows,
    embeddings: Float32Array,
    centre: Float32Array,
) -> Objective:
    """Return the squared distance to the centre, or the soft boundary's loss.

    The boundary's squared radius is learned beside the weights: at its optimum a fraction nu of
    the windows lies outside. It starts at that quantile of the untrained distances.
    """
    import keras
    from keras import ops

    loss = ops.sum(ops.square(model.output - centre), axis=-1)
    if params.objective == "soft_boundary":
        untrained = ((embeddings - centre) ** 2).sum(axis=1)
        start = float(np.quantile(untrained, 1 - params.nu))
        # Its logarithm, so that a step of the optimizer is a fraction of whatever size distances
        # have: RADIUS_RATE times the learning rate, far above what weight decay takes back.
        log_radius = keras.layers.Dense(
            1, use_bias=False, kernel_initializer="zeros", name="log_radius"
        )(RADIUS_RATE * ops.ones_like(model.output[:, :1]))
        radius = start * ops.exp(log_radius[:, 0])
        loss = radius + ops.relu(loss - radius) / params.nu
    return Objective(keras.Model(model.input, loss), lambda i, rng: (windows.batch(i, rng),))


def _reconstruction(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the squared error of a decoder behind the encoder's last signal.

    Every column is read as the `stride` samples in the middle of its receptive field; the signal
    is widened by zeros so that columns reach the window's ends, where a column's neighbours have to
    tell what it was. The decoder is thrown away.
    """
    import keras
    from keras import ops

    window_len, n_leads = shape_of(model.input)
    signal = model.layers[-1].input
    stride = math.prod(block.stride for block in params.blocks)
    missing = -(-window_len // stride) - shape_of(signal)[0]
    signal = keras.layers.ZeroPadding1D((missing // 2, missing - missing // 2))(signal)
    rebuilt = upsample(KerasLayers(), signal, n_leads, stride, 5, Style())[:, :window_len]
    error = ops.mean(ops.square(rebuilt - model.input), axis=(1, 2))
    return Objective(keras.Model(model.input, error), lambda i, rng: (windows.batch(i, rng),))
