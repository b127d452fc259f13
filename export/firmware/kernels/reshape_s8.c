#include <string.h>

#include "kernels.h"

void bg_reshape_s8(const bg_job *job) {
    if (job->out.data != job->in[0].data) {
        memcpy(job->out.data, job->in[0].data, bg_tensor_bytes(&job->out.tensor));
    }
}
