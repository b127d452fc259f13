#include "../weighted.h"

#if BG_DSP

#include <string.h>

#include "arm_dsp.h"

void bg_widen(const int8_t *x, uint32_t n, int32_t zero_point, int16_t *y) {
    const uint32_t low = (uint32_t)-zero_point & UINT16_MAX;
    const uint32_t both = low | low << 16;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32_t codes;
        memcpy(&codes, x + i, sizeof codes);
        const uint32_t even = bg_sxtab16_even(both, codes);
        const uint32_t odd = bg_sxtab16_odd(both, codes);
        const uint32_t first = (even & UINT16_MAX) | odd << 16;
        const uint32_t second = even >> 16 | (odd & ~(uint32_t)UINT16_MAX);
        memcpy(y + i, &first, sizeof first);
        memcpy(y + i + 2, &second, sizeof second);
    }
    for (; i < n; i++) {
        y[i] = (int16_t)(x[i] - zero_point);
    }
}

#endif
