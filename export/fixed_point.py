"""TFLite Micro's fixed-point arithmetic in Python's integers.

What the firmware needs of it at run time is in `kernels/requantize.h`; here is what is done once,
at export: multipliers, and functions of one int8 code as tables of 256.

References
----------
`QuantizeMultiplier`, `MultiplyByQuantizedMultiplier` in tensorflow/lite/kernels/internal;
`integer_ops/tanh.h` and `logistic.h` there; gemmlowp's fixedpoint.h.
"""

import math
from collections.abc import Callable

import numpy as np

from datasets.records import Int8Array

INT32_MAX = 2**31 - 1
CODES = range(-128, 128)
INPUT_BITS = 4  # integer bits of tanh's and logistic's argument: it saturates at 16
EXPONENTIALS = (  # of -2^-2, -2^-1, ..., -2^4, times 2^31
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) with real = multiplier * 2^(shift - 31)."""
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return INT32_MAX, 30
    return multiplier, shift


def requantize(x: int, multiplier: int, shift: int) -> int:
    """Return x * multiplier * 2^(shift - 31), rounded twice; `bg_requantize` in C."""
    left = _wrapped(x << max(shift, 0))
    return shift_right(high_mul(left, multiplier), max(-shift, 0))


def high_mul(a: int, b: int) -> int:
    """Return round(a * b / 2^31), ties towards plus infinity, saturating."""
    return min((a * b + (1 << 30)) >> 31, INT32_MAX)


def shift_right(x: int, exponent: int) -> int:
    """Return round(x / 2^exponent), ties away from zero."""
    half = (1 << exponent) >> 1
    return (x + half - (1 if x < 0 and exponent > 0 else 0)) >> exponent


def table(function: Callable[[int], int]) -> Int8Array:
    """Return `function` of every code from -128 to 127, clamped to int8; int8 (256,)."""
    return np.clip([function(code) for code in CODES], -128, 127).astype(np.int8)


def tanh_table(scale: float, zero_point: int) -> Int8Array:
    """Return TANH of codes of this scale and zero point; the output's are 1/128 and 0."""
    return _saturating_table(_tanh, scale, zero_point, output_bits=7, output_zero_point=0)


def logistic_table(scale: float, zero_point: int) -> Int8Array:
    """Return LOGISTIC of codes of this scale and zero point; the output's are 1/256 and -128."""
    return _saturating_table(_logistic, scale, zero_point, output_bits=8, output_zero_point=-128)


def _saturating_table(
    function: Callable[[int], int],
    scale: float,
    zero_point: int,
    output_bits: int,
    output_zero_point: int,
) -> Int8Array:
    fraction_bits = 31 - INPUT_BITS
    mantissa, left_shift = math.frexp(scale * 2**fraction_bits)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    radius = math.floor(((1 << INPUT_BITS) - 1) * 2**fraction_bits / 2.0**left_shift)

    def of_code(code: int) -> int:
        centred = code - zero_point
        if abs(centred) >= radius:
            return -128 if centred < 0 else 127
        value = function(requantize(centred, multiplier, left_shift))
        return shift_right(value, 31 - output_bits) + output_zero_point

    return table(of_code)


# Below, a number of k integer bits stands for itself divided by 2^(31 - k).


def _logistic(x: int) -> int:
    """4 integer bits in, 0 out."""
    if x == 0:
        return 1 << 30
    # 1 / (1 + e): half of the quotient that the iteration finds, so one bit less to the left.
    positive = _shift_left(_reciprocal_of_mean(_exp(-abs(x), INPUT_BITS)), 1)
    return positive if x > 0 else INT32_MAX - positive


def _tanh(x: int) -> int:
    """4 integer bits in, 0 out."""
    if x == 0:
        return 0
    # 2 x is x with one more integer bit. (1 - e) / (1 + e) = 1 / ((1 + e) / 2) - 1.
    quotient = _reciprocal_of_mean(_exp(-abs(x), INPUT_BITS + 1))
    positive = _shift_left(quotient - (1 << 29), 2)
    return positive if x > 0 else -positive


def _exp(x: int, integer_bits: int) -> int:
    """Return e^x, x <= 0 of `integer_bits`, result of 0."""
    if x == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    rest = (x & (quarter - 1)) - quarter
    result = _exp_of_quarter(_shift_left(rest, integer_bits))
    for exponent, multiplier in EXPONENTIALS:
        if exponent < integer_bits and (rest - x) & (1 << (fraction_bits + exponent)):
            result = high_mul(result, multiplier)
    return result


def _exp_of_quarter(a: int) -> int:
    """Return e^a for a in [-1/4, 0), 0 integer bits: a Taylor polynomial about -1/8."""
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3 = high_mul(x2, x)
    x4_over_4 = shift_right(high_mul(x2, x2), 2)
    third = high_mul(x4_over_4 + x3, 715827883)  # 1/3
    tail = shift_right(third + x2, 1)
    constant = 1895147668  # e^(-1/8)
    return constant + high_mul(constant, x + tail)


def _reciprocal_of_mean(e: int) -> int:
    """Return 1 / ((1 + e) / 2), e in [0, 1] of 0 integer bits, result of 2: Newton's iteration."""
    total = e + INT32_MAX
    half_denominator = (total + 1) // 2
    x = 1515870810 + high_mul(half_denominator, -1010580540)  # 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - high_mul(half_denominator, x)
        x += _shift_left(high_mul(x, error), 2)
    return x


def _shift_left(x: int, exponent: int) -> int:
    return max(-(2**31), min(INT32_MAX, x << exponent))


def _wrapped(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31
