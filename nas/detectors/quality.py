"""A network that tells clean windows from windows with generated faults in them, and nothing else.

Of every training window it is shown a twin with synthetic faults: noise, hum, a lead that is off,
lost samples. It has one logit a kind of fault, read as a noisy OR: the kinds are there or not
independently, and a window is clean where none is. So

    -log P(clean) = sum over kinds of softplus(logit),

which is the score, and the loss of a clean window. Several logits, since a single one would have
256 values in int8; one output by itself says which kind it is.

It sees no recorded noise, no label of quality and no diagnosis. Of an unseen class it can tell what
looks like one of its faults and no more.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets.faults import FAULTS
from datasets.records import Int64Array
from export.score_rules import TablePart

from ..blocks import Block, Style, check_strides, encode, fitting, suggest_blocks
from ..layers import Layers, shape_of
from ..plan import TrainingPlan
from ..windows import TrainingWindows
from .detector import Objective, Scoring, Train

PLAN = TrainingPlan(epochs=4, batch_size=128, learning_rate=2e-3, weight_decay=1e-2)

SCORE_MIN = 1e-6  # so that P(faulty) = 1 - exp(-score) has a logarithm in float32
TWINS_SEED = 0
"""The twins belong to the data, as the windows do: a training's seed does not change them."""


@dataclass(frozen=True, slots=True)
class Params:
    """A convolutional encoder with batch normalisation, the mean over time, and a logit a fault.

    Parameters
    ----------
    blocks : of the encoder.
    activation : behind every block.
    n_twins : faulty versions of every window; each step shows one, the same for its whole batch,
        drawn at random.
    kind_weight : weight of naming the kinds beside telling clean from faulty.

    Raises
    ------
    ValueError : there is no block, or a number is out of range.
    """

    blocks: tuple[Block, ...] = (
        Block(16, 7, stride=2),
        Block(24, 5, stride=2),
        Block(32, 5, stride=2),
        Block(48, 5, stride=5),
        Block(48, 3, residual=True),
    )
    activation: str = "relu"
    n_twins: int = 1
    kind_weight: float = 0.5

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not self.blocks:
            raise ValueError("blocks must hold at least one block, got none")
        if not 1 <= self.n_twins <= 8:
            raise ValueError(f"n_twins must be in 1 to 8, got {self.n_twins}")
        if not 0 <= self.kind_weight <= 10:
            raise ValueError(f"kind_weight must be in [0, 10], got {self.kind_weight}")


def suggest(trial: Any, input_shape: tuple[int, int]) -> Params:
    """Draw an encoder and what is asked of it."""
    blocks = suggest_blocks(trial, (2, 7), (8, 16, 24, 32, 48, 64))
    return Params(
        blocks=fitting(blocks, input_shape[0]),
        activation=trial.suggest_categorical("activation", ("relu", "relu6", "leaky_relu")),
        n_twins=trial.suggest_int("n_twins", 1, 2),
        kind_weight=trial.suggest_float("kind_weight", 0.0, 1.0),
    )


def network(layers: Layers, params: Params, x: Any) -> Any:
    """Return a logit a kind of fault, in the order of `datasets.faults.FAULTS`."""
    check_strides(params.blocks, shape_of(x)[0])
    style = Style(params.activation, norm=True)
    x = encode(layers, x, params.blocks, style)
    return layers.dense(len(FAULTS), name="logits")(layers.mean(x))


def fit(params: Params, model: Any, windows: TrainingWindows, train: Train) -> Scoring:
    """Make the windows' faulty twins and train the network to tell them apart."""
    train(_objective(params, model, windows))
    return Scoring("table_sum", {"parts": [asdict(TablePart(len(FAULTS), "softplus", 1.0, 1.0))]})


def _objective(params: Params, model: Any, windows: TrainingWindows) -> Objective:
    """Return the loss of a window and its twin: is it clean, and which faults does it show."""
    import keras
    from keras import ops

    assert windows.damaged is not None
    twins = [windows.damaged(TWINS_SEED + i) for i in range(params.n_twins)]
    # Both go through the network as one batch, whose normalisation must not tell them apart.
    pairs = keras.Input((2, *windows.shape))
    faults = keras.Input((len(FAULTS),))
    logits = model(ops.reshape(pairs, (-1, *windows.shape)))
    logits = ops.reshape(logits, (-1, 2, len(FAULTS)))
    scores = ops.maximum(ops.sum(ops.softplus(logits), axis=-1), SCORE_MIN)
    clean_score, score = scores[:, 0], scores[:, 1]
    told_apart = ops.where(ops.any(faults > 0, axis=-1), -ops.log(-ops.expm1(-score)), score)
    named = ops.sum(ops.binary_crossentropy(faults, logits[:, 1], from_logits=True), axis=-1)
    loss = clean_score + told_apart + params.kind_weight * named

    def inputs(index: Int64Array, rng: np.random.Generator) -> tuple[Any, ...]:
        shown = twins[rng.integers(len(twins))]
        spoilt = shown.codes[index] * np.float32(windows.lsb_mv)
        spoilt = windows.augmentation.apply(spoilt, windows.lsb_mv, rng)
        both = np.stack([windows.batch(index, rng), spoilt], axis=1)
        return both, shown.faults[index].astype(np.float32)

    return Objective(keras.Model([pairs, faults], loss), inputs)
