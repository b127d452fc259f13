"""Diffusion: how well a network that has learned to remove noise removes a fixed, known noise.

Ho et al., Denoising diffusion probabilistic models (DDPM), NeurIPS 2020. At time t a window is

    x_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, 1),

and a U-Net is trained, for random t and eps, to predict eps from x_t and t. It knows normal
windows only, so what it takes for noise in others is further from the noise that was there.

What ships runs the one network at 1 to 3 fixed times, with noise drawn once from a seed: a constant
of the network, int8, of the window's size and the same for all times. A time's embedding is a
constant too, folded into the biases of the first convolution. The output is, for every time, what
is left of predicted less true noise; the score is its mean square.

The network may predict the noise, or the signal without it, which is the same up to a factor:
predicted less true noise is sqrt(alpha_bar / (1 - alpha_bar)) times the signal less its prediction
(Salimans and Ho, ICLR 2022). Many leads are a few independent signals, but as many independent
noises, which a narrow network cannot carry to its end.
"""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from datasets.records import FloatArray, Int64Array
from export.score_rules import TablePart

from ..blocks import (
    Block,
    Style,
    check_strides,
    convolve,
    fitting,
    run_block,
    suggest_blocks,
    upsample,
)
from ..layers import Layers, Shape, shape_of
from ..plan import TrainingPlan
from ..repeat import apply_to_each
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train

PLAN = TrainingPlan(epochs=5, batch_size=128, learning_rate=3e-3, weight_decay=1e-4)

N_TIMES = 1000  # as in DDPM
SIGNAL_PER_MV = 5.0
"""Brings an ECG's rms of about 0.2 mV to the 1 that noise schedules are made for."""
SNR_MAX = 5.0  # Hang et al., Efficient diffusion training via min-SNR weighting, ICCV 2023
N_FREQUENCIES = 16
STEPS_MAX = 3
NOISE_LEVELS = (-127, 126)
"""The fixed noise in steps; see `fixed_noise`."""
SCHEDULES = ("linear", "cosine")
PREDICTIONS = ("signal", "noise")
SKIPS = ("add", "concatenate")


@dataclass(frozen=True, slots=True)
class Params:
    """The U-Net, its noise schedule, and the times at which it is run.

    Parameters
    ----------
    blocks : way down; the first takes the window, and its output the time.
    kernel_up : taps of the convolutions on the way up.
    skip : how the way up takes in what the way down had: one of `SKIPS`.
    activation : between the convolutions.
    predicts : what the network's last layer gives: one of `PREDICTIONS`.
    schedule : of alpha_bar: "linear" as DDPM's, "cosine" as Nichol and Dhariwal's (ICML 2021).
    times : t of the 1 to 3 runs that ship, in [1, 1000], rising.
    noise_seed : of the fixed noise.

    Raises
    ------
    ValueError : there is no block, a value is not one there is, or a time is out of range.
    """

    blocks: tuple[Block, ...] = (
        Block(16, 9, stride=4),
        Block(32, 5, stride=2),
        Block(48, 5, stride=5),
    )
    kernel_up: int = 3
    skip: str = "add"
    activation: str = "relu"
    predicts: str = "signal"
    schedule: str = "cosine"
    times: tuple[int, ...] = (500,)
    noise_seed: int = 0

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not self.blocks:
            raise ValueError("blocks must hold at least one block, got none")
        if self.kernel_up < 1:
            raise ValueError(f"kernel_up must be at least 1, got {self.kernel_up}")
        for name, known in (
            ("skip", SKIPS),
            ("predicts", PREDICTIONS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)}"
                )
        rising = self.times == tuple(sorted(set(self.times)))
        inside = all(1 <= t <= N_TIMES for t in self.times)
        if not (rising and inside and 1 <= len(self.times) <= STEPS_MAX):
            raise ValueError(
                f"times must be 1 to {STEPS_MAX} rising steps in [1, {N_TIMES}], got {self.times}"
            )
        if self.noise_seed < 0:
            raise ValueError(f"noise_seed must be at least 0, got {self.noise_seed}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw a U-Net and times; three runs of the deepest one still fit into a blob."""
    n_times = trial.suggest_int("times", 1, STEPS_MAX)
    times = {trial.suggest_int(f"time{i}", 50, 950, step=50) for i in range(n_times)}
    blocks = suggest_blocks(trial, (2, 4), (8, 16, 24, 32, 48, 64))
    return Params(
        blocks=fitting(blocks, input_shape[0]),
        kernel_up=trial.suggest_int("kernel_up", 3, 7, step=2),
        skip=trial.suggest_categorical("skip", SKIPS),
        # No relu6: behind a time's normalisation it stands alone, and there TFLite Micro has none
        # that changes scale.
        activation=trial.suggest_categorical("activation", ("relu", "leaky_relu")),
        predicts=trial.suggest_categorical("predicts", PREDICTIONS),
        schedule=trial.suggest_categorical("schedule", SCHEDULES),
        times=tuple(sorted(times)),
    )


def alpha_bar(schedule: str) -> FloatArray:
    """Return the share of the signal's variance at times 0 to 1000, falling from 1."""
    if schedule == "linear":
        betas = np.linspace(1e-4, 0.02, N_TIMES)
    else:
        angle = (np.arange(N_TIMES + 1) / N_TIMES + 0.008) / 1.008 * np.pi / 2
        betas = np.minimum(1 - np.cos(angle[1:]) ** 2 / np.cos(angle[:-1]) ** 2, 0.999)
    return np.concatenate([[1.0], np.cumprod(1 - betas)])


def fixed_noise(params: Params, shape: Shape) -> Float32Array:
    """Return the noise that ships, float32 of `shape` (window_len, n_leads).

    It is cut off at the nearer of its two extremes, and takes whole steps of `NOISE_LEVELS`, both
    ends of which occur. So its int8 codes are the same whatever a time multiplies it with, and all
    times share one constant: 127 steps are the 127 of a symmetric scale; on an asymmetric one a
    step is 255/253 codes, which brings no level closer than 1/506 to where rounding turns.

    Raises
    ------
    ValueError : the window is so short that its noise is of one sign.
    """
    noise = np.random.default_rng(params.noise_seed).standard_normal(shape, np.float32)
    if not noise.min() < 0 < noise.max():
        raise ValueError(f"noise of both signs takes more than {noise.size} values")
    low, high = NOISE_LEVELS
    step = min(noise.min() / low, noise.max() / high)
    rounded: Float32Array = step * np.clip(np.rint(noise / step), low, high)
    return rounded


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return what is left for each of the times, (times * window_len, n_leads).

    Signal less its prediction, in 1/5 mV, or true less predicted noise. The network predicts minus
    the noise, so that the noise is the same constant wherever it is added.
    """
    shape = shape_of(x)
    check_strides(params.blocks, shape[0])
    noise = fixed_noise(params, shape)
    shares = alpha_bar(params.schedule)[list(params.times)]
    signal = layers.multiply_by(x, np.full(shape[1], SIGNAL_PER_MV, np.float32))
    noisy = [
        layers.reshape(_noisy(layers, signal, noise, share), shape, name=f"noisy_{i}")
        for i, share in enumerate(shares)
    ]
    starts = apply_to_each(layers, partial(_stem, params), noisy)
    timed = [layers.norm(name=f"time_{i}")(start) for i, start in enumerate(starts)]
    ends = apply_to_each(layers, partial(_unet, params, shape), timed)
    left = []
    for i, end in enumerate(ends):
        predicted = layers.reshape(end, shape, name=f"predicted_{i}")
        if params.predicts == "signal":
            left.append(layers.subtract(signal, predicted))
        else:
            left.append(layers.add_to(predicted, noise))
    return layers.concatenate(left, axis=0) if len(left) > 1 else left[0]


def _noisy(layers: Layers, signal: Any, noise: Float32Array, share: float) -> Any:
    """Return x_t, `share` being alpha_bar_t."""
    kept = layers.multiply_by(signal, np.full(shape_of(signal)[1], np.sqrt(share), np.float32))
    return layers.add_to(kept, np.float32(np.sqrt(1 - share)) * noise)


def _stem(params: Params, layers: Layers, noisy: Any) -> Any:
    """Return the first convolution, whose bias is the time's."""
    return convolve(layers, noisy, params.blocks[0], Style(use_bias=False))


def _unet(params: Params, shape: Shape, layers: Layers, start: Any) -> Any:
    """Return the prediction (window_len, n_leads) from the first convolution's output."""
    style = Style(params.activation)
    down, h = [], layers.activation(start, params.activation)
    for block in params.blocks[1:]:
        down.append(h)
        h = run_block(layers, h, block, style)
    for block, skip in zip(params.blocks[:0:-1], down[::-1], strict=True):
        h = _up(layers, params, h, shape_of(skip), block.stride)
        if params.skip == "add":
            h = layers.activation(layers.add(h, skip), params.activation)
        else:
            both = layers.concatenate([layers.activation(h, params.activation), skip])
            h = run_block(layers, both, Block(shape_of(skip)[1], params.kernel_up), style)
    return _up(layers, params, h, shape, params.blocks[0].stride)


def _up(layers: Layers, params: Params, h: Any, shape: Shape, factor: int) -> Any:
    """Return a signal of `shape` from one of about 1 / `factor` of its columns."""
    h = upsample(layers, h, shape[1], factor, params.kernel_up, Style())
    excess = shape_of(h)[0] - shape[0]
    return layers.crop(h, 0, excess) if excess else h


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Learn to remove any noise at any time, then make the biases of the times that ship."""
    time_bias = _time_bias(shape_of(model.get_layer("time_0").output)[1])
    train(_denoising(params, model, time_bias, windows))
    biases = np.asarray(time_bias.predict_on_batch(frequencies(np.array(params.times))))
    parts = []
    for i, share in enumerate(alpha_bar(params.schedule)[list(params.times)]):
        norm = model.get_layer(f"time_{i}")
        ones = np.ones_like(biases[i])
        norm.set_weights([ones, biases[i], 0 * ones, (1 - norm.epsilon) * ones])
        gain = float(np.sqrt(share / (1 - share))) if params.predicts == "signal" else 1.0
        n_values = math.prod(windows.shape)
        parts.append(TablePart(n_values, "square", 1 / (n_values * len(params.times)), gain))
    return Scoring("table_sum", {"parts": [asdict(part) for part in parts]})


def frequencies(times: Int64Array) -> Float32Array:
    """Return sines and cosines of times (n,), float32 (n, 2 * N_FREQUENCIES).

    Periods from 2 pi steps to 2 pi * 10,000 in equal ratios, as DDPM takes them from Vaswani et
    al., Attention is all you need, NeurIPS 2017.
    """
    rates = 10_000.0 ** (-np.arange(N_FREQUENCIES) / (N_FREQUENCIES - 1))
    angles = times[:, np.newaxis] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _time_bias(width: int) -> Any:
    """Return the network from `frequencies` to the first convolution's biases (width,)."""
    import keras

    return keras.Sequential(
        [
            keras.Input((2 * N_FREQUENCIES,)),
            keras.layers.Dense(4 * N_FREQUENCIES, activation="silu"),
            keras.layers.Dense(width),
        ]
    )


def _denoising(params: Params, model: Any, time_bias: Any, windows: TrainingWindows) -> Objective:
    """Return the mean squared error of the noise that is predicted for a random time.

    DDPM's simple loss. Of predicted signals it would weigh times of hardly any noise without bound,
    so their weight alpha_bar / (1 - alpha_bar) is cut off at `SNR_MAX`.
    """
    import keras
    from keras import ops

    time_0 = model.get_layer("time_0")
    stem = keras.Model(model.get_layer("noisy_0").output, time_0.input)
    unet = keras.Model(time_0.output, model.get_layer("predicted_0").output)
    noisy, target = keras.Input(windows.shape), keras.Input(windows.shape)
    features, weight = keras.Input((2 * N_FREQUENCIES,)), keras.Input(())
    predicted = unet(stem(noisy) + time_bias(features)[:, None])
    error = weight * ops.mean(ops.square(target - predicted), axis=(1, 2))
    shares = alpha_bar(params.schedule).astype(np.float32)

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Float32Array, ...]:
        signal = SIGNAL_PER_MV * windows.batch(index, rng)
        times = rng.integers(1, N_TIMES + 1, len(signal))
        noise = rng.standard_normal(signal.shape, np.float32)
        share = shares[times, np.newaxis, np.newaxis]
        noisy = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
        if params.predicts == "noise":
            return noisy, frequencies(times), -noise, np.ones(len(noise), np.float32)
        snr = shares[times] / (1 - shares[times])
        return noisy, frequencies(times), signal, np.minimum(snr, SNR_MAX)

    return Objective(keras.Model([noisy, features, target, weight], error), inputs)
