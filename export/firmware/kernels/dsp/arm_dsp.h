/* Instructions of the Arm DSP extension that C cannot say. */
#ifndef BG_ARM_DSP_H
#define BG_ARM_DSP_H

#include <stdint.h>

/* Bytes 0 and 2 (even) or 1 and 3 (odd) of x, sign-extended, plus the halves of `to`. */
static inline uint32_t bg_sxtab16_even(uint32_t to, uint32_t x) {
    uint32_t result;
    __asm("sxtab16 %0, %1, %2" : "=r"(result) : "r"(to), "r"(x));
    return result;
}

static inline uint32_t bg_sxtab16_odd(uint32_t to, uint32_t x) {
    uint32_t result;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(to), "r"(x));
    return result;
}

/* Bytes 0 and 2 (even) or 1 and 3 (odd) of x, sign-extended. */
static inline uint32_t bg_sxtb16_even(uint32_t x) {
    uint32_t result;
    __asm("sxtb16 %0, %1" : "=r"(result) : "r"(x));
    return result;
}

static inline uint32_t bg_sxtb16_odd(uint32_t x) {
    uint32_t result;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(x));
    return result;
}

/* sum + the product of the low halves of a and b, or of the high ones. */
static inline int32_t bg_smlabb(uint32_t a, uint32_t b, int32_t sum) {
    int32_t result;
    __asm("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t bg_smlatt(uint32_t a, uint32_t b, int32_t sum) {
    int32_t result;
    __asm("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* sum + round(a * b / 2^32), ties towards plus infinity. */
static inline int32_t bg_smmlar(int32_t a, int32_t b, int32_t sum) {
    int32_t result;
    __asm("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* x clamped to int8. */
static inline int32_t bg_ssat8(int32_t x) {
    int32_t result;
    __asm("ssat %0, #8, %1" : "=r"(result) : "r"(x) : "cc");
    return result;
}

#endif
