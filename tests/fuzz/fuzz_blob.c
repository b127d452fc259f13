/* libFuzzer harness: any bytes as a model blob, through bg_open, bg_push and bg_poll.
 *
 * Every check of the runtime must hold: under the sanitizers a read or write outside the blob, the
 * arena or the pipeline ends the run, and so does undefined arithmetic. The mutator seals what it
 * has changed - magic, version, length, CRC - since a random change never gets past a checksum.
 *
 *     make fuzz SECONDS=60
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bg.h"
#include "crc32.h"

enum {
    ARENA_BYTES_MAX = 1 << 20,
    MACS_MAX = 1 << 21, /* a window: more only takes time */
    FRAMES_MAX = 1 << 13,
    CHUNK_MAX = 64,
    UNSEALED = 16, /* one input in so many stays as mutated */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed);

/* Exactly `bytes`, so that the sanitizer sees one more being touched. */
static void *allocate(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, BG_ALIGN, bytes > 0 ? bytes : 1) != 0) {
        abort();
    }
    return memory;
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U; /* Numerical Recipes' generator */
    return *state >> 8;
}

static uint64_t layer_macs(const bg_model *model, const bg_layer *layer) {
    const bg_tensor *in = &model->tensors[layer->inputs[0]];
    const uint64_t out_bytes = bg_tensor_bytes(&model->tensors[layer->output]);
    if (layer->op == BG_OP_FULLY_CONNECTED) {
        return out_bytes * bg_tensor_bytes(in);
    }
    return bg_tensor_bytes(in) + out_bytes * (layer->kernel + 1U) * in->channels;
}

static bool is_quick(const bg_model *model) {
    uint64_t macs = 0;
    for (uint32_t i = 0; i < model->header->n_layers; i++) {
        macs += layer_macs(model, &model->layers[i]);
    }
    return macs <= MACS_MAX;
}

/* Count the frames to a few windows, of a hop that may be any number. */
static uint32_t frames_of(const bg_pipeline *pipeline) {
    const uint64_t wanted = (uint64_t)pipeline->window_len + 2 * (uint64_t)pipeline->hop_len;
    return wanted < FRAMES_MAX ? (uint32_t)wanted : FRAMES_MAX;
}

static void play(bg_pipeline *pipeline, uint32_t *random) {
    int16_t counts[CHUNK_MAX * BG_LEADS_MAX];
    bg_decision decision;
    const uint32_t n_frames = frames_of(pipeline);
    for (uint32_t done = 0; done < n_frames;) {
        const uint32_t n = 1 + next_random(random) % CHUNK_MAX;
        for (uint32_t i = 0; i < n * pipeline->chain.settings->n_leads; i++) {
            const uint32_t value = next_random(random);
            counts[i] = (int16_t)(value % 8 == 0 ? INT16_MIN : value % 8 == 1 ? INT16_MAX : value);
        }
        const bg_status status = bg_push(pipeline, counts, n);
        done += status == BG_ERR_CHUNK ? n_frames : n; /* too many windows at once: enough seen */
        while (bg_poll(pipeline, &decision)) {
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bg_blob_header header = {0};
    memcpy(&header, data, size < sizeof header ? size : sizeof header);
    uint8_t *blob = allocate(size);
    if (size > 0) {
        memcpy(blob, data, size);
    }
    bg_blobs blobs = {.n_gates = header.role == BG_ROLE_CLASSIFIER ? 0 : 1};
    *(blobs.n_gates > 0 ? &blobs.gates[0] : &blobs.classifier) = (bg_blob){blob, size};
    const size_t arena_bytes = bg_arena_bytes(&blobs);
    if (arena_bytes <= ARENA_BYTES_MAX) {
        bg_pipeline *pipeline = allocate(sizeof *pipeline);
        void *arena = allocate(arena_bytes);
        uint32_t random = header.crc32;
        const bg_status status = bg_open(pipeline, &blobs, arena, arena_bytes);
        if ((status == BG_OK) != (arena_bytes > 0)) {
            abort(); /* the two must agree on which blobs are good */
        }
        if (status == BG_OK && is_quick(&pipeline->networks.models[0])) {
            play(pipeline, &random);
            bg_reset(pipeline);
            play(pipeline, &random);
        }
        free(arena);
        free(pipeline);
    }
    free(blob);
    return 0;
}

/* Overwrite one aligned field, mostly of header and tables, with a value that checks tend to miss. */
static void change_field(uint8_t *data, size_t size, uint32_t *random) {
    static const uint32_t values[] = {0,          1,          2,          127,        128,
                                      255,        256,        0x7FFF,     0x8000,     0xFFFF,
                                      0x10000,    0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF};
    const uint32_t bytes = 1U << (next_random(random) % 3);
    const size_t reach = next_random(random) % 4 == 0 || size < 1024 ? size : 1024;
    const size_t offset = next_random(random) % reach / bytes * bytes;
    uint32_t value = 0;
    if (offset + bytes > size) {
        return;
    }
    memcpy(&value, data + offset, bytes);
    switch (next_random(random) % 4) {
    case 0:
        value = values[next_random(random) % (sizeof values / sizeof values[0])];
        break;
    case 1:
        value += next_random(random) % 33 - 16;
        break;
    case 2:
        value ^= 1U << (next_random(random) % (8 * bytes));
        break;
    default:
        value = next_random(random);
        break;
    }
    memcpy(data + offset, &value, bytes);
}

static void seal(uint8_t *data, size_t size) {
    bg_blob_header header;
    if (size < sizeof header) {
        return;
    }
    memcpy(&header, data, sizeof header);
    header.magic = BG_MAGIC;
    header.version = BG_VERSION;
    header.length = (uint32_t)size;
    header.crc32 = bg_crc32(data + BG_CRC_START, (uint32_t)size - BG_CRC_START);
    memcpy(data, &header, sizeof header);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed) {
    uint32_t random = seed;
    if (size == 0 || next_random(&random) % 4 == 0) {
        size = LLVMFuzzerMutate(data, size, size_max);
    } else {
        for (uint32_t i = next_random(&random) % 3 + 1; i > 0; i--) {
            change_field(data, size, &random);
        }
    }
    if (next_random(&random) % UNSEALED != 0) {
        seal(data, size);
    }
    return size;
}
