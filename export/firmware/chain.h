/* The signal chain: ADC counts -> mains notch -> resampler -> high-pass -> int8 codes of a fixed
 * size in mV. docs/signal-chain.md has the reasons and the measured response.
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
    BG_CHAIN_FRACTION_BITS = 12, /* of every value inside the chain, below one ADC count */
    BG_CHAIN_RATIO_MAX = 256,    /* of `up` and of `down` */
    BG_CHAIN_TAPS_MAX = 512,     /* a phase */
};

/* Part of the blob: little-endian, no padding. */
typedef struct {
    uint32_t fs_sensor_mhz; /* millihertz */
    uint32_t fs_model_mhz;
    uint16_t up; /* rational resampler, fs_model = fs_sensor * up / down; 1 / 1: none */
    uint16_t down;
    uint16_t n_leads;
    int16_t baseline;     /* ADC count that means 0 mV */
    int32_t b0_q30;       /* second-order high-pass: b = b0 * (1, -2, 1), so DC is blocked exactly */
    int32_t a1_q30;       /* denominator 1 + a1/z + a2/z^2 */
    int32_t a2_q30;
    int32_t scale;        /* code = (state * scale + half) >> scale_shift */
    uint32_t scale_shift; /* 1..62 */
    uint32_t lsb_nv;      /* nanovolt a code, for the reader */
    int32_t notch_b0_q30; /* b = (b0, a1, b0), a2 = 2 b0 - 1, so DC passes exactly; 0: no notch */
    int32_t notch_a1_q30;
    uint16_t taps_per_phase; /* of the resampler; 0 where there is none */
    uint16_t taps_shift;     /* the taps of each phase sum to 1 << taps_shift, so DC passes exactly */
} bg_chain_settings;

/* One second-order section: what it remembers of one lead. */
typedef struct {
    int32_t x1, x2;   /* the last two inputs, BG_CHAIN_FRACTION_BITS below a count */
    int32_t y1, y2;   /* the last two outputs */
    uint32_t residue; /* what the last rounding left, fed into the next sample */
} bg_section;

typedef struct {
    const bg_chain_settings *settings;
    const int16_t *taps;   /* [up][taps_per_phase]; NULL where there is no resampler */
    bg_section *high_pass; /* one a lead */
    bg_section *notch;     /* one a lead; NULL where there is none */
    int32_t *history;      /* [n_leads][n_history], rings of the resampler's input */
    uint32_t n_history;
    uint32_t newest; /* column of `history`; older samples follow it */
    uint32_t until;  /* from the newest sample to the next frame, in 1 / up of a sample */
    bool primed;     /* has seen a sample */
} bg_chain;

/* Whether this runtime can run the settings. `taps`: up * taps_per_phase of them, NULL for none. */
bg_status bg_chain_check(const bg_chain_settings *settings, const int16_t *taps);

/* Return the exact bytes of memory that bg_chain_open takes. */
size_t bg_chain_bytes(const bg_chain_settings *settings);

/* Make a chain of checked settings, in memory aligned to 4. Settings, taps and memory outlive it. */
void bg_chain_open(bg_chain *chain, const bg_chain_settings *settings, const int16_t *taps,
                   void *memory);

/* Forget the signal. The next frame makes the state that of a sensor that has always shown it: no
 * transient at the start. */
void bg_chain_reset(bg_chain *chain);

/* Return how many frames of codes the next n_samples frames of counts complete. */
size_t bg_chain_frames(const bg_chain *chain, size_t n_samples);

/* Take one frame of n_leads counts. Then call bg_chain_pop until it returns false. */
void bg_chain_push(bg_chain *chain, const int16_t *counts);

/* Write the next frame of n_leads codes; false, and nothing written, when the counts pushed so far
 * complete none. */
bool bg_chain_pop(bg_chain *chain, int8_t *codes);

#endif
