#include "chain.h"

/* Of every value in the chain: 2^17 counts, where the ADC has 2^16. It keeps the accumulator of a
 * section below 2^62 and that of the resampler below 2^53, whatever the counts. */
enum { STATE_MAX = (1 << 29) - 1 };

#define ONE_Q30 ((int64_t)1 << 30)

static bool stable(int64_t a1, int64_t a2) {
    return a2 > -ONE_Q30 && a2 < ONE_Q30 && a1 < ONE_Q30 + a2 && -a1 < ONE_Q30 + a2;
}

/* Whether every phase has unit gain at DC. */
static bool taps_sum_to_one(const bg_chain_settings *settings, const int16_t *taps) {
    for (uint32_t phase = 0; phase < settings->up; phase++) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < settings->taps_per_phase; k++) {
            sum += *taps++;
        }
        if (sum != 1 << settings->taps_shift) {
            return false;
        }
    }
    return true;
}

static bool resampler_runs(const bg_chain_settings *settings, const int16_t *taps) {
    if (settings->up == 1 && settings->down == 1) {
        return taps == NULL && settings->taps_per_phase == 0 && settings->taps_shift == 0;
    }
    return settings->up >= 1 && settings->up <= BG_CHAIN_RATIO_MAX && settings->down >= 1 &&
           settings->down <= BG_CHAIN_RATIO_MAX && taps != NULL && settings->taps_per_phase >= 1 &&
           settings->taps_per_phase <= BG_CHAIN_TAPS_MAX && settings->taps_shift >= 1 &&
           settings->taps_shift <= 24 && taps_sum_to_one(settings, taps);
}

bg_status bg_chain_check(const bg_chain_settings *settings, const int16_t *taps) {
    const int64_t notch_b0 = settings->notch_b0_q30;
    const bool rates = settings->fs_model_mhz > 0 &&
                       (uint64_t)settings->fs_sensor_mhz * settings->up ==
                           (uint64_t)settings->fs_model_mhz * settings->down;
    const bool leads = settings->n_leads >= 1 && settings->n_leads <= BG_LEADS_MAX;
    const bool high_pass_runs = settings->b0_q30 > 0 && settings->b0_q30 <= ONE_Q30 &&
                                stable(settings->a1_q30, settings->a2_q30);
    const bool notch_runs =
        notch_b0 == 0 ? settings->notch_a1_q30 == 0
                      : notch_b0 > 0 && notch_b0 < ONE_Q30 &&
                            stable(settings->notch_a1_q30, 2 * notch_b0 - ONE_Q30);
    const bool scale = settings->scale > 0 && settings->scale_shift >= 1 &&
                       settings->scale_shift <= 62;
    return rates && leads && high_pass_runs && notch_runs && scale && resampler_runs(settings, taps)
               ? BG_OK : BG_ERR_CHAIN;
}

/* Without a resampler the history is the newest sample alone. */
static uint32_t history_length(const bg_chain_settings *settings) {
    return settings->taps_per_phase > 0 ? settings->taps_per_phase : 1;
}

size_t bg_chain_bytes(const bg_chain_settings *settings) {
    const size_t n_sections = settings->notch_b0_q30 != 0 ? 2 : 1;
    return settings->n_leads *
           (n_sections * sizeof(bg_section) + history_length(settings) * sizeof(int32_t));
}

void bg_chain_open(bg_chain *chain, const bg_chain_settings *settings, const int16_t *taps,
                   void *memory) {
    bg_section *sections = memory;
    const bool has_notch = settings->notch_b0_q30 != 0;
    *chain = (bg_chain){
        .settings = settings,
        .taps = taps,
        .high_pass = sections,
        .notch = has_notch ? sections + settings->n_leads : NULL,
        .history = (void *)(sections + settings->n_leads * (has_notch ? 2U : 1U)),
        .n_history = history_length(settings),
    };
    bg_chain_reset(chain);
}

void bg_chain_reset(bg_chain *chain) {
    chain->newest = 0;
    chain->until = chain->settings->up; /* the first sample completes a frame */
    chain->primed = false;
}

/* Every `down` samples make `up` frames, so the rest alone is computed in parts of a sample. */
size_t bg_chain_frames(const bg_chain *chain, size_t n_samples) {
    const uint32_t up = chain->settings->up;
    const uint32_t down = chain->settings->down;
    const uint32_t wait = chain->until - up;
    const uint32_t rest = (uint32_t)(n_samples % down) * up;
    return n_samples / down * up + (rest <= wait ? 0 : (rest - wait + down - 1) / down);
}

static int32_t saturated(int64_t value) {
    return (int32_t)(value > STATE_MAX ? STATE_MAX : value < -STATE_MAX ? -STATE_MAX : value);
}

/* End one step of a section in direct form I, whose new output is acc / 2^30. The remainder of that
 * rounding is carried over: first-order error feedback puts a zero at DC into the rounding noise,
 * which a pole this close to 1 would otherwise amplify (1e5 times at 0.05 Hz and 100 Hz). */
static int32_t step(bg_section *s, int32_t x, int64_t acc) {
    acc += s->residue;
    const int64_t y = acc >> 30;
    s->residue = (uint32_t)acc & (uint32_t)(ONE_Q30 - 1);
    s->x2 = s->x1;
    s->x1 = x;
    s->y2 = s->y1;
    s->y1 = saturated(y);
    if (s->y1 != y) {
        s->residue = 0;
    }
    return s->y1;
}

static int32_t high_pass(const bg_chain_settings *settings, bg_section *s, int32_t x) {
    const int32_t curve = x - 2 * s->x1 + s->x2; /* below 2^31, see STATE_MAX */
    return step(s, x, (int64_t)settings->b0_q30 * curve - (int64_t)settings->a1_q30 * s->y1 -
                          (int64_t)settings->a2_q30 * s->y2);
}

static int32_t notch(const bg_chain_settings *settings, bg_section *s, int32_t x) {
    const int32_t a2_q30 = (int32_t)(2 * (int64_t)settings->notch_b0_q30 - ONE_Q30);
    return step(s, x, (int64_t)settings->notch_b0_q30 * (x + s->x2) +
                          (int64_t)settings->notch_a1_q30 * (s->x1 - s->y1) -
                          (int64_t)a2_q30 * s->y2);
}

static void prime(bg_chain *chain, uint32_t lead, int32_t x) {
    chain->high_pass[lead] = (bg_section){.x1 = x, .x2 = x};
    if (chain->notch != NULL) {
        chain->notch[lead] = (bg_section){.x1 = x, .x2 = x, .y1 = x, .y2 = x};
    }
    for (uint32_t k = 0; k < chain->n_history; k++) {
        chain->history[lead * chain->n_history + k] = x;
    }
}

void bg_chain_push(bg_chain *chain, const int16_t *counts) {
    const bg_chain_settings *settings = chain->settings;
    const uint32_t newest = (chain->newest == 0 ? chain->n_history : chain->newest) - 1;
    int32_t *history = chain->history + newest;
    for (uint32_t i = 0; i < settings->n_leads; i++) {
        const int32_t x = (counts[i] - settings->baseline) * (1 << BG_CHAIN_FRACTION_BITS);
        if (!chain->primed) {
            prime(chain, i, x);
        }
        *history = chain->notch == NULL ? x : notch(settings, &chain->notch[i], x);
        history += chain->n_history;
    }
    chain->newest = newest;
    chain->primed = true;
    chain->until -= settings->up;
}

static int64_t dot(const int16_t *taps, const int32_t *x, uint32_t n) {
    int64_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += (int64_t)taps[k] * x[k];
    }
    return sum;
}

/* One phase of the polyphase filter over one lead's ring, in its two contiguous pieces. */
static int32_t resample(const bg_chain *chain, const int32_t *ring, uint32_t phase) {
    if (chain->taps == NULL) {
        return *ring;
    }
    const int16_t *taps = chain->taps + phase * chain->n_history;
    const uint32_t n_first = chain->n_history - chain->newest;
    const uint32_t shift = chain->settings->taps_shift;
    int64_t acc = (int64_t)1 << (shift - 1);
    acc += dot(taps, ring + chain->newest, n_first);
    acc += dot(taps + n_first, ring, chain->newest);
    return saturated(acc >> shift);
}

static int8_t to_code(const bg_chain_settings *settings, int32_t y) {
    const int64_t half = (int64_t)1 << (settings->scale_shift - 1);
    const int64_t code = ((int64_t)y * settings->scale + half) >> settings->scale_shift;
    return (int8_t)(code > INT8_MAX ? INT8_MAX : code < INT8_MIN ? INT8_MIN : code);
}

bool bg_chain_pop(bg_chain *chain, int8_t *codes) {
    const bg_chain_settings *settings = chain->settings;
    if (chain->until >= settings->up) {
        return false;
    }
    for (uint32_t i = 0; i < settings->n_leads; i++) {
        const int32_t x = resample(chain, chain->history + i * chain->n_history, chain->until);
        codes[i] = to_code(settings, high_pass(settings, &chain->high_pass[i], x));
    }
    chain->until += settings->down;
    return true;
}
