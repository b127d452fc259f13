/* The scales of ADD and SUB: of an input's codes, made 20 bits finer, and of the sum of both.
 *
 * Shifts go to the right by 0 to 31, and what is scaled stays below 2^29 (two times 255 * 2^20), so
 * that half a step and a sign can be added in 32 bits: ties away from zero, as bg_requantize has it.
 */
#ifndef BG_SUM_SCALE_H
#define BG_SUM_SCALE_H

#include "kernels.h"
#include "requantize.h"
#include "target.h"

#if BG_DSP
#include "dsp/arm_dsp.h"
#endif

typedef struct {
    int32_t multiplier, right;
    int32_t half;   /* 2^(right - 1); 0 where nothing is shifted, nor rounded */
    int32_t shifts; /* -1; 0 there too */
} bg_sum_scale;

static inline bg_sum_scale bg_sum_scale_of(const bg_job *job, uint32_t index) {
    const int32_t right = -job->shifts[index];
    return (bg_sum_scale){
        .multiplier = job->multipliers[index],
        .right = right,
        .half = right > 0 ? (int32_t)(UINT32_C(1) << (right - 1)) : 0,
        .shifts = right > 0 ? -1 : 0,
    };
}

#if BG_DSP

/* dsp/rescale.c has the argument. */
static inline int32_t bg_scale_sum(bg_sum_scale scale, int32_t sum) {
    const int32_t twice = sum * 2;
    const int32_t high = bg_smmlar(twice, scale.multiplier, scale.half);
    return (high + ((twice >> 31) & scale.shifts)) >> scale.right;
}

/* Of a code less its zero point. */
static inline int32_t bg_scale_code(bg_sum_scale scale, int32_t code) {
    return bg_scale_sum(scale, code * (1 << 20));
}

#else

static inline int32_t bg_shift_sum(bg_sum_scale scale, int32_t high) {
    return (high + scale.half + (high < 0 ? scale.shifts : 0)) >> scale.right;
}

static inline int32_t bg_scale_sum(bg_sum_scale scale, int32_t sum) {
    return bg_shift_sum(scale, bg_doubling_high_mul(sum, scale.multiplier));
}

/* Of a code less its zero point. The product of 2^20 * code with the multiplier, in two halves of
 * 32 bits: (code * multiplier + 2^10) >> 11. */
static inline int32_t bg_scale_code(bg_sum_scale scale, int32_t code) {
    const int32_t upper = code * (scale.multiplier >> 16);
    const int32_t lower = code * (scale.multiplier & 0xFFFF);
    return bg_shift_sum(scale, upper * (1 << 5) + ((lower + (1 << 10)) >> 11));
}

#endif
#endif
