/* What the kernels for AVX-512 VNNI share: the dot product, the copy of codes, requantisation. */
#ifndef BG_VNNI_H
#define BG_VNNI_H

#include <immintrin.h>

#include "../kernels.h"

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI __attribute__((always_inline)) static inline

/* A channel in each lane, or the same one. */
typedef struct {
    __m512i bias, multiplier, multiplier_odd, left, right, tie, low, high, zero_point;
    __mmask16 channels; /* that are there */
    __mmask16 shifted;  /* to the right */
} bg_scales;

/* Channels [first, first + n), n up to 16. The bias is that for codes + 128: it takes `totals`, the
 * sums of the weights, into account. */
VNNI_INLINE bg_scales bg_scales_of(const bg_job *job, uint32_t first, uint32_t n, __m512i totals) {
    const __mmask16 channels = (__mmask16)((1U << n) - 1);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i shift =
        _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(channels, job->shifts + first));
    const __m512i right = _mm512_max_epi32(_mm512_sub_epi32(zero, shift), zero);
    const __m512i multiplier = _mm512_maskz_loadu_epi32(channels, job->multipliers + first);
    const __m512i bias = _mm512_maskz_loadu_epi32(channels, job->bias + first);
    const __m512i offset = _mm512_set1_epi32(128 + job->in[0].tensor.zero_point);
    const int32_t zero_point = job->out.tensor.zero_point;
    return (bg_scales){
        .bias = _mm512_sub_epi32(bias, _mm512_mullo_epi32(offset, totals)),
        .multiplier = multiplier,
        .multiplier_odd = _mm512_srli_epi64(multiplier, 32),
        .left = _mm512_max_epi32(shift, zero),
        .right = right,
        .tie = _mm512_srli_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), right), 1),
        .shifted = _mm512_test_epi32_mask(right, right),
        .low = _mm512_set1_epi32(job->layer->act_min - zero_point),
        .high = _mm512_set1_epi32(job->layer->act_max - zero_point),
        .zero_point = _mm512_set1_epi32(zero_point),
        .channels = channels,
    };
}

/* From terms 0 2 1 3 to 0 1 2 3, and back. */
VNNI_INLINE __m512i bg_in_order(__m512i fours) {
    const __m512i order = _mm512_set4_epi32(0x0F0D0E0C, 0x0B090A08, 0x07050604, 0x03010200);
    return _mm512_shuffle_epi8(fours, order);
}

/* GCC's own use of the instruction copies every accumulator, every time. */
VNNI_INLINE __m512i bg_dot(__m512i sum, __m512i codes, __m512i weights) {
    __asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(weights));
    return sum;
}

/* Codes + 128, which is a change of one bit. */
VNNI_INLINE void bg_copy_codes(const int8_t *from, size_t n, uint8_t *to) {
    const __m512i top = _mm512_set1_epi8(-128);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        _mm512_storeu_si512(to + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), top));
    }
    const __mmask64 left = (__mmask64)((UINT64_C(1) << (n - i)) - 1);
    _mm512_mask_storeu_epi8(
        to + i, left, _mm512_xor_si512(_mm512_maskz_loadu_epi8(left, from + i), top));
}

/* bg_requantize and bg_to_output of 16 sums. */
VNNI_INLINE __m128i bg_rescale_16(bg_scales to, __m512i sum) {
    const __m512i x = _mm512_sllv_epi32(sum, to.left);
    const __m512i half = _mm512_set1_epi64(1 << 30);
    const __m512i x_odd = _mm512_srli_epi64(x, 32);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, to.multiplier), half);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(x_odd, to.multiplier_odd), half);
    const __m512i high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31),
                                                 _mm512_slli_epi64(odd, 1));
    const __m512i sign = _mm512_maskz_srai_epi32(to.shifted, high, 31);
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(high, to.tie), sign);
    const __m512i scaled = _mm512_srav_epi32(rounded, to.right);
    const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(scaled, to.low), to.high);
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(clamped, to.zero_point));
}

#endif
