/* Codes copied, filled in, and put into the order that weights are in. */
#ifndef BG_MVE_CODES_H
#define BG_MVE_CODES_H

#include "../kernels.h"

/* What memcpy and memset do, which are slow in small C libraries. */
void bg_copy_codes(const int8_t *from, uint32_t n, int8_t *to);
void bg_fill_codes(int32_t code, uint32_t n, int8_t *to);

/* Copy n codes in the weights' order; up to three behind them, to a multiple of 4, become 0. In
 * place where from is to. */
void bg_copy_in_order(const int8_t *from, uint32_t n, int8_t *to);

#endif
