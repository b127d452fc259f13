"""Mahalanobis distance in the features of an encoder trained on the in-distribution labels.

Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks, NeurIPS 2018, with one Gaussian for all windows, as in Rippel et al., Modeling the
Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection, ICPR 2020. A
residual encoder learns to name the superclasses; the features are the means over time of several
of its signals, and of their squares where asked.

The covariance is part of the network: every feature is standardised and cut off at `clip` standard
deviations, which gives all of them one int8 scale; a dense layer, set and not trained, then whitens
them, and the score is the squared length of its output, the distance to the centre 0. Directions in
which the features hardly vary would be blown up together with their rounding; the rounding's
variance, added to the covariance, keeps them from it.

With `score` "energy" the network gives the logits themselves, and the score is minus the joint
energy of Wang et al., Can Multi-Label Classification Networks Know What They Don't Know, NeurIPS
2021: minus the sum of softplus(logit).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets import SUPERCLASSES
from datasets.records import BoolArray
from export.score_rules import TablePart

from ..blocks import Block, Style, check_strides, encode, fitting, run_block, suggest_blocks
from ..layers import KerasLayers, Layers, shape_of
from ..plan import TrainingPlan
from ..windows import Float32Array, TrainingWindows
from .detector import Objective, Scoring, Train, outputs_of

PLAN = TrainingPlan(epochs=4, batch_size=128, learning_rate=2e-3, weight_decay=1e-2)

COVARIANCES = ("total", "within_class")
SHRINKAGES = ("ledoit_wolf", "oas")
N_BLOCKS_MAX = 7  # that are drawn
SCORES = ("mahalanobis", "energy")
MIDDLE = 3.0  # of ReLU6's range, which becomes [-clip, clip] standard deviations
CONCATENATED_MAX = 4  # inputs of a concatenation on the target
ROUNDING = 0.05
"""Error of a feature in int8, of 6: its own step is 0.024; with what came before it, 0.05 was
measured in the default network."""

DEAD = 1e-3  # deviation of a channel that counts as dead, relative to the signal's liveliest one
DEVIATION_MIN = 1e-6  # where all are dead


@dataclass(frozen=True, slots=True)
class Params:
    """A convolutional encoder with batch normalisation, and the Gaussian of its features.

    Parameters
    ----------
    blocks : of the encoder. Those behind the last of `taps` serve in training alone.
    activation : behind every block; relu6 bounds the signals, so that int8 resolves them.
    taps : blocks whose output gives features, counted from 1, ascending.
    second_moments : take the mean of the squares too.
    clip : standard deviations at which a feature is cut off.
    covariance : "total" about the mean of all windows, or "within_class" about what the labels
        predict.
    shrinkage : "ledoit_wolf" (Ledoit and Wolf 2004) or "oas" (Chen et al. 2010).
    n_directions : outputs at most, those in which the features vary most.
    score : "mahalanobis", or "energy" of the logits: then only `blocks` and `activation` matter.

    Raises
    ------
    ValueError : a value is not one there is, or a tap is behind the last block.
    """

    blocks: tuple[Block, ...] = (
        Block(16, 7, stride=2),
        Block(24, 5, stride=2),
        Block(32, 5, stride=2),
        Block(48, 5, stride=5),
        Block(64, 3, residual=True),
        Block(64, 3, residual=True),
    )
    activation: str = "relu6"
    taps: tuple[int, ...] = (1, 2, 3, 6)
    second_moments: bool = False
    clip: float = 3.0
    covariance: str = "total"
    shrinkage: str = "ledoit_wolf"
    n_directions: int = 256
    score: str = "mahalanobis"

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not self.taps or list(self.taps) != sorted({*self.taps}):
            raise ValueError(f"taps must be blocks in ascending order, got {self.taps}")
        if not 1 <= self.taps[0] <= self.taps[-1] <= len(self.blocks):
            raise ValueError(
                f"taps must be among the blocks 1 to {len(self.blocks)}, got {self.taps}"
            )
        for name, known in (
            ("covariance", COVARIANCES),
            ("shrinkage", SHRINKAGES),
            ("score", SCORES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)}"
                )
        if not 1 <= self.clip <= 10:
            raise ValueError(f"clip must be in [1, 10], got {self.clip}")
        if self.n_directions < 1:
            raise ValueError(f"n_directions must be at least 1, got {self.n_directions}")

    @property
    def style(self) -> Style:
        """What the blocks share."""
        return Style(self.activation, norm=True)

    @property
    def statistics(self) -> list[str]:
        """Names of the layers whose outputs, one behind the other, are the features."""
        kinds = ("mean", "power") if self.second_moments else ("mean",)
        return [f"{kind}{tap}" for tap in self.taps for kind in kinds]


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw an encoder, up to four of its blocks, and a Gaussian."""
    blocks = suggest_blocks(trial, (2, N_BLOCKS_MAX), (8, 16, 24, 32, 48, 64, 96))
    blocks = fitting(blocks, input_shape[0])
    n_taps = trial.suggest_int("taps", 1, 4)
    drawn = [trial.suggest_int(f"tap{i}", 1, N_BLOCKS_MAX) for i in range(n_taps)]
    return Params(
        blocks=blocks,
        activation=trial.suggest_categorical("activation", ("relu", "relu6", "leaky_relu")),
        taps=tuple(sorted({min(tap, len(blocks)) for tap in drawn})),
        second_moments=trial.suggest_categorical("second_moments", (False, True)),
        clip=trial.suggest_float("clip", 2.0, 6.0),
        covariance=trial.suggest_categorical("covariance", COVARIANCES),
        shrinkage=trial.suggest_categorical("shrinkage", SHRINKAGES),
        n_directions=trial.suggest_categorical("n_directions", (32, 64, 128, 256)),
        score=trial.suggest_categorical("score", SCORES),
    )


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return the whitened features, or the logits of all superclasses."""
    check_strides(params.blocks, shape_of(x)[0])
    if params.score == "energy":
        last = layers.mean(encode(layers, x, params.blocks, params.style), name="pooled")
        return layers.dense(len(SUPERCLASSES), name="logits")(last)
    features = []
    for i, block in enumerate(params.blocks[: params.taps[-1]], start=1):
        x = run_block(layers, x, block, params.style)
        if i in params.taps:
            features.append(_standardised_mean(layers, x, f"mean{i}"))
        if i in params.taps and params.second_moments:
            features.append(_standardised_mean(layers, layers.multiply(x, x), f"power{i}"))
    joined = _joined(layers, features)
    n_features = shape_of(joined)[1]
    vector = layers.reshape(joined, (n_features,), name="features")
    return layers.dense(min(params.n_directions, n_features), name="whitening")(vector)


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Train the encoder on the labels, then set what standardises and whitens its features."""
    import keras

    train(_cross_entropy(params, model, windows))
    if params.score == "energy":
        return _energy(len(windows.classes))
    _set_standardisation(params, model, windows)
    features = keras.Model(model.input, model.get_layer("features").output)
    kernel, bias = whitening(params, outputs_of(features, windows), windows.labels)
    model.get_layer("whitening").set_weights([kernel, bias])
    return Scoring("squared_distance", {"centre": [0.0] * kernel.shape[1]})


def whitening(
    params: Params, features: Float32Array, labels: BoolArray
) -> tuple[Float32Array, Float32Array]:
    """Return kernel (n_features, n_outputs) and bias of the dense layer that whitens.

    Parameters
    ----------
    features : float32 (n_windows, n_features); labels : bool (n_windows, n_classes).
    """
    from sklearn.covariance import OAS, LedoitWolf

    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    residual = values - centre
    if params.covariance == "within_class":
        design = np.column_stack([np.ones(len(labels)), labels])
        residual -= design @ np.linalg.lstsq(design, residual, rcond=None)[0]
    estimator = {"ledoit_wolf": LedoitWolf, "oas": OAS}[params.shrinkage]
    covariance = estimator(assume_centered=True).fit(residual).covariance_
    covariance += ROUNDING**2 * np.eye(len(covariance))
    variances, directions = np.linalg.eigh(covariance)  # ascending
    kernel = (directions / np.sqrt(variances))[:, -params.n_directions :]
    return kernel.astype(np.float32), (-centre @ kernel).astype(np.float32)


def _standardised_mean(layers: Layers, x: Any, name: str) -> Any:
    """Return (1, channels) values in [0, 6]; 3 is the mean, 0 and 6 are `clip` deviations off.

    One convolution as long as the window takes the mean over time and standardises it, so that
    nothing is rounded in between: a mean's own int8 steps would be too wide for most channels.
    """
    mean = layers.depthwise(shape_of(x)[0], padding="valid", name=name)(x)
    return layers.activation(mean, "relu6")


def _joined(layers: Layers, rows: list[Any]) -> Any:
    """Return rows (1, n) as one, at most four at a time."""
    while len(rows) > 1:
        groups = range(0, len(rows), CONCATENATED_MAX)
        parts = [rows[i : i + CONCATENATED_MAX] for i in groups]
        rows = [layers.concatenate(part) if len(part) > 1 else part[0] for part in parts]
    return rows[0]


def _cross_entropy(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the binary cross-entropy of every class, averaged; the head is thrown away."""
    import keras
    from keras import ops

    n_classes = len(windows.classes)
    if params.score == "energy":
        logits = model.output[:, :n_classes]
    else:
        layers, last = KerasLayers(), params.taps[-1]
        signal = model.get_layer(f"mean{last}").input
        signal = encode(layers, signal, params.blocks[last:], params.style)
        logits = layers.dense(n_classes)(layers.mean(signal))
    carried = keras.Input((n_classes,))
    losses = ops.mean(ops.binary_crossentropy(carried, logits, from_logits=True), axis=-1)
    labels = windows.labels.astype(np.float32)
    return Objective(
        keras.Model([model.input, carried], losses),
        lambda index, rng: (windows.batch(index, rng), labels[index]),
    )


def _energy(n_classes: int) -> Scoring:
    """Return minus the joint energy; the logit of a class that was held out weighs nothing."""
    parts = [TablePart(n_classes, "softplus", -1.0, 1.0)]
    if n_spare := len(SUPERCLASSES) - n_classes:
        parts.append(TablePart(n_spare, "identity", 0.0, 1.0))
    return Scoring("table_sum", {"parts": [asdict(part) for part in parts]})


def _set_standardisation(params: Params, model: Any, windows: TrainingWindows) -> None:
    """Set the layers that standardise; a channel that is all but dead is not blown up."""
    import keras
    from keras import ops

    averaging = [model.get_layer(name) for name in params.statistics]
    means = ops.concatenate([ops.mean(layer.input, axis=1) for layer in averaging], axis=-1)
    values = outputs_of(keras.Model(model.input, means), windows).astype(np.float64)
    ends = np.cumsum([layer.input.shape[-1] for layer in averaging])
    for layer, of_layer in zip(averaging, np.split(values, ends[:-1], axis=1), strict=True):
        deviations = of_layer.std(axis=0)
        smallest = max(DEAD * float(deviations.max()), DEVIATION_MIN)
        gain = MIDDLE / params.clip / np.maximum(deviations, smallest)
        taps = layer.kernel.shape  # (columns, channels, 1)
        kernel = np.broadcast_to(gain[:, np.newaxis] / taps[0], taps)
        layer.set_weights([kernel, MIDDLE - gain * of_layer.mean(axis=0)])
