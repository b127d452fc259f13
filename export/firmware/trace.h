/* Where two engines first differ: one checksum a layer, from one window. */
#ifndef BG_TRACE_H
#define BG_TRACE_H

#include "model.h"

/* Run the network over `window` and write the CRC-32 of every layer's output, n_layers of them. */
void bg_trace_model(const bg_model *model, int8_t *activations, const int8_t *window,
                    uint32_t *crcs);

#endif
