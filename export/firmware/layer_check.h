/* Whether a layer of a blob can be run: its shapes, parameters and constants. */
#ifndef BG_LAYER_CHECK_H
#define BG_LAYER_CHECK_H

#include "blob.h"

/* Whether `count` items of `size` bytes at `offset`, words aligned to 4, lie inside the blob. */
bool bg_inside_blob(const bg_blob_header *header, uint32_t offset, uint64_t count, uint32_t size);

/* Check one layer of a blob whose envelope and tensors are in order. */
bg_status bg_layer_check(const bg_blob_header *header, const bg_tensor *tensors,
                         const bg_layer *layer);

#endif
