/* FULLY_CONNECTED for hosts with AVX-512 VNNI.
 *
 * A vector of weights is eight fours of each of two channels, as they lie in the blob; the codes are
 * laid out alike, every four twice. x86/conv_s8.c has the arithmetic. */
#include "x86.h"

#if BG_X86

#include "vnni.h"

enum {
    CHANNELS = 16,   /* at a time */
    PAIRS = 8,       /* of channels */
    TAPS_MAX = 4096, /* longer windows take the portable way */
    TERMS = 32,      /* of a channel in a vector of weights */
    BYTES = 64,      /* of a vector */
};

/* Codes + 128 in the order of the weights, every four twice. */
VNNI static void lay_out(const int8_t *codes, uint32_t terms, uint8_t *to) {
    for (uint32_t i = 0; i < terms; i += TERMS) {
        const uint32_t left = terms - i;
        const __mmask32 there = left < TERMS ? (UINT32_C(1) << left) - 1 : UINT32_MAX;
        const __m512i fours = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi8(there, codes + i));
        const __m512i twice = _mm512_or_si512(fours, _mm512_slli_epi64(fours, 32));
        const __m512i top = _mm512_set1_epi8(-128);
        _mm512_storeu_si512(to + 2 * (size_t)i, _mm512_xor_si512(bg_in_order(twice), top));
    }
}

/* Every pair's products with `x` in a vector, its channels in the even and in the odd lanes. They
 * take turns, since each waits for itself. */
VNNI_INLINE void weigh_pairs(const int8_t *const weights[PAIRS], const uint8_t *x, uint32_t bytes,
                             __m512i sums[PAIRS]) {
    uint32_t i = 0;
    for (; i + BYTES <= bytes; i += BYTES) {
        const __m512i codes = _mm512_loadu_si512(x + i);
#pragma GCC unroll 8
        for (uint32_t pair = 0; pair < PAIRS; pair++) {
            sums[pair] = bg_dot(sums[pair], codes, _mm512_loadu_si512(weights[pair] + i));
        }
    }
    const __mmask64 there = (UINT64_C(1) << (bytes - i)) - 1;
    const __m512i codes = _mm512_maskz_loadu_epi8(there, x + i);
#pragma GCC unroll 8
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        sums[pair] = bg_dot(sums[pair], codes, _mm512_maskz_loadu_epi8(there, weights[pair] + i));
    }
}

/* Every pair's weights, likewise. */
VNNI_INLINE void add_pairs(const int8_t *const weights[PAIRS], uint32_t bytes,
                           __m512i sums[PAIRS]) {
    const __m512i ones = _mm512_set1_epi8(1);
    for (uint32_t i = 0; i < bytes; i += BYTES) {
        const uint32_t left = bytes - i;
        const __mmask64 there = left < BYTES ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
#pragma GCC unroll 8
        for (uint32_t pair = 0; pair < PAIRS; pair++) {
            const __m512i w = _mm512_maskz_loadu_epi8(there, weights[pair] + i);
            sums[pair] = bg_dot(sums[pair], ones, w);
        }
    }
}

/* The sums of a vector's even lanes and of its odd ones, of each of eight vectors. */
VNNI_INLINE __m512i add_lanes(const __m512i of[PAIRS]) {
    __m512i twos[PAIRS / 2];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < PAIRS / 2; i++) {
        const __m512i a = of[2 * i];
        const __m512i b = of[2 * i + 1];
        twos[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    __m512i fours[2];
#pragma GCC unroll 2
    for (uint32_t i = 0; i < 2; i++) {
        const __m512i a = twos[2 * i];
        const __m512i b = twos[2 * i + 1];
        fours[i] = _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88),
                                    _mm512_shuffle_i64x2(a, b, 0xDD));
    }
    return _mm512_add_epi32(_mm512_shuffle_i64x2(fours[0], fours[1], 0x88),
                            _mm512_shuffle_i64x2(fours[0], fours[1], 0xDD));
}

/* Channels [first, first + n); pairs that are not there are read as the first, and not stored. */
VNNI static void weigh(const bg_job *job, const uint8_t *x, uint32_t taps, uint32_t first,
                       uint32_t n) {
    const int8_t *weights = job->weights + (size_t)first * taps;
    const int8_t *of[PAIRS];
    __m512i products[PAIRS] = {0};
    __m512i totals[PAIRS] = {0};
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        of[pair] = weights + (2 * pair < n ? 2 * pair * taps : 0);
    }
    weigh_pairs(of, x, 2 * taps, products);
    if (job->in[0].tensor.zero_point != -128) { /* else their product with the offset is 0 */
        add_pairs(of, 2 * taps, totals);
    }
    const bg_scales scales = bg_scales_of(job, first, n, add_lanes(totals));
    const __m512i sum = _mm512_add_epi32(add_lanes(products), scales.bias);
    _mm_mask_storeu_epi8(job->out.data + first, scales.channels, bg_rescale_16(scales, sum));
}

VNNI bool bg_fully_connected_s8_vnni(const bg_job *job) {
    const uint32_t terms = (uint32_t)bg_tensor_bytes(&job->in[0].tensor);
    const uint32_t channels = job->out.tensor.channels;
    if (terms > TAPS_MAX) {
        return false;
    }
    uint8_t x[2 * TAPS_MAX];
    lay_out(job->in[0].data, terms, x);
    for (uint32_t first = 0; first < channels; first += CHANNELS) {
        const uint32_t left = channels - first;
        weigh(job, x, bg_padded(terms), first, left < CHANNELS ? left : CHANNELS);
    }
    return true;
}

#endif
