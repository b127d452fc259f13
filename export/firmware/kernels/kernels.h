/* int8 kernels, equal to TFLite Micro's reference kernels to the bit. docs/kernels.md.
 *
 * Tensors are (width, channels) with channels contiguous; batch and height are 1. Kernels keep no
 * state and trust their arguments: bg_blob_check has seen every shape, offset and constant.
 */
#ifndef BG_KERNELS_H
#define BG_KERNELS_H

#include "../blob.h"

/* An activation or constant as a kernel sees it: in streaming, a few columns of a tensor. */
typedef struct {
    bg_tensor tensor; /* its shape here and its quantisation; the offset counts for nothing */
    int8_t *data;
} bg_operand;

/* One run of one layer. Shapes are those of the operands, whatever the blob's tensors say. */
typedef struct {
    const bg_layer *layer;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multipliers;
    const int8_t *shifts;
    bg_operand in[BG_INPUTS_MAX];
    bg_operand out;
    int16_t *scratch; /* bg_scratch_bytes(layer, in, out) bytes, where that is not 0 */
} bg_job;

typedef void (*bg_kernel)(const bg_job *job);

/* The operators that are linked, NULL for those that are not. operators.c has all of them. */
extern const bg_kernel bg_operators[BG_OP_COUNT];

void bg_conv_s8(const bg_job *job);
void bg_depthwise_conv_s8(const bg_job *job);
void bg_fully_connected_s8(const bg_job *job);

/* Elementwise, either input broadcast along width or channels; out may be an input of its size. */
void bg_add_s8(const bg_job *job);
void bg_sub_s8(const bg_job *job);
void bg_mul_s8(const bg_job *job);

/* A table of 256 values: TANH, LOGISTIC, RELU, RELU6, LEAKY_RELU, QUANTIZE. out may be in. */
void bg_lookup_s8(const bg_job *job);

/* Mean over time: (width, channels) -> (1, channels). */
void bg_mean_s8(const bg_job *job);

/* One channel of a mean over time, given the plain sum of its in->width codes. */
int8_t bg_mean_of_sum_s8(const bg_job *job, int32_t sum);

void bg_average_pool_s8(const bg_job *job);
void bg_max_pool_s8(const bg_job *job);

/* Bytes moved, values kept. */
void bg_concatenation_s8(const bg_job *job); /* along channels where all widths are one */
void bg_strided_slice_s8(const bg_job *job);
void bg_reshape_s8(const bg_job *job); /* out may be in */
void bg_pad_s8(const bg_job *job);

#endif
