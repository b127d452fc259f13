#include "elementwise.h"
#include "x86/x86.h"

/* Both inputs on one scale, 20 bits finer than the wider one's; sign: -1 subtracts. */
static inline void add_run(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
    const int32_t m[3] = {job->multipliers[0], job->multipliers[1], job->multipliers[2]};
    const int32_t s[3] = {job->shifts[0], job->shifts[1], job->shifts[2]};
    const int32_t zero_a = job->in[0].tensor.zero_point;
    const int32_t zero_b = job->in[1].tensor.zero_point;
    const int32_t zero_point = job->out.tensor.zero_point;
    const int8_t low = job->layer->act_min;
    const int8_t high = job->layer->act_max;
#pragma GCC ivdep
    for (uint32_t i = 0; i < run.count; i++) { /* y may be a or b: code i needs code i alone */
        const int32_t a = (run.a[i * run.step_a] - zero_a) * BG_HEADROOM;
        const int32_t b = (run.b[i * run.step_b] - zero_b) * BG_HEADROOM;
        const int32_t sum = bg_requantize(a, m[0], s[0]) + sign * bg_requantize(b, m[1], s[1]);
        y[i] = bg_to_output(bg_requantize(sum, m[2], s[2]), zero_point, low, high);
    }
}

/* Steps of 1 as constants let a host's compiler make vectors of the loop. */
BG_HOST_VECTORS static void add(const bg_job *job, bg_run run, int8_t *y) {
    if (run.step_a == 1 && run.step_b == 1) {
        add_run(job, (bg_run){run.a, run.b, 1, 1, run.count}, 1, y);
    } else {
        add_run(job, run, 1, y);
    }
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
