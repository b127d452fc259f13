#include "stream.h"

#include <string.h>

static bool has_columns(const bg_model *model, uint32_t tensor) {
    return model->stream[tensor].columns > 0;
}

/* `width` columns of a tensor, from `back` in front of the new ones on. */
static bg_operand columns_of(const bg_stream *stream, const bg_model *model, uint32_t tensor,
                             int64_t back, uint32_t width) {
    const bg_stream_tensor *row = &model->stream[tensor];
    const size_t first = (size_t)(row->carry - back);
    bg_operand operand = {.tensor = model->tensors[tensor]};
    operand.tensor.width = (uint16_t)width;
    operand.data = stream->memory + row->offset + first * operand.tensor.channels;
    return operand;
}

static bg_operand vector_of(const bg_stream *stream, const bg_model *model, uint32_t tensor) {
    if (bg_is_constant(&model->tensors[tensor])) {
        return bg_model_operand(model, tensor, stream->memory);
    }
    return (bg_operand){model->tensors[tensor], stream->memory + model->stream[tensor].offset};
}

/* The columns that a layer adds to those its readers wait for. */
static bg_operand made_columns(const bg_stream *stream, const bg_model *model,
                               const bg_layer *layer, const bg_stream_tensor *source) {
    const bg_stream_tensor *out = &model->stream[layer->output];
    const uint32_t width = source->columns / bg_reach_of(layer).stride;
    const uint32_t done = stream->steps % out->period / source->period;
    return columns_of(stream, model, layer->output, -(int64_t)(done * width), width);
}

/* The layer as the stream runs it: its inputs begin where they are read. */
static bg_operand run_layer(const bg_stream *stream, const bg_model *model, const bg_layer *layer,
                            const bg_stream_tensor *source) {
    const bg_stream_tensor *out = &model->stream[layer->output];
    const bg_reach reach = bg_reach_of(layer);
    bg_layer local = *layer;
    bg_job job = {
        .layer = &local,
        .out = source != NULL ? made_columns(stream, model, layer, source)
                              : vector_of(stream, model, layer->output),
        .scratch = (void *)(stream->memory + out->scratch),
    };
    local.tile = (uint8_t)out->tile;
    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        const uint32_t tensor = layer->inputs[k];
        if (has_columns(model, tensor)) {
            const int64_t back = bg_reach_back(layer, &model->stream[tensor], out);
            const uint32_t width = (job.out.tensor.width - 1U) * reach.stride + reach.span;
            job.in[k] = columns_of(stream, model, tensor, back, width);
            local.pad_left = 0; /* a slice's first column is where the operand begins */
        } else {
            job.in[k] = vector_of(stream, model, tensor);
        }
    }
    bg_model_run_job(model, &job);
    return job.out;
}

static bg_stream_pool *pool_of(const bg_stream *stream, const bg_model *model,
                               const bg_layer *mean) {
    return (void *)(stream->memory + model->stream[mean->output].pool);
}

/* All blocks together are the window: write its mean. */
static void finish_mean(const bg_stream *stream, const bg_model *model, const bg_layer *mean,
                        const int16_t *sums) {
    const uint8_t *base = (const uint8_t *)model->header;
    const bg_tensor *in = &model->tensors[mean->inputs[0]];
    const bg_job job = {
        .layer = mean,
        .multipliers = (const void *)(base + mean->multipliers),
        .shifts = (const void *)(base + mean->shifts),
        .in = {{*in, NULL}},
        .out = vector_of(stream, model, mean->output),
    };
    const uint32_t n = bg_stream_blocks(in->width, model->stream[mean->output].block);
    for (uint32_t c = 0; c < in->channels; c++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            sum += sums[i * in->channels + c];
        }
        job.out.data[c] = bg_mean_of_sum_s8(&job, sum);
    }
}

/* Add the new columns to the sums. Windows begin where blocks do, so when the newest block holds
 * what a window needs of it, the ring holds that window and nothing else. */
static void pool_columns(const bg_stream *stream, const bg_model *model, const bg_layer *mean) {
    const uint32_t block = model->stream[mean->output].block;
    const uint32_t width = model->tensors[mean->inputs[0]].width;
    const uint32_t n_blocks = bg_stream_blocks(width, block);
    bg_stream_pool *pool = pool_of(stream, model, mean);
    const bg_operand in = columns_of(stream, model, mean->inputs[0], pool->lag,
                                     model->stream[mean->inputs[0]].columns);
    const uint32_t channels = in.tensor.channels;
    int16_t *sums = (void *)(pool + 1);
    for (uint32_t column = 0; column < in.tensor.width; column++) {
        if (pool->skip > 0) {
            pool->skip--;
            continue;
        }
        int16_t *sum = sums + pool->slot * channels;
        for (uint32_t c = 0; c < channels; c++) {
            sum[c] = (int16_t)(sum[c] + in.data[column * channels + c]);
        }
        pool->fill++;
        if (pool->fill == width - (n_blocks - 1) * block) {
            finish_mean(stream, model, mean, sums);
        }
        if (pool->fill == block) {
            pool->fill = 0;
            pool->slot = (uint16_t)(pool->slot + 1U == n_blocks ? 0 : pool->slot + 1);
            memset(sums + pool->slot * channels, 0, channels * sizeof *sums);
        }
    }
}

/* Let the last columns, old or new, be the past of the next step. */
static void renew(const bg_stream *stream, const bg_model *model, uint32_t tensor) {
    const bg_stream_tensor *row = &model->stream[tensor];
    const size_t column = model->tensors[tensor].channels;
    int8_t *past = stream->memory + row->offset;
    for (size_t at = 0; at < row->carry; at += row->columns) { /* pieces that do not overlap */
        const size_t left = row->carry - at;
        const size_t n = left < row->columns ? left : row->columns;
        memcpy(past + at * column, past + (at + row->columns) * column, n * column);
    }
}

static void renew_inputs(const bg_stream *stream, const bg_model *model, uint32_t index) {
    const bg_layer *layer = &model->layers[index];
    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        bool again = false; /* a tensor may be two inputs of one layer */
        for (uint32_t j = 0; j < k; j++) {
            again = again || layer->inputs[j] == layer->inputs[k];
        }
        const uint32_t tensor = layer->inputs[k];
        if (!again && has_columns(model, tensor) && model->stream[tensor].last_reader == index) {
            renew(stream, model, tensor);
        }
    }
}

/* Run the layers that have their columns; `steps` still counts the ones before. */
static void run_step(const bg_stream *stream, const bg_model *model, bg_observer observer) {
    for (uint32_t i = 0; i < model->header->n_layers; i++) {
        const bg_layer *layer = &model->layers[i];
        const bg_stream_tensor *source = bg_stream_source(layer, model->stream);
        if (source == NULL || (stream->steps + 1) % source->period != 0) {
            continue;
        }
        bg_operand out;
        if (layer->op == BG_OP_MEAN) {
            pool_columns(stream, model, layer);
            out = vector_of(stream, model, layer->output);
        } else {
            out = run_layer(stream, model, layer, source);
        }
        renew_inputs(stream, model, i);
        bg_observe(observer, i, out.data, bg_tensor_bytes(&out.tensor));
    }
}

void bg_stream_reset(bg_stream *stream, const bg_model *model) {
    const bg_blob_header *header = model->header;
    memset(stream->memory, 0, header->stream_bytes);
    stream->steps = model->stream[header->input].delay / header->stream_step;
    stream->fill = model->stream[header->input].delay % header->stream_step;
    for (uint32_t i = 0; i < header->n_layers; i++) {
        const bg_layer *layer = &model->layers[i];
        if (model->stream[layer->output].block > 0) {
            const bg_stream_tensor *in = &model->stream[layer->inputs[0]];
            const uint32_t width = model->tensors[layer->inputs[0]].width;
            bg_stream_pool *pool = pool_of(stream, model, layer);
            pool->lag = bg_stream_lag(header, model->stream, in, width);
            pool->skip = in->delay + pool->lag - bg_stream_unmade(header, model->stream, in);
        }
    }
}

void bg_stream_push(bg_stream *stream, const bg_model *model, const int8_t *codes,
                    bg_observer observer) {
    const bg_stream_tensor *in = &model->stream[model->header->input];
    const size_t frame = model->tensors[model->header->input].channels;
    memcpy(stream->memory + in->offset + (in->carry + stream->fill) * frame, codes, frame);
    stream->fill++;
    if (stream->fill == in->columns) {
        run_step(stream, model, observer);
        stream->fill = 0;
        stream->steps++;
        if (stream->steps == model->header->hop_len / model->header->stream_step) {
            stream->steps = 0;
        }
    }
}

const int8_t *bg_stream_finish(const bg_stream *stream, const bg_model *model,
                               bg_observer observer) {
    for (uint32_t i = 0; i < model->header->n_layers; i++) {
        const bg_layer *layer = &model->layers[i];
        if (bg_stream_source(layer, model->stream) == NULL) {
            const bg_operand out = run_layer(stream, model, layer, NULL);
            bg_observe(observer, i, out.data, bg_tensor_bytes(&out.tensor));
        }
    }
    return stream->memory + model->stream[model->header->output].offset;
}
