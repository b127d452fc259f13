#include "requantize.h"
#include "taps.h"

static int8_t clamp(const bg_layer *layer, int32_t value) {
    return bg_to_output(value, 0, layer->act_min, layer->act_max);
}

/* Half away from zero; padding counts neither in the sum nor in the divisor. */
static int32_t average(const int8_t *x, uint32_t step, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += x[(uint32_t)i * step];
    }
    return (sum > 0 ? sum + n / 2 : sum - n / 2) / n;
}

static int32_t largest(const int8_t *x, uint32_t step, int32_t n) {
    int32_t best = INT8_MIN;
    for (int32_t i = 0; i < n; i++) {
        const int32_t value = x[(uint32_t)i * step];
        best = value > best ? value : best;
    }
    return best;
}

static inline void pool(const bg_job *job, int32_t (*reduce)(const int8_t *, uint32_t, int32_t)) {
    const bg_tensor *in = &job->in[0].tensor;
    int8_t *y = job->out.data;
    for (int32_t column = 0; column < job->out.tensor.width; column++) {
        const bg_taps taps = bg_taps_inside(job->layer, in->width, column);
        const int8_t *x = job->in[0].data + (uint32_t)taps.start * in->channels;
        for (uint32_t c = 0; c < in->channels; c++) {
            *y++ = clamp(job->layer, reduce(x + c, in->channels, taps.end - taps.first));
        }
    }
}

void bg_average_pool_s8(const bg_job *job) {
    pool(job, average);
}

void bg_max_pool_s8(const bg_job *job) {
    pool(job, largest);
}
