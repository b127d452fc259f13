#include "../weighted.h"

#if BG_MVE

#include "../columns.h"
#include "codes.h"
#include "weighted.h"

/* Copy columns [first, end) to `to`, the zero point where they lie in the padding. */
static int8_t *copy_columns(const bg_operand *in, int32_t first, int32_t end, int8_t *to) {
    const bg_span span = bg_span_of(first, end, in->tensor.width, in->tensor.channels);
    bg_fill_codes(in->tensor.zero_point, span.before, to);
    bg_copy_codes(in->data + span.from, span.inside, to + span.before);
    to += span.before + span.inside;
    bg_fill_codes(in->tensor.zero_point, span.after, to);
    return to + span.after;
}

/* Where neighbours overlap in one run of columns, and all begin at multiples of 4. */
static bool can_overlap(const bg_job *job) {
    return job->layer->dilation == 1 &&
           bg_window_step(job->layer, &job->in[0].tensor) % 4 == 0;
}

/* Windows that lie on their own need more room than those that overlap, but codes take half of
 * what the scratch memory is planned for: the columns at a time that fit. */
static uint32_t tile_of(const bg_job *job, uint32_t taps) {
    const bg_layer *layer = job->layer;
    const uint64_t bytes = bg_scratch_bytes(layer, &job->in[0].tensor, &job->out.tensor);
    const uint32_t fits = (uint32_t)bytes / taps;
    return can_overlap(job) || layer->tile < fits ? layer->tile : fits;
}

/* Copy columns [first, end), which are a window or a run of windows, in the weights' order. */
static void copy_run(const bg_operand *in, int32_t first, int32_t end, int8_t *to) {
    const uint32_t channels = in->tensor.channels;
    const int8_t *from = to;
    if (first >= 0 && end <= in->tensor.width) {
        from = in->data + (uint32_t)first * channels;
    } else {
        (void)copy_columns(in, first, end, to);
    }
    bg_copy_in_order(from, (uint32_t)(end - first) * channels, to);
}

/* Copy the columns under the taps of one window. */
static void copy_apart(const bg_job *job, int32_t first, int8_t *to) {
    const bg_layer *layer = job->layer;
    int8_t *end = to;
    for (int32_t tap = 0; tap < layer->kernel; tap++) {
        const int32_t at = first + tap * layer->dilation;
        end = copy_columns(&job->in[0], at, at + 1, end);
    }
    bg_copy_in_order(to, (uint32_t)(end - to), to);
}

/* Lay out the windows of output columns [column, column + count). */
static bg_byte_windows lay_out(const bg_job *job, int32_t column, uint32_t count) {
    const bg_layer *layer = job->layer;
    const bg_operand *in = &job->in[0];
    const uint32_t taps = bg_padded((uint32_t)layer->kernel * in->tensor.channels);
    const int32_t left = column * layer->stride - layer->pad_left;
    int8_t *codes = (void *)job->scratch;
    if (can_overlap(job)) {
        const int32_t end = left + ((int32_t)count - 1) * layer->stride + layer->kernel;
        copy_run(in, left, end, codes);
        return (bg_byte_windows){codes, bg_window_step(layer, &in->tensor), count, taps};
    }
    for (uint32_t i = 0; i < count; i++) {
        const int32_t first = left + (int32_t)i * layer->stride;
        if (layer->dilation == 1) {
            copy_run(in, first, first + layer->kernel, codes + i * taps);
        } else {
            copy_apart(job, first, codes + i * taps);
        }
    }
    return (bg_byte_windows){codes, taps, count, taps};
}

void bg_conv_s8(const bg_job *job) {
    const uint32_t width = job->out.tensor.width;
    const uint32_t channels = job->out.tensor.channels;
    const uint32_t tile =
        tile_of(job, bg_padded((uint32_t)job->layer->kernel * job->in[0].tensor.channels));
    for (uint32_t column = 0; column < width; column += tile) {
        const uint32_t left = width - column;
        const bg_byte_windows windows = lay_out(job, (int32_t)column, left < tile ? left : tile);
        bg_weighted_byte_columns(job, &windows, job->out.data + column * channels);
    }
}

#endif
