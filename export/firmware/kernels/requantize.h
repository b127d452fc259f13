/* Fixed-point scaling of accumulators, rounding twice as TFLite Micro does.
 *
 * Right shifts of negative numbers are arithmetic on every compiler we build with.
 */
#ifndef BG_REQUANTIZE_H
#define BG_REQUANTIZE_H

#include <stdint.h>

/* Round(a * b / 2^31), ties towards plus infinity; b >= 0, so the product cannot saturate.
 * Equals gemmlowp's SaturatingRoundingDoublingHighMul there. */
static inline int32_t bg_doubling_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* Round(x / 2^exponent), ties away from zero; exponent in [0, 31]. */
static inline int32_t bg_rounding_shift_right(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1);
    const int32_t remainder = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/* x * multiplier * 2^(shift - 31); multiplier >= 0, shift in [-31, 30], positive shifts left. */
static inline int32_t bg_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t scaled = (int32_t)((uint32_t)x << left);
    return bg_rounding_shift_right(bg_doubling_high_mul(scaled, multiplier), right);
}

/* Add the zero point and clamp to [low, high]; the order of the two keeps any int32 in range. */
static inline int8_t bg_to_output(int32_t scaled, int32_t zero_point, int8_t low, int8_t high) {
    const int32_t min = low - zero_point;
    const int32_t max = high - zero_point;
    return (int8_t)((scaled < min ? min : scaled > max ? max : scaled) + zero_point);
}

#endif
