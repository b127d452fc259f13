/* Score rules: from a gate's int8 outputs to one integer, higher = more anomalous.
 *
 * Outside the network and exact, so that Python, host and board agree to the bit.
 */
#ifndef BG_SCORE_H
#define BG_SCORE_H

#include "blob.h"

/* Check a rule's constants, behind whose first one the blob has `n_words` of 4 bytes in all,
 * against the number of values they are to score. */
bg_status bg_score_check(uint32_t rule, const int32_t *constants, size_t n_words,
                         size_t n_outputs);

/* Return the score of a checked gate's `output`, which has the shape of `tensor`. */
int64_t bg_score(const bg_blob_header *gate, const bg_tensor *tensor, const int8_t *output);

#endif
