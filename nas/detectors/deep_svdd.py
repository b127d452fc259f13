"""Deep SVDD: an encoder that maps normal windows close to one fixed point.

The one-class form of Ruff et al., Deep One-Class Classification, ICML 2018: the loss is the mean
squared distance of the embeddings to a centre c, and c is the mean embedding of the untrained
network. The trivial solution - a network that answers c whatever it is shown - is kept out of reach
as in the paper's section 3.3: no bias anywhere, unbounded activations, no coordinate of c near 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import TrainingPlan
from .detector import Float32Array

score_rule = "squared_distance"

PLAN = TrainingPlan(epochs=8, batch_size=128, learning_rate=1e-3, weight_decay=1e-4)

CENTRE_MIN = 0.1
"""Smallest |coordinate| of the centre, in standard deviations of the untrained embeddings.

A zero coordinate is met by zero weights. The authors' code keeps them 0.1 away; ours is relative,
since the embeddings' size follows the signal's unit.
"""


@dataclass(frozen=True, slots=True)
class Params:
    """The encoder: valid, bias-free convolutions, then the mean over time.

    Parameters
    ----------
    widths, kernels, strides : one entry a convolution: output channels, taps and step in samples.
        Every convolution but the last is followed by ReLU; the last width is the embedding's.

    Raises
    ------
    ValueError : the three differ in length, are empty, or hold a number below 1.
    """

    widths: tuple[int, ...] = (16, 24, 48, 64, 64)
    kernels: tuple[int, ...] = (7, 5, 5, 3, 3)
    strides: tuple[int, ...] = (2, 2, 5, 1, 1)

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        if not len(self.widths) == len(self.kernels) == len(self.strides) > 0:
            raise ValueError(
                "widths, kernels and strides must have one entry a convolution, "
                f"got {len(self.widths)}, {len(self.kernels)} and {len(self.strides)}"
            )
        if min(*self.widths, *self.kernels, *self.strides) < 1:
            raise ValueError(f"widths, kernels and strides must be at least 1, got {self}")

    @property
    def receptive_field(self) -> int:
        """Samples one output of the last convolution sees: the shortest window."""
        steps = np.cumprod((1, *self.strides[:-1]))
        return 1 + int(sum((k - 1) * step for k, step in zip(self.kernels, steps, strict=True)))


def build(params: Params, input_shape: tuple[int, int]) -> Any:
    """Return the encoder, a `keras.Model` from (window_len, n_leads) mV to the embedding."""
    import keras

    if input_shape[0] < params.receptive_field:
        raise ValueError(
            f"a window must hold {params.receptive_field} samples for these kernels and strides, "
            f"got {input_shape[0]}"
        )
    x = inputs = keras.Input(input_shape)
    last = len(params.widths) - 1
    layers = zip(params.widths, params.kernels, params.strides, strict=True)
    for i, (width, kernel, stride) in enumerate(layers):
        x = keras.layers.Conv1D(
            width,
            kernel,
            strides=stride,
            padding="valid",
            use_bias=False,
            activation=None if i == last else "relu",
            kernel_initializer="he_normal",
        )(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x), name="deep_svdd")


def score_constants(outputs: Float32Array) -> dict[str, Float32Array]:
    """Return the centre: the mean embedding, its coordinates kept away from 0.

    Parameters
    ----------
    outputs : float32 (n_windows, n_outputs), the untrained network's embeddings.
    """
    centre = outputs.mean(axis=0)
    nearest = np.float32(CENTRE_MIN * outputs.std())
    pushed = np.where(centre < 0, -nearest, nearest)
    return {"centre": np.where(np.abs(centre) < nearest, pushed, centre).astype(np.float32)}


def targets(constants: dict[str, Float32Array], x: Float32Array) -> Float32Array:
    """Return the centre for every window, as a view that takes no memory."""
    centre = constants["centre"]
    return np.broadcast_to(centre, (len(x), len(centre)))


def loss(target: Any, output: Any) -> Any:
    """Return the squared distance to the centre, (n_batch,)."""
    from keras import ops

    return ops.sum(ops.square(output - target), axis=-1)
