#include "kernels.h"
#include "requantize.h"

/* The multiplier holds the 1 / width, as in TFLite Micro. */
void bg_mean_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                const int8_t *x, const bg_tensor *out, int8_t *y) {
    const uint32_t channels = in->channels;
    for (uint32_t c = 0; c < channels; c++) {
        int32_t sum = -in->zero_point * in->width;
        for (uint32_t t = 0; t < in->width; t++) {
            sum += x[t * channels + c];
        }
        const int32_t mean = bg_requantize(sum, data->multipliers[0], data->shifts[0]);
        y[c] = bg_to_output(mean, out->zero_point, layer->act_min, layer->act_max);
    }
}
