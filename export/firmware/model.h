/* One network: a checked blob, run layer by layer in caller-owned activation memory. */
#ifndef BG_MODEL_H
#define BG_MODEL_H

#include "stream_plan.h"

typedef struct {
    const bg_blob_header *header;
    const bg_tensor *tensors;
    const bg_layer *layers;
    const bg_stream_tensor *stream; /* one a tensor; NULL: whole windows only */
} bg_model;

/* Called after every layer: which blob of the pipeline (gates first, then the classifier), which
 * layer, its output. For traces and profiles; NULL in a product. */
typedef void (*bg_hook)(void *context, uint32_t model, uint32_t layer, const int8_t *output,
                        size_t bytes);

typedef struct {
    bg_hook call;
    void *context;
    uint32_t model; /* passed on to `call` */
} bg_observer;

/* Check the blob and make it runnable; `data` must outlive the model. */
bg_status bg_model_open(bg_model *model, const void *data, size_t bytes, bg_role role);

/* Return where in `activations` the network expects its window (window_len x n_leads). */
int8_t *bg_model_input(const bg_model *model, int8_t *activations);

/* Return the tensor that bg_model_run returns. */
const bg_tensor *bg_model_output(const bg_model *model);

/* Return a tensor as a kernel sees it: in `activations`, or in the blob for a constant. */
bg_operand bg_model_operand(const bg_model *model, uint32_t index, int8_t *activations);

/* Run one layer: the caller fills in the layer, the operands and the scratch memory. */
void bg_model_run_job(const bg_model *model, bg_job *job);

/* Tell the observer, where there is one, of a layer that has run. */
void bg_observe(bg_observer observer, uint32_t layer, const int8_t *output, size_t bytes);

/* Run every layer; return the output tensor inside `activations`. */
const int8_t *bg_model_run(const bg_model *model, int8_t *activations, bg_observer observer);

#endif
