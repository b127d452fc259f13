#include "self_test.h"

static bool same(const bg_pipeline *pipeline, const bg_decision *a, const bg_decision *b) {
    for (uint32_t i = 0; i < pipeline->networks.n_gates; i++) {
        if (a->score[i] != b->score[i]) {
            return false;
        }
    }
    return a->window_start == b->window_start && a->accepted == b->accepted &&
           a->reason == b->reason && a->label == b->label && a->margin == b->margin;
}

static bg_status play(bg_pipeline *pipeline, const bg_golden *golden) {
    bg_decision decision;
    bg_decision another;
    bg_reset(pipeline);
    const bg_status status = bg_push(pipeline, golden->adc_counts, golden->n_samples);
    if (status != BG_OK) {
        return status;
    }
    const bool one = bg_poll(pipeline, &decision) && !bg_poll(pipeline, &another);
    return one && same(pipeline, &decision, &golden->expected) ? BG_OK : BG_ERR_SELF_TEST;
}

bg_status bg_self_test(bg_pipeline *pipeline, const bg_golden *golden, size_t n, size_t *failed) {
    bg_status status = BG_OK;
    for (size_t i = 0; i < n && status == BG_OK; i++) {
        *failed = i;
        status = play(pipeline, &golden[i]);
    }
    bg_reset(pipeline);
    return status;
}
