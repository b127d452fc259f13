/* The signal chain: ADC counts -> high-pass -> int8 codes of a fixed size in mV.
 *
 * Fixed point throughout, written once: training windows, the simulator and the board run this.
 * One code is the same number of mV always; there is no per-window normalisation, because amplitude
 * is information and a fixed scale is what makes streaming exact.
 */
#ifndef BG_CHAIN_H
#define BG_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum {
    BG_LEADS_MAX = 12,
    BG_CHAIN_FRACTION_BITS = 12, /* of the filter's state, below one ADC count */
};

/* Part of the blob: little-endian, no padding. */
typedef struct {
    uint32_t fs_sensor_mhz; /* millihertz */
    uint32_t fs_model_mhz;
    uint16_t up; /* rational resampler, fs_model = fs_sensor * up / down; this version runs 1 : 1 */
    uint16_t down;
    uint16_t n_leads;
    int16_t baseline;     /* ADC count that means 0 mV */
    int32_t b0_q30;       /* second-order high-pass: b = b0 * (1, -2, 1), so DC is blocked exactly */
    int32_t a1_q30;       /* denominator 1 + a1/z + a2/z^2 */
    int32_t a2_q30;
    int32_t scale;        /* code = (state * scale + half) >> scale_shift */
    uint32_t scale_shift; /* 1..62 */
    uint32_t lsb_nv;      /* nanovolt a code, for the reader */
} bg_chain_settings;

typedef struct {
    int32_t x1, x2;   /* the last two inputs, in counts */
    int32_t y1, y2;   /* the last two outputs, BG_CHAIN_FRACTION_BITS below a count */
    uint32_t residue; /* what the last rounding left, fed into the next sample */
} bg_chain_lead;

bg_status bg_chain_check(const bg_chain_settings *settings);

/* Make the state that of a sensor that has always shown `counts`: no transient at the start. */
void bg_chain_prime(const bg_chain_settings *settings, bg_chain_lead *leads, const int16_t *counts);

/* Take one frame of n_leads counts and write the frames of codes it completes.
 * Returns how many: always 1 while the resampler is 1 : 1. */
size_t bg_chain_push(const bg_chain_settings *settings, bg_chain_lead *leads, const int16_t *counts,
                     int8_t *codes);

#endif
