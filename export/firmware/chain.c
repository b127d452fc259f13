#include "chain.h"

enum { STATE_MAX = (1 << 29) - 1 }; /* keeps the accumulator below 2^62 */

bg_status bg_chain_check(const bg_chain_settings *settings) {
    const int64_t one = (int64_t)1 << 30;
    const int64_t a1 = settings->a1_q30;
    const int64_t a2 = settings->a2_q30;
    const bool rates = settings->up == 1 && settings->down == 1 &&
                       settings->fs_sensor_mhz == settings->fs_model_mhz &&
                       settings->fs_model_mhz > 0;
    const bool leads = settings->n_leads >= 1 && settings->n_leads <= BG_LEADS_MAX;
    const bool stable = a2 > -one && a2 < one && a1 < one + a2 && -a1 < one + a2;
    const bool gains = settings->b0_q30 > 0 && settings->b0_q30 <= one && settings->scale > 0 &&
                       settings->scale_shift >= 1 && settings->scale_shift <= 62;
    return rates && leads && stable && gains ? BG_OK : BG_ERR_CHAIN;
}

void bg_chain_prime(const bg_chain_settings *settings, bg_chain_lead *leads,
                    const int16_t *counts) {
    for (uint32_t i = 0; i < settings->n_leads; i++) {
        const int32_t x = counts[i] - settings->baseline;
        leads[i] = (bg_chain_lead){.x1 = x, .x2 = x};
    }
}

/* Direct form I with the rounding remainder carried over: first-order error feedback puts a zero at
 * DC into the rounding noise, which a pole this close to 1 would otherwise amplify (1e5 times at
 * 0.05 Hz and 100 Hz). */
static int32_t high_pass(const bg_chain_settings *settings, bg_chain_lead *lead, int32_t x) {
    const int64_t curve = (int64_t)x - 2 * (int64_t)lead->x1 + lead->x2;
    int64_t acc = curve * settings->b0_q30 * (1 << BG_CHAIN_FRACTION_BITS);
    acc -= (int64_t)settings->a1_q30 * lead->y1;
    acc -= (int64_t)settings->a2_q30 * lead->y2;
    acc += lead->residue;
    int64_t y = acc >> 30;
    lead->residue = (uint32_t)(acc & ((1 << 30) - 1));
    if (y > STATE_MAX || y < -STATE_MAX) {
        y = y > 0 ? STATE_MAX : -STATE_MAX;
        lead->residue = 0;
    }
    lead->x2 = lead->x1;
    lead->x1 = x;
    lead->y2 = lead->y1;
    lead->y1 = (int32_t)y;
    return lead->y1;
}

static int8_t to_code(const bg_chain_settings *settings, int32_t y) {
    const int64_t half = (int64_t)1 << (settings->scale_shift - 1);
    const int64_t code = ((int64_t)y * settings->scale + half) >> settings->scale_shift;
    return (int8_t)(code > INT8_MAX ? INT8_MAX : code < INT8_MIN ? INT8_MIN : code);
}

size_t bg_chain_push(const bg_chain_settings *settings, bg_chain_lead *leads, const int16_t *counts,
                     int8_t *codes) {
    for (uint32_t i = 0; i < settings->n_leads; i++) {
        const int32_t x = counts[i] - settings->baseline;
        codes[i] = to_code(settings, high_pass(settings, &leads[i], x));
    }
    return 1;
}
