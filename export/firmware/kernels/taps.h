/* Which taps of a kernel lie inside the input: a tap in the padding counts for nothing. */
#ifndef BG_TAPS_H
#define BG_TAPS_H

#include "kernels.h"

typedef struct {
    int32_t first, end; /* [first, end) of the kernel */
    int32_t start;      /* input column under tap `first` */
} bg_taps;

static inline bg_taps bg_taps_inside(const bg_layer *layer, int32_t width, int32_t column) {
    const int32_t dilation = layer->dilation;
    const int32_t left = column * layer->stride - layer->pad_left;
    const int32_t first = left < 0 ? (-left + dilation - 1) / dilation : 0;
    const int32_t room = width - left; /* columns from the leftmost tap to the end of the input */
    const int32_t reach = room > 0 ? (room + dilation - 1) / dilation : 0;
    const int32_t end = reach < layer->kernel ? reach : layer->kernel;
    return (bg_taps){.first = first, .end = end, .start = left + first * dilation};
}

#endif
