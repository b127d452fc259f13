/* Depthwise windows: the taps of a column inside the input, summed for one channel or for four. */
#ifndef BG_DEPTHWISE_H
#define BG_DEPTHWISE_H

#include "kernels.h"
#include "target.h"

enum { BG_COLUMNS = 12 }; /* whose sums lie behind one another */

/* What lies under the first tap inside, of the first channel. */
typedef struct {
    const int8_t *x;
    const int8_t *weights;
    uint32_t taps;
} bg_window;

typedef struct {
    uint32_t x, weights; /* from tap to tap */
} bg_tap_steps;

static inline int32_t bg_depthwise_1(bg_window at, bg_tap_steps steps, int32_t zero_point,
                                     int32_t bias) {
    for (uint32_t left = at.taps; left > 0; left--) {
        bias += (*at.x - zero_point) * *at.weights;
        at.x += steps.x;
        at.weights += steps.weights;
    }
    return bias;
}

#if BG_DSP
#include "dsp/depthwise.h"
#else

/* Four channels that read four codes side by side; their sums are BG_COLUMNS apart. */
static inline void bg_depthwise_4(bg_window at, bg_tap_steps steps, int32_t zero_point,
                                  const int32_t bias[4], int32_t *sums) {
    for (uint32_t i = 0; i < 4; i++) {
        const bg_window channel = {at.x + i, at.weights + i, at.taps};
        sums[i * BG_COLUMNS] = bg_depthwise_1(channel, steps, zero_point, bias[i]);
    }
}

#endif
#endif
