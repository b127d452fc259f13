#include "weighted.h"

#if !BG_MVE

#include <string.h>

#include "x86/x86.h"

/* Widen columns [first, end) to `to`, zeros where they lie in the padding; return the end. */
static int16_t *widen_columns(const bg_operand *in, int32_t first, int32_t end, int16_t *to) {
    const uint32_t channels = in->tensor.channels;
    for (; first < end && first < 0; first++) {
        memset(to, 0, channels * sizeof *to);
        to += channels;
    }
    const int32_t last = end < in->tensor.width ? end : in->tensor.width;
    if (first < last) {
        const uint32_t n = (uint32_t)(last - first) * channels;
        bg_widen(in->data + (uint32_t)first * channels, n, in->tensor.zero_point, to);
        to += n;
        first = last;
    }
    for (; first < end; first++) {
        memset(to, 0, channels * sizeof *to);
        to += channels;
    }
    return to;
}

/* Lay out the windows of output columns [column, column + count). Without dilation neighbours
 * overlap in one run of columns; with it every window is gathered on its own. */
static bg_windows lay_out(const bg_job *job, int32_t column, int32_t count) {
    const bg_layer *layer = job->layer;
    const bg_operand *in = &job->in[0];
    const uint32_t terms = (uint32_t)layer->kernel * in->tensor.channels;
    const bg_windows windows = {
        .x = job->scratch,
        .step = bg_window_step(layer, &in->tensor),
        .count = (uint32_t)count,
        .taps = bg_padded(terms),
    };
    const int32_t left = column * layer->stride - layer->pad_left;
    int16_t *to = job->scratch;
    if (layer->dilation == 1) {
        to = widen_columns(in, left, left + (count - 1) * layer->stride + layer->kernel, to);
        memset(to, 0, (windows.taps - terms) * sizeof *to);
        return windows;
    }
    for (int32_t i = 0; i < count; i++) {
        for (int32_t tap = 0; tap < layer->kernel; tap++) {
            const int32_t at = left + i * layer->stride + tap * layer->dilation;
            to = widen_columns(in, at, at + 1, to);
        }
        memset(to, 0, (windows.taps - terms) * sizeof *to);
        to += windows.taps - terms;
    }
    return windows;
}

void bg_conv_s8(const bg_job *job) {
#if BG_X86
    if (bg_has_vnni() && bg_conv_s8_vnni(job)) {
        return;
    }
#endif
    const int32_t width = job->out.tensor.width;
    const int32_t tile = job->layer->tile;
    for (int32_t column = 0; column < width; column += tile) {
        const int32_t left = width - column;
        const bg_windows windows = lay_out(job, column, left < tile ? left : tile);
        bg_weighted_columns(job, &windows,
                            job->out.data + (uint32_t)column * job->out.tensor.channels);
    }
}

#endif
