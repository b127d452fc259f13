/* Heap and flat calls for a process on this machine; nothing here decides anything. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../bg.h"
#include "../../blob_check.h"
#include "../../score.h"
#include "../../self_test.h"
#include "../../trace.h"
#include "host.h"

struct bgh_chain {
    bg_chain chain;
    void *memory;
};

struct bgh_pipeline {
    bg_pipeline pipeline;
    void *arena;
    size_t arena_bytes;
};

void bgh_sizes(uint32_t sizes[7]) {
    sizes[0] = sizeof(bg_blob_header);
    sizes[1] = sizeof(bg_tensor);
    sizes[2] = sizeof(bg_layer);
    sizes[3] = sizeof(bg_chain_settings);
    sizes[4] = sizeof(bg_pipeline);
    sizes[5] = sizeof(bg_stream_tensor);
    sizes[6] = sizeof(bg_stream_pool);
}

static void *allocate(size_t bytes) {
    const size_t rounded = (bytes + BG_ALIGN - 1) / BG_ALIGN * BG_ALIGN;
    void *memory = aligned_alloc(BG_ALIGN, rounded > 0 ? rounded : BG_ALIGN);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

bgh_chain *bgh_chain_open(const void *settings, const int16_t *taps, int *status) {
    *status = bg_chain_check(settings, taps);
    if (*status != BG_OK) {
        return NULL;
    }
    bgh_chain *handle = allocate(sizeof *handle);
    handle->memory = allocate(bg_chain_bytes(settings));
    bg_chain_open(&handle->chain, settings, taps, handle->memory);
    return handle;
}

size_t bgh_chain_frames(const bgh_chain *handle, size_t n_samples) {
    return bg_chain_frames(&handle->chain, n_samples);
}

void bgh_chain_push(bgh_chain *handle, const int16_t *adc_counts, size_t n_samples,
                    int8_t *codes, int32_t *states) {
    bg_chain *chain = &handle->chain;
    const uint32_t n_leads = chain->settings->n_leads;
    for (size_t i = 0; i < n_samples; i++) {
        bg_chain_push(chain, adc_counts + i * n_leads);
        while (bg_chain_pop(chain, codes)) {
            codes += n_leads;
            for (uint32_t lead = 0; states != NULL && lead < n_leads; lead++) {
                *states++ = chain->high_pass[lead].y1;
            }
        }
    }
}

void bgh_chain_reset(bgh_chain *handle) {
    bg_chain_reset(&handle->chain);
}

void bgh_chain_close(bgh_chain *handle) {
    free(handle->memory);
    free(handle);
}

int bgh_blob_check(const void *blob, size_t bytes, int role) {
    return bg_blob_check(blob, bytes, (bg_role)role);
}

int bgh_model_run(const void *blob, size_t bytes, int role, const int8_t *windows,
                  size_t n_windows, int8_t *outputs, int64_t *scores) {
    bg_model model;
    const bg_status status = bg_model_open(&model, blob, bytes, (bg_role)role);
    if (status != BG_OK) {
        return status;
    }
    const size_t window_bytes = bg_tensor_bytes(&model.tensors[model.header->input]);
    const size_t output_bytes = bg_tensor_bytes(bg_model_output(&model));
    int8_t *activations = allocate(model.header->activation_bytes);
    for (size_t i = 0; i < n_windows; i++) {
        memcpy(bg_model_input(&model, activations), windows + i * window_bytes, window_bytes);
        const int8_t *output = bg_model_run(&model, activations, (bg_observer){0});
        memcpy(outputs + i * output_bytes, output, output_bytes);
        if (scores != NULL) {
            scores[i] = bg_score(model.header, bg_model_output(&model), output);
        }
    }
    free(activations);
    return BG_OK;
}

int bgh_model_trace(const void *blob, size_t bytes, int role, const int8_t *window,
                    uint32_t *crcs) {
    bg_model model;
    const bg_status status = bg_model_open(&model, blob, bytes, (bg_role)role);
    if (status != BG_OK) {
        return status;
    }
    int8_t *activations = allocate(model.header->activation_bytes);
    bg_trace_model(&model, activations, window, crcs);
    free(activations);
    return BG_OK;
}

bgh_pipeline *bgh_open(const void *const *blobs, const size_t *bytes, uint32_t n_gates,
                       bool has_classifier, int *status) {
    bg_blobs set = {.n_gates = n_gates};
    for (uint32_t i = 0; i < n_gates && i < BG_GATES_MAX; i++) {
        set.gates[i] = (bg_blob){blobs[i], bytes[i]};
    }
    if (has_classifier) {
        set.classifier = (bg_blob){blobs[n_gates], bytes[n_gates]};
    }
    bgh_pipeline *handle = allocate(sizeof *handle);
    handle->arena_bytes = bg_arena_bytes(&set);
    handle->arena = allocate(handle->arena_bytes);
    *status = bg_open(&handle->pipeline, &set, handle->arena, handle->arena_bytes);
    if (*status != BG_OK) {
        bgh_close(handle);
        return NULL;
    }
    return handle;
}

size_t bgh_arena_bytes(const bgh_pipeline *handle) {
    return handle->arena_bytes;
}

int bgh_push(bgh_pipeline *handle, const int16_t *adc_counts, size_t n_samples) {
    return bg_push(&handle->pipeline, adc_counts, n_samples);
}

bool bgh_poll(bgh_pipeline *handle, bgh_decision *decision) {
    bg_decision from;
    if (!bg_poll(&handle->pipeline, &from)) {
        return false;
    }
    *decision = (bgh_decision){
        .window_start = from.window_start,
        .score = {from.score[0], from.score[1]},
        .accepted = from.accepted,
        .reason = from.reason,
        .label = from.label,
        .margin = from.margin,
    };
    return true;
}

void bgh_reset(bgh_pipeline *handle) {
    bg_reset(&handle->pipeline);
}

int bgh_self_test(bgh_pipeline *handle, const int16_t *adc_counts, size_t n_samples,
                  const bgh_decision *expected, size_t n, size_t *failed) {
    bg_status status = BG_OK;
    size_t unused;
    for (size_t i = 0; i < n && status == BG_OK; i++) {
        const bg_golden golden = {
            .adc_counts = adc_counts + i * n_samples * handle->pipeline.chain.settings->n_leads,
            .n_samples = n_samples,
            .expected = {
                .window_start = expected[i].window_start,
                .score = {expected[i].score[0], expected[i].score[1]},
                .accepted = expected[i].accepted,
                .reason = expected[i].reason,
                .label = expected[i].label,
                .margin = expected[i].margin,
            },
        };
        *failed = i;
        status = bg_self_test(&handle->pipeline, &golden, 1, &unused);
    }
    return status;
}

void bgh_skip_to_frame(bgh_pipeline *handle, uint64_t n_frames) {
    handle->pipeline.n_frames = n_frames;
}

void bgh_close(bgh_pipeline *handle) {
    free(handle->arena);
    free(handle);
}
