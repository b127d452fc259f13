#include "blob_check.h"

#include "crc32.h"
#include "layer_check.h"
#include "overlap.h"
#include "score.h"
#include "stream.h"

enum { ACTIVATION_BYTES_MAX = 1 << 24 };

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
        return header->magic == BG_MAGIC_SWAPPED ? BG_ERR_BYTE_ORDER : BG_ERR_MAGIC;
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
    return header->role == (uint16_t)role ? BG_OK : BG_ERR_ROLE;
}

static bg_status check_tensor(const bg_blob_header *header, const bg_tensor *tensor) {
    const uint64_t bytes = (uint64_t)tensor->width * tensor->channels;
    if (bytes == 0 || !is_int8(tensor->zero_point)) {
        return BG_ERR_TENSOR;
    }
    if (bg_is_constant(tensor)) {
        const uint32_t offset = tensor->offset & ~BG_CONSTANT;
        return bg_inside_blob(header, offset, bytes, 1) ? BG_OK : BG_ERR_RANGE;
    }
    return tensor->offset + bytes <= header->activation_bytes ? BG_OK : BG_ERR_TENSOR;
}

static bg_status check_tensors(const bg_blob_header *header, const bg_tensor *tensors) {
    if (header->activation_bytes > ACTIVATION_BYTES_MAX) {
        return BG_ERR_TENSOR;
    }
    for (uint32_t i = 0; i < header->n_tensors; i++) {
        const bg_status status = check_tensor(header, &tensors[i]);
        if (status != BG_OK) {
            return status;
        }
    }
    return BG_OK;
}

/* Every tensor is written once, before it is read: else a window would see what another one left.
 * Constants are there from the start. */
static bg_status check_order(const bg_blob_header *header, const bg_tensor *tensors,
                             const bg_layer *layers) {
    bool written[BG_TENSORS_MAX] = {false};
    if (header->input >= header->n_tensors || header->output >= header->n_tensors ||
        bg_is_constant(&tensors[header->input]) || bg_is_constant(&tensors[header->output])) {
        return BG_ERR_TENSOR;
    }
    for (uint32_t i = 0; i < header->n_tensors; i++) {
        written[i] = i == header->input || bg_is_constant(&tensors[i]);
    }
    for (uint32_t i = 0; i < header->n_layers; i++) {
        for (uint32_t k = 0; k < layers[i].n_inputs; k++) {
            if (!written[layers[i].inputs[k]]) {
                return BG_ERR_LAYER;
            }
        }
        if (written[layers[i].output]) {
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
    if (!bg_inside_blob(header, header->score_constants, 1, sizeof(int32_t))) {
        return BG_ERR_RANGE;
    }
    const uint8_t *base = (const uint8_t *)header;
    const size_t n_words = (header->length - header->score_constants) / sizeof(int32_t);
    return bg_score_check(header->score_rule, (const void *)(base + header->score_constants),
                          n_words, n_outputs);
}

/* Both ways of running the network: on whole windows and, if the blob has it, along the stream. */
static bg_status check_plans(const bg_blob_header *header, const bg_tensor *tensors,
                             const bg_layer *layers) {
    if (header->stream == 0) {
        return header->stream_bytes == 0 && header->stream_step == 0
                   ? bg_overlap_check(header, tensors, layers, NULL)
                   : BG_ERR_STREAM;
    }
    if (!bg_inside_blob(header, header->stream, header->n_tensors, sizeof(bg_stream_tensor))) {
        return BG_ERR_RANGE;
    }
    const bg_status status = bg_stream_check(header, tensors, layers);
    const uint8_t *base = (const uint8_t *)header;
    const bg_stream_tensor *stream = (const void *)(base + header->stream);
    return status == BG_OK ? bg_overlap_check(header, tensors, layers, stream) : status;
}

/* One sample completes one window at most: a port may count on it. */
static bg_status check_chain(const bg_blob_header *header) {
    const bg_chain_settings *chain = &header->chain;
    const uint64_t n_taps = (uint64_t)chain->up * chain->taps_per_phase;
    if (header->taps != 0 && !bg_inside_blob(header, header->taps, n_taps, sizeof(int16_t))) {
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
        !bg_inside_blob(header, header->tensors, header->n_tensors, sizeof(bg_tensor)) ||
        !bg_inside_blob(header, header->layers, header->n_layers, sizeof(bg_layer))) {
        return BG_ERR_RANGE;
    }
    const bg_tensor *tensors = (const void *)(base + header->tensors);
    const bg_layer *layers = (const void *)(base + header->layers);
    status = check_tensors(header, tensors);
    for (uint32_t i = 0; status == BG_OK && i < header->n_layers; i++) {
        status = bg_layer_check(header, tensors, &layers[i]);
    }
    if (status == BG_OK) {
        status = check_order(header, tensors, layers);
    }
    if (status == BG_OK) {
        status = check_ends(header, tensors);
    }
    if (status == BG_OK) {
        status = check_plans(header, tensors, layers);
    }
    return status == BG_OK ? check_chain(header) : status;
}
