#include <string.h>

#include "bg.h"
#include "score.h"

/* One arena: the signal chain, then for the networks that run on whole windows the ring of the last
 * one and the activations, which they share as they run one after another; then what each network
 * that streams keeps to itself. */
typedef struct {
    size_t ring, activations, end; /* offsets; the chain lies at 0 */
    size_t streams[BG_GATES_MAX + 1];
    bool has_ring;
} arena_plan;

static size_t align_up(size_t bytes) {
    return (bytes + BG_ALIGN - 1) / BG_ALIGN * BG_ALIGN;
}

static uint32_t n_models(const bg_networks *networks) {
    return networks->n_gates + (networks->has_classifier ? 1U : 0U);
}

static bool same_front_end(const bg_blob_header *a, const bg_blob_header *b) {
    const size_t n_taps = (size_t)a->chain.up * a->chain.taps_per_phase;
    return memcmp(&a->chain, &b->chain, sizeof a->chain) == 0 && a->window_len == b->window_len &&
           a->hop_len == b->hop_len &&
           (n_taps == 0 ||
            memcmp(bg_blob_taps(a), bg_blob_taps(b), n_taps * sizeof(int16_t)) == 0);
}

static bg_status open_networks(bg_networks *networks, const bg_blobs *blobs) {
    networks->n_gates = blobs->n_gates;
    networks->has_classifier = blobs->classifier.data != NULL;
    if (blobs->n_gates > BG_GATES_MAX || n_models(networks) == 0) {
        return BG_ERR_CONFIGURATION;
    }
    for (uint32_t i = 0; i < n_models(networks); i++) {
        const bool gate = i < networks->n_gates;
        const bg_blob blob = gate ? blobs->gates[i] : blobs->classifier;
        const bg_role role = gate ? BG_ROLE_GATE : BG_ROLE_CLASSIFIER;
        const bg_status status = bg_model_open(&networks->models[i], blob.data, blob.bytes, role);
        if (status != BG_OK) {
            return status;
        }
        if (!same_front_end(networks->models[0].header, networks->models[i].header)) {
            return BG_ERR_MISMATCH;
        }
    }
    return BG_OK;
}

static arena_plan plan_arena(const bg_networks *networks) {
    const bg_blob_header *header = networks->models[0].header;
    const size_t n_leads = header->chain.n_leads;
    size_t activation_bytes = 0;
    arena_plan plan = {.ring = align_up(bg_chain_bytes(&header->chain))};
    for (uint32_t i = 0; i < n_models(networks); i++) {
        const bg_model *model = &networks->models[i];
        const size_t bytes = model->header->activation_bytes;
        if (model->stream == NULL) {
            plan.has_ring = true;
            activation_bytes = bytes > activation_bytes ? bytes : activation_bytes;
        }
    }
    plan.activations = plan.ring + (plan.has_ring ? align_up(header->window_len * n_leads) : 0);
    plan.end = plan.activations + align_up(activation_bytes);
    for (uint32_t i = 0; i < n_models(networks); i++) {
        plan.streams[i] = plan.end;
        plan.end += align_up(networks->models[i].header->stream_bytes);
    }
    return plan;
}

size_t bg_arena_bytes(const bg_blobs *blobs) {
    bg_networks networks;
    return open_networks(&networks, blobs) == BG_OK ? plan_arena(&networks).end : 0;
}

bg_status bg_open(bg_pipeline *pipeline, const bg_blobs *blobs, void *arena, size_t arena_bytes) {
    memset(pipeline, 0, sizeof *pipeline);
    const bg_status status = open_networks(&pipeline->networks, blobs);
    if (status != BG_OK) {
        return status;
    }
    const arena_plan plan = plan_arena(&pipeline->networks);
    if ((uintptr_t)arena % BG_ALIGN != 0) {
        return BG_ERR_ALIGNMENT;
    }
    if (arena == NULL || arena_bytes < plan.end) {
        return BG_ERR_ARENA;
    }
    const bg_blob_header *header = pipeline->networks.models[0].header;
    bg_chain_open(&pipeline->chain, &header->chain, bg_blob_taps(header), arena);
    pipeline->window_len = header->window_len;
    pipeline->hop_len = header->hop_len;
    pipeline->ring = plan.has_ring ? (int8_t *)arena + plan.ring : NULL;
    pipeline->activations = (int8_t *)arena + plan.activations;
    for (uint32_t i = 0; i < n_models(&pipeline->networks); i++) {
        const bool streams = pipeline->networks.models[i].stream != NULL;
        pipeline->streams[i].memory = streams ? (int8_t *)arena + plan.streams[i] : NULL;
    }
    bg_reset(pipeline);
    return BG_OK;
}

void bg_reset(bg_pipeline *pipeline) {
    if (pipeline->chain.settings == NULL) {
        return; /* bg_open refused the blobs */
    }
    pipeline->ring_next = 0;
    pipeline->until_window = pipeline->window_len;
    pipeline->n_frames = 0;
    bg_chain_reset(&pipeline->chain);
    pipeline->queue_first = 0;
    pipeline->queue_used = 0;
    for (uint32_t i = 0; i < n_models(&pipeline->networks); i++) {
        if (pipeline->streams[i].memory != NULL) {
            bg_stream_reset(&pipeline->streams[i], &pipeline->networks.models[i]);
        }
    }
}

static bg_observer observer_of(const bg_pipeline *pipeline, uint32_t index) {
    return (bg_observer){pipeline->hook, pipeline->hook_context, index};
}

/* Return one network's output for the window that ends with the newest frame. */
static const int8_t *run_model(bg_pipeline *pipeline, uint32_t index) {
    const bg_model *model = &pipeline->networks.models[index];
    if (pipeline->streams[index].memory != NULL) {
        return bg_stream_finish(&pipeline->streams[index], model, observer_of(pipeline, index));
    }
    const size_t frame = pipeline->chain.settings->n_leads;
    const size_t newest = pipeline->ring_next * frame; /* bytes before the oldest frame */
    const size_t oldest = pipeline->window_len * frame - newest;
    /* From the ring, oldest frame first; whoever does not stream has one. */
    int8_t *input = bg_model_input(model, pipeline->activations);
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    memcpy(input, pipeline->ring + newest, oldest);
    memcpy(input + oldest, pipeline->ring, newest);
    return bg_model_run(model, pipeline->activations, observer_of(pipeline, index));
}

static void classify(bg_pipeline *pipeline, bg_decision *decision) {
    const uint32_t index = pipeline->networks.n_gates;
    const bg_model *model = &pipeline->networks.models[index];
    const size_t n_classes = bg_tensor_bytes(bg_model_output(model));
    const int8_t *logits = run_model(pipeline, index);
    int16_t best = 0;
    int16_t second = -1;
    for (int16_t i = 1; i < (int16_t)n_classes; i++) {
        if (logits[i] > logits[best]) {
            second = best;
            best = i;
        } else if (second < 0 || logits[i] > logits[second]) {
            second = i;
        }
    }
    decision->label = best;
    decision->margin = (int16_t)(second < 0 ? 0 : logits[best] - logits[second]);
}

/* Decide on the window that the newest frame completed. Every gate runs, whatever the first one
 * said: the scores are the record of why. */
static void decide(bg_pipeline *pipeline) {
    const uint32_t slot = (pipeline->queue_first + pipeline->queue_used) % BG_QUEUE_LEN;
    bg_decision *decision = &pipeline->queue[slot];
    *decision = (bg_decision){
        .window_start = pipeline->n_frames - pipeline->window_len,
        .accepted = true,
        .reason = BG_REASON_OK,
        .label = -1,
    };
    for (uint32_t i = 0; i < pipeline->networks.n_gates; i++) {
        const bg_model *gate = &pipeline->networks.models[i];
        decision->score[i] = bg_score(gate->header, bg_model_output(gate), run_model(pipeline, i));
        if (decision->score[i] > gate->header->threshold) {
            decision->accepted = false;
            decision->reason = BG_REASON_UNFAMILIAR;
        }
    }
    if (decision->accepted && pipeline->networks.has_classifier) {
        classify(pipeline, decision);
    }
    pipeline->queue_used++;
}

/* Keep the chain's next frame of codes and run what it makes due; false when it has none. */
static bool take_frame(bg_pipeline *pipeline) {
    const size_t frame = pipeline->chain.settings->n_leads;
    int8_t codes[BG_LEADS_MAX];
    if (!bg_chain_pop(&pipeline->chain, codes)) {
        return false;
    }
    if (pipeline->ring != NULL) {
        memcpy(pipeline->ring + pipeline->ring_next * frame, codes, frame);
        pipeline->ring_next = pipeline->ring_next + 1 == pipeline->window_len
                                  ? 0 : pipeline->ring_next + 1;
    }
    for (uint32_t i = 0; i < n_models(&pipeline->networks); i++) {
        if (pipeline->streams[i].memory != NULL) {
            bg_stream_push(&pipeline->streams[i], &pipeline->networks.models[i], codes,
                           observer_of(pipeline, i));
        }
    }
    pipeline->n_frames++;
    pipeline->until_window--;
    if (pipeline->until_window == 0) {
        pipeline->until_window = pipeline->hop_len;
        decide(pipeline);
    }
    return true;
}

bg_status bg_push(bg_pipeline *pipeline, const int16_t *adc_counts, size_t n_samples) {
    if (pipeline->chain.settings == NULL) {
        return BG_ERR_CONFIGURATION;
    }
    const size_t n_frames = bg_chain_frames(&pipeline->chain, n_samples);
    const size_t until = pipeline->until_window;
    const size_t due = n_frames < until ? 0 : 1 + (n_frames - until) / pipeline->hop_len;
    if (due > BG_QUEUE_LEN - pipeline->queue_used) {
        return due > BG_QUEUE_LEN ? BG_ERR_CHUNK : BG_ERR_QUEUE_FULL;
    }
    for (size_t i = 0; i < n_samples; i++) {
        bg_chain_push(&pipeline->chain, adc_counts + i * pipeline->chain.settings->n_leads);
        while (take_frame(pipeline)) {
        }
    }
    return BG_OK;
}

bool bg_poll(bg_pipeline *pipeline, bg_decision *decision) {
    if (pipeline->queue_used == 0) {
        return false;
    }
    *decision = pipeline->queue[pipeline->queue_first];
    pipeline->queue_first = (pipeline->queue_first + 1) % BG_QUEUE_LEN;
    pipeline->queue_used--;
    return true;
}
