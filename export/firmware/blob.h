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
    BG_VERSION = 2,
    BG_CRC_START = 16, /* the checksum covers everything behind it */
    BG_TENSORS_MAX = 128,
    BG_LAYERS_MAX = 128,
};

typedef enum { BG_ROLE_GATE = 0, BG_ROLE_CLASSIFIER = 1 } bg_role;

typedef enum {
    BG_OP_CONV = 0, /* 1-D convolution: CONV_2D with height 1 */
    BG_OP_FULLY_CONNECTED = 1,
    BG_OP_ADD = 2,
    BG_OP_MEAN = 3, /* over time */
} bg_op;

typedef enum {
    BG_SCORE_NONE = 0,             /* a classifier: the output is its logits */
    BG_SCORE_SQUARED_DISTANCE = 1, /* to a centre */
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
    uint32_t reserved;        /* zero */
} bg_blob_header;

typedef struct {
    uint32_t offset; /* in the activation memory */
    uint16_t width;  /* time steps; 1 for a vector */
    uint16_t channels;
    int32_t zero_point;
    float scale;
} bg_tensor;

typedef struct {
    uint8_t op; /* bg_op */
    uint8_t input;
    uint8_t input2; /* ADD only */
    uint8_t output;
    uint16_t kernel;
    uint16_t stride;
    uint16_t dilation;
    uint16_t pad_left;
    int8_t act_min; /* fused activation, as a range of the output */
    int8_t act_max;
    uint16_t reserved;
    uint32_t weights;     /* int8 [channels out][kernel][channels in]; 0 where there are none */
    uint32_t bias;        /* int32 [channels out] */
    uint32_t multipliers; /* int32 [channels out]; ADD: input, input2, output; MEAN: one */
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

#endif
