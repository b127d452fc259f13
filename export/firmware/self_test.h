/* Golden windows on the device: what was decided when the model was made must be decided here. */
#ifndef BG_SELF_TEST_H
#define BG_SELF_TEST_H

#include "bg.h"

/* One window, played from a reset, with the decision that every engine and board must give. */
typedef struct {
    const int16_t *adc_counts; /* n_samples x n_leads: exactly one window */
    size_t n_samples;
    bg_decision expected;
} bg_golden;

/* Play `n` golden windows through an open pipeline and compare every field of the decisions.
 *
 * The signal so far and decisions that wait are forgotten, before and after. Returns BG_OK,
 * BG_ERR_SELF_TEST with *failed the first window that differs, or what bg_push returned for it. */
bg_status bg_self_test(bg_pipeline *pipeline, const bg_golden *golden, size_t n, size_t *failed);

#endif
