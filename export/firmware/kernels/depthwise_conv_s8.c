#include "requantize.h"
#include "taps.h"

/* Weights are [kernel][channels out]; output channel c reads input channel c / multiplier. */
static int32_t weighted(const bg_job *job, bg_taps taps, uint32_t c, uint32_t source) {
    const bg_tensor *in = &job->in[0].tensor;
    const uint32_t channels = job->out.tensor.channels;
    const uint32_t step = (uint32_t)job->layer->dilation * in->channels;
    const int8_t *x = job->in[0].data + (uint32_t)taps.start * in->channels + source;
    const int8_t *w = job->weights + (uint32_t)taps.first * channels + c;
    int32_t sum = job->bias[c];
    for (int32_t tap = taps.first; tap < taps.end; tap++) {
        sum += (*x - in->zero_point) * *w;
        x += step;
        w += channels;
    }
    return sum;
}

void bg_depthwise_conv_s8(const bg_job *job) {
    const bg_layer *layer = job->layer;
    const bg_tensor *in = &job->in[0].tensor;
    const bg_tensor *out = &job->out.tensor;
    const uint32_t multiplier = out->channels / in->channels;
    int8_t *y = job->out.data;
    for (int32_t column = 0; column < out->width; column++) {
        const bg_taps taps = bg_taps_inside(layer, in->width, column);
        for (uint32_t c = 0; c < out->channels; c++) {
            const int32_t sum = weighted(job, taps, c, multiplier == 1 ? c : c / multiplier);
            const int32_t scaled = bg_requantize(sum, job->multipliers[c], job->shifts[c]);
            *y++ = bg_to_output(scaled, out->zero_point, layer->act_min, layer->act_max);
        }
    }
}
