#include "kernels.h"
#include "requantize.h"

enum { HEADROOM = 1 << 20 }; /* TFLite's left shift of 20 bits before the inputs are rescaled */

void bg_add_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
               const int8_t *x, const bg_tensor *in2, const int8_t *x2, const bg_tensor *out,
               int8_t *y) {
    const int32_t *m = data->multipliers;
    const int8_t *s = data->shifts;
    const uint32_t n = (uint32_t)out->width * out->channels;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t a = bg_requantize((x[i] - in->zero_point) * HEADROOM, m[0], s[0]);
        const int32_t b = bg_requantize((x2[i] - in2->zero_point) * HEADROOM, m[1], s[1]);
        const int32_t sum = bg_requantize(a + b, m[2], s[2]);
        y[i] = bg_to_output(sum, out->zero_point, layer->act_min, layer->act_max);
    }
}
