#include "accounts.h"

#include <string.h>

#include "counter.h"

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void __real_bg_chain_push(bg_chain *chain, const int16_t *counts);
void __wrap_bg_chain_push(bg_chain *chain, const int16_t *counts);
bool __real_bg_chain_pop(bg_chain *chain, int8_t *codes);
bool __wrap_bg_chain_pop(bg_chain *chain, int8_t *codes);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static uint32_t first_layer[BG_GATES_MAX + 1]; /* of each network, in layer_ticks */
static uint32_t n_gates;
static uint32_t last_event; /* ticks when what came before had ended */
static frame_account frame;
static uint32_t between; /* ticks of what belongs to none of them: ring, score, queue */

static uint32_t since_last_event(void) {
    return counter_ticks() - last_event;
}

static void chain_starts(void) {
    between += since_last_event();
    last_event = counter_ticks();
}

static void chain_done(void) {
    frame.chain += since_last_event();
    last_event = counter_ticks();
}

void __wrap_bg_chain_push(bg_chain *chain, const int16_t *counts) {
    chain_starts();
    __real_bg_chain_push(chain, counts);
    chain_done();
}

bool __wrap_bg_chain_pop(bg_chain *chain, int8_t *codes) {
    chain_starts();
    const bool made = __real_bg_chain_pop(chain, codes);
    chain_done();
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
    between = 0;
    last_event = counter_ticks();
    const bg_status status = bg_push(pipeline, counts, 1);
    between += since_last_event();
    if (pipeline->queue_used > 0) {
        frame.gates += between;
    } else {
        frame.chain += between;
    }
    *account = frame;
    return status;
}
