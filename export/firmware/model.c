#include "model.h"

#include <string.h>

#include "blob_check.h"

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
    model->stream = header->stream == 0 ? NULL : (const void *)(base + header->stream);
    return BG_OK;
}

int8_t *bg_model_input(const bg_model *model, int8_t *activations) {
    return activations + model->tensors[model->header->input].offset;
}

const bg_tensor *bg_model_output(const bg_model *model) {
    return &model->tensors[model->header->output];
}

bg_operand bg_model_operand(const bg_model *model, uint32_t index, int8_t *activations) {
    const bg_tensor *tensor = &model->tensors[index];
    if (bg_is_constant(tensor)) {
        const uint8_t *base = (const uint8_t *)model->header;
        const void *data = base + (tensor->offset & ~BG_CONSTANT);
        bg_operand operand = {.tensor = *tensor};
        memcpy(&operand.data, &data, sizeof data); /* inputs are only read */
        return operand;
    }
    return (bg_operand){*tensor, activations + tensor->offset};
}

void bg_model_run_job(const bg_model *model, bg_job *job) {
    const uint8_t *base = (const uint8_t *)model->header;
    const bg_layer *layer = job->layer;
    job->weights = (const void *)(base + layer->weights);
    job->bias = (const void *)(base + layer->bias);
    job->multipliers = (const void *)(base + layer->multipliers);
    job->shifts = (const void *)(base + layer->shifts);
    bg_operators[layer->op](job);
}

void bg_observe(bg_observer observer, uint32_t layer, const int8_t *output, size_t bytes) {
    if (observer.call != NULL) {
        observer.call(observer.context, observer.model, layer, output, bytes);
    }
}

const int8_t *bg_model_run(const bg_model *model, int8_t *activations, bg_observer observer) {
    for (uint32_t i = 0; i < model->header->n_layers; i++) {
        const bg_layer *layer = &model->layers[i];
        bg_job job = {
            .layer = layer,
            .out = bg_model_operand(model, layer->output, activations),
            .scratch = (void *)(activations + layer->scratch),
        };
        for (uint32_t k = 0; k < layer->n_inputs; k++) {
            job.in[k] = bg_model_operand(model, layer->inputs[k], activations);
        }
        bg_model_run_job(model, &job);
        bg_observe(observer, i, job.out.data, bg_tensor_bytes(&job.out.tensor));
    }
    return activations + bg_model_output(model)->offset;
}
