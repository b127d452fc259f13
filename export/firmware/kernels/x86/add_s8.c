/* ADD and SUB for hosts with AVX-512: 16 codes at a time. */
#include "x86.h"

#if BG_X86

#include "vnni.h"

enum { LANES = 16 };

typedef struct {
    __m512i zero_point, upper, lower, tie;
    __m128i right;
    __mmask16 shifted;
} code_scale;

VNNI_INLINE code_scale code_scale_of(const bg_job *job, uint32_t index) {
    const int32_t multiplier = job->multipliers[index];
    const int32_t right = -job->shifts[index];
    return (code_scale){
        .zero_point = _mm512_set1_epi32(job->in[index].tensor.zero_point),
        .upper = _mm512_set1_epi32(multiplier >> 16),
        .lower = _mm512_set1_epi32(multiplier & 0xFFFF),
        .tie = _mm512_set1_epi32((int32_t)((UINT32_C(1) << right) >> 1)),
        .right = _mm_cvtsi32_si128(right),
        .shifted = right > 0 ? 0xFFFF : 0,
    };
}

VNNI_INLINE bg_scales scales_of(const bg_job *job) {
    const int32_t right = -job->shifts[2];
    const int32_t zero_point = job->out.tensor.zero_point;
    const __m512i multiplier = _mm512_set1_epi32(job->multipliers[2]);
    return (bg_scales){
        .multiplier = multiplier,
        .multiplier_odd = multiplier,
        .left = _mm512_setzero_si512(),
        .right = _mm512_set1_epi32(right),
        .tie = _mm512_set1_epi32((int32_t)((UINT32_C(1) << right) >> 1)),
        .shifted = right > 0 ? 0xFFFF : 0,
        .low = _mm512_set1_epi32(job->layer->act_min - zero_point),
        .high = _mm512_set1_epi32(job->layer->act_max - zero_point),
        .zero_point = _mm512_set1_epi32(zero_point),
    };
}

/* bg_scale_code of 16 codes. */
VNNI_INLINE __m512i scale_codes(code_scale by, __m128i codes) {
    const __m512i x = _mm512_sub_epi32(_mm512_cvtepi8_epi32(codes), by.zero_point);
    const __m512i upper = _mm512_slli_epi32(_mm512_mullo_epi32(x, by.upper), 5);
    const __m512i lower = _mm512_mullo_epi32(x, by.lower);
    const __m512i half = _mm512_set1_epi32(1 << 10);
    const __m512i high =
        _mm512_add_epi32(upper, _mm512_srai_epi32(_mm512_add_epi32(lower, half), 11));
    const __m512i sign = _mm512_maskz_srai_epi32(by.shifted, high, 31);
    return _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(high, by.tie), sign), by.right);
}

VNNI void bg_add_codes_avx512(const bg_job *job, bg_run run, int32_t sign, int8_t *y) {
    const code_scale of_a = code_scale_of(job, 0);
    const code_scale of_b = code_scale_of(job, 1);
    const bg_scales of_sum = scales_of(job);
    const __m512i signs = _mm512_set1_epi32(sign >> 31);
    for (uint32_t i = 0; i < run.count; i += LANES) {
        const uint32_t left = run.count - i;
        const __mmask16 there = (__mmask16)(left < LANES ? (1U << left) - 1 : 0xFFFF);
        const __m512i a = scale_codes(of_a, _mm_maskz_loadu_epi8(there, run.a + i));
        const __m512i b = scale_codes(of_b, _mm_maskz_loadu_epi8(there, run.b + i));
        const __m512i signed_b = _mm512_sub_epi32(_mm512_xor_si512(b, signs), signs);
        const __m128i codes = bg_rescale_16(of_sum, _mm512_add_epi32(a, signed_b));
        _mm_mask_storeu_epi8(y + i, there, codes);
    }
}

#endif
