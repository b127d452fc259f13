/* An emulated board under the simulator's command: samples in and decisions out through files. */
#include <stdint.h>

#include "bg.h"
#include "protocol.h"
#include "semihosting.h"
#include "trace.h"

extern const uint8_t filter_blob[], filter_blob_end[];
extern const uint8_t classifier_blob[], classifier_blob_end[];

/* CMSDK APB timer 0: counts down at the board's clock. Under -icount its ticks are instructions. */
#define TIMER_CONTROL (*(volatile uint32_t *)0x40000000U)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004U)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008U)

enum { EXIT_NO_PIPES = 2, EXIT_BAD_COMMAND = 4 };

static uint8_t arena[BG_ARENA_BYTES] __attribute__((aligned(BG_ALIGN)));
static bg_pipeline pipeline;
static int16_t counts[PUSH_MAX * BG_LEADS_MAX];
static uint32_t gates_done; /* ticks when the last gate's last layer had run */
static int in, out;

static uint32_t ticks(void) {
    return ~TIMER_VALUE;
}

static void note_gate(void *context, uint32_t model, uint32_t layer, const int8_t *output,
                      size_t bytes) {
    (void)context, (void)layer, (void)output, (void)bytes;
    if (model < pipeline.networks.n_gates) {
        gates_done = ticks();
    }
}

static void open_pipeline(uint32_t with_filter) {
    const bg_blobs blobs = {
        .gates = {{filter_blob, (size_t)(filter_blob_end - filter_blob)}},
        .n_gates = with_filter,
        .classifier = {classifier_blob, (size_t)(classifier_blob_end - classifier_blob)},
    };
    const bg_status status = bg_open(&pipeline, &blobs, arena, sizeof arena);
    pipeline.hook = note_gate;
    const open_reply reply = {status, sizeof pipeline};
    semihosting_write(out, &reply, sizeof reply);
}

/* Push one frame; count it as the chain's, or as a decision's when it completes a window. */
static void push_frame(const int16_t *frame, push_reply *reply, decision_reply *decisions) {
    const uint32_t start = ticks();
    gates_done = start;
    reply->status = bg_push(&pipeline, frame, 1);
    const uint32_t end = ticks();
    bg_decision decision;
    if (!bg_poll(&pipeline, &decision)) {
        reply->chain_ticks += end - start;
        reply->n_chain_frames++;
        return;
    }
    decisions[reply->n_decisions++] = (decision_reply){
        .window_start = decision.window_start,
        .score = {decision.score[0], decision.score[1]},
        .gate_ticks = (decision.label < 0 ? end : gates_done) - start,
        .classifier_ticks = decision.label < 0 ? 0 : end - gates_done,
        .label = decision.label,
        .margin = decision.margin,
        .accepted = decision.accepted,
        .reason = decision.reason,
    };
}

static void push(uint32_t n_samples) {
    static decision_reply decisions[PUSH_MAX];
    push_reply reply = {0};
    if (n_samples > PUSH_MAX || pipeline.chain.settings == NULL) {
        semihosting_exit(EXIT_BAD_COMMAND);
    }
    const uint32_t n_leads = pipeline.chain.settings->n_leads;
    semihosting_read(in, counts, n_samples * n_leads * sizeof counts[0]);
    for (uint32_t i = 0; i < n_samples && reply.status == BG_OK; i++) {
        push_frame(counts + i * n_leads, &reply, decisions);
    }
    semihosting_write(out, &reply, sizeof reply);
    semihosting_write(out, decisions, reply.n_decisions * sizeof decisions[0]);
}

/* The window is read into the ring, which bg_reset makes meaningless afterwards. */
static void trace(uint32_t index) {
    static uint32_t crcs[BG_LAYERS_MAX];
    const bg_networks *networks = &pipeline.networks;
    if (pipeline.chain.settings == NULL || index >= networks->n_gates + networks->has_classifier) {
        semihosting_exit(EXIT_BAD_COMMAND);
    }
    const bg_model *model = &networks->models[index];
    semihosting_read(in, pipeline.ring, pipeline.window_len * pipeline.chain.settings->n_leads);
    bg_trace_model(model, pipeline.activations, pipeline.ring, crcs);
    bg_reset(&pipeline);
    semihosting_write(out, crcs, model->header->n_layers * sizeof crcs[0]);
}

int main(void) {
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CONTROL = 1;
    in = semihosting_open("in", SEMIHOSTING_READ);
    out = semihosting_open("out", SEMIHOSTING_WRITE);
    if (in < 0 || out < 0) {
        return EXIT_NO_PIPES;
    }
    for (;;) {
        command next;
        semihosting_read(in, &next, sizeof next);
        switch (next.command) {
        case COMMAND_OPEN:
            open_pipeline(next.argument);
            break;
        case COMMAND_RESET:
            bg_reset(&pipeline);
            break;
        case COMMAND_PUSH:
            push(next.argument);
            break;
        case COMMAND_TRACE:
            trace(next.argument);
            break;
        default:
            return EXIT_BAD_COMMAND;
        }
    }
}
