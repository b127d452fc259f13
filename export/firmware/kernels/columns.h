/* Which of some columns lie inside an input; the others are padding. */
#ifndef BG_COLUMNS_H
#define BG_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

/* Values in front of the inside ones, inside, and behind; `from` is where the inside ones begin. */
typedef struct {
    uint32_t before, from, inside, after;
} bg_span;

/* Columns [first, end), of `channels` values each, of an input that is `width` columns long. */
static inline bg_span bg_span_of(int32_t first, int32_t end, int32_t width, uint32_t channels) {
    const int32_t begin = first > 0 ? first : end < 0 ? end : 0;
    const int32_t stop = end < width ? end : begin < width ? width : begin;
    const bool any = stop > begin;
    return (bg_span){
        .before = (uint32_t)(begin - first) * channels,
        .from = any ? (uint32_t)begin * channels : 0,
        .inside = any ? (uint32_t)(stop - begin) * channels : 0,
        .after = (uint32_t)(end - (any ? stop : begin)) * channels,
    };
}

#endif
