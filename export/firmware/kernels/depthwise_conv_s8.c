#include "depthwise.h"

#if !BG_MVE

#include "taps.h"
#include "weighted.h"

enum { CHANNELS = 4 }; /* at a time */

/* Some output columns. */
typedef struct {
    bg_window of[BG_COLUMNS];
    uint32_t count;
} columns;

/* Weights are [kernel][channels out]. */
static void find_windows(const bg_job *job, int32_t first, columns *windows) {
    const bg_operand *in = &job->in[0];
    for (uint32_t i = 0; i < windows->count; i++) {
        const bg_taps taps = bg_taps_inside(job->layer, in->tensor.width, first + (int32_t)i);
        windows->of[i] = (bg_window){
            .x = in->data + (uint32_t)taps.start * in->tensor.channels,
            .weights = job->weights + (uint32_t)taps.first * job->out.tensor.channels,
            .taps = (uint32_t)(taps.end - taps.first),
        };
    }
}

static bg_window of_channel(bg_window window, uint32_t channel, uint32_t source) {
    return (bg_window){window.x + source, window.weights + channel, window.taps};
}

/* Channels [first, first + n): sums, then codes. Channel c reads input channel c / multiplier. */
static void weigh(const bg_job *job, const columns *windows, uint32_t first, uint32_t n,
                  int8_t *y) {
    const bg_tensor *in = &job->in[0].tensor;
    const uint32_t channels = job->out.tensor.channels;
    const uint32_t multiplier = channels / in->channels;
    const bg_tap_steps steps = {(uint32_t)job->layer->dilation * in->channels, channels};
    const int32_t *bias = job->bias + first;
    int32_t sums[CHANNELS][BG_COLUMNS];
    for (uint32_t i = 0; i < windows->count; i++) {
        if (multiplier == 1 && n == CHANNELS) {
            bg_depthwise_4(of_channel(windows->of[i], first, first), steps, in->zero_point, bias,
                           &sums[0][i]);
            continue;
        }
        for (uint32_t k = 0; k < n; k++) {
            const uint32_t c = first + k;
            sums[k][i] = bg_depthwise_1(of_channel(windows->of[i], c, c / multiplier), steps,
                                        in->zero_point, bias[k]);
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        bg_rescale_row(job, first + k, sums[k], windows->count, y + k);
    }
}

void bg_depthwise_conv_s8(const bg_job *job) {
    const uint32_t width = job->out.tensor.width;
    const uint32_t channels = job->out.tensor.channels;
    for (uint32_t column = 0; column < width; column += BG_COLUMNS) {
        columns windows;
        windows.count = width - column < BG_COLUMNS ? width - column : BG_COLUMNS;
        find_windows(job, (int32_t)column, &windows);
        for (uint32_t first = 0; first < channels; first += CHANNELS) {
            const uint32_t n = channels - first < CHANNELS ? channels - first : CHANNELS;
            weigh(job, &windows, first, n, job->out.data + column * channels + first);
        }
    }
}

#endif
