#include "accounts.h"

#include <string.h>

#include "counter.h"

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
size_t __real_bg_chain_push(const bg_chain_settings *settings, bg_chain_lead *leads,
                            const int16_t *counts, int8_t *codes);
size_t __wrap_bg_chain_push(const bg_chain_settings *settings, bg_chain_lead *leads,
                            const int16_t *counts, int8_t *codes);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static uint32_t first_layer[BG_GATES_MAX + 1]; /* of each network, in layer_ticks */
static uint32_t n_gates;
static uint32_t last_event; /* ticks when what came before had ended */
static frame_account frame;

static uint32_t since_last_event(void) {
    return counter_ticks() - last_event;
}

size_t __wrap_bg_chain_push(const bg_chain_settings *settings, bg_chain_lead *leads,
                            const int16_t *counts, int8_t *codes) {
    const size_t made = __real_bg_chain_push(settings, leads, counts, codes);
    frame.chain += since_last_event();
    last_event = counter_ticks();
    return made;
}

static void layer_done(void *context, uint32_t model, uint32_t layer, const int8_t *output,
                       size_t bytes) {
    (void)context, (void)output, (void)bytes;
    const uint32_t ticks = since_last_event();
    layer_ticks[first_layer[model] + layer] += ticks;
    if (model < n_gates) {
        frame.gates += ticks;
    } else {
        frame.classifier += ticks;
    }
    last_event = counter_ticks();
}

void accounts_open(bg_pipeline *pipeline) {
    const bg_networks *networks = &pipeline->networks;
    memset(layer_ticks, 0, (size_t)((uintptr_t)layer_ticks_end - (uintptr_t)layer_ticks));
    n_gates = networks->n_gates;
    for (uint32_t i = 0; i < BG_GATES_MAX; i++) {
        const bool runs = i < n_gates;
        first_layer[i + 1] = first_layer[i] + (runs ? networks->models[i].header->n_layers : 0U);
    }
    first_layer[n_gates] = first_layer[BG_GATES_MAX];
    pipeline->hook = layer_done;
}

bg_status accounts_push(bg_pipeline *pipeline, const int16_t *counts, frame_account *account) {
    frame = (frame_account){0};
    last_event = counter_ticks();
    const bg_status status = bg_push(pipeline, counts, 1);
    const uint32_t rest = since_last_event();
    if (pipeline->queue_used > 0) {
        frame.gates += rest;
    } else {
        frame.chain += rest;
    }
    *account = frame;
    return status;
}
