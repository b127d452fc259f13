/* int8 kernels, equal to TFLite Micro's reference kernels to the bit.
 *
 * Tensors are (width, channels) with channels contiguous; batch and height are 1. Kernels keep no
 * state and trust their arguments: bg_blob_check has seen every shape, offset and constant.
 */
#ifndef BG_KERNELS_H
#define BG_KERNELS_H

#include "../blob.h"

typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multipliers;
    const int8_t *shifts;
} bg_kernel_data;

void bg_conv_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                const int8_t *x, const bg_tensor *out, int8_t *y);

void bg_fully_connected_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                           const int8_t *x, const bg_tensor *out, int8_t *y);

/* Elementwise; y may be x or x2. */
void bg_add_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
               const int8_t *x, const bg_tensor *in2, const int8_t *x2, const bg_tensor *out,
               int8_t *y);

/* Mean over time: (width, channels) -> (1, channels). */
void bg_mean_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                const int8_t *x, const bg_tensor *out, int8_t *y);

#endif
