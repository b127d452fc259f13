#include "weighted.h"

#if !BG_MVE

#include <string.h>

#include "x86/x86.h"

void bg_fully_connected_s8(const bg_job *job) {
#if BG_X86
    if (bg_has_vnni() && bg_fully_connected_s8_vnni(job)) {
        return;
    }
#endif
    const bg_operand *in = &job->in[0];
    const uint32_t terms = (uint32_t)bg_tensor_bytes(&in->tensor);
    const bg_windows windows = {
        .x = job->scratch,
        .count = 1,
        .taps = bg_padded(terms),
    };
    bg_widen(in->data, terms, in->tensor.zero_point, job->scratch);
    memset(job->scratch + terms, 0, (windows.taps - terms) * sizeof *job->scratch);
    bg_weighted_columns(job, &windows, job->out.data);
}

#endif
