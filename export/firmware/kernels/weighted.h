/* Weighted sums of windows: what CONV and FULLY_CONNECTED share. docs/kernels.md has the layout.
 *
 * What they are made of - dot.h, rescale.c, widen.c - exists twice: in portable C and, in dsp/, for
 * the Arm DSP extension. With Helium mve/ takes their place. The compiler's target chooses.
 */
#ifndef BG_WEIGHTED_H
#define BG_WEIGHTED_H

#include "kernels.h"
#include "target.h"

/* Windows of widened codes, zero point removed. Window i starts at x + i * step. */
typedef struct {
    const int16_t *x; /* aligned to 4 */
    uint32_t step;
    uint32_t count; /* 1 to BG_TILE_MAX */
    uint32_t taps;  /* values of a window, a multiple of 4; the weights behind its end are 0 */
} bg_windows;

/* Every output channel of `windows.count` columns, to y. */
void bg_weighted_columns(const bg_job *job, const bg_windows *windows, int8_t *y);

/* y[i * channels] = sums[i] as a code of `channel`. */
void bg_rescale_row(const bg_job *job, uint32_t channel, const int32_t *sums, uint32_t count,
                    int8_t *y);

/* y[i] = sums[i] as a code of channel first + i. */
void bg_rescale_column(const bg_job *job, uint32_t first, const int32_t *sums, uint32_t count,
                       int8_t *y);

/* y[i] = x[i] - zero_point. */
void bg_widen(const int8_t *x, uint32_t n, int32_t zero_point, int16_t *y);

#endif
