#include "blob_check.h"

#include "crc32.h"
#include "score.h"

enum {
    ACTIVATION_BYTES_MAX = 1 << 24,
    TERMS_MAX = 1 << 15, /* of one dot product: 2^15 * 255 * 128 + 2^30 stays inside int32 */
    BIAS_MAX = 1 << 30,
};

/* Whether `count` items of `size` bytes at `offset`, words aligned to 4, lie inside the blob. */
static bool inside(const bg_blob_header *header, uint32_t offset, uint64_t count, uint32_t size) {
    const uint32_t alignment = size == 1 ? 1 : 4;
    return offset >= sizeof *header && offset % alignment == 0 && offset <= header->length &&
           count * size <= header->length - offset;
}

static bool is_int8(int32_t value) {
    return value >= INT8_MIN && value <= INT8_MAX;
}

static bg_status check_envelope(const void *data, size_t bytes, bg_role role) {
    const bg_blob_header *header = data;
    if ((uintptr_t)data % BG_ALIGN != 0) {
        return BG_ERR_ALIGNMENT;
    }
    if (data == NULL || bytes < sizeof *header) {
        return BG_ERR_TRUNCATED;
    }
    if (header->magic != BG_MAGIC) {
        return BG_ERR_MAGIC;
    }
    if (header->version != BG_VERSION) {
        return BG_ERR_VERSION;
    }
    if (header->length < sizeof *header || header->length > bytes) {
        return BG_ERR_TRUNCATED;
    }
    const uint8_t *covered = (const uint8_t *)data + BG_CRC_START;
    if (bg_crc32(covered, header->length - BG_CRC_START) != header->crc32) {
        return BG_ERR_CRC;
    }
    if (header->reserved != 0) {
        return BG_ERR_VERSION; /* a later format's field */
    }
    return header->role == (uint16_t)role ? BG_OK : BG_ERR_ROLE;
}

static bg_status check_tensors(const bg_blob_header *header, const bg_tensor *tensors) {
    if (header->activation_bytes > ACTIVATION_BYTES_MAX) {
        return BG_ERR_TENSOR;
    }
    for (uint32_t i = 0; i < header->n_tensors; i++) {
        const uint32_t bytes = (uint32_t)tensors[i].width * tensors[i].channels;
        if (bytes == 0 || !is_int8(tensors[i].zero_point) ||
            bytes > header->activation_bytes ||
            tensors[i].offset > header->activation_bytes - bytes) {
            return BG_ERR_TENSOR;
        }
    }
    return BG_OK;
}

/* How many multipliers and shifts a layer has; 0 for an operator we do not know. */
static uint32_t n_scales(const bg_layer *layer, const bg_tensor *out) {
    switch (layer->op) {
    case BG_OP_CONV:
    case BG_OP_FULLY_CONNECTED:
        return out->channels;
    case BG_OP_ADD:
        return 3;
    case BG_OP_MEAN:
        return 1;
    default:
        return 0;
    }
}

static bool shapes_agree(const bg_layer *layer, const bg_tensor *in, const bg_tensor *in2,
                         const bg_tensor *out) {
    switch (layer->op) {
    case BG_OP_CONV: {
        const int64_t last = (int64_t)(out->width - 1) * layer->stride - layer->pad_left;
        return layer->kernel > 0 && layer->stride > 0 && layer->dilation > 0 &&
               (uint32_t)layer->kernel * in->channels <= TERMS_MAX &&
               (uint32_t)layer->kernel * layer->dilation <= UINT16_MAX &&
               layer->pad_left < layer->kernel * layer->dilation && last < in->width;
    }
    case BG_OP_FULLY_CONNECTED:
        return out->width == 1 && (uint32_t)in->width * in->channels <= TERMS_MAX;
    case BG_OP_ADD:
        return in->width == in2->width && in->channels == in2->channels &&
               in->width == out->width && in->channels == out->channels;
    default: /* BG_OP_MEAN */
        return out->width == 1 && in->channels == out->channels;
    }
}

static bg_status check_weights(const bg_blob_header *header, const bg_layer *layer,
                               const bg_tensor *in, const bg_tensor *out) {
    const uint64_t terms = layer->op == BG_OP_CONV ? (uint64_t)layer->kernel * in->channels
                                                   : (uint64_t)in->width * in->channels;
    if (!inside(header, layer->weights, terms * out->channels, 1) ||
        !inside(header, layer->bias, out->channels, sizeof(int32_t))) {
        return BG_ERR_RANGE;
    }
    const int32_t *bias = (const void *)((const uint8_t *)header + layer->bias);
    for (uint32_t c = 0; c < out->channels; c++) {
        if (bias[c] > BIAS_MAX || bias[c] < -BIAS_MAX) {
            return BG_ERR_LAYER;
        }
    }
    return BG_OK;
}

static bg_status check_scales(const bg_blob_header *header, const bg_layer *layer, uint32_t n) {
    if (!inside(header, layer->multipliers, n, sizeof(int32_t)) ||
        !inside(header, layer->shifts, n, 1)) {
        return BG_ERR_RANGE;
    }
    const uint8_t *base = (const uint8_t *)header;
    const int32_t *multipliers = (const void *)(base + layer->multipliers);
    const int8_t *shifts = (const void *)(base + layer->shifts);
    /* A left shift in ADD could push the sum of its two inputs past int32. */
    const int8_t shift_max = layer->op == BG_OP_ADD ? 0 : 30;
    for (uint32_t i = 0; i < n; i++) {
        if (multipliers[i] < 0 || shifts[i] < -31 || shifts[i] > shift_max) {
            return BG_ERR_LAYER;
        }
    }
    return BG_OK;
}

static bg_status check_layer(const bg_blob_header *header, const bg_tensor *tensors,
                             const bg_layer *layer) {
    if (layer->input >= header->n_tensors || layer->input2 >= header->n_tensors ||
        layer->output >= header->n_tensors || layer->act_min > layer->act_max ||
        layer->reserved != 0) {
        return BG_ERR_LAYER;
    }
    const bg_tensor *in = &tensors[layer->input];
    const bg_tensor *out = &tensors[layer->output];
    const uint32_t scales = n_scales(layer, out);
    if (scales == 0) {
        return BG_ERR_OPERATOR;
    }
    if (!shapes_agree(layer, in, &tensors[layer->input2], out)) {
        return BG_ERR_LAYER;
    }
    if (layer->op == BG_OP_CONV || layer->op == BG_OP_FULLY_CONNECTED) {
        const bg_status status = check_weights(header, layer, in, out);
        if (status != BG_OK) {
            return status;
        }
    }
    return check_scales(header, layer, scales);
}

/* Every tensor is written before it is read: else a window would see what another one left. */
static bg_status check_order(const bg_blob_header *header, const bg_layer *layers) {
    bool written[BG_TENSORS_MAX] = {false};
    if (header->input >= header->n_tensors || header->output >= header->n_tensors) {
        return BG_ERR_TENSOR;
    }
    written[header->input] = true;
    for (uint32_t i = 0; i < header->n_layers; i++) {
        const bool add = layers[i].op == BG_OP_ADD;
        if (!written[layers[i].input] || (add && !written[layers[i].input2])) {
            return BG_ERR_LAYER;
        }
        written[layers[i].output] = true;
    }
    return written[header->output] ? BG_OK : BG_ERR_LAYER;
}

static bg_status check_ends(const bg_blob_header *header, const bg_tensor *tensors) {
    const bg_tensor *in = &tensors[header->input];
    const bg_tensor *out = &tensors[header->output];
    if (header->hop_len == 0 || in->width != header->window_len ||
        in->channels != header->chain.n_leads) {
        return BG_ERR_CHAIN;
    }
    const size_t n_outputs = (size_t)out->width * out->channels;
    if (header->role == BG_ROLE_CLASSIFIER) {
        return header->score_rule == BG_SCORE_NONE && n_outputs <= INT8_MAX ? BG_OK : BG_ERR_SCORE;
    }
    if (!inside(header, header->score_constants, n_outputs, sizeof(int32_t))) {
        return BG_ERR_RANGE;
    }
    const uint8_t *base = (const uint8_t *)header;
    return bg_score_check(header->score_rule, (const void *)(base + header->score_constants),
                          n_outputs);
}

/* One sample completes one window at most: a port may count on it. */
static bg_status check_chain(const bg_blob_header *header) {
    const bg_chain_settings *chain = &header->chain;
    const uint64_t n_taps = (uint64_t)chain->up * chain->taps_per_phase;
    if (header->taps != 0 && !inside(header, header->taps, n_taps, sizeof(int16_t))) {
        return BG_ERR_RANGE;
    }
    if ((uint64_t)header->hop_len * chain->down < chain->up) {
        return BG_ERR_CHAIN;
    }
    return bg_chain_check(chain, bg_blob_taps(header));
}

bg_status bg_blob_check(const void *data, size_t bytes, bg_role role) {
    bg_status status = check_envelope(data, bytes, role);
    if (status != BG_OK) {
        return status;
    }
    const uint8_t *base = data;
    const bg_blob_header *header = data;
    if (header->n_tensors == 0 || header->n_tensors > BG_TENSORS_MAX || header->n_layers == 0 ||
        header->n_layers > BG_LAYERS_MAX ||
        !inside(header, header->tensors, header->n_tensors, sizeof(bg_tensor)) ||
        !inside(header, header->layers, header->n_layers, sizeof(bg_layer))) {
        return BG_ERR_RANGE;
    }
    const bg_tensor *tensors = (const void *)(base + header->tensors);
    const bg_layer *layers = (const void *)(base + header->layers);
    status = check_tensors(header, tensors);
    for (uint32_t i = 0; status == BG_OK && i < header->n_layers; i++) {
        status = check_layer(header, tensors, &layers[i]);
    }
    if (status == BG_OK) {
        status = check_order(header, layers);
    }
    if (status == BG_OK) {
        status = check_ends(header, tensors);
    }
    return status == BG_OK ? check_chain(header) : status;
}
