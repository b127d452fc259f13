/* Sums to codes, four channels at a time, as bg_requantize and bg_to_output do.
 *
 * VQRDMULH is the doubling product with ties upwards, VRSHL shifts right with ties upwards; one
 * less for negative numbers sends those ties away from zero. */
#ifndef BG_MVE_RESCALE_H
#define BG_MVE_RESCALE_H

#include <arm_mve.h>

#include "../kernels.h"

/* A channel in each lane. */
typedef struct {
    int32x4_t multiplier, left, right; /* right: 0 or less */
    int32x4_t low, high;               /* of the output less its zero point */
    int32_t zero_point;
    mve_pred16_t channels; /* that are there */
} bg_scales;

static inline int32x4_t bg_scaled(int32x4_t x, int32x4_t multiplier, int32x4_t right) {
    const int32x4_t high = vqrdmulhq_s32(x, multiplier);
    const int32x4_t fix = vshrq_n_s32(vandq_s32(high, right), 31); /* -1: negative and shifted */
    return vrshlq_s32(vqaddq_s32(high, fix), right);
}

/* Channels [first, first + n) of a layer, n from 1 to 4. */
static inline bg_scales bg_scales_of(const bg_job *job, uint32_t first, uint32_t n) {
    const mve_pred16_t channels = vctp32q(n);
    const int32x4_t shift = vldrbq_z_s32(job->shifts + first, channels);
    const int32_t zero_point = job->out.tensor.zero_point;
    return (bg_scales){
        .multiplier = vldrwq_z_s32(job->multipliers + first, channels),
        .left = vmaxq_s32(shift, vdupq_n_s32(0)),
        .right = vminq_s32(shift, vdupq_n_s32(0)),
        .low = vdupq_n_s32(job->layer->act_min - zero_point),
        .high = vdupq_n_s32(job->layer->act_max - zero_point),
        .zero_point = zero_point,
        .channels = channels,
    };
}

static inline void bg_store_codes(const bg_scales *to, int32x4_t sums, int8_t *y) {
    const int32x4_t scaled = bg_scaled(vshlq_s32(sums, to->left), to->multiplier, to->right);
    const int32x4_t clamped = vminq_s32(vmaxq_s32(scaled, to->low), to->high);
    vstrbq_p_s32(y, vaddq_n_s32(clamped, to->zero_point), to->channels);
}

#endif
