#include "../elementwise.h"
#include "../target.h"

#if BG_MVE

#include "rescale.h"

enum { AT_ONCE = 4, HEADROOM_BITS = 20 };

typedef struct {
    int32_t multiplier, shift; /* 0 or less: bg_blob_check has seen to it */
    int32_t fix;               /* 1: shifted */
} scale;

static scale scale_of(const bg_job *job, uint32_t index) {
    const int32_t shift = job->shifts[index];
    return (scale){job->multipliers[index], shift, shift < 0 ? 1 : 0};
}

/* bg_requantize. */
static inline int32x4_t scaled(scale by, int32x4_t x) {
    const int32x4_t high = vqrdmulhq_n_s32(x, by.multiplier);
    const int32x4_t sign = vshrq_n_s32(high, 31);
    return vrshlq_n_s32(vmlaq_n_s32(high, sign, by.fix), by.shift);
}

/* Four codes, or one four times. */
static inline int32x4_t load(const int8_t *from, uint32_t step, mve_pred16_t there) {
    return step == 0 ? vdupq_n_s32(*from) : vldrbq_z_s32(from, there);
}

static inline int32x4_t finer(int32x4_t codes, int32_t zero_point) {
    return vshlq_n_s32(vsubq_n_s32(codes, zero_point), HEADROOM_BITS);
}

/* Both inputs on one scale, 20 bits finer than the wider one's; sign: -1 subtracts. */
static void add_run(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
    const scale of_a = scale_of(job, 0);
    const scale of_b = scale_of(job, 1);
    const scale of_sum = scale_of(job, 2);
    const int32_t zero_a = job->in[0].tensor.zero_point;
    const int32_t zero_b = job->in[1].tensor.zero_point;
    const int32_t zero_point = job->out.tensor.zero_point;
    const int32x4_t low = vdupq_n_s32(job->layer->act_min - zero_point);
    const int32x4_t high = vdupq_n_s32(job->layer->act_max - zero_point);
    for (uint32_t i = 0; i < run.count; i += AT_ONCE) {
        const mve_pred16_t there = vctp32q(run.count - i);
        const int32x4_t a = finer(load(run.a, run.step_a, there), zero_a);
        const int32x4_t b = finer(load(run.b, run.step_b, there), zero_b);
        const int32x4_t sum = vmlaq_n_s32(scaled(of_a, a), scaled(of_b, b), sign);
        const int32x4_t clamped = vminq_s32(vmaxq_s32(scaled(of_sum, sum), low), high);
        vstrbq_p_s32(y + i, vaddq_n_s32(clamped, zero_point), there);
        run.a += AT_ONCE * run.step_a;
        run.b += AT_ONCE * run.step_b;
    }
}

static void add(const bg_job *job, bg_run run, int8_t *y) {
    add_run(job, run, 1, y);
}

static void subtract(const bg_job *job, bg_run run, int8_t *y) {
    add_run(job, run, -1, y);
}

void bg_add_s8(const bg_job *job) {
    bg_combine_all(job, add);
}

void bg_sub_s8(const bg_job *job) {
    bg_combine_all(job, subtract);
}

#endif
