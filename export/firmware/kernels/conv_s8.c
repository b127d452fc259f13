#include "kernels.h"
#include "requantize.h"

static int32_t dot(const int8_t *x, const int8_t *weights, uint32_t n, int32_t zero_point) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (x[i] - zero_point) * weights[i];
    }
    return sum;
}

/* The taps that fall inside the input; a tap in the padding contributes zero. */
typedef struct {
    int32_t first, end; /* [first, end) of the kernel */
    int32_t start;      /* input column under tap `first` */
} taps;

static taps taps_inside(const bg_layer *layer, int32_t width, int32_t column) {
    const int32_t dilation = layer->dilation;
    const int32_t left = column * layer->stride - layer->pad_left;
    const int32_t first = left < 0 ? (-left + dilation - 1) / dilation : 0;
    const int32_t room = width - left; /* columns from the leftmost tap to the end of the input */
    const int32_t reach = room > 0 ? (room + dilation - 1) / dilation : 0;
    const int32_t end = reach < layer->kernel ? reach : layer->kernel;
    return (taps){.first = first, .end = end, .start = left + first * dilation};
}

void bg_conv_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                const int8_t *x, const bg_tensor *out, int8_t *y) {
    const uint32_t channels = in->channels;
    const uint32_t row = (uint32_t)layer->kernel * channels;
    for (int32_t column = 0; column < out->width; column++) {
        const taps span = taps_inside(layer, in->width, column);
        for (uint32_t c = 0; c < out->channels; c++) {
            const int8_t *w = data->weights + c * row + (uint32_t)span.first * channels;
            const int8_t *from = x + span.start * (int32_t)channels;
            int32_t sum = data->bias[c];
            if (layer->dilation == 1 && span.end > span.first) {
                /* Without gaps the taps are one contiguous run. */
                sum += dot(from, w, (uint32_t)(span.end - span.first) * channels, in->zero_point);
            } else {
                for (int32_t tap = span.first; tap < span.end; tap++) {
                    sum += dot(from, w, channels, in->zero_point);
                    from += layer->dilation * channels;
                    w += channels;
                }
            }
            const int32_t scaled = bg_requantize(sum, data->multipliers[c], data->shifts[c]);
            *y++ = bg_to_output(scaled, out->zero_point, layer->act_min, layer->act_max);
        }
    }
}
