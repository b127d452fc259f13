/* beatgate: the gate in front of on-device ECG diagnosis.
 *
 * A pipeline takes raw ADC counts, keeps the last window of signal, and every hop decides whether
 * that window is fit to be diagnosed. Only then does the diagnostic classifier run.
 *
 *     static bg_pipeline pipeline;
 *     static uint8_t arena[N] __attribute__((aligned(BG_ALIGN)));   // N: `arena_bytes` of the bundle
 *     bg_status status = bg_open(&pipeline, &blobs, arena, sizeof arena);
 *     ...each time the front end has samples:
 *     status = bg_push(&pipeline, counts, n_samples);
 *     while (bg_poll(&pipeline, &decision)) { act(&decision); }
 *
 * No heap, no recursion, no libc beyond memcpy, memset and memcmp; the caller owns every byte.
 */
#ifndef BG_H
#define BG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob.h"
#include "chain.h"
#include "model.h"
#include "status.h"
#include "stream.h"

enum {
    BG_GATES_MAX = 2,  /* a quality gate and a familiarity gate */
    BG_QUEUE_LEN = 16, /* decisions that wait for bg_poll; see bg_push */
};

/* Why a window was rejected. The numbers are part of the record format and never change. */
typedef enum {
    BG_REASON_OK = 0,
    BG_REASON_UNFAMILIAR = 5,
} bg_reason;

typedef struct {
    const void *data; /* aligned to BG_ALIGN; stays in flash, never copied */
    size_t bytes;
} bg_blob;

typedef struct {
    bg_blob gates[BG_GATES_MAX];
    uint32_t n_gates;   /* 0: the classifier alone, every window accepted */
    bg_blob classifier; /* data NULL: the filter alone */
} bg_blobs;

typedef struct {
    uint64_t window_start;       /* index of the window's first sample at the model's rate */
    int64_t score[BG_GATES_MAX]; /* of every gate of the pipeline; higher = more anomalous */
    bool accepted;
    uint8_t reason; /* bg_reason */
    int16_t label;  /* class index of the classifier; -1 where it did not run */
    int16_t margin; /* best logit less the second best, in int8 steps; 0 where it did not run */
} bg_decision;

typedef struct {
    bg_model models[BG_GATES_MAX + 1]; /* gates, then the classifier */
    uint32_t n_gates;
    bool has_classifier;
} bg_networks;

typedef struct {
    bg_networks networks;
    bg_chain chain; /* its memory lies in the arena */
    uint32_t window_len;
    uint32_t hop_len;
    bg_stream streams[BG_GATES_MAX + 1]; /* arena: networks that stream; memory NULL: do not */
    int8_t *ring;         /* arena: the last window_len frames; NULL where every network streams */
    int8_t *activations;  /* arena: one network at a time, of those that run on whole windows */
    uint32_t ring_next;   /* frame to be written next */
    uint32_t until_window; /* frames until the next decision */
    uint64_t n_frames;     /* since bg_open or bg_reset */
    bg_decision queue[BG_QUEUE_LEN];
    uint32_t queue_first;
    uint32_t queue_used;
    bg_hook hook;
    void *hook_context;
} bg_pipeline;

/* Return the exact arena size the blobs need, 0 when one of them is invalid. */
size_t bg_arena_bytes(const bg_blobs *blobs);

/* Check every blob and make the pipeline ready for its first sample.
 * Blobs are untrusted: whatever their bytes, this returns a status and never faults. */
bg_status bg_open(bg_pipeline *pipeline, const bg_blobs *blobs, void *arena, size_t arena_bytes);

/* Take n_samples frames of interleaved counts (n_samples x n_leads).
 * The decisions do not depend on how a stream is cut into calls. The samples of BG_QUEUE_LEN hops
 * always fit an empty queue. A call that would complete more windows than there is room for is
 * refused whole, nothing consumed: BG_ERR_QUEUE_FULL where polling helps, BG_ERR_CHUNK where only
 * fewer samples do. */
bg_status bg_push(bg_pipeline *pipeline, const int16_t *adc_counts, size_t n_samples);

/* Take the oldest waiting decision; false when there is none. */
bool bg_poll(bg_pipeline *pipeline, bg_decision *decision);

/* Forget the signal: the next sample is the first of a new recording. */
void bg_reset(bg_pipeline *pipeline);

#endif
