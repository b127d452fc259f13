/* Whether the memory plan of a blob keeps apart what is in use at the same time. */
#ifndef BG_OVERLAP_H
#define BG_OVERLAP_H

#include "stream_plan.h"

/* Check both plans of a blob whose tables are otherwise in order: that of the whole window and,
 * where `stream` is not NULL, that of the streaming form. */
bg_status bg_overlap_check(const bg_blob_header *header, const bg_tensor *tensors,
                           const bg_layer *layers, const bg_stream_tensor *stream);

#endif
