"""What the families share that rebuild a window: encoder, bottleneck, decoder, and how it errs.

Encoder and decoder are convolutions throughout, so that a bottleneck is a short signal: one vector
of `embedding` values for every `stride` samples. A network ends in its residual x - x_hat, whose
int8 scale then is fine where it has to be; the score sums a function of it.
"""

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from export.score_rules import TablePart

from ..blocks import (
    Block,
    Style,
    check_strides,
    encode,
    fitting,
    run_block,
    suggest_blocks,
    upsample,
)
from ..layers import Layers, Shape, shape_of

LAST = "last_convolution"
EMBEDDING_MAX = 64
ERRORS = ("square", "absolute")
"""Functions of the residual, by their names in `export.score_rules.FUNCTIONS`."""


@dataclass(frozen=True, slots=True)
class Coder:
    """An encoder and the decoder that mirrors it.

    Parameters
    ----------
    blocks : of the encoder; the decoder undoes them in reverse order.
    embedding : values of the bottleneck for every `stride` samples, all leads together.
    decoder_kernel : taps of the decoder's convolutions, at their input's rate.
    activation, norm : as in `Style`; the bottleneck and the decoder's end are linear.

    Raises
    ------
    ValueError : there is no block, or a value is out of range.
    """

    blocks: tuple[Block, ...] = (
        Block(16, 7, stride=2),
        Block(32, 5, stride=5),
        Block(48, 5, stride=5),
    )
    embedding: int = 8
    decoder_kernel: int = 3
    activation: str = "relu"
    norm: bool = False

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not self.blocks:
            raise ValueError("blocks must hold at least one block, got none")
        for name in ("embedding", "decoder_kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        Style(self.activation)  # refuses an unknown one

    @property
    def style(self) -> Style:
        """What the convolutions share."""
        return Style(self.activation, norm=self.norm)

    @property
    def stride(self) -> int:
        """Samples that share one vector of the bottleneck."""
        return math.prod(block.stride for block in self.blocks)

    def encode(self, layers: Layers, x: Any) -> Any:
        """Return the signal before the bottleneck.

        Raises
        ------
        ValueError : the window is shorter than what one vector of the bottleneck stands for.
        """
        check_strides(self.blocks, shape_of(x)[0])
        return encode(layers, x, self.blocks, self.style)

    def decode(self, layers: Layers, code: Any, shape: Shape) -> Any:
        """Return the window of `shape` (window_len, n_leads) rebuilt from the bottleneck.

        Strides that do not divide the window give some columns too many, which are cut off behind.
        """
        x = code
        for before, block in reversed(list(pairwise(self.blocks))):
            x = self._undo(layers, x, block, before.width)
        factor = self.blocks[0].stride
        x = layers.conv(factor * shape[1], self.decoder_kernel, name=LAST)(x)
        x = layers.reshape(x, (shape_of(x)[0] * factor, shape[1]))
        return layers.crop(x, 0, shape_of(x)[0] - shape[0]) if shape_of(x) != shape else x

    def _undo(self, layers: Layers, x: Any, block: Block, width: int) -> Any:
        """Return the signal at the rate and width that `block` was given."""
        if block.stride == 1:
            mirrored = replace(block, width=width, kernel=self.decoder_kernel)
            return run_block(layers, x, mirrored, self.style)
        x = upsample(
            layers, x, width, block.stride, self.decoder_kernel, self.style, block.separable
        )
        return layers.activation(x, self.activation)

    def rebuild(self, layers: Layers, x: Any) -> Any:
        """Return x_hat: the window as it comes out of the bottleneck."""
        code = layers.conv(self.embedding, 1)(self.encode(layers, x))
        return self.decode(layers, code, shape_of(x))


def start_at_zero(model: Any) -> None:
    """Let the untrained network rebuild nothing: its residual is the window.

    From random windows as large as the signal, training first finds the mean window, where no
    gradient reaches the encoder: on 12 leads it stayed there.
    """
    last = model.get_layer(LAST)
    last.set_weights([np.zeros_like(weights) for weights in last.get_weights()])


def suggest_coder(trial: Any, input_shape: tuple[int, int]) -> Coder:
    """Draw a coder whose strides fit the window and whose bottleneck is narrow.

    The first block strides, and no kernel is shorter than its stride, so that no sample is skipped.
    """
    window_len, n_leads = input_shape
    first, *rest = suggest_blocks(trial, (2, 4), (8, 16, 24, 32, 48, 64), strides=(1, 2, 5))
    if first.stride == 1:
        first = replace(first, stride=trial.suggest_categorical("first_stride", (2, 4)), dilation=1)
    blocks = fitting(tuple(_covering(block) for block in (first, *rest)), window_len)
    n_samples = math.prod(block.stride for block in blocks) * n_leads
    compression = trial.suggest_categorical("compression", (4, 8, 16, 32, 64))
    return Coder(
        blocks=blocks,
        embedding=min(max(1, n_samples // compression), EMBEDDING_MAX),
        decoder_kernel=trial.suggest_categorical("decoder_kernel", (1, 3, 5)),
        activation=trial.suggest_categorical("activation", ("relu", "leaky_relu", "tanh")),
        norm=trial.suggest_categorical("norm", (False, True)),
    )


def _covering(block: Block) -> Block:
    return replace(block, kernel=max(block.kernel, block.stride))


def check_error(error: str) -> None:
    """Raise ValueError where `error` is none of `ERRORS`."""
    if error not in ERRORS:
        raise ValueError(f"error must be one of {', '.join(ERRORS)}, got {error}")


def errors_of(residual: Any, error: str) -> Any:
    """Return |residual| or its square, symbolic."""
    from keras import ops

    return ops.square(residual) if error == "square" else ops.absolute(residual)


def mean_error(shape: tuple[int, int], error: str) -> dict[str, Any]:
    """Return the constants of a `table_sum` that is a window's mean error, in mV or mV^2."""
    n = math.prod(shape)
    return {"parts": [asdict(TablePart(n, error, 1 / n, 1.0))]}
