/* The model blob (`*.bgm`): one network with everything it needs to decide. docs/blob-format.md.
 *
 * Position-independent, little-endian, aligned to 16 bytes, run in place from flash. All offsets
 * count from the first byte of the header.
 */
#ifndef BG_BLOB_H
#define BG_BLOB_H

#include <stdint.h>

#include "chain.h"
#include "status.h"

enum {
    BG_ALIGN = 16,
    BG_MAGIC = 0x314D4742, /* "BGM1" */
    BG_MAGIC_SWAPPED = 0x42474D31, /* the same of a big-endian writer */
    BG_VERSION = 3,
    BG_CRC_START = 16, /* the checksum covers everything behind it */
    BG_TENSORS_MAX = 128,
    BG_LAYERS_MAX = 128,
    BG_INPUTS_MAX = 4, /* of one layer */
    BG_TILE_MAX = 16, /* columns */
};

typedef enum { BG_ROLE_GATE = 0, BG_ROLE_CLASSIFIER = 1 } bg_role;

typedef enum {
    BG_OP_CONV = 0, /* 1-D convolution: CONV_2D with height 1 */
    BG_OP_FULLY_CONNECTED = 1,
    BG_OP_ADD = 2,
    BG_OP_MEAN = 3, /* over time */
    BG_OP_DEPTHWISE_CONV = 4,
    BG_OP_SUB = 5,
    BG_OP_MUL = 6,
    BG_OP_AVERAGE_POOL = 7,
    BG_OP_MAX_POOL = 8,
    BG_OP_CONCATENATION = 9,
    BG_OP_STRIDED_SLICE = 10,
    BG_OP_RESHAPE = 11,
    BG_OP_PAD = 12,
    BG_OP_LOOKUP = 13, /* any function of one code: activations, QUANTIZE */
    BG_OP_COUNT
} bg_op;

typedef enum {
    BG_SCORE_NONE = 0,             /* a classifier: the output is its logits */
    BG_SCORE_SQUARED_DISTANCE = 1, /* to a centre */
    BG_SCORE_TABLE_SUM = 2,        /* of the output codes' table entries, a table a part */
} bg_score_rule;

typedef struct {
    uint32_t magic;
    uint16_t version;
    uint16_t role; /* bg_role */
    uint32_t length;
    uint32_t crc32;            /* IEEE 802.3, of bytes [BG_CRC_START, length) */
    uint8_t source_sha256[32]; /* of the .tflite this was made from */
    int64_t threshold;         /* a gate rejects iff score > threshold */
    bg_chain_settings chain;
    uint32_t window_len; /* frames at the model's rate */
    uint32_t hop_len;
    uint32_t activation_bytes;
    uint32_t tensors; /* offset of bg_tensor[n_tensors] */
    uint32_t layers;  /* offset of bg_layer[n_layers], in order of execution */
    uint16_t n_tensors;
    uint16_t n_layers;
    uint16_t input; /* tensor index */
    uint16_t output;
    uint32_t score_rule;      /* bg_score_rule */
    uint32_t score_constants; /* offset, 0 where the rule needs none */
    uint32_t taps;            /* offset of the chain's int16 taps; 0 where it does not resample */
    uint32_t stream;          /* offset of bg_stream_tensor[n_tensors]; 0: whole windows only */
    uint32_t stream_bytes;    /* memory of the streaming form, which holds its state too */
    uint32_t stream_step;     /* frames from one execution to the next */
} bg_blob_header;

/* A constant is a tensor whose bytes lie in the blob; no layer writes it. */
#define BG_CONSTANT (UINT32_C(1) << 31)

typedef struct {
    uint32_t offset; /* in the activation memory; with BG_CONSTANT set, in the blob */
    uint16_t width;  /* time steps; 1 for a vector */
    uint16_t channels;
    int32_t zero_point;
    float scale;
} bg_tensor;

typedef struct {
    uint8_t op; /* bg_op */
    uint8_t n_inputs;
    uint8_t inputs[BG_INPUTS_MAX];
    uint8_t output;
    uint8_t tile;      /* CONV: columns widened at a time; FULLY_CONNECTED: 1 */
    uint16_t kernel;   /* taps; STRIDED_SLICE: first channel; PAD: channels in front */
    uint16_t stride;   /* columns; STRIDED_SLICE too */
    uint16_t dilation; /* columns between taps; STRIDED_SLICE: channel step */
    uint16_t pad_left; /* columns; STRIDED_SLICE: first column */
    int8_t act_min;    /* fused activation, as a range of the output */
    int8_t act_max;
    uint16_t reserved;
    uint32_t scratch;     /* offset in the activation memory, where bg_scratch_bytes is not 0 */
    uint32_t weights;     /* int8; docs/blob-format.md has the order. LOOKUP: 256 values */
    uint32_t bias;        /* int32 [channels out] */
    uint32_t multipliers; /* int32 [channels out]; ADD, SUB: input, input2, output; else one */
    uint32_t shifts;      /* int8, as many as multipliers; positive shifts left */
} bg_layer;

/* Return the resampler's taps, NULL where the chain has none. */
static inline const int16_t *bg_blob_taps(const bg_blob_header *header) {
    return header->taps == 0 ? NULL : (const void *)((const uint8_t *)header + header->taps);
}

/* Return the number of bytes of a tensor. */
static inline size_t bg_tensor_bytes(const bg_tensor *tensor) {
    return (size_t)tensor->width * tensor->channels;
}

/* Weighted sums take four terms at a time; weights and windows are filled up with zeros. */
static inline uint32_t bg_padded(uint32_t terms) {
    return (terms + 3) / 4 * 4;
}

/* Return the values from one widened window of a convolution to the next. */
static inline uint32_t bg_window_step(const bg_layer *layer, const bg_tensor *in) {
    return layer->dilation == 1 ? (uint32_t)layer->stride * in->channels
                                : bg_padded((uint32_t)layer->kernel * in->channels);
}

/* Return the scratch memory a layer needs beside its tensors: the windows of one tile, widened to
 * 16 bits. 64 bits hold it whatever the blob says. */
static inline uint64_t bg_scratch_bytes(const bg_layer *layer, const bg_tensor *in,
                                        const bg_tensor *out) {
    if (layer->op == BG_OP_FULLY_CONNECTED) {
        return bg_padded((uint32_t)bg_tensor_bytes(in)) * sizeof(int16_t);
    }
    if (layer->op != BG_OP_CONV) {
        return 0;
    }
    const uint64_t columns = out->width < layer->tile ? out->width : layer->tile;
    const uint64_t taps = bg_padded((uint32_t)layer->kernel * in->channels);
    return ((columns - 1) * bg_window_step(layer, in) + taps) * sizeof(int16_t);
}

#endif
