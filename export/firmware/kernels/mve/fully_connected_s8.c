#include "../weighted.h"

#if BG_MVE

#include "codes.h"
#include "weighted.h"

void bg_fully_connected_s8(const bg_job *job) {
    const bg_operand *in = &job->in[0];
    const uint32_t terms = (uint32_t)bg_tensor_bytes(&in->tensor);
    int8_t *codes = (void *)job->scratch;
    const bg_byte_windows windows = {.x = codes, .count = 1, .taps = bg_padded(terms)};
    bg_copy_in_order(in->data, terms, codes);
    bg_weighted_byte_columns(job, &windows, job->out.data);
}

#endif
