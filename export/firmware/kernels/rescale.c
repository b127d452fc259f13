#include "requantize.h"
#include "weighted.h"

#if !BG_DSP && !BG_MVE

static inline int8_t rescale(const bg_job *job, uint32_t channel, int32_t sum) {
    const bg_layer *layer = job->layer;
    const int32_t scaled = bg_requantize(sum, job->multipliers[channel], job->shifts[channel]);
    return bg_to_output(scaled, job->out.tensor.zero_point, layer->act_min, layer->act_max);
}

void bg_rescale_row(const bg_job *job, uint32_t channel, const int32_t *sums, uint32_t count,
                    int8_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i * job->out.tensor.channels] = rescale(job, channel, sums[i]);
    }
}

void bg_rescale_column(const bg_job *job, uint32_t first, const int32_t *sums, uint32_t count,
                       int8_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = rescale(job, first + i, sums[i]);
    }
}

#endif
