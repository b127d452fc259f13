/* Runs networks from the file "cases" on an emulated board, one pipeline each, and writes to
 * "results" what a decision's layers, the decision and a frame's signal chain cost.
 * firmware_sim/cost_board.py is the other end. */
#include <stdint.h>
#include <string.h>

#include "accounts.h"
#include "bg.h"
#include "counter.h"
#include "semihosting.h"

enum { BLOB_BYTES_MAX = 300 << 10, EXIT_NO_FILES = 2, EXIT_REFUSED = 4 };

typedef struct {
    uint32_t blob_bytes; /* 0 ends the file */
    uint32_t role;       /* bg_role */
    uint32_t n_decisions; /* to be counted, behind the first */
} request;

typedef struct {
    uint64_t chain, decisions; /* ticks; `decisions` of the gate or the classifier */
} totals;

extern uint8_t arena[], arena_end[];

static uint8_t blob[BLOB_BYTES_MAX] __attribute__((aligned(BG_ALIGN)));
static bg_pipeline pipeline;

/* Noise over most of the int8 range, the same in every run. */
static void make_frame(uint32_t *state, int16_t *counts) {
    for (uint32_t lead = 0; lead < pipeline.chain.settings->n_leads; lead++) {
        *state = *state * 1664525U + 1013904223U; /* Knuth's and Lewis's constants */
        counts[lead] = (int16_t)((int32_t)(*state >> 20) - 2048);
    }
}

static void open_pipeline(const request *next, int in) {
    bg_blobs blobs = {.n_gates = 0};
    const bg_blob only = {blob, next->blob_bytes};
    semihosting_read(in, blob, next->blob_bytes);
    if (next->role == BG_ROLE_GATE) {
        blobs.gates[0] = only;
        blobs.n_gates = 1;
    } else {
        blobs.classifier = only;
    }
    const size_t room = (size_t)((uintptr_t)arena_end - (uintptr_t)arena);
    if (bg_open(&pipeline, &blobs, arena, room) != BG_OK) {
        semihosting_exit(EXIT_REFUSED);
    }
    accounts_open(&pipeline);
}

static totals push_frames(uint32_t n_frames, uint32_t role, uint32_t *state) {
    totals sum = {0};
    for (uint32_t i = 0; i < n_frames; i++) {
        int16_t counts[BG_LEADS_MAX];
        frame_account account;
        bg_decision decision;
        make_frame(state, counts);
        if (accounts_push(&pipeline, counts, &account) != BG_OK) {
            semihosting_exit(EXIT_REFUSED);
        }
        (void)bg_poll(&pipeline, &decision);
        sum.chain += account.chain;
        sum.decisions += role == BG_ROLE_GATE ? account.gates : account.classifier;
    }
    return sum;
}

static void run(const request *next, int in, int out) {
    uint32_t state = 1;
    open_pipeline(next, in);
    (void)push_frames(pipeline.window_len, next->role, &state);
    memset(layer_ticks, 0, (size_t)((uintptr_t)layer_ticks_end - (uintptr_t)layer_ticks));
    const uint32_t n_frames = next->n_decisions * pipeline.hop_len;
    const totals sum = push_frames(n_frames, next->role, &state);
    semihosting_write(out, &sum, sizeof sum);
    const uint32_t n_layers = pipeline.networks.models[0].header->n_layers;
    semihosting_write(out, layer_ticks, n_layers * sizeof layer_ticks[0]);
}

int main(void) {
    counter_start();
    const int in = semihosting_open("cases", sizeof "cases" - 1, SEMIHOSTING_READ);
    const int out = semihosting_open("results", sizeof "results" - 1, SEMIHOSTING_WRITE);
    if (in < 0 || out < 0) {
        return EXIT_NO_FILES;
    }
    for (;;) {
        request next;
        semihosting_read(in, &next, sizeof next);
        if (next.blob_bytes == 0) {
            return 0;
        }
        if (next.blob_bytes > sizeof blob) {
            return EXIT_REFUSED;
        }
        run(&next, in, out);
    }
}
