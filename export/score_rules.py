"""Score rules in numpy: from a gate's int8 outputs to one integer, higher = more anomalous.

Each has its twin in `export/firmware/score.c`, equal to the bit; both run outside the network,
because a score computed inside an int8 graph collapses to a few levels.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.records import FloatArray, Int8Array, Int64Array

from .graph import Int32Array, Tensor

CENTRE_FRACTION_BITS = 8  # of one int8 step, as in score.c
CENTRE_MAX = 2**22 - 1
N_CODES = 256
PARTS_MAX = 8
ENTRY_BITS = 29  # every entry of a table lies within 2^29, and the largest above half of that
FRACTION_BITS_MAX = 62
LOG_VARIANCE_MAX = 10.0
"""Where `gaussian_kl_log_variance` is cut off: one outlying table would else take the resolution
of all others."""

Constants = Mapping[str, Any]
"""A rule's trained constants, as `filter.json` has them."""
Real = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """One rule.

    Parameters
    ----------
    code : its number in the blob, `bg_score_rule`.
    quantize_constants : (trained constants, output tensor) -> the int32 array the blob carries.
    n_constants : (int32 values that begin with that array, number of outputs) -> its length.
    score : (int8 outputs (n_windows, n_outputs), output tensor, int32 constants) -> int64 scores.
    score_float : (float outputs, trained constants) -> float scores, what `score` approximates.
    """

    code: int
    quantize_constants: Callable[[Constants, Tensor], Int32Array]
    n_constants: Callable[[Int32Array, int], int]
    score: Callable[[Int8Array, Tensor, Int32Array], Int64Array]
    score_float: Callable[[FloatArray, Constants], FloatArray]


def quantize_centre(constants: Constants, output: Tensor) -> Int32Array:
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


def squared_distance_float(outputs: FloatArray, constants: Constants) -> FloatArray:
    """Return the squared distance to the centre in the embedding's own unit."""
    difference = outputs.reshape(len(outputs), -1) - np.asarray(constants["centre"], np.float64)
    return np.asarray((difference**2).sum(axis=1))


def _gaussian_kl_log_variance(v: Real) -> Real:
    """Return exp(v) - v - 1: with `square` of the mean, twice the divergence from N(0, 1)."""
    v = np.minimum(v, v.dtype.type(LOG_VARIANCE_MAX))
    return np.asarray(np.expm1(v) - v)


FUNCTIONS: Mapping[str, Callable[[Real], Real]] = {
    "square": np.square,
    "softplus": lambda v: np.logaddexp(v.dtype.type(0), v),
    "softplus_of_negative": lambda v: np.logaddexp(v.dtype.type(0), -v),
    "identity": np.positive,
    "absolute": np.abs,
    "gaussian_kl_log_variance": _gaussian_kl_log_variance,
}
"""What a part of `table_sum` may apply to an output, elementwise."""


@dataclass(frozen=True, slots=True)
class TablePart:
    """Consecutive outputs v that add `weight` * sum of function(`gain` * v) to the score.

    Parameters
    ----------
    count : how many outputs, at least 1.
    function : a name in `FUNCTIONS`.
    weight, gain : finite; a negative weight subtracts.
    """

    count: int
    function: str
    weight: float
    gain: float

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"count of a score part must be an integer >= 1, got {self.count}")
        if self.function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise ValueError(
                f"function of a score part must be one of {known}, got {self.function}"
            )
        for name in ("weight", "gain"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(
                    f"{name} of a score part must be finite, got {getattr(self, name)}"
                )

    def terms(self, values: Real) -> Real:
        """Return what each of `values` adds to the score, in the precision of `values`."""
        kind = values.dtype.type
        return np.asarray(kind(self.weight) * FUNCTIONS[self.function](kind(self.gain) * values))


def table_parts(constants: Constants, n_outputs: int) -> tuple[TablePart, ...]:
    """Return the parts of trained constants `{"parts": [{"count": ..., ...}, ...]}`.

    Raises
    ------
    ValueError : not 1 to 8 parts, a bad part, or counts that do not sum to `n_outputs`.
    """
    try:
        parts = tuple(TablePart(**part) for part in constants["parts"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            "score constants of table_sum must be parts of count, function, weight and gain: "
            f"{error}"
        ) from error
    if not 1 <= len(parts) <= PARTS_MAX:
        raise ValueError(f"table_sum must have 1 to {PARTS_MAX} parts, got {len(parts)}")
    total = sum(part.count for part in parts)
    if total != n_outputs:
        raise ValueError(f"counts of table_sum must sum to the {n_outputs} outputs, got {total}")
    return parts


def quantize_tables(constants: Constants, output: Tensor) -> Int32Array:
    """Return n_parts, fraction_bits and, for each part, its count and 256 entries, int32.

    An entry is what the output code -128, ..., 127 adds to the score, times 2^fraction_bits, to the
    nearest integer: `score` / 2^fraction_bits is off by at most n_outputs / 2^(fraction_bits + 1).

    Raises
    ------
    ValueError : bad parts, or tables that are all zero or reach 2^91.
    """
    parts = table_parts(constants, output.n_bytes)
    # Libraries differ in the last bit of exp, so that another machine might round an entry the
    # other way: of 53 bits it would at times, of an x86's 64 it practically never does.
    values = np.longdouble(output.scale) * (np.arange(-128, 128) - output.zero_point)
    tables = np.stack([part.terms(values) for part in parts])
    largest = np.abs(tables).max()
    if not 0 < largest < 2.0 ** (ENTRY_BITS + FRACTION_BITS_MAX):
        raise ValueError(
            f"the largest term of table_sum must be above 0 and below 2^91, got {largest:g}"
        )
    fraction_bits = min(ENTRY_BITS - int(np.frexp(largest)[1]), FRACTION_BITS_MAX)
    entries = np.rint(np.ldexp(tables, fraction_bits)).astype(np.int32)
    counts = np.array([[part.count] for part in parts], np.int32)
    head = np.array([len(parts), fraction_bits], np.int32)
    return np.concatenate([head, np.hstack([counts, entries]).ravel()])


def table_sum(outputs: Int8Array, output: Tensor, constants: Int32Array) -> Int64Array:
    """Return the sum of looked-up entries in 2^-fraction_bits, int64 (n_windows,)."""
    n_parts = int(constants[0])
    rows = constants[2:].reshape(n_parts, 1 + N_CODES)
    table_of = np.repeat(np.arange(n_parts), rows[:, 0])
    assert len(table_of) == output.n_bytes
    codes = outputs.reshape(len(outputs), -1)
    # Window by window: a reconstruction has thousands of outputs, of 4 bytes each once looked up.
    # The entry of code -128 lies behind the count, in column 1.
    sums = [rows[table_of, row.astype(np.int64) + 129].sum(dtype=np.int64) for row in codes]
    return np.array(sums, np.int64)


def table_sum_float(outputs: FloatArray, constants: Constants) -> FloatArray:
    """Return the sum over the parts of weight * sum of function(gain * v), in float64."""
    values = outputs.reshape(len(outputs), -1)
    parts = table_parts(constants, values.shape[1])
    ends = np.cumsum([part.count for part in parts])
    sums = np.zeros(len(values))
    for part, end in zip(parts, ends, strict=True):
        for i, row in enumerate(values[:, end - part.count : end]):  # see `table_sum`
            sums[i] += part.terms(row.astype(np.float64)).sum()
    return sums


SCORE_RULES = {
    "squared_distance": ScoreRule(
        code=1,
        quantize_constants=quantize_centre,
        n_constants=lambda constants, n_outputs: n_outputs,
        score=squared_distance,
        score_float=squared_distance_float,
    ),
    "table_sum": ScoreRule(
        code=2,
        quantize_constants=quantize_tables,
        n_constants=lambda constants, n_outputs: 2 + int(constants[0]) * (1 + N_CODES),
        score=table_sum,
        score_float=table_sum_float,
    ),
}
"""Every rule by the name that `filter.json` gives."""
