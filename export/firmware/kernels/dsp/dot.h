/* kernels/dot.h for the Arm DSP extension.
 *
 * SXTB16 makes of four packed weights taps 0 and 1, and with a rotation by 8 taps 2 and 3: what two
 * words of a window hold. The compilers' own schedules of these loops spill; hence the assembly. */
#ifndef BG_DSP_DOT_H
#define BG_DSP_DOT_H

#include "../weighted.h"

/* Four taps, two channels, two windows: 16 products in 17 instructions. */
#define TAPS_2X2                                                                                   \
    "ldrd    %[f], %[g], [%[w]], #8\n"                                                             \
    "ldr     %[x1], [%[x], %[step]]\n"                                                             \
    "ldr     %[x0], [%[x]], #4\n"                                                                  \
    "sxtb16  %[t], %[f]\n"                                                                         \
    "sxtb16  %[f], %[f], ror #8\n"                                                                 \
    "smlad   %[a0], %[t], %[x0], %[a0]\n"                                                          \
    "smlad   %[a1], %[t], %[x1], %[a1]\n"                                                          \
    "sxtb16  %[t], %[g]\n"                                                                         \
    "sxtb16  %[g], %[g], ror #8\n"                                                                 \
    "smlad   %[b0], %[t], %[x0], %[b0]\n"                                                          \
    "smlad   %[b1], %[t], %[x1], %[b1]\n"                                                          \
    "ldr     %[x1], [%[x], %[step]]\n"                                                             \
    "ldr     %[x0], [%[x]], #4\n"                                                                  \
    "smlad   %[a0], %[f], %[x0], %[a0]\n"                                                          \
    "smlad   %[a1], %[f], %[x1], %[a1]\n"                                                          \
    "smlad   %[b0], %[g], %[x0], %[b0]\n"                                                          \
    "smlad   %[b1], %[g], %[x1], %[b1]\n"

/* Four taps, four channels, one window: 16 products in 19 instructions. */
#define TAPS_4X1                                                                                   \
    "ldrd    %[x0], %[x1], [%[x]], #8\n"                                                           \
    "ldrd    %[f], %[g], [%[w]], #8\n"                                                             \
    "sxtb16  %[t], %[f]\n"                                                                         \
    "sxtb16  %[f], %[f], ror #8\n"                                                                 \
    "smlad   %[a0], %[t], %[x0], %[a0]\n"                                                          \
    "smlad   %[a0], %[f], %[x1], %[a0]\n"                                                          \
    "sxtb16  %[t], %[g]\n"                                                                         \
    "sxtb16  %[g], %[g], ror #8\n"                                                                 \
    "smlad   %[a1], %[t], %[x0], %[a1]\n"                                                          \
    "smlad   %[a1], %[g], %[x1], %[a1]\n"                                                          \
    "ldrd    %[f], %[g], [%[v]], #8\n"                                                             \
    "sxtb16  %[t], %[f]\n"                                                                         \
    "sxtb16  %[f], %[f], ror #8\n"                                                                 \
    "smlad   %[b0], %[t], %[x0], %[b0]\n"                                                          \
    "smlad   %[b0], %[f], %[x1], %[b0]\n"                                                          \
    "sxtb16  %[t], %[g]\n"                                                                         \
    "sxtb16  %[g], %[g], ror #8\n"                                                                 \
    "smlad   %[b1], %[t], %[x0], %[b1]\n"                                                          \
    "smlad   %[b1], %[g], %[x1], %[b1]\n"

/* Twice a round; an odd number of fours, which is bit 3 of their bytes, enters in the middle. */
#define LOOP(taps)                                                                                 \
    "subs    %[t], %[end], %[w]\n"                                                                 \
    "lsls    %[t], %[t], #28\n"                                                                    \
    "bmi     2f\n"                                                                                 \
    "1:\n" taps "2:\n" taps                                                                        \
    "cmp     %[w], %[end]\n"                                                                       \
    "bne     1b\n"

static inline void bg_dot_2x2(const int8_t *weights, uint32_t taps, const int16_t *x,
                              uint32_t step, int32_t a, int32_t b, int32_t *first,
                              int32_t *second, uint32_t gap) {
    int32_t a0 = a, a1 = a, b0 = b, b1 = b;
    const int8_t *end = weights + 2 * taps;
    uint32_t f, g, x0, x1, t;
    __asm volatile(LOOP(TAPS_2X2)
                   : [a0] "+&r"(a0), [a1] "+&r"(a1), [b0] "+&r"(b0), [b1] "+&r"(b1),
                     [w] "+&r"(weights), [x] "+&r"(x), [t] "=&r"(t), [f] "=&r"(f), [g] "=&r"(g),
                     [x0] "=&r"(x0), [x1] "=&r"(x1)
                   : [step] "r"(step * sizeof *x), [end] "r"(end)
                   : "cc", "memory");
    first[0] = a0;
    first[gap] = a1;
    second[0] = b0;
    second[gap] = b1;
}

static inline void bg_dot_4x1(const int8_t *weights, uint32_t taps, const int16_t *x,
                              const int32_t bias[4], int32_t sums[4]) {
    int32_t a0 = bias[0], a1 = bias[1], b0 = bias[2], b1 = bias[3];
    const int8_t *end = weights + 2 * taps;
    const int8_t *second = end;
    uint32_t f, g, x0, x1, t;
    __asm volatile(LOOP(TAPS_4X1)
                   : [a0] "+&r"(a0), [a1] "+&r"(a1), [b0] "+&r"(b0), [b1] "+&r"(b1),
                     [w] "+&r"(weights), [v] "+&r"(second), [x] "+&r"(x), [t] "=&r"(t),
                     [f] "=&r"(f), [g] "=&r"(g), [x0] "=&r"(x0), [x1] "=&r"(x1)
                   : [end] "r"(end)
                   : "cc", "memory");
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = b0;
    sums[3] = b1;
}

#undef TAPS_2X2
#undef TAPS_4X1
#undef LOOP

#endif
