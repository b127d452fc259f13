/* Sums to codes in seven instructions. With right = -shift:
 *
 *   high = round(2 sum * multiplier / 2^32)                 SMMLAR; |sum| < 2^30 by bg_blob_check
 *   code = (high + 2^(right - 1) - (high < 0)) >> right     ties away from zero
 *
 * SMMLAR adds 2^(right - 1) and the zero point, shifted left by `right`, for nothing. The sign of
 * the sum may stand for that of high: where they differ high is 0, and both give 0. */
#include "../weighted.h"

#if BG_DSP

#include "../requantize.h"
#include "arm_dsp.h"

enum { RIGHT_MIN = 1, RIGHT_MAX = 22 }; /* beyond it is not exact, or overflows */

typedef struct {
    int32_t multiplier, right, add;
} fast_scale;

static inline bool is_fast(int32_t shift) {
    return shift >= -RIGHT_MAX && shift <= -RIGHT_MIN;
}

static inline fast_scale fast_scale_of(int32_t multiplier, int32_t shift, int32_t zero_point) {
    return (fast_scale){multiplier, -shift, (2 * zero_point + 1) * (1 << (-shift - 1))};
}

static inline int32_t rescale(fast_scale scale, int32_t sum) {
    const int32_t twice = sum * 2;
    return (bg_smmlar(twice, scale.multiplier, scale.add) + (twice >> 31)) >> scale.right;
}

/* Not inlined: it would take the registers of the loops around it. */
__attribute__((noinline)) static int8_t rescale_slowly(const bg_job *job, uint32_t channel,
                                                       int32_t sum) {
    const bg_layer *layer = job->layer;
    const int32_t scaled = bg_requantize(sum, job->multipliers[channel], job->shifts[channel]);
    return bg_to_output(scaled, job->out.tensor.zero_point, layer->act_min, layer->act_max);
}

static inline bool is_whole_range(const bg_layer *layer) {
    return layer->act_min == INT8_MIN && layer->act_max == INT8_MAX;
}

void bg_rescale_row(const bg_job *job, uint32_t channel, const int32_t *sums, uint32_t count,
                    int8_t *y) {
    const bg_layer *layer = job->layer;
    const int32_t shift = job->shifts[channel];
    const uint32_t stride = job->out.tensor.channels;
    const int32_t *end = sums + count;
    if (!is_fast(shift) || !is_whole_range(layer)) {
        for (; sums != end; y += stride) {
            *y = rescale_slowly(job, channel, *sums++);
        }
        return;
    }
    const fast_scale scale =
        fast_scale_of(job->multipliers[channel], shift, job->out.tensor.zero_point);
#pragma GCC unroll 4
    for (; sums != end; y += stride) {
        *y = (int8_t)bg_ssat8(rescale(scale, *sums++));
    }
}

void bg_rescale_column(const bg_job *job, uint32_t first, const int32_t *sums, uint32_t count,
                       int8_t *y) {
    const int32_t zero_point = job->out.tensor.zero_point;
    const int8_t *shifts = job->shifts + first;
    const int32_t *multipliers = job->multipliers + first;
    if (!is_whole_range(job->layer)) {
        for (uint32_t i = 0; i < count; i++) {
            y[i] = rescale_slowly(job, first + i, sums[i]);
        }
        return;
    }
    for (const int32_t *end = sums + count; sums != end; sums++) {
        const int32_t shift = *shifts++;
        const int32_t multiplier = *multipliers++;
        if (is_fast(shift)) {
            *y = (int8_t)bg_ssat8(rescale(fast_scale_of(multiplier, shift, zero_point), *sums));
        } else {
            *y = rescale_slowly(job, (uint32_t)(shifts - job->shifts) - 1, *sums);
        }
        y++;
    }
}

#endif
