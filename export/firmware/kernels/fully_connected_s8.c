#include "kernels.h"
#include "requantize.h"

void bg_fully_connected_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                           const int8_t *x, const bg_tensor *out, int8_t *y) {
    const uint32_t n = (uint32_t)in->width * in->channels;
    const int8_t *w = data->weights;
    for (uint32_t c = 0; c < out->channels; c++) {
        int32_t sum = data->bias[c];
        for (uint32_t i = 0; i < n; i++) {
            sum += (x[i] - in->zero_point) * *w++;
        }
        const int32_t scaled = bg_requantize(sum, data->multipliers[c], data->shifts[c]);
        y[c] = bg_to_output(scaled, out->zero_point, layer->act_min, layer->act_max);
    }
}
