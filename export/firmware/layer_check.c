#include "layer_check.h"

#include "kernels/kernels.h"

enum {
    PER_CHANNEL = UINT8_MAX,
    LOOKUP_BYTES = 256,
    WEIGHTS_ALIGN = 4, /* kernels/dsp/dot.h: LDRD faults on addresses that are no multiple of it */
    /* A sum stays below 2^30, which kernels/dsp relies on: 2^14 * 255 * 128 + 2^29. */
    TERMS_MAX = 1 << 14,
    BIAS_MAX = 1 << 29,
};

/* A layer with its tensors. */
typedef struct {
    const bg_layer *layer;
    const bg_tensor *in[BG_INPUTS_MAX];
    const bg_tensor *out;
} view;

/* What an operator has: inputs, multipliers, shapes that agree, weights. */
typedef struct {
    uint8_t inputs_min, inputs_max;
    uint8_t n_scales; /* PER_CHANNEL: one an output channel */
    bool (*agree)(const view *v);
    uint64_t (*weight_bytes)(const view *v); /* NULL: no weights */
} rule;

static bool same_shape(const view *v) {
    return v->in[0]->width == v->out->width && v->in[0]->channels == v->out->channels;
}

/* Every window begins inside the input or in the padding in front of it. */
static bool windows_agree(const view *v) {
    const bg_layer *layer = v->layer;
    const int64_t last = (int64_t)(v->out->width - 1) * layer->stride - layer->pad_left;
    const uint32_t reach = (uint32_t)layer->kernel * layer->dilation;
    return layer->kernel > 0 && layer->stride > 0 && layer->dilation > 0 && reach <= UINT16_MAX &&
           layer->pad_left < reach && last < v->in[0]->width;
}

static bool conv_agrees(const view *v) {
    return windows_agree(v) && (uint32_t)v->layer->kernel * v->in[0]->channels <= TERMS_MAX &&
           v->layer->tile > 0 && v->layer->tile <= BG_TILE_MAX;
}

static bool depthwise_agrees(const view *v) {
    return windows_agree(v) && v->layer->kernel <= TERMS_MAX &&
           v->out->channels % v->in[0]->channels == 0;
}

static bool pool_agrees(const view *v) {
    return windows_agree(v) && v->layer->dilation == 1 && v->in[0]->channels == v->out->channels;
}

static bool fully_connected_agrees(const view *v) {
    return v->out->width == 1 && bg_tensor_bytes(v->in[0]) <= TERMS_MAX;
}

static bool broadcasts(const bg_tensor *in, const bg_tensor *out) {
    return (in->width == 1 || in->width == out->width) &&
           (in->channels == 1 || in->channels == out->channels);
}

static bool both_broadcast(const view *v) {
    return broadcasts(v->in[0], v->out) && broadcasts(v->in[1], v->out);
}

static bool mean_agrees(const view *v) {
    return v->out->width == 1 && v->in[0]->channels == v->out->channels;
}

static bool concatenation_agrees(const view *v) {
    const bool along_channels = v->out->width == v->in[0]->width;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < v->layer->n_inputs; i++) {
        const bg_tensor *in = v->in[i];
        if (along_channels ? in->width != v->out->width : in->channels != v->out->channels) {
            return false;
        }
        sum += along_channels ? in->channels : in->width;
    }
    return sum == (along_channels ? v->out->channels : v->out->width);
}

static bool slice_agrees(const view *v) {
    const bg_layer *layer = v->layer;
    const uint64_t last_column = layer->pad_left + (uint64_t)(v->out->width - 1) * layer->stride;
    const uint64_t last_channel = layer->kernel + (uint64_t)(v->out->channels - 1) * layer->dilation;
    return layer->stride > 0 && layer->dilation > 0 && last_column < v->in[0]->width &&
           last_channel < v->in[0]->channels;
}

static bool same_bytes(const view *v) {
    return bg_tensor_bytes(v->in[0]) == bg_tensor_bytes(v->out);
}

static bool pad_agrees(const view *v) {
    return (uint32_t)v->layer->pad_left + v->in[0]->width <= v->out->width &&
           (uint32_t)v->layer->kernel + v->in[0]->channels <= v->out->channels;
}

/* Channels in pairs, terms in fours. */
static uint64_t pairs_of(uint32_t terms, uint32_t channels) {
    return (uint64_t)bg_padded(terms) * ((channels + 1) / 2 * 2);
}

static uint64_t conv_weights(const view *v) {
    return pairs_of((uint32_t)v->layer->kernel * v->in[0]->channels, v->out->channels);
}

static uint64_t fully_connected_weights(const view *v) {
    return pairs_of((uint32_t)bg_tensor_bytes(v->in[0]), v->out->channels);
}

static uint64_t depthwise_weights(const view *v) {
    return (uint64_t)v->layer->kernel * v->out->channels;
}

static uint64_t lookup_weights(const view *v) {
    (void)v;
    return LOOKUP_BYTES;
}

static const rule rules[BG_OP_COUNT] = {
    [BG_OP_CONV] = {1, 1, PER_CHANNEL, conv_agrees, conv_weights},
    [BG_OP_FULLY_CONNECTED] = {1, 1, PER_CHANNEL, fully_connected_agrees, fully_connected_weights},
    [BG_OP_ADD] = {2, 2, 3, both_broadcast, NULL},
    [BG_OP_MEAN] = {1, 1, 1, mean_agrees, NULL},
    [BG_OP_DEPTHWISE_CONV] = {1, 1, PER_CHANNEL, depthwise_agrees, depthwise_weights},
    [BG_OP_SUB] = {2, 2, 3, both_broadcast, NULL},
    [BG_OP_MUL] = {2, 2, 1, both_broadcast, NULL},
    [BG_OP_AVERAGE_POOL] = {1, 1, 0, pool_agrees, NULL},
    [BG_OP_MAX_POOL] = {1, 1, 0, pool_agrees, NULL},
    [BG_OP_CONCATENATION] = {1, BG_INPUTS_MAX, 0, concatenation_agrees, NULL},
    [BG_OP_STRIDED_SLICE] = {1, 1, 0, slice_agrees, NULL},
    [BG_OP_RESHAPE] = {1, 1, 0, same_bytes, NULL},
    [BG_OP_PAD] = {1, 1, 0, pad_agrees, NULL},
    [BG_OP_LOOKUP] = {1, 1, 0, same_shape, lookup_weights},
};

bool bg_inside_blob(const bg_blob_header *header, uint32_t offset, uint64_t count, uint32_t size) {
    const uint32_t alignment = size == 1 ? 1 : 4;
    return offset >= sizeof *header && offset % alignment == 0 && offset <= header->length &&
           count * size <= header->length - offset;
}

/* The bias of an odd last channel has a zero behind it, as its weights have. */
static bg_status check_bias(const bg_blob_header *header, const view *v) {
    const uint32_t n = (v->out->channels + 1U) / 2 * 2;
    if (!bg_inside_blob(header, v->layer->bias, n, sizeof(int32_t))) {
        return BG_ERR_RANGE;
    }
    const int32_t *bias = (const void *)((const uint8_t *)header + v->layer->bias);
    for (uint32_t c = 0; c < n; c++) { /* the kernels sum in pairs: the last one's partner too */
        if (bias[c] > BIAS_MAX || bias[c] < -BIAS_MAX) {
            return BG_ERR_LAYER;
        }
    }
    return BG_OK;
}

static bg_status check_scales(const bg_blob_header *header, const bg_layer *layer, uint32_t n) {
    if (!bg_inside_blob(header, layer->multipliers, n, sizeof(int32_t)) ||
        !bg_inside_blob(header, layer->shifts, n, 1)) {
        return BG_ERR_RANGE;
    }
    const uint8_t *base = (const uint8_t *)header;
    const int32_t *multipliers = (const void *)(base + layer->multipliers);
    const int8_t *shifts = (const void *)(base + layer->shifts);
    /* A left shift in ADD or SUB could push the sum of the two inputs past int32. */
    const bool sums = layer->op == BG_OP_ADD || layer->op == BG_OP_SUB;
    const int8_t shift_max = sums ? 0 : 30;
    for (uint32_t i = 0; i < n; i++) {
        if (multipliers[i] < 0 || shifts[i] < -31 || shifts[i] > shift_max) {
            return BG_ERR_LAYER;
        }
    }
    return BG_OK;
}

static bool weights_fit(const bg_blob_header *header, const view *v, const rule *r) {
    return r->weight_bytes == NULL ||
           (v->layer->weights % WEIGHTS_ALIGN == 0 &&
            bg_inside_blob(header, v->layer->weights, r->weight_bytes(v), 1));
}

static bg_status check_constants(const bg_blob_header *header, const view *v, const rule *r) {
    if (!weights_fit(header, v, r)) {
        return BG_ERR_RANGE;
    }
    if (r->n_scales == PER_CHANNEL) {
        const bg_status status = check_bias(header, v);
        return status == BG_OK ? check_scales(header, v->layer, v->out->channels) : status;
    }
    return r->n_scales == 0 ? BG_OK : check_scales(header, v->layer, r->n_scales);
}

static bool scratch_fits(const bg_blob_header *header, const view *v) {
    const uint64_t bytes = bg_scratch_bytes(v->layer, v->in[0], v->out);
    return v->layer->scratch % 4 == 0 && v->layer->scratch + bytes <= header->activation_bytes;
}

bg_status bg_layer_check(const bg_blob_header *header, const bg_tensor *tensors,
                         const bg_layer *layer) {
    if (layer->op >= BG_OP_COUNT) {
        return BG_ERR_OPERATOR;
    }
    if (bg_operators[layer->op] == NULL) {
        return BG_ERR_NOT_LINKED;
    }
    const rule *r = &rules[layer->op];
    if (layer->n_inputs < r->inputs_min || layer->n_inputs > r->inputs_max ||
        layer->output >= header->n_tensors || layer->act_min > layer->act_max ||
        layer->reserved != 0) {
        return BG_ERR_LAYER;
    }
    view v = {.layer = layer, .out = &tensors[layer->output]};
    for (uint32_t i = 0; i < layer->n_inputs; i++) {
        if (layer->inputs[i] >= header->n_tensors) {
            return BG_ERR_LAYER;
        }
        v.in[i] = &tensors[layer->inputs[i]];
    }
    if (!r->agree(&v)) {
        return BG_ERR_LAYER;
    }
    return scratch_fits(header, &v) ? check_constants(header, &v, r) : BG_ERR_TENSOR;
}
