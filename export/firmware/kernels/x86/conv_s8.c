/* CONV for hosts with AVX-512 VNNI: replays of whole data sets run here.
 *
 * VPDPBUSD multiplies unsigned by signed bytes, four to a lane, so codes are taken as x + 128 and
 *
 *   sum w (x - zero point) = sum w (x + 128) - (128 + zero point) sum w
 *
 * of which the last term goes into the bias. A lane is a channel: the blob's pairs are repacked on
 * every call, which its other columns pay back. All sums are exact modulo 2^32, as everywhere. */
#include "x86.h"

#if BG_X86

#include <string.h>

#include "../columns.h"
#include "vnni.h"

enum {
    LANES = 16,       /* channels of a block */
    BLOCKS = 2,       /* blocks at a time */
    COLUMNS = 6,      /* columns at a time */
    TAPS_MAX = 2048,  /* longer windows take the portable way */
    ROW_BYTES = 8192, /* of input columns copied at a time */
};

typedef struct {
    __m512i weights[BLOCKS][TAPS_MAX / 4];
    bg_scales of[BLOCKS];
} packed;

typedef struct {
    const uint8_t *x;
    uint32_t step, count, groups;
} rows;

static int64_t load_8(const int8_t *from) {
    int64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Four taps of 16 channels, from eight pairs that lie `pair` bytes apart. Pairs from `n_pairs` on
 * are read as the last one, and masked later. */
VNNI_INLINE __m512i gather(const int8_t *from, uint32_t pair, uint32_t n_pairs) {
    int64_t eights[8];
    for (uint32_t i = 0; i < 8; i++) {
        eights[i] = load_8(from + (i < n_pairs ? i : n_pairs - 1) * pair);
    }
    return bg_in_order(_mm512_set_epi64(eights[7], eights[6], eights[5], eights[4], eights[3],
                                     eights[2], eights[1], eights[0]));
}

/* 32 taps of 16 channels: eight times `gather`, as a transposition of 8 x 8 pairs. */
VNNI_INLINE void gather_8(const int8_t *from, uint32_t pair, __m512i to[8]) {
    __m512i twos[8], fours[8];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 8; i += 2) {
        const __m512i a = _mm512_loadu_si512(from + i * pair);
        const __m512i b = _mm512_loadu_si512(from + (i + 1) * pair);
        twos[i] = _mm512_unpacklo_epi64(a, b); /* groups 0 2 4 6, each of two pairs */
        twos[i + 1] = _mm512_unpackhi_epi64(a, b);
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 8; i++) { /* of half of the pairs: groups i and i + 4, or + 2, + 6 */
        const uint32_t low = i / 4 * 4 + i % 2;
        const __m512i a = twos[low];
        const __m512i b = twos[low + 2];
        fours[i] = i % 4 < 2 ? _mm512_shuffle_i64x2(a, b, 0x88) : _mm512_shuffle_i64x2(a, b, 0xDD);
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 4; i++) {
        to[i] = bg_in_order(_mm512_shuffle_i64x2(fours[i], fours[i + 4], 0x88));
        to[i + 4] = bg_in_order(_mm512_shuffle_i64x2(fours[i], fours[i + 4], 0xDD));
    }
}

VNNI static void pack_block(const bg_job *job, uint32_t taps, uint32_t first, uint32_t block,
                            packed *to) {
    const uint32_t left = job->out.tensor.channels - first;
    const uint32_t n = left < LANES ? left : LANES;
    const int8_t *weights = job->weights + (size_t)first * taps;
    __m512i *packed_weights = to->weights[block];
    uint32_t group = 0;
    for (; n == LANES && group + 8 <= taps / 4; group += 8) {
        gather_8(weights + 8 * group, 2 * taps, packed_weights + group);
    }
    for (; group < taps / 4; group++) {
        packed_weights[group] = gather(weights + 8 * group, 2 * taps, (n + 1) / 2);
    }
    __m512i total = _mm512_setzero_si512();
    for (group = 0; group < taps / 4; group++) {
        total = bg_dot(total, _mm512_set1_epi8(1), packed_weights[group]);
    }
    to->of[block] = bg_scales_of(job, first, n, total);
}

/* Columns [column, column + COLUMNS) of `blocks` blocks; those from count on are not stored. */
VNNI_INLINE void weigh(const packed *from, const rows *in, uint32_t column, uint32_t blocks,
                       uint32_t channels, int8_t *y) {
    const bg_scales scale[BLOCKS] = {from->of[0], from->of[blocks - 1]};
    const uint8_t *x[COLUMNS];
    __m512i sums[COLUMNS][BLOCKS];
#pragma GCC unroll 6
    for (uint32_t i = 0; i < COLUMNS; i++) {
        x[i] = in->x + (column + i < in->count ? column + i : column) * in->step;
#pragma GCC unroll 2
        for (uint32_t b = 0; b < blocks; b++) {
            sums[i][b] = scale[b].bias;
        }
    }
    for (uint32_t group = 0; group < in->groups; group++) {
#pragma GCC unroll 6
        for (uint32_t i = 0; i < COLUMNS; i++) {
            int32_t four;
            memcpy(&four, x[i] + 4 * group, sizeof four);
            const __m512i codes = _mm512_set1_epi32(four);
#pragma GCC unroll 2
            for (uint32_t b = 0; b < blocks; b++) {
                sums[i][b] = bg_dot(sums[i][b], codes, from->weights[b][group]);
            }
        }
    }
#pragma GCC unroll 6
    for (uint32_t i = 0; i < COLUMNS; i++) {
        if (column + i < in->count) {
#pragma GCC unroll 2
            for (uint32_t b = 0; b < blocks; b++) {
                _mm_mask_storeu_epi8(y + (column + i) * channels + b * LANES, scale[b].channels,
                                     bg_rescale_16(scale[b], sums[i][b]));
            }
        }
    }
}

VNNI static void weigh_rows(const packed *from, const rows *in, uint32_t blocks,
                            uint32_t channels, int8_t *y) {
    for (uint32_t column = 0; column < in->count; column += COLUMNS) {
        if (blocks == BLOCKS) {
            weigh(from, in, column, BLOCKS, channels, y);
        } else {
            weigh(from, in, column, 1, channels, y);
        }
    }
}

/* Copy columns [first, end) to `to` as codes + 128, the zero point where they lie in the padding. */
VNNI static uint8_t *copy_columns(const bg_operand *in, int32_t first, int32_t end, uint8_t *to) {
    const bg_span span = bg_span_of(first, end, in->tensor.width, in->tensor.channels);
    memset(to, 128 + in->tensor.zero_point, span.before);
    bg_copy_codes(in->data + span.from, span.inside, to + span.before);
    to += (size_t)span.before + span.inside;
    memset(to, 128 + in->tensor.zero_point, span.after);
    return to + span.after;
}

/* Lay out `count` windows; the zero point, which counts for nothing, fills up the taps behind. */
static void copy_rows(const bg_job *job, int32_t column, uint32_t count, uint32_t step,
                      uint8_t *to) {
    const bg_layer *layer = job->layer;
    const bg_tensor *in = &job->in[0].tensor;
    const uint32_t terms = (uint32_t)layer->kernel * in->channels;
    const uint32_t filling = bg_padded(terms) - terms;
    const int32_t left = column * layer->stride - layer->pad_left;
    if (layer->dilation == 1) {
        const int32_t end = left + ((int32_t)count - 1) * layer->stride + layer->kernel;
        uint8_t *at = copy_columns(&job->in[0], left, end, to);
        memset(at, 128 + in->zero_point, filling);
        return;
    }
    for (int32_t i = 0; i < (int32_t)count; i++) {
        uint8_t *at = to + (uint32_t)i * step;
        for (int32_t tap = 0; tap < layer->kernel; tap++) {
            const int32_t source = left + i * layer->stride + tap * layer->dilation;
            at = copy_columns(&job->in[0], source, source + 1, at);
        }
        memset(at, 128 + in->zero_point, filling);
    }
}

bool bg_conv_s8_vnni(const bg_job *job) {
    const uint32_t taps = bg_padded((uint32_t)job->layer->kernel * job->in[0].tensor.channels);
    const uint32_t step = bg_window_step(job->layer, &job->in[0].tensor);
    const uint32_t width = job->out.tensor.width;
    const uint32_t channels = job->out.tensor.channels;
    if (taps > TAPS_MAX || step > TAPS_MAX) {
        return false;
    }
    const uint32_t fits = (ROW_BYTES - taps) / step + 1;
    packed weights[1];
    uint8_t x[ROW_BYTES];
    for (uint32_t column = 0; column < width; column += fits) {
        const uint32_t count = width - column < fits ? width - column : fits;
        copy_rows(job, (int32_t)column, count, step, x);
        const rows in = {x, step, count, taps / 4};
        for (uint32_t first = 0; first < channels; first += BLOCKS * LANES) {
            const uint32_t blocks = channels - first > LANES ? BLOCKS : 1;
            for (uint32_t b = 0; b < blocks; b++) {
                pack_block(job, taps, first + b * LANES, b, weights);
            }
            weigh_rows(weights, &in, blocks, channels,
                       job->out.data + (size_t)column * channels + first);
        }
    }
    return true;
}

#endif
