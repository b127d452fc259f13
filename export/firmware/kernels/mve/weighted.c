#include "../weighted.h"

#if BG_MVE

#include "rescale.h"
#include "weighted.h"

enum {
    CHANNELS = 4, /* at a time: two pairs of weights */
    TERMS = 16,   /* of a vector */
};

/* TERMS weights of four channels. */
typedef struct {
    int8x16_t of[CHANNELS];
} weights_4;

static inline int8x16_t as_bytes(int32x4_t words) {
    return vreinterpretq_s8_s32(words);
}

static inline weights_4 load(const int8_t *first, const int8_t *second) {
    const int32x4x2_t a = vld2q_s32((const void *)first);
    const int32x4x2_t b = vld2q_s32((const void *)second);
    return (weights_4){{as_bytes(a.val[0]), as_bytes(a.val[1]), as_bytes(b.val[0]),
                        as_bytes(b.val[1])}};
}

/* One channel of a pair's last terms: zeros behind them, of which nothing is read. */
static inline int8x16_t load_last(const int8_t *from, mve_pred16_t terms) {
    const uint32x4_t offsets = vidupq_n_u32(0, 8);
    return as_bytes(vldrwq_gather_offset_z_s32((const void *)from, offsets, terms));
}

static inline weights_4 load_last_4(const int8_t *first, const int8_t *second,
                                    mve_pred16_t terms) {
    return (weights_4){{load_last(first, terms), load_last(first + 4, terms),
                        load_last(second, terms), load_last(second + 4, terms)}};
}

/* sums[c] += the products of channel c; return the next sums. Sums have to be in even registers,
 * and the compiler's own choice of these copies every one; hence the assembly. */
static inline int32_t *add_products(weights_4 weights, int8x16_t codes, int32_t *sums) {
    int32_t a, b, c, d;
    __asm volatile("ldrd        %[a], %[b], [%[sums]]\n"
                   "ldrd        %[c], %[d], [%[sums], #8]\n"
                   "vmladava.s8 %[a], %q[wa], %q[x]\n"
                   "vmladava.s8 %[b], %q[wb], %q[x]\n"
                   "vmladava.s8 %[c], %q[wc], %q[x]\n"
                   "vmladava.s8 %[d], %q[wd], %q[x]\n"
                   "strd        %[a], %[b], [%[sums]], #8\n"
                   "strd        %[c], %[d], [%[sums]], #8\n"
                   : [sums] "+&r"(sums), [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d)
                   : [x] "w"(codes), [wa] "w"(weights.of[0]), [wb] "w"(weights.of[1]),
                     [wc] "w"(weights.of[2]), [wd] "w"(weights.of[3])
                   : "memory");
    return sums;
}

static inline void add_totals(weights_4 weights, int32_t totals[CHANNELS]) {
#pragma GCC unroll 4
    for (uint32_t c = 0; c < CHANNELS; c++) {
        totals[c] = vaddvaq_s8(totals[c], weights.of[c]);
    }
}

/* Many columns: the weights stay in registers, the sums go through memory. */
static inline int32x4_t weigh_4(const int8_t *first, const int8_t *second, bg_byte_windows windows,
                                int32_t *sums) {
    int32_t totals[CHANNELS] = {0, 0, 0, 0};
    uint32_t left = windows.taps;
    for (; left >= TERMS; left -= TERMS) {
        const weights_4 weights = load(first, second);
        const int8_t *x = windows.x;
        int32_t *to = sums;
        add_totals(weights, totals);
        for (uint32_t i = 0; i < windows.count; i++) {
            to = add_products(weights, vldrbq_s8(x), to);
            x += windows.step;
        }
        first += 2 * TERMS;
        second += 2 * TERMS;
        windows.x += TERMS;
    }
    if (left > 0) {
        const mve_pred16_t terms = vctp8q(left);
        const weights_4 weights = load_last_4(first, second, terms);
        add_totals(weights, totals);
        for (uint32_t i = 0; i < windows.count; i++) {
            sums = add_products(weights, vldrbq_z_s8(windows.x, terms), sums);
            windows.x += windows.step;
        }
    }
    return (int32x4_t){totals[0], totals[1], totals[2], totals[3]};
}

/* One column: a pair of channels, sums in registers. */
static void weigh_2(const int8_t *weights, const bg_byte_windows *windows, int32_t sums[2],
                    int32_t totals[2]) {
    const int8_t *codes = windows->x;
    int32_t sum[2] = {0, 0};
    int32_t total[2] = {0, 0};
    uint32_t left = windows->taps;
    for (; left >= TERMS; left -= TERMS) {
        const int32x4x2_t both = vld2q_s32((const void *)weights);
        const int8x16_t x = vldrbq_s8(codes);
#pragma GCC unroll 2
        for (uint32_t c = 0; c < 2; c++) {
            sum[c] = vmladavaq_s8(sum[c], as_bytes(both.val[c]), x);
            total[c] = vaddvaq_s8(total[c], as_bytes(both.val[c]));
        }
        weights += 2 * TERMS;
        codes += TERMS;
    }
    if (left > 0) {
        const mve_pred16_t terms = vctp8q(left);
        const int8x16_t x = vldrbq_z_s8(codes, terms);
#pragma GCC unroll 2
        for (uint32_t c = 0; c < 2; c++) {
            const int8x16_t one = load_last(weights + 4 * c, terms);
            sum[c] = vmladavaq_s8(sum[c], one, x);
            total[c] = vaddvaq_s8(total[c], one);
        }
    }
    for (uint32_t c = 0; c < 2; c++) {
        sums[c] = sum[c];
        totals[c] = total[c];
    }
}

/* Channels [first, first + n), n from 1 to 4. A pair that is not there is read as the one that is,
 * and not stored. */
__attribute__((always_inline)) static inline void weigh_channels(const bg_job *job,
                                                                 const bg_byte_windows *windows,
                                                                 uint32_t first, uint32_t n,
                                                                 int8_t *y) {
    const int8_t *weights = job->weights + first * windows->taps;
    const int8_t *second = n > 2 ? weights + 2 * windows->taps : weights;
    const uint32_t count = windows->count;
    const uint32_t channels = job->out.tensor.channels;
    int32_t sums[BG_TILE_MAX * CHANNELS];
    int32x4_t totals;
    if (count == 1) {
        int32_t total[CHANNELS];
        weigh_2(weights, windows, sums, total);
        weigh_2(second, windows, sums + 2, total + 2);
        totals = vldrwq_s32(total);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            vstrwq_s32(sums + CHANNELS * i, vdupq_n_s32(0));
        }
        totals = weigh_4(weights, second, *windows, sums);
    }
    const bg_scales scales = bg_scales_of(job, first, n);
    const int32x4_t bias = vldrwq_z_s32(job->bias + first, scales.channels);
    const int32x4_t offset = vmlaq_n_s32(bias, totals, -job->in[0].tensor.zero_point);
    for (uint32_t i = 0; i < count; i++) {
        bg_store_codes(&scales, vaddq_s32(vldrwq_s32(sums + CHANNELS * i), offset), y);
        y += channels;
    }
}

void bg_weighted_byte_columns(const bg_job *job, const bg_byte_windows *windows, int8_t *y) {
    const uint32_t channels = job->out.tensor.channels;
    for (uint32_t first = 0; first < channels; first += CHANNELS) {
        const uint32_t left = channels - first;
        weigh_channels(job, windows, first, left < CHANNELS ? left : CHANNELS, y + first);
    }
}

#endif
