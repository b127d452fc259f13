/* The streaming form of a network, as the blob holds it: one row a tensor. docs/streaming.md.
 *
 * The columns of a tensor pass in the order in which the stream makes them; the new ones of a step
 * lie behind those of the past that a layer still reads.
 */
#ifndef BG_STREAM_PLAN_H
#define BG_STREAM_PLAN_H

#include "kernels/kernels.h"

enum { BG_SCRATCH_ALIGN = 4 };

/* Little-endian, no padding. */
typedef struct {
    uint16_t columns;     /* new ones its readers wait for; 0: a vector, made once a window, or a
                             constant */
    uint16_t carry;       /* columns of the past, in front of the new ones */
    uint32_t delay;       /* columns that pass before the first of window 0 */
    uint32_t offset;      /* of the carried columns, or of the vector */
    uint32_t scratch;     /* of the layer that writes this tensor, where it needs any */
    uint16_t last_reader; /* the layer after which the carried columns are renewed */
    uint16_t block;       /* output of a mean over time: columns in a block; else 0 */
    uint32_t pool;        /* output of a mean over time: offset of its bg_stream_pool; else 0 */
    uint16_t period;      /* steps in which the new columns come; its readers run that often */
    uint16_t tile;        /* of the layer that writes this tensor, instead of the layer's own */
} bg_stream_tensor;

/* A mean over time: a ring of blocks, of each the sum of every channel as int16, behind this. */
typedef struct {
    uint32_t skip; /* columns still to pass before the first of window 0 */
    uint32_t lag;  /* bg_stream_lag */
    uint16_t fill; /* columns in the current block */
    uint16_t slot; /* the current block */
} bg_stream_pool;

/* Output column i of an operator sees the `span` input columns from begin + i * stride on. */
typedef struct {
    uint32_t span;
    uint32_t stride;
    uint32_t begin;
} bg_reach;

static inline bg_reach bg_reach_of(const bg_layer *layer) {
    switch (layer->op) {
    case BG_OP_CONV:
    case BG_OP_DEPTHWISE_CONV:
    case BG_OP_AVERAGE_POOL:
    case BG_OP_MAX_POOL:
        return (bg_reach){(layer->kernel - 1U) * layer->dilation + 1U, layer->stride, 0};
    case BG_OP_STRIDED_SLICE:
        return (bg_reach){1, layer->stride, layer->pad_left};
    default:
        return (bg_reach){1, 1, 0};
    }
}

static inline bool bg_is_constant(const bg_tensor *tensor) {
    return (tensor->offset & BG_CONSTANT) != 0;
}

/* The columns a layer waits for, as those of its first input that has any; NULL where none has: the
 * layer runs at the end of a window. */
static inline const bg_stream_tensor *bg_stream_source(const bg_layer *layer,
                                                       const bg_stream_tensor *rows) {
    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        if (rows[layer->inputs[k]].columns > 0) {
            return &rows[layer->inputs[k]];
        }
    }
    return NULL;
}

/* How many columns in front of the new ones an operator begins to read input `in`; may be
 * negative. */
static inline int64_t bg_reach_back(const bg_layer *layer, const bg_stream_tensor *in,
                                    const bg_stream_tensor *out) {
    const bg_reach reach = bg_reach_of(layer);
    return (int64_t)out->delay * reach.stride - in->delay - reach.begin;
}

/* How many blocks a window of `width` columns touches. */
static inline uint32_t bg_stream_blocks(uint32_t width, uint32_t block) {
    return (width + block - 1) / block;
}

/* How many columns have passed when the first window ends. */
static inline uint32_t bg_stream_passed(const bg_blob_header *header, const bg_stream_tensor *rows,
                                        const bg_stream_tensor *in) {
    const uint32_t frames = header->window_len + rows[header->input].delay;
    return frames / header->stream_step / in->period * in->columns;
}

/* How many columns a mean stays behind its input: those which the network crops from the window's
 * end, so that a window's last column comes with its last frame and no block ends behind it. */
static inline uint32_t bg_stream_lag(const bg_blob_header *header, const bg_stream_tensor *rows,
                                     const bg_stream_tensor *in, uint32_t width) {
    const uint32_t needed = in->delay + width;
    const uint32_t passed = bg_stream_passed(header, rows, in);
    return passed < needed ? 0 : passed - needed;
}

/* How many of the columns that count for nothing belong to the steps before the first sample, which
 * are never run. */
static inline uint32_t bg_stream_unmade(const bg_blob_header *header, const bg_stream_tensor *rows,
                                        const bg_stream_tensor *in) {
    const uint32_t steps = rows[header->input].delay / header->stream_step;
    return steps / in->period * in->columns;
}

/* Bytes of a bg_stream_pool with its sums. */
static inline uint64_t bg_stream_pool_bytes(const bg_tensor *in, uint32_t block) {
    const uint64_t blocks = bg_stream_blocks(in->width, block);
    return sizeof(bg_stream_pool) + blocks * in->channels * sizeof(int16_t);
}

/* Scratch memory of a layer in the streaming form. */
static inline uint64_t bg_stream_scratch_bytes(const bg_layer *layer, const bg_tensor *tensors,
                                               const bg_stream_tensor *rows) {
    const bg_stream_tensor *source = bg_stream_source(layer, rows);
    bg_layer local = *layer;
    bg_tensor out = tensors[layer->output];
    local.tile = (uint8_t)rows[layer->output].tile;
    if (source != NULL) {
        out.width = (uint16_t)(source->columns / bg_reach_of(layer).stride);
    }
    return bg_scratch_bytes(&local, &tensors[layer->inputs[0]], &out);
}

#endif
