/* An emulated board under the simulator's command: samples in and decisions out through files. */
#include <stdint.h>

#include "accounts.h"
#include "bg.h"
#include "counter.h"
#include "protocol.h"
#include "semihosting.h"
#include "stack.h"
#include "trace.h"

enum { EXIT_NO_PIPES = 2, EXIT_BAD_COMMAND = 4 };

/* Of the image: models.S has the blobs, the linker reserves what the networks need. */
extern const uint8_t filter_blob[], filter_blob_end[];
extern const uint8_t classifier_blob[], classifier_blob_end[];
extern uint8_t arena[], arena_end[];
extern uint8_t free_ram[], free_ram_end[];

static bg_pipeline pipeline;
static frame_account since_decision;
static int commands, replies; /* semihosting handles */

static size_t bytes_between(const void *start, const void *end) {
    return (size_t)((uintptr_t)end - (uintptr_t)start);
}

/* A network the image was built without has an empty blob. */
static bg_blob blob_between(const uint8_t *start, const uint8_t *end) {
    const size_t bytes = bytes_between(start, end);
    return (bg_blob){bytes > 0 ? start : NULL, bytes};
}

static void open_pipeline(uint32_t networks) {
    bg_blobs blobs = {.n_gates = 0};
    if ((networks & OPEN_FILTER) != 0) {
        blobs.gates[0] = blob_between(filter_blob, filter_blob_end);
        blobs.n_gates = 1;
    }
    if ((networks & OPEN_CLASSIFIER) != 0) {
        blobs.classifier = blob_between(classifier_blob, classifier_blob_end);
    }
    const bg_status status = bg_open(&pipeline, &blobs, arena, bytes_between(arena, arena_end));
    if (status == BG_OK) {
        accounts_open(&pipeline);
    }
    const open_reply reply = {status, sizeof pipeline};
    semihosting_write(replies, &reply, sizeof reply);
}

static uint32_t leads_of_open_pipeline(void) {
    if (pipeline.chain.settings == NULL) {
        semihosting_exit(EXIT_BAD_COMMAND);
    }
    return pipeline.chain.settings->n_leads;
}

static decision_reply to_reply(const bg_decision *decision, const frame_account *account) {
    return (decision_reply){
        .window_start = decision->window_start,
        .score = {decision->score[0], decision->score[1]},
        .gate_ticks = account->gates,
        .classifier_ticks = account->classifier,
        .label = decision->label,
        .margin = decision->margin,
        .accepted = decision->accepted,
        .reason = decision->reason,
    };
}

static void send_push_reply(const push_reply *reply, const decision_reply *decisions) {
    semihosting_write(replies, reply, sizeof *reply);
    semihosting_write(replies, decisions, reply->n_decisions * sizeof decisions[0]);
}

/* A frame completes one window at most: bg_open sees to it. */
static void push_frame(const int16_t *frame, push_reply *reply, decision_reply *decisions) {
    frame_account account;
    bg_decision decision;
    reply->status = accounts_push(&pipeline, frame, &account);
    const uint32_t ticks = account.chain + account.gates + account.classifier;
    reply->n_frames++;
    reply->chain_ticks += account.chain;
    reply->frame_ticks_max = ticks > reply->frame_ticks_max ? ticks : reply->frame_ticks_max;
    since_decision.gates += account.gates;
    since_decision.classifier += account.classifier;
    if (bg_poll(&pipeline, &decision)) {
        if (reply->n_decisions == DECISIONS_MAX) {
            reply->more = 1;
            send_push_reply(reply, decisions);
            *reply = (push_reply){.status = reply->status};
        }
        decisions[reply->n_decisions++] = to_reply(&decision, &since_decision);
        since_decision = (frame_account){0};
    }
}

static void push(uint32_t n_samples) {
    static int16_t counts[PUSH_COUNTS_MAX];
    decision_reply decisions[DECISIONS_MAX];
    push_reply reply = {0};
    const uint32_t n_leads = leads_of_open_pipeline();
    if (n_samples > PUSH_COUNTS_MAX / n_leads) {
        semihosting_exit(EXIT_BAD_COMMAND);
    }
    semihosting_read(commands, counts, n_samples * n_leads * sizeof counts[0]);
    for (uint32_t i = 0; i < n_samples && reply.status == BG_OK; i++) {
        push_frame(counts + i * n_leads, &reply, decisions);
    }
    send_push_reply(&reply, decisions);
}

static void reset(void) {
    bg_reset(&pipeline);
    since_decision = (frame_account){0};
}

static size_t align_up(size_t bytes) {
    return (bytes + BG_ALIGN - 1) / BG_ALIGN * BG_ALIGN;
}

/* A whole window, whatever the arena is planned for, in the RAM that the image leaves free: the
 * CRCs, the window, the activations. Of a board without the room there is no trace. */
static void trace(uint32_t index) {
    const bg_networks *networks = &pipeline.networks;
    const uint32_t n_leads = leads_of_open_pipeline();
    if (index >= networks->n_gates + networks->has_classifier) {
        semihosting_exit(EXIT_BAD_COMMAND);
    }
    const bg_model *model = &networks->models[index];
    const size_t window_bytes = pipeline.window_len * n_leads;
    const trace_header reply = {model->header->n_layers};
    uint32_t *crcs = (uint32_t *)(void *)free_ram;
    uint8_t *window = free_ram + align_up(reply.n_layers * sizeof crcs[0]);
    uint8_t *activations = window + align_up(window_bytes);
    if ((uintptr_t)activations + model->header->activation_bytes > (uintptr_t)free_ram_end) {
        semihosting_write(replies, &(trace_header){0}, sizeof reply);
        return;
    }
    semihosting_write(replies, &reply, sizeof reply);
    semihosting_read(commands, window, window_bytes);
    bg_trace_model(model, (int8_t *)activations, (const int8_t *)window, crcs);
    reset();
    semihosting_write(replies, crcs, reply.n_layers * sizeof crcs[0]);
}

static void profile(void) {
    const size_t bytes = bytes_between(layer_ticks, layer_ticks_end);
    const profile_reply reply = {stack_bytes_used(), (uint32_t)(bytes / sizeof layer_ticks[0])};
    semihosting_write(replies, &reply, sizeof reply);
    semihosting_write(replies, layer_ticks, bytes);
}

int main(void) {
    counter_start();
    commands = semihosting_open("in", sizeof "in" - 1, SEMIHOSTING_READ);
    replies = semihosting_open("out", sizeof "out" - 1, SEMIHOSTING_WRITE);
    if (commands < 0 || replies < 0) {
        return EXIT_NO_PIPES;
    }
    for (;;) {
        command next;
        semihosting_read(commands, &next, sizeof next);
        switch (next.command) {
        case COMMAND_OPEN:
            open_pipeline(next.argument);
            break;
        case COMMAND_RESET:
            reset();
            break;
        case COMMAND_PUSH:
            push(next.argument);
            break;
        case COMMAND_TRACE:
            trace(next.argument);
            break;
        case COMMAND_PROFILE:
            profile();
            break;
        case COMMAND_EXIT:
            return 0;
        default:
            return EXIT_BAD_COMMAND;
        }
    }
}
