/* Where the core's time goes: signal chain, gates, classifier, and every layer of theirs.
 *
 * The linker's --wrap puts a clock around bg_chain_push and bg_chain_pop and the runtime's hook one
 * behind every layer; the runtime itself is the one that ships. Ticks run from one event to the
 * next, so nothing is missed: a network's first layer includes fetching its window. What is left
 * over counts for the gates where a window was completed, else for the chain. What the clocks
 * themselves execute is left out but for a few instructions around each reading.
 */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "bg.h"

typedef struct {
    uint32_t chain, gates, classifier; /* ticks */
} frame_account;

/* Watch a pipeline that was opened just now. */
void accounts_open(bg_pipeline *pipeline);

/* Push one frame and say where its ticks went; those of layers add up in layer_ticks. */
bg_status accounts_push(bg_pipeline *pipeline, const int16_t *counts, frame_account *account);

/* Made by the linker: one entry a layer of the image's networks, gates first. */
extern uint64_t layer_ticks[], layer_ticks_end[];

#endif
