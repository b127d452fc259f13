"""Score rules in numpy: from a gate's int8 outputs to one integer, higher = more anomalous.

Each has its twin in `export/firmware/score.c`, equal to the bit; both run outside the network,
because a score computed inside an int8 graph collapses to a few levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.records import FloatArray, Int8Array, Int64Array

from .graph import Int32Array, Tensor

CENTRE_FRACTION_BITS = 8  # of one int8 step, as in score.c
CENTRE_MAX = 2**22 - 1


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """One rule.

    Parameters
    ----------
    code : its number in the blob, `bg_score_rule`.
    quantize_constants : (trained constants, output tensor) -> the int32 array the blob carries.
    score : (int8 outputs (n_windows, n_outputs), output tensor, int32 constants) -> int64 scores.
    score_float : (float outputs, trained constants) -> float scores, what `score` approximates.
    """

    code: int
    quantize_constants: Callable[[Mapping[str, Sequence[float]], Tensor], Int32Array]
    score: Callable[[Int8Array, Tensor, Int32Array], Int64Array]
    score_float: Callable[[FloatArray, Mapping[str, Sequence[float]]], FloatArray]


def quantize_centre(constants: Mapping[str, Sequence[float]], output: Tensor) -> Int32Array:
    """Return the centre in 1/256 of an int8 step of `output`, int32 (n_outputs,)."""
    centre = np.asarray(constants["centre"], np.float64)
    if centre.shape != (output.n_bytes,):
        raise ValueError(
            f"centre must have one value an output ({output.n_bytes}), got {centre.shape}"
        )
    steps = np.rint(centre / output.scale * 2**CENTRE_FRACTION_BITS)
    return np.asarray(np.clip(steps, -CENTRE_MAX, CENTRE_MAX), np.int32)


def squared_distance(outputs: Int8Array, output: Tensor, centre: Int32Array) -> Int64Array:
    """Return the squared distance to the centre in (step / 256)^2, int64 (n_windows,)."""
    steps = outputs.reshape(len(outputs), -1).astype(np.int64) - output.zero_point
    return np.asarray((((steps << CENTRE_FRACTION_BITS) - centre) ** 2).sum(axis=1), np.int64)


def squared_distance_float(
    outputs: FloatArray, constants: Mapping[str, Sequence[float]]
) -> FloatArray:
    """Return the squared distance to the centre in the embedding's own unit."""
    difference = outputs.reshape(len(outputs), -1) - np.asarray(constants["centre"], np.float64)
    return np.asarray((difference**2).sum(axis=1))


SCORE_RULES = {
    "squared_distance": ScoreRule(1, quantize_centre, squared_distance, squared_distance_float),
}
