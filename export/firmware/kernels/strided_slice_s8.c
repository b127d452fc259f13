#include "kernels.h"

void bg_strided_slice_s8(const bg_job *job) {
    const bg_layer *layer = job->layer;
    const uint32_t channels = job->in[0].tensor.channels;
    const uint32_t column_step = (uint32_t)layer->stride * channels;
    const int8_t *x = job->in[0].data + layer->pad_left * channels + layer->kernel;
    int8_t *y = job->out.data;
    for (uint32_t t = 0; t < job->out.tensor.width; t++) {
        for (uint32_t c = 0; c < job->out.tensor.channels; c++) {
            *y++ = x[t * column_step + c * layer->dilation];
        }
    }
}
