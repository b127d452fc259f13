/* Score rules: from a gate's int8 outputs to one integer, higher = more anomalous.
 *
 * Outside the network and exact, so that Python, host and board agree to the bit.
 */
#ifndef BG_SCORE_H
#define BG_SCORE_H

#include "model.h"

bg_status bg_score_check(uint32_t rule, const int32_t *constants, size_t n_outputs);

int64_t bg_score(const bg_model *model, const int8_t *output);

#endif
