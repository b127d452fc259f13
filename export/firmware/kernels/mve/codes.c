#include "../weighted.h"

#if BG_MVE

#include <arm_mve.h>

#include "codes.h"

enum { AT_ONCE = 16 };

void bg_copy_codes(const int8_t *from, uint32_t n, int8_t *to) {
    for (uint32_t i = 0; i < n; i += AT_ONCE) {
        const mve_pred16_t there = vctp8q(n - i);
        vstrbq_p_s8(to + i, vldrbq_z_s8(from + i, there), there);
    }
}

void bg_fill_codes(int32_t code, uint32_t n, int8_t *to) {
    for (uint32_t i = 0; i < n; i += AT_ONCE) {
        vstrbq_p_s8(to + i, vdupq_n_s8((int8_t)code), vctp8q(n - i));
    }
}

/* Terms 1 and 2 of every four change places. */
void bg_copy_in_order(const int8_t *from, uint32_t n, int8_t *to) {
    const mve_pred16_t middle = 0x6666;
    const uint32_t padded = bg_padded(n);
    for (uint32_t i = 0; i < n; i += AT_ONCE) {
        const int8x16_t x = vldrbq_z_s8(from + i, vctp8q(n - i));
        vstrbq_p_s8(to + i, vpselq_s8(vrev32q_s8(x), x, middle), vctp8q(padded - i));
    }
}

#endif
