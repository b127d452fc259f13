#include "score.h"

enum {
    CENTRE_FRACTION_BITS = 8,     /* the centre lies between int8 steps */
    CENTRE_MAX = (1 << 22) - 1,   /* with OUTPUTS_MAX terms the sum stays below 2^61 */
    PARTS_MAX = 8,
    FRACTION_BITS_MAX = 62,
    CODES = 256,                  /* of an int8; their entries may be any int32: a sum of */
    OUTPUTS_MAX = 1 << 16,        /* OUTPUTS_MAX of them stays below 2^48 */
};

typedef struct {
    int32_t count; /* of consecutive outputs */
    int32_t entries[CODES];
} score_part;

/* The constants of BG_SCORE_TABLE_SUM. */
typedef struct {
    int32_t n_parts;
    int32_t fraction_bits; /* of an entry, for tools: a score is worth score / 2^fraction_bits */
    score_part parts[];
} score_tables;

static bool centre_is_good(const int32_t *centre, size_t n_words, size_t n_outputs) {
    if (n_words < n_outputs) {
        return false;
    }
    for (size_t i = 0; i < n_outputs; i++) {
        if (centre[i] > CENTRE_MAX || centre[i] < -CENTRE_MAX) {
            return false;
        }
    }
    return true;
}

static bool tables_are_good(const score_tables *tables, size_t n_words, size_t n_outputs) {
    const size_t head = sizeof *tables / sizeof(int32_t);
    if (n_words < head || tables->n_parts < 1 || tables->n_parts > PARTS_MAX ||
        tables->fraction_bits > FRACTION_BITS_MAX || tables->fraction_bits < -FRACTION_BITS_MAX) {
        return false;
    }
    const size_t n_parts = (size_t)tables->n_parts;
    if ((n_words - head) / (sizeof(score_part) / sizeof(int32_t)) < n_parts) {
        return false;
    }
    size_t left = n_outputs;
    for (size_t p = 0; p < n_parts; p++) {
        const int32_t count = tables->parts[p].count;
        if (count < 1 || (size_t)count > left) {
            return false;
        }
        left -= (size_t)count;
    }
    return left == 0;
}

bg_status bg_score_check(uint32_t rule, const int32_t *constants, size_t n_words,
                         size_t n_outputs) {
    bool good = false;
    if (rule == BG_SCORE_SQUARED_DISTANCE) {
        good = centre_is_good(constants, n_words, n_outputs);
    } else if (rule == BG_SCORE_TABLE_SUM) {
        good = tables_are_good((const void *)constants, n_words, n_outputs);
    }
    return good && n_outputs <= OUTPUTS_MAX ? BG_OK : BG_ERR_SCORE;
}

static int64_t squared_distance(const int32_t *centre, const bg_tensor *tensor,
                                const int8_t *output) {
    const size_t n = bg_tensor_bytes(tensor);
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t z = (output[i] - tensor->zero_point) * (1 << CENTRE_FRACTION_BITS);
        const int64_t difference = (int64_t)z - centre[i];
        sum += difference * difference;
    }
    return sum;
}

static int64_t table_sum(const score_tables *tables, const int8_t *output) {
    int64_t sum = 0;
    for (int32_t p = 0; p < tables->n_parts; p++) {
        const score_part *part = &tables->parts[p];
        for (int32_t i = 0; i < part->count; i++) {
            sum += part->entries[*output++ - INT8_MIN];
        }
    }
    return sum;
}

int64_t bg_score(const bg_blob_header *gate, const bg_tensor *tensor, const int8_t *output) {
    const void *constants = (const uint8_t *)gate + gate->score_constants;
    return gate->score_rule == BG_SCORE_TABLE_SUM ? table_sum(constants, output)
                                                  : squared_distance(constants, tensor, output);
}
