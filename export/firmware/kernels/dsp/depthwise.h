/* kernels/depthwise.h for the Arm DSP extension: four products in ten instructions. */
#ifndef BG_DSP_DEPTHWISE_H
#define BG_DSP_DEPTHWISE_H

#include <string.h>

#include "arm_dsp.h"

static inline void bg_depthwise_4(bg_window at, bg_tap_steps steps, int32_t zero_point,
                                  const int32_t bias[4], int32_t *sums) {
    const uint32_t low = (uint32_t)-zero_point & UINT16_MAX;
    const uint32_t both = low | low << 16;
    int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3];
    for (uint32_t left = at.taps; left > 0; left--) {
        uint32_t codes, weights;
        memcpy(&codes, at.x, sizeof codes);
        memcpy(&weights, at.weights, sizeof weights);
        at.x += steps.x;
        at.weights += steps.weights;
        const uint32_t x_even = bg_sxtab16_even(both, codes);
        const uint32_t w_even = bg_sxtb16_even(weights);
        a = bg_smlabb(x_even, w_even, a);
        c = bg_smlatt(x_even, w_even, c);
        const uint32_t x_odd = bg_sxtab16_odd(both, codes);
        const uint32_t w_odd = bg_sxtb16_odd(weights);
        b = bg_smlabb(x_odd, w_odd, b);
        d = bg_smlatt(x_odd, w_odd, d);
    }
    sums[0] = a;
    sums[BG_COLUMNS] = b;
    sums[2 * BG_COLUMNS] = c;
    sums[3 * BG_COLUMNS] = d;
}

#endif
