#include "stream.h"

enum {
    STREAM_BYTES_MAX = 1 << 24,
    HOP_MAX = 1 << 24, /* 32 bits hold every count of frames and columns */
    DELAY_MAX = 1 << 24,
    BLOCK_MAX = 255, /* 255 * 128 fits the int16 sum of a channel */
};

typedef struct {
    const bg_blob_header *header;
    const bg_tensor *tensors;
    const bg_layer *layers;
    const bg_stream_tensor *rows;
} stream_form;

/* Windows end and are apart by whole periods, so that all layers have run at the end of each. */
static bool period_agrees(const stream_form *form, const bg_stream_tensor *row) {
    const uint32_t beat = form->header->stream_step * row->period;
    const uint32_t lead_in = form->rows[form->header->input].delay;
    return beat > 0 && form->header->hop_len % beat == 0 &&
           (form->header->window_len + lead_in) % beat == 0;
}

/* The frames come in with the steps. */
static bool times_agree(const stream_form *form) {
    const bg_blob_header *header = form->header;
    const bg_stream_tensor *in = &form->rows[header->input];
    const uint32_t step = header->stream_step;
    return step > 0 && step == in->columns && in->period == 1 && header->hop_len % step == 0 &&
           header->hop_len <= HOP_MAX && in->delay < header->hop_len &&
           form->rows[header->output].columns == 0 && header->stream_bytes <= STREAM_BYTES_MAX;
}

/* Whether the carried columns are renewed: a layer that reads them must be the last to do so. */
static bool is_renewed(const bg_layer *last_reader, uint32_t tensor) {
    for (uint32_t k = 0; k < last_reader->n_inputs; k++) {
        if (last_reader->inputs[k] == tensor) {
            return true;
        }
    }
    return false;
}

static bool fits_memory(const stream_form *form, uint32_t index) {
    const bg_stream_tensor *row = &form->rows[index];
    const bg_tensor *tensor = &form->tensors[index];
    const uint32_t columns = (uint32_t)row->columns + row->carry;
    if (row->columns == 0) {
        return row->carry == 0 && row->delay == 0 &&
               (bg_is_constant(tensor) ||
                row->offset + (uint64_t)bg_tensor_bytes(tensor) <= form->header->stream_bytes);
    }
    return !bg_is_constant(tensor) && columns <= UINT16_MAX && row->delay <= DELAY_MAX &&
           row->offset + (uint64_t)columns * tensor->channels <= form->header->stream_bytes &&
           row->last_reader < form->header->n_layers && row->block == 0 &&
           (row->carry == 0 || is_renewed(&form->layers[row->last_reader], index)) &&
           period_agrees(form, row);
}

static bool scratch_agrees(const stream_form *form, const bg_layer *layer) {
    const bg_stream_tensor *out = &form->rows[layer->output];
    const uint64_t bytes = bg_stream_scratch_bytes(layer, form->tensors, form->rows);
    return out->tile > 0 && out->tile <= BG_TILE_MAX && out->scratch % BG_SCRATCH_ALIGN == 0 &&
           out->scratch + bytes <= form->header->stream_bytes;
}

/* Whether `layer`, the number `index`, finds what it reads of a tensor carried or new, at the time
 * at which it finds that of its other inputs, and makes the columns its readers wait for. */
static bool input_agrees(const stream_form *form, const bg_layer *layer, uint32_t index,
                         uint32_t tensor) {
    const bg_stream_tensor *in = &form->rows[tensor];
    const bg_stream_tensor *out = &form->rows[layer->output];
    const bg_reach reach = bg_reach_of(layer);
    const int64_t back = bg_reach_back(layer, in, out);
    const uint32_t made = in->columns / reach.stride;
    return in->period == bg_stream_source(layer, form->rows)->period &&
           in->columns % reach.stride == 0 && out->period % in->period == 0 &&
           (uint64_t)made * (out->period / in->period) == out->columns &&
           in->last_reader >= index && back >= (int64_t)reach.span - reach.stride &&
           back <= in->carry;
}

/* Whether a column of the output is the same function of the same columns wherever it lies. */
static bool is_steady(const stream_form *form, const bg_layer *layer, uint32_t tensor) {
    const uint32_t width = form->tensors[tensor].width;
    const uint32_t out_width = form->tensors[layer->output].width;
    const bg_reach reach = bg_reach_of(layer);
    switch (layer->op) {
    case BG_OP_CONV:
    case BG_OP_DEPTHWISE_CONV:
    case BG_OP_AVERAGE_POOL:
    case BG_OP_MAX_POOL:
    case BG_OP_STRIDED_SLICE: /* whose pad_left is no padding, but the first column */
        return (uint64_t)(out_width - 1) * reach.stride + reach.span + reach.begin <= width &&
               (layer->op == BG_OP_STRIDED_SLICE || layer->pad_left == 0);
    case BG_OP_PAD:
        return layer->pad_left == 0 && width == out_width;
    case BG_OP_ADD:
    case BG_OP_SUB:
    case BG_OP_MUL:
    case BG_OP_LOOKUP:
    case BG_OP_CONCATENATION:
    case BG_OP_RESHAPE:
        return width == out_width;
    default:
        return false;
    }
}

/* A constant that every column of the output sees alike. */
static bool is_shared(const stream_form *form, const bg_layer *layer, uint32_t tensor) {
    return bg_is_constant(&form->tensors[tensor]) && form->tensors[tensor].width == 1 &&
           layer->op != BG_OP_CONCATENATION;
}

static bool columns_agree(const stream_form *form, const bg_layer *layer, uint32_t index) {
    if (form->rows[layer->output].columns == 0 || form->rows[layer->output].block != 0) {
        return false;
    }
    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        const uint32_t tensor = layer->inputs[k];
        const bool shared = is_shared(form, layer, tensor);
        const bool streamed = form->rows[tensor].columns > 0 && is_steady(form, layer, tensor) &&
                              input_agrees(form, layer, index, tensor);
        if (!shared && !streamed) {
            return false;
        }
    }
    return scratch_agrees(form, layer);
}

/* Whether blocks start where windows do, and the last column of a window has passed at its end. */
static bool mean_agrees(const stream_form *form, const bg_layer *layer, uint32_t index) {
    const bg_blob_header *header = form->header;
    const bg_stream_tensor *in = &form->rows[layer->inputs[0]];
    const bg_stream_tensor *out = &form->rows[layer->output];
    const bg_tensor *tensor = &form->tensors[layer->inputs[0]];
    if (out->columns != 0 || out->block == 0 || out->block > BLOCK_MAX ||
        in->last_reader < index || out->pool % sizeof(uint32_t) != 0) {
        return false;
    }
    const uint32_t per_hop = header->hop_len / header->stream_step / in->period * in->columns;
    return per_hop % out->block == 0 &&
           bg_stream_passed(header, form->rows, in) >= in->delay + tensor->width &&
           bg_stream_lag(header, form->rows, in, tensor->width) <= in->carry &&
           bg_stream_unmade(header, form->rows, in) <= in->delay &&
           out->pool + bg_stream_pool_bytes(tensor, out->block) <= header->stream_bytes;
}

static bool layer_agrees(const stream_form *form, const bg_layer *layer, uint32_t index) {
    if (bg_stream_source(layer, form->rows) == NULL) {
        const bg_stream_tensor *out = &form->rows[layer->output];
        return out->columns == 0 && out->block == 0 && scratch_agrees(form, layer);
    }
    return layer->op == BG_OP_MEAN ? mean_agrees(form, layer, index)
                                   : columns_agree(form, layer, index);
}

bg_status bg_stream_check(const bg_blob_header *header, const bg_tensor *tensors,
                          const bg_layer *layers) {
    const uint8_t *base = (const uint8_t *)header;
    const stream_form form = {header, tensors, layers, (const void *)(base + header->stream)};
    if (!times_agree(&form)) {
        return BG_ERR_STREAM;
    }
    for (uint32_t i = 0; i < header->n_tensors; i++) {
        if (!fits_memory(&form, i)) {
            return BG_ERR_STREAM;
        }
    }
    for (uint32_t i = 0; i < header->n_layers; i++) {
        if (!layer_agrees(&form, &layers[i], i)) {
            return BG_ERR_STREAM;
        }
    }
    return BG_OK;
}
