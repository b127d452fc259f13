/* A network run along the stream: each layer computes its few new columns, once.
 *
 * Its memory holds, for every tensor with a time axis, the columns of the past that a layer still
 * needs and behind them the new ones; for every mean over time the sums of blocks of columns; and
 * the vectors behind the mean. The plan is made by export/streaming.py, part of the blob, and
 * checked by bg_stream_check. docs/streaming.md.
 */
#ifndef BG_STREAM_H
#define BG_STREAM_H

#include "model.h"

typedef struct {
    int8_t *memory; /* stream_bytes, aligned to BG_ALIGN */
    uint32_t fill;  /* frames since the last step */
    uint32_t steps; /* since the last hop */
} bg_stream;

/* Check the streaming form of an otherwise checked blob that has one. */
bg_status bg_stream_check(const bg_blob_header *header, const bg_tensor *tensors,
                          const bg_layer *layers);

/* Forget the signal. The model must have a streaming form. */
void bg_stream_reset(bg_stream *stream, const bg_model *model);

/* Take one frame of codes; every stream_step frames this runs the layers that have their columns. */
void bg_stream_push(bg_stream *stream, const bg_model *model, const int8_t *codes,
                    bg_observer observer);

/* Run what follows the mean and return the output tensor, right after the last frame of a window
 * was pushed. It stays there until the next call of any function of this file. */
const int8_t *bg_stream_finish(const bg_stream *stream, const bg_model *model,
                               bg_observer observer);

#endif
