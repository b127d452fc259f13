#include "elementwise.h"
#include "target.h"

#if !BG_MVE

#include "sum_scale.h"
#include "x86/x86.h"

/* Both inputs on one scale, 20 bits finer than the wider one's; sign: -1 subtracts. */
static inline void add_run(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
    const bg_sum_scale scale_a = bg_sum_scale_of(job, 0);
    const bg_sum_scale scale_b = bg_sum_scale_of(job, 1);
    const bg_sum_scale scale = bg_sum_scale_of(job, 2);
    const int32_t zero_a = job->in[0].tensor.zero_point;
    const int32_t zero_b = job->in[1].tensor.zero_point;
    const int32_t zero_point = job->out.tensor.zero_point;
    const int8_t low = job->layer->act_min;
    const int8_t high = job->layer->act_max;
#pragma GCC ivdep
    for (uint32_t i = 0; i < run.count; i++) { /* y may be a or b: code i needs code i alone */
        const int32_t a = bg_scale_code(scale_a, run.a[i * run.step_a] - zero_a);
        const int32_t b = bg_scale_code(scale_b, run.b[i * run.step_b] - zero_b);
        y[i] = bg_to_output(bg_scale_sum(scale, a + sign * b), zero_point, low, high);
    }
}

#if BG_X86

/* Steps of 1 as constants let a host's compiler make vectors of the loop. */
BG_HOST_VECTORS static void add_codes(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
    add_run(job, (bg_run){run.a, run.b, 1, 1, run.count}, sign, y);
}

#endif

static void add_or_subtract(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
#if BG_X86
    if (run.step_a == 1 && run.step_b == 1) {
        if (bg_has_vnni()) {
            bg_add_codes_avx512(job, run, sign, y);
        } else {
            add_codes(job, run, sign, y);
        }
        return;
    }
#endif
    add_run(job, run, sign, y);
}

static void add(const bg_job *job, bg_run run, int8_t *y) {
    add_or_subtract(job, run, 1, y);
}

static void subtract(const bg_job *job, bg_run run, int8_t *y) {
    add_or_subtract(job, run, -1, y);
}

void bg_add_s8(const bg_job *job) {
    bg_combine_all(job, add);
}

void bg_sub_s8(const bg_job *job) {
    bg_combine_all(job, subtract);
}

#endif
