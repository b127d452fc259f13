#include "weighted.h"

#if !BG_MVE

#include "dot.h"

enum { CHANNELS_AT_ONCE = 16 };

/* Many columns: two channels after another, each along its columns. */
static void weigh_rows(const bg_job *job, bg_windows windows, int8_t *y) {
    const uint32_t channels = job->out.tensor.channels;
    const uint32_t pairs = windows.count / 2;
    const int8_t *weights = job->weights;
    for (uint32_t c = 0; c < channels; c += 2) {
        const int32_t a = job->bias[c];
        const int32_t b = job->bias[c + 1];
        int32_t sums[2][BG_TILE_MAX];
        int32_t *to = sums[0];
        const int16_t *x = windows.x;
        for (uint32_t i = 0; i < pairs; i++) {
            bg_dot_2x2(weights, windows.taps, x, windows.step, a, b, to, to + BG_TILE_MAX, 1);
            x += 2 * windows.step;
            to += 2;
        }
        bg_rescale_row(job, c, sums[0], windows.count, y + c);
        if (c + 1 < channels) {
            bg_rescale_row(job, c + 1, sums[1], windows.count, y + c + 1);
        }
        weights += 2 * windows.taps;
    }
}

/* One column or two, of `n` channels from `first` on: the channels' sums, then along them. */
static void weigh_columns(const bg_job *job, bg_windows windows, uint32_t first, uint32_t n,
                          int8_t *y) {
    const int8_t *weights = job->weights + first * windows.taps;
    const int32_t *bias = job->bias + first;
    const uint32_t step = windows.count == 1 ? 0 : windows.step;
    int32_t sums[2][CHANNELS_AT_ONCE];
    int32_t *to = sums[0];
    uint32_t left = n;
    for (; windows.count == 1 && left >= 4; left -= 4) {
        bg_dot_4x1(weights, windows.taps, windows.x, bias, to);
        weights += 4 * windows.taps;
        bias += 4;
        to += 4;
    }
    for (; to < sums[0] + n; to += 2) {
        bg_dot_2x2(weights, windows.taps, windows.x, step, bias[0], bias[1], to, to + 1,
                   CHANNELS_AT_ONCE);
        weights += 2 * windows.taps;
        bias += 2;
    }
    for (uint32_t i = 0; i < windows.count; i++) {
        bg_rescale_column(job, first, sums[i], n, y + i * job->out.tensor.channels);
    }
}

/* One column or two: some channels after others. */
static void weigh_few(const bg_job *job, bg_windows windows, int8_t *y) {
    const uint32_t channels = job->out.tensor.channels;
    for (uint32_t first = 0; first < channels; first += CHANNELS_AT_ONCE) {
        const uint32_t left = channels - first;
        const uint32_t n = left < CHANNELS_AT_ONCE ? left : CHANNELS_AT_ONCE;
        weigh_columns(job, windows, first, n, y + first);
    }
}

/* An odd last column has no partner to share the weights with: it shares itself among channels. */
void bg_weighted_columns(const bg_job *job, const bg_windows *windows, int8_t *y) {
    bg_windows part = *windows;
    if (part.count > 2) {
        part.count -= part.count % 2;
        weigh_rows(job, part, y);
        part.x += part.count * part.step;
        y += part.count * job->out.tensor.channels;
        part.count = windows->count - part.count;
    }
    if (part.count > 0) {
        weigh_few(job, part, y);
    }
}

#endif
