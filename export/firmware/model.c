#include "model.h"

#include "blob_check.h"
#include "kernels/kernels.h"

bg_status bg_model_open(bg_model *model, const void *data, size_t bytes, bg_role role) {
    const bg_status status = bg_blob_check(data, bytes, role);
    if (status != BG_OK) {
        return status;
    }
    const uint8_t *base = data;
    const bg_blob_header *header = data;
    model->header = header;
    model->tensors = (const void *)(base + header->tensors);
    model->layers = (const void *)(base + header->layers);
    return BG_OK;
}

int8_t *bg_model_input(const bg_model *model, int8_t *activations) {
    return activations + model->tensors[model->header->input].offset;
}

const bg_tensor *bg_model_output(const bg_model *model) {
    return &model->tensors[model->header->output];
}

static void run_layer(const bg_model *model, const bg_layer *layer, int8_t *activations) {
    const uint8_t *base = (const uint8_t *)model->header;
    const bg_tensor *in = &model->tensors[layer->input];
    const bg_tensor *out = &model->tensors[layer->output];
    const bg_kernel_data data = {
        .weights = (const void *)(base + layer->weights),
        .bias = (const void *)(base + layer->bias),
        .multipliers = (const void *)(base + layer->multipliers),
        .shifts = (const void *)(base + layer->shifts),
    };
    const int8_t *x = activations + in->offset;
    int8_t *y = activations + out->offset;
    switch (layer->op) {
    case BG_OP_CONV:
        bg_conv_s8(layer, &data, in, x, out, y);
        break;
    case BG_OP_FULLY_CONNECTED:
        bg_fully_connected_s8(layer, &data, in, x, out, y);
        break;
    case BG_OP_ADD: {
        const bg_tensor *in2 = &model->tensors[layer->input2];
        bg_add_s8(layer, &data, in, x, in2, activations + in2->offset, out, y);
        break;
    }
    default: /* BG_OP_MEAN: bg_blob_check lets no other operator through */
        bg_mean_s8(layer, &data, in, x, out, y);
        break;
    }
}

const int8_t *bg_model_run(const bg_model *model, int8_t *activations, bg_observer observer) {
    for (uint32_t i = 0; i < model->header->n_layers; i++) {
        const bg_layer *layer = &model->layers[i];
        run_layer(model, layer, activations);
        if (observer.call != NULL) {
            const bg_tensor *out = &model->tensors[layer->output];
            observer.call(observer.context, observer.model, i, activations + out->offset,
                          bg_tensor_bytes(out));
        }
    }
    return activations + bg_model_output(model)->offset;
}
