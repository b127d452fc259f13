#include <string.h>

#include "kernels.h"

/* Along channels a column of the output is made of one of each input; along time, whole inputs. */
void bg_concatenation_s8(const bg_job *job) {
    const bool along_channels = job->out.tensor.width == job->in[0].tensor.width;
    const uint32_t n_rows = along_channels ? job->out.tensor.width : 1;
    int8_t *y = job->out.data;
    for (uint32_t row = 0; row < n_rows; row++) {
        for (uint32_t i = 0; i < job->layer->n_inputs; i++) {
            const size_t bytes = bg_tensor_bytes(&job->in[i].tensor) / n_rows;
            memcpy(y, job->in[i].data + row * bytes, bytes);
            y += bytes;
        }
    }
}
