/* Dot products of packed weights with widened windows.
 *
 * A pair of channels takes 2 * taps bytes of weights: eight bytes are taps 0 2 1 3 of the one, then
 * of the other. */
#ifndef BG_DOT_H
#define BG_DOT_H

#include "weighted.h"

#if BG_DSP
#include "dsp/dot.h"
#else

/* Two channels of biases a and b, two windows `step` apart: the sums of the one go to `first`,
 * `gap` apart, of the other to `second`. */
static inline void bg_dot_2x2(const int8_t *weights, uint32_t taps, const int16_t *x,
                              uint32_t step, int32_t a, int32_t b, int32_t *first,
                              int32_t *second, uint32_t gap) {
    for (uint32_t i = 0; i < 2; i++) {
        const int16_t *window = x + i * step;
        const int8_t *w = weights;
        int32_t sum_a = a;
        int32_t sum_b = b;
        for (uint32_t tap = 0; tap < taps; tap += 4) {
            sum_a += w[0] * window[0] + w[2] * window[1] + w[1] * window[2] + w[3] * window[3];
            sum_b += w[4] * window[0] + w[6] * window[1] + w[5] * window[2] + w[7] * window[3];
            w += 8;
            window += 4;
        }
        first[i * gap] = sum_a;
        second[i * gap] = sum_b;
    }
}

/* Four channels, that is two pairs, one window. */
static inline void bg_dot_4x1(const int8_t *weights, uint32_t taps, const int16_t *x,
                              const int32_t bias[4], int32_t sums[4]) {
    for (uint32_t pair = 0; pair < 4; pair += 2) {
        int32_t a = bias[pair];
        int32_t b = bias[pair + 1];
        for (uint32_t tap = 0; tap < taps; tap += 4) {
            a += weights[0] * x[tap] + weights[2] * x[tap + 1] + weights[1] * x[tap + 2] +
                 weights[3] * x[tap + 3];
            b += weights[4] * x[tap] + weights[6] * x[tap + 1] + weights[5] * x[tap + 2] +
                 weights[7] * x[tap + 3];
            weights += 8;
        }
        sums[pair] = a;
        sums[pair + 1] = b;
    }
}

#endif
#endif
