/* Weighted sums of windows with Helium: 16 products an instruction. docs/kernels.md.
 *
 * Codes stay 8 bits wide, and the zero point goes into the bias:
 *
 *   sum w (x - zero point) = sum w x - zero point * sum w
 *
 * Weights lie as for the other cores, terms 0 2 1 3. VLD2 parts the two channels of a pair, and the
 * windows are put into the weights' order, for which each has to begin at a multiple of 4. */
#ifndef BG_MVE_WEIGHTED_H
#define BG_MVE_WEIGHTED_H

#include "../kernels.h"

/* Window i starts at x + i * step; its terms are in the weights' order. What lies behind them, up to
 * `taps`, counts for nothing. */
typedef struct {
    const int8_t *x; /* aligned to 4, as is step */
    uint32_t step;
    uint32_t count; /* 1 to BG_TILE_MAX */
    uint32_t taps;  /* codes of a window, a multiple of 4 */
} bg_byte_windows;

/* Every output channel of `windows.count` columns, to y. */
void bg_weighted_byte_columns(const bg_job *job, const bg_byte_windows *windows, int8_t *y);

#endif
