#include "elementwise.h"

static void multiply(const bg_job *job, bg_run run, int8_t *y) {
    const int32_t zero_a = job->in[0].tensor.zero_point;
    const int32_t zero_b = job->in[1].tensor.zero_point;
    const int32_t zero_point = job->out.tensor.zero_point;
    const int32_t multiplier = job->multipliers[0];
    const int32_t shift = job->shifts[0];
#pragma GCC ivdep
    for (uint32_t i = 0; i < run.count; i++) { /* y may be a or b: code i needs code i alone */
        const int32_t a = run.a[i * run.step_a] - zero_a;
        const int32_t b = run.b[i * run.step_b] - zero_b;
        const int32_t scaled = bg_requantize(a * b, multiplier, shift);
        y[i] = bg_to_output(scaled, zero_point, job->layer->act_min, job->layer->act_max);
    }
}

void bg_mul_s8(const bg_job *job) {
    bg_combine_all(job, multiply);
}
