/* One network: a checked blob, run layer by layer in caller-owned activation memory. */
#ifndef BG_MODEL_H
#define BG_MODEL_H

#include "blob.h"

typedef struct {
    const bg_blob_header *header;
    const bg_tensor *tensors;
    const bg_layer *layers;
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

/* Run every layer; return the output tensor inside `activations`. */
const int8_t *bg_model_run(const bg_model *model, int8_t *activations, bg_observer observer);

#endif
