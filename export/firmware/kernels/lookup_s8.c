#include "kernels.h"

void bg_lookup_s8(const bg_job *job) {
    const int8_t *middle = job->weights - INT8_MIN;
    const int8_t *x = job->in[0].data;
    int8_t *y = job->out.data;
    const size_t n = bg_tensor_bytes(&job->out.tensor);
    for (size_t i = 0; i < n; i++) {
        y[i] = middle[x[i]];
    }
}
