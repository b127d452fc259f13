/* How an elementwise kernel of two inputs walks them. */
#ifndef BG_ELEMENTWISE_H
#define BG_ELEMENTWISE_H

#include "kernels.h"
#include "requantize.h"

/* Codes that are combined one by one; a step of 0 repeats a code. */
typedef struct {
    const int8_t *a, *b;
    uint32_t step_a, step_b;
    uint32_t count;
} bg_run;

typedef void (*bg_combine)(const bg_job *job, bg_run run, int8_t *y);

static inline uint32_t bg_column_step(const bg_operand *in) {
    return in->tensor.width == 1 ? 0 : in->tensor.channels;
}

/* Call `combine` on the whole, or where an input is broadcast on every column. */
static inline void bg_combine_all(const bg_job *job, bg_combine combine) {
    const bg_operand *a = &job->in[0];
    const bg_operand *b = &job->in[1];
    const uint32_t bytes = (uint32_t)bg_tensor_bytes(&job->out.tensor);
    if (bg_tensor_bytes(&a->tensor) == bytes && bg_tensor_bytes(&b->tensor) == bytes) {
        combine(job, (bg_run){a->data, b->data, 1, 1, bytes}, job->out.data);
        return;
    }
    const uint32_t channels = job->out.tensor.channels;
    for (uint32_t t = 0; t < job->out.tensor.width; t++) {
        const bg_run run = {
            .a = a->data + t * bg_column_step(a),
            .b = b->data + t * bg_column_step(b),
            .step_a = a->tensor.channels == 1 ? 0 : 1,
            .step_b = b->tensor.channels == 1 ? 0 : 1,
            .count = channels,
        };
        combine(job, run, job->out.data + t * channels);
    }
}

#endif
