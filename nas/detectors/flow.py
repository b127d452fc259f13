"""Coupling flow: the exact likelihood of a window under an invertible network.

Dinh et al., Density estimation using Real NVP, ICLR 2017; Kingma and Dhariwal, Glow, NeurIPS 2018.
Time is squeezed into channels, these are whitened by a fixed linear map, and every step lets
one half of them, x_a, move the other: x_b -> sigmoid(a) x_b + t, with a and t from a small network
of x_a. Between steps a learned 1x1 convolution W mixes all channels. By the change of variables a
window's negative log-likelihood is, but for constants,

    sum z^2 / 2 + sum softplus(-a) - columns * sum log |det W|,   softplus(-a) = -log sigmoid(a),

whose last term is the same for every window. So z and all a are what ships, on one int8 scale, and
two tables sum the score. A sigmoid instead of Real NVP's exp keeps every value finite: exp
overflows on windows unlike any seen, and the firmware has none.

A density of values known to a step of 1/64 mV, in leads that are sums of each other, would be
infinite. Training therefore sees the windows with noise on them (Theis et al., A note on the
evaluation of generative models, ICLR 2016), and the fixed map keeps the directions of largest
variance only where a lead set has more directions than `channels`: the likelihood is then that of
the signal projected on them.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets.records import Int64Array
from export.score_rules import TablePart

from ..blocks import Block, Style, encode, suggest_blocks
from ..layers import Layers, shape_of
from ..plan import TrainingPlan
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train

PLAN = TrainingPlan(epochs=4, batch_size=128, learning_rate=2e-3, weight_decay=1e-4)

SCALE_START = 2.0
"""a before training: sigmoid(2) = 0.88, so that a step starts close to the identity, as Glow's."""
CONCATENATE_MAX = 4  # inputs that the firmware's CONCATENATION takes
N_WHITENED = 2000  # windows that the covariance is taken from


@dataclass(frozen=True, slots=True)
class Params:
    """The squeeze, the steps, and the network inside each of them.

    Parameters
    ----------
    squeeze : samples of a lead that become channels of one column.
    channels : of the flow, even; at most squeeze times the leads are there to be used.
    n_steps : coupling steps, 2 to 8: fewer leave half of the channels as they are.
    blocks : convolutions from one half of the channels to what moves the other; none strides.
    activation : of the blocks.
    noise_mv : rms of the noise that training windows get, beside the rounding's, in mV.

    Raises
    ------
    ValueError : a number is out of range, there is no block, or a block strides.
    """

    squeeze: int = 10
    channels: int = 24
    n_steps: int = 4
    blocks: tuple[Block, ...] = (Block(32, 3), Block(32, 3, dilation=2))
    activation: str = "relu"
    noise_mv: float = 0.1

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if self.squeeze < 1:
            raise ValueError(f"squeeze must be at least 1, got {self.squeeze}")
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"channels must be even and at least 2, got {self.channels}")
        if not 2 <= self.n_steps <= 8:
            raise ValueError(f"n_steps must be in 2 to 8, got {self.n_steps}")
        if not self.blocks or any(block.stride > 1 for block in self.blocks):
            raise ValueError(f"blocks must be one or more without a stride, got {self.blocks}")
        if not 0 <= self.noise_mv < 10:
            raise ValueError(f"noise_mv must be in [0, 10), got {self.noise_mv}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw a flow; every squeeze divides windows of 2.5, 5 and 10 s at 100 Hz."""
    return Params(
        # Not 2: of one lead a half would be one channel, which Keras adds by a BiasAdd that does
        # not convert.
        squeeze=trial.suggest_categorical("squeeze", (5, 10, 25)),
        channels=trial.suggest_int("channels", 4, 48, step=4),
        n_steps=trial.suggest_int("n_steps", 2, 6),
        blocks=suggest_blocks(trial, (1, 2), (8, 16, 24, 32, 48), strides=(1,)),
        activation=trial.suggest_categorical("activation", ("relu", "relu6", "leaky_relu")),
        noise_mv=trial.suggest_float("noise_mv", 0.02, 0.4, log=True),
    )


def n_channels(params: Params, n_leads: int) -> int:
    """Return the channels of the flow: even, and no more than the squeezed signal has.

    Raises
    ------
    ValueError : the squeezed signal has only one.
    """
    there = params.squeeze * n_leads
    if there < 2:
        raise ValueError(
            f"squeeze times the leads must be at least 2, got {params.squeeze} times {n_leads}"
        )
    return min(params.channels, there - there % 2)


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return z, then a of every step: (columns * (2 + n_steps), channels / 2).

    What the squeeze leaves over at the window's end is dropped.
    """
    channels = n_channels(params, shape_of(x)[1])
    # Squeeze and fixed map are one convolution whose columns do not overlap.
    whiten = layers.conv(channels, params.squeeze, params.squeeze, padding="valid", name="whiten")
    z = whiten(x)
    scales = []
    for i in range(params.n_steps):
        if i > 0:  # the first step's mixing would be one with the fixed map
            z = layers.conv(channels, 1, name=f"mix{i}")(z)
        z, a = _couple(layers, params, z, i)
        scales.append(a)
    columns = shape_of(z)[0]
    return _stacked(layers, [layers.reshape(z, (2 * columns, channels // 2)), *scales])


def _couple(layers: Layers, params: Params, z: Any, step: int) -> tuple[Any, Any]:
    """Return z after one coupling, and the a of its scales."""
    half = shape_of(z)[1] // 2
    still, moved = layers.channels(z, 0, half), layers.channels(z, half, 2 * half)
    inner = encode(layers, still, params.blocks, Style(params.activation))
    a = layers.conv(half, 1, name=f"scale{step}")(inner)
    shift = layers.conv(half, 1, name=f"shift{step}")(inner)
    moved = layers.add(layers.multiply(moved, layers.activation(a, "sigmoid")), shift)
    return layers.concatenate([still, moved]), a


def _stacked(layers: Layers, signals: list[Any]) -> Any:
    """Return signals of equal channels one after the other."""
    while len(signals) > 1:
        first, rest = signals[:CONCATENATE_MAX], signals[CONCATENATE_MAX:]
        signals = [layers.concatenate(first, axis=0), *rest]
    return signals[0]


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Fix the whitening, start close to a rotation of it, and make training windows likely."""
    start(params, model, windows)
    train(likelihood(params, model, windows))
    n_scales, half = model.output_shape[1:]
    n_z = model.get_layer("whiten").output.shape[1] * 2 * half
    parts = (
        TablePart(n_z, "square", weight=0.5, gain=1.0),
        TablePart(n_scales * half - n_z, "softplus_of_negative", weight=1.0, gain=1.0),
    )
    return Scoring("table_sum", {"parts": [asdict(part) for part in parts]})


def start(params: Params, model: Any, windows: TrainingWindows) -> None:
    """Set the weights to start from: whitened, rotated at random, hardly coupled."""
    whiten = model.get_layer("whiten")
    whiten.set_weights(whitening(params, windows, whiten.filters))
    whiten.trainable = False
    for mix in mixings(params, model):
        kernel, bias = mix.get_weights()
        mix.set_weights([np.linalg.qr(kernel[0])[0][np.newaxis], bias])
    for i in range(params.n_steps):
        for name, start_at in (("scale", SCALE_START), ("shift", 0.0)):
            head = model.get_layer(f"{name}{i}")
            kernel, bias = head.get_weights()
            head.set_weights([np.zeros_like(kernel), np.full_like(bias, start_at)])


def mixings(params: Params, model: Any) -> list[Any]:
    """Return the 1x1 convolutions between the steps."""
    return [model.get_layer(f"mix{i}") for i in range(1, params.n_steps)]


def whitening(
    params: Params, windows: TrainingWindows, channels: int
) -> tuple[Float32Array, Float32Array]:
    """Return kernel (squeeze, n_leads, channels) and bias (channels,) of the fixed map.

    Behind it the channels of noisy windows have mean 0 and variance 1 and are uncorrelated: they
    are the principal components of squeezed columns, the largest first.
    """
    n_leads = windows.shape[1]
    x = windows.x_mv(slice(None, None, max(1, len(windows) // N_WHITENED)))
    columns = x.shape[1] // params.squeeze
    patches = x[:, : columns * params.squeeze].reshape(-1, params.squeeze * n_leads)
    mean = patches.mean(axis=0, dtype=np.float64)
    noise = params.noise_mv**2 + windows.lsb_mv**2 / 12  # white, and uniform within a step
    covariance = np.cov(patches, rowvar=False, dtype=np.float64) + noise * np.eye(len(mean))
    variances, axes = np.linalg.eigh(covariance)
    matrix = (axes / np.sqrt(variances))[:, : -channels - 1 : -1]
    kernel = matrix.reshape(params.squeeze, n_leads, channels)
    return kernel.astype(np.float32), (-mean @ matrix).astype(np.float32)


def likelihood(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the negative log-likelihood of noisy windows in nats a channel and column.

    Of the whole density, with its constants: where the fixed map drops directions, of the signal
    in the plane of those it keeps.
    """
    import keras
    from keras import ops

    whitened = model.get_layer("whiten").output
    columns, channels = shape_of(whitened)
    z, a = model.output[:, : 2 * columns], model.output[:, 2 * columns :]
    density = ops.sum(ops.square(z) / 2 + math.log(2 * math.pi) / 2, axis=(1, 2))
    volume = -ops.sum(ops.softplus(-a), axis=(1, 2))
    for mix in mixings(params, model):
        volume = volume + columns * _log_determinant(mix, whitened)
    kernel = model.get_layer("whiten").get_weights()[0].reshape(-1, channels).astype(np.float64)
    fixed = columns * float(np.linalg.slogdet(kernel.T @ kernel)[1]) / 2
    loss = (density - volume - fixed) / (columns * channels)

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Float32Array]:
        x = windows.batch(index, rng)
        x += params.noise_mv * rng.standard_normal(x.shape, np.float32)
        x += np.float32(windows.lsb_mv) * (rng.random(x.shape, np.float32) - np.float32(0.5))
        return (x,)

    return Objective(keras.Model(model.input, loss), inputs)


def _log_determinant(mix: Any, signal: Any) -> Any:
    """Return log |det W| of a 1x1 convolution, (1,), for a symbolic `signal` it may be applied to.

    W is read off by applying it to the unit vectors: so it stays a function of the layer's weights.
    """
    from keras import ops

    zero = ops.zeros_like(signal[:1, :1])
    units = zero + np.eye(shape_of(signal)[1], dtype=np.float32)[np.newaxis]
    return ops.slogdet(mix(units) - mix(zero))[1]
