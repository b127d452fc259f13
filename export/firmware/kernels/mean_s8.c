#include "kernels.h"
#include "requantize.h"

enum { AT_ONCE = 8 };

/* The multiplier holds the 1 / width, as in TFLite Micro. */
int8_t bg_mean_of_sum_s8(const bg_job *job, int32_t sum) {
    const bg_tensor *in = &job->in[0].tensor;
    const int32_t centred = sum - in->zero_point * in->width;
    const int32_t mean = bg_requantize(centred, job->multipliers[0], job->shifts[0]);
    return bg_to_output(mean, job->out.tensor.zero_point, job->layer->act_min, job->layer->act_max);
}

/* Some channels side by side: one pass over the columns, which a host's compiler makes vectors of. */
static void add_up(const int8_t *x, uint32_t width, uint32_t channels, int32_t sums[AT_ONCE]) {
    for (uint32_t t = 0; t < width; t++) {
        for (uint32_t c = 0; c < AT_ONCE; c++) {
            sums[c] += x[c];
        }
        x += channels;
    }
}

void bg_mean_s8(const bg_job *job) {
    const bg_tensor *in = &job->in[0].tensor;
    const int8_t *x = job->in[0].data;
    uint32_t c = 0;
    for (; c + AT_ONCE <= in->channels; c += AT_ONCE) {
        int32_t sums[AT_ONCE] = {0};
        add_up(x + c, in->width, in->channels, sums);
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            job->out.data[c + i] = bg_mean_of_sum_s8(job, sums[i]);
        }
    }
    for (; c < in->channels; c++) {
        int32_t sum = 0;
        for (uint32_t t = 0; t < in->width; t++) {
            sum += x[t * in->channels + c];
        }
        job->out.data[c] = bg_mean_of_sum_s8(job, sum);
    }
}
