#include "../taps.h"
#include "../target.h"

#if BG_MVE

#include "rescale.h"

enum { CHANNELS = 4 }; /* at a time */

/* Some channels of all columns. */
typedef struct {
    bg_scales scales;
    int32x4_t bias;
    uint32x4_t sources; /* the input channel each of them reads */
    uint32_t first;
    bool side_by_side; /* the sources are */
} block;

static block block_of(const bg_job *job, uint32_t first, uint32_t n) {
    const uint32_t multiplier = job->out.tensor.channels / job->in[0].tensor.channels;
    uint32_t sources[CHANNELS];
    for (uint32_t i = 0; i < CHANNELS; i++) {
        sources[i] = (first + i) / multiplier;
    }
    const bg_scales scales = bg_scales_of(job, first, n);
    return (block){
        .scales = scales,
        .bias = vldrwq_z_s32(job->bias + first, scales.channels),
        .sources = vldrwq_u32(sources),
        .first = first,
        .side_by_side = multiplier == 1,
    };
}

/* Weights are [kernel][channels out]. */
static inline int32x4_t weigh(const bg_job *job, const block *of, bg_taps taps,
                              bool side_by_side) {
    const bg_tensor *in = &job->in[0].tensor;
    const int32_t zero_point = in->zero_point;
    const uint32_t channels = job->out.tensor.channels;
    const uint32_t step = (uint32_t)job->layer->dilation * in->channels;
    const mve_pred16_t there = of->scales.channels;
    const int8_t *x = job->in[0].data + (uint32_t)taps.start * in->channels;
    const int8_t *w = job->weights + (uint32_t)taps.first * channels + of->first;
    int32x4_t sum = of->bias;
    if (side_by_side) {
        x += of->first;
    }
    for (int32_t tap = taps.first; tap < taps.end; tap++) {
        const int32x4_t codes = side_by_side
                                    ? vldrbq_z_s32(x, there)
                                    : vldrbq_gather_offset_z_s32(x, of->sources, there);
        const int32x4_t centred = vsubq_n_s32(codes, zero_point);
        sum = vaddq_s32(sum, vmulq_s32(centred, vldrbq_z_s32(w, there)));
        x += step;
        w += channels;
    }
    return sum;
}

void bg_depthwise_conv_s8(const bg_job *job) {
    const uint32_t channels = job->out.tensor.channels;
    for (uint32_t first = 0; first < channels; first += CHANNELS) {
        const uint32_t left = channels - first;
        const block of = block_of(job, first, left < CHANNELS ? left : CHANNELS);
        int8_t *y = job->out.data + first;
        for (int32_t column = 0; column < job->out.tensor.width; column++) {
            const bg_taps taps = bg_taps_inside(job->layer, job->in[0].tensor.width, column);
            const int32x4_t sum = of.side_by_side ? weigh(job, &of, taps, true)
                                                  : weigh(job, &of, taps, false);
            bg_store_codes(&of.scales, sum, y);
            y += channels;
        }
    }
}

#endif
