/* Runs networks from the file "cases" on an emulated board; writes to "results" what every layer
 * gave and how long it took. tests/kernel_board.py is the other end. */
#include <stdint.h>

#include "blob_check.h"
#include "counter.h"
#include "crc32.h"
#include "model.h"
#include "semihosting.h"

enum { BLOB_BYTES_MAX = 300 << 10, EXIT_NO_FILES = 2, EXIT_TOO_LARGE = 3 };

typedef struct {
    uint32_t blob_bytes; /* 0 ends the file */
    uint32_t window_bytes;
} request;

typedef struct {
    uint32_t crc;
    uint32_t ticks;
} layer_result;

extern int8_t arena[], arena_end[];

static uint8_t blob[BLOB_BYTES_MAX] __attribute__((aligned(BG_ALIGN)));
static layer_result results[BG_LAYERS_MAX];
static uint32_t layer_start;

static void record(void *context, uint32_t model, uint32_t layer, const int8_t *output,
                   size_t bytes) {
    (void)context, (void)model;
    results[layer].ticks = counter_ticks() - layer_start;
    results[layer].crc = bg_crc32((const uint8_t *)output, (uint32_t)bytes);
    layer_start = counter_ticks();
}

static uint32_t run(const request *next, int in) {
    bg_model model;
    semihosting_read(in, blob, next->blob_bytes);
    const bg_status status = bg_model_open(&model, blob, next->blob_bytes, BG_ROLE_CLASSIFIER);
    const size_t room = (size_t)((uintptr_t)arena_end - (uintptr_t)arena);
    if (status != BG_OK || model.header->activation_bytes > room) {
        semihosting_exit(EXIT_TOO_LARGE);
    }
    semihosting_read(in, bg_model_input(&model, arena), next->window_bytes);
    layer_start = counter_ticks();
    (void)bg_model_run(&model, arena, (bg_observer){record, NULL, 0});
    return model.header->n_layers;
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
            return EXIT_TOO_LARGE;
        }
        const uint32_t n_layers = run(&next, in);
        semihosting_write(out, results, n_layers * sizeof results[0]);
    }
}
