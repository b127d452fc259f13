#include <string.h>

#include "kernels.h"

void bg_pad_s8(const bg_job *job) {
    const bg_layer *layer = job->layer;
    const bg_tensor *in = &job->in[0].tensor;
    const bg_tensor *out = &job->out.tensor;
    memset(job->out.data, out->zero_point, bg_tensor_bytes(out));
    for (uint32_t t = 0; t < in->width; t++) {
        int8_t *y = job->out.data + (layer->pad_left + t) * out->channels + layer->kernel;
        memcpy(y, job->in[0].data + t * in->channels, in->channels);
    }
}
