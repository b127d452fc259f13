#include "weighted.h"

#if !BG_DSP && !BG_MVE

void bg_widen(const int8_t *x, uint32_t n, int32_t zero_point, int16_t *y) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = (int16_t)(x[i] - zero_point);
    }
}

#endif
