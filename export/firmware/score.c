#include "score.h"

enum {
    CENTRE_FRACTION_BITS = 8,     /* the centre lies between int8 steps */
    CENTRE_MAX = (1 << 22) - 1,   /* with OUTPUTS_MAX terms the sum stays below 2^62 */
    OUTPUTS_MAX = 1 << 14,
};

bg_status bg_score_check(uint32_t rule, const int32_t *constants, size_t n_outputs) {
    if (rule != BG_SCORE_SQUARED_DISTANCE || n_outputs > OUTPUTS_MAX) {
        return BG_ERR_SCORE;
    }
    for (size_t i = 0; i < n_outputs; i++) {
        if (constants[i] > CENTRE_MAX || constants[i] < -CENTRE_MAX) {
            return BG_ERR_SCORE;
        }
    }
    return BG_OK;
}

int64_t bg_score(const bg_blob_header *gate, const bg_tensor *tensor, const int8_t *output) {
    const int32_t *centre = (const void *)((const uint8_t *)gate + gate->score_constants);
    const size_t n = bg_tensor_bytes(tensor);
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t z = (output[i] - tensor->zero_point) * (1 << CENTRE_FRACTION_BITS);
        const int64_t difference = (int64_t)z - centre[i];
        sum += difference * difference;
    }
    return sum;
}
