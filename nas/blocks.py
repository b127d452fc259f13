"""Convolution blocks that the families' networks are made of, and how a search draws them."""

import math
import operator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from .layers import ACTIVATIONS, Layers, shape_of


@dataclass(frozen=True, slots=True)
class Block:
    """One step of an encoder.

    Parameters
    ----------
    width : channels out.
    kernel, stride, dilation : taps, step and spacing in columns; at most one of stride and
        dilation may exceed 1.
    separable : depthwise, then pointwise, instead of one dense convolution.
    residual : add the block's input to its output; only where the stride is 1 and the width stays,
        else it is without effect.

    Raises
    ------
    ValueError : a number is below 1, or stride and dilation both exceed 1.
    """

    width: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    separable: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if min(self.width, self.kernel, self.stride, self.dilation) < 1:
            raise ValueError(f"width, kernel, stride and dilation must be at least 1, got {self}")
        if self.stride > 1 and self.dilation > 1:
            raise ValueError(f"a block must not both stride and dilate, got {self}")


@dataclass(frozen=True, slots=True)
class Style:
    """What all blocks of a network share.

    Parameters
    ----------
    activation : one of `nas.layers.ACTIVATIONS`.
    padding : "same", or "valid": then the network can run along the stream.
    use_bias : False for one-class networks, in which a bias would allow a constant answer.
    norm : batch normalisation behind every convolution; it brings a bias of its own.
    """

    activation: str = "relu"
    padding: str = "same"
    use_bias: bool = True
    norm: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation}"
            )


def convolve(layers: Layers, x: Any, block: Block, style: Style) -> Any:
    """Return the block's convolution, without activation and shortcut."""
    bias = style.use_bias and not style.norm
    place = (block.stride, block.dilation, style.padding)
    if block.separable:
        x = layers.depthwise(block.kernel, *place, use_bias=False)(x)
        x = layers.conv(block.width, 1, use_bias=bias)(x)
    else:
        x = layers.conv(block.width, block.kernel, *place, use_bias=bias)(x)
    return layers.norm()(x) if style.norm else x


def run_block(layers: Layers, x: Any, block: Block, style: Style, last: bool = False) -> Any:
    """Return convolution, shortcut and activation, which the `last` block goes without."""
    inner = convolve(layers, x, block, style)
    if block.residual and block.stride == 1 and shape_of(inner)[1] == shape_of(x)[1]:
        missing = shape_of(x)[0] - shape_of(inner)[0]
        shortcut = layers.crop(x, missing // 2, missing - missing // 2) if missing else x
        inner = layers.add(inner, shortcut)
    return inner if last else layers.activation(inner, style.activation)


def encode(
    layers: Layers, x: Any, blocks: tuple[Block, ...], style: Style, linear_end: bool = False
) -> Any:
    """Return the signal after all blocks, the last one without activation where `linear_end`."""
    for i, block in enumerate(blocks):
        x = run_block(layers, x, block, style, last=linear_end and i == len(blocks) - 1)
    return x


def check_strides(blocks: tuple[Block, ...], window_len: int) -> None:
    """Raise ValueError where the blocks step over more columns than a window has."""
    if fitting(blocks, window_len) != blocks:
        raise ValueError(
            f"{window_len} columns are fewer than the {math.prod(b.stride for b in blocks)} "
            "the blocks step over"
        )


def fitting(blocks: tuple[Block, ...], window_len: int) -> tuple[Block, ...]:
    """Return the leading blocks that step over no more than `window_len` columns together."""
    steps = accumulate((block.stride for block in blocks), operator.mul)
    return tuple(block for block, step in zip(blocks, steps, strict=True) if step <= window_len)


def upsample(
    layers: Layers,
    x: Any,
    width: int,
    factor: int,
    kernel: int,
    style: Style,
    separable: bool = False,
) -> Any:
    """Return a signal of `factor` times the columns and `width` channels, without activation.

    A convolution to factor * width channels whose values are then read as more columns (Shi et
    al., CVPR 2016, in one dimension). UpSampling1D would become TILE, which the target lacks.
    """
    columns = shape_of(x)[0]
    x = convolve(layers, x, Block(width * factor, kernel, separable=separable), style)
    return layers.reshape(x, (columns * factor, width)) if factor > 1 else x


def suggest_blocks(
    trial: Any,
    depth: tuple[int, int],
    widths: tuple[int, ...],
    strides: tuple[int, ...] = (1, 2, 4, 5),
    dilations: tuple[int, ...] = (1, 2, 4),
    prefix: str = "block",
) -> tuple[Block, ...]:
    """Draw an encoder from `trial`, an `optuna.Trial`.

    Parameters
    ----------
    depth : fewest and most blocks.
    widths, strides, dilations : what a block may have; a dilation takes effect where the stride is
        1.
    prefix : of the parameters' names in the study.
    """
    n_blocks = trial.suggest_int(f"{prefix}s", *depth)
    return tuple(
        _suggest_block(trial, f"{prefix}{i}", widths, strides, dilations) for i in range(n_blocks)
    )


def _suggest_block(
    trial: Any,
    name: str,
    widths: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Block:
    stride = trial.suggest_categorical(f"{name}_stride", strides)
    dilation = trial.suggest_categorical(f"{name}_dilation", dilations)
    return Block(
        width=trial.suggest_categorical(f"{name}_width", widths),
        kernel=trial.suggest_int(f"{name}_kernel", 3, 9, step=2),
        stride=stride,
        dilation=dilation if stride == 1 else 1,
        separable=trial.suggest_categorical(f"{name}_separable", (False, True)),
        residual=trial.suggest_categorical(f"{name}_residual", (False, True)),
    )
