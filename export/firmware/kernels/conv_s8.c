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

static int32_t window_sum(const bg_layer *layer, const bg_tensor *in, const int8_t *x,
                          const int8_t *weights, taps span) {
    const uint32_t channels = in->channels;
    /* Without gaps the taps are one contiguous run. */
    const int32_t step = layer->dilation == 1 ? span.end - span.first : 1;
    int32_t sum = 0;
    for (int32_t tap = span.first; tap < span.end; tap += step) {
        const int32_t column = span.start + (tap - span.first) * layer->dilation;
        sum += dot(x + (uint32_t)column * channels, weights + (uint32_t)tap * channels,
                   (uint32_t)step * channels, in->zero_point);
    }
    return sum;
}

void bg_conv_s8(const bg_layer *layer, const bg_kernel_data *data, const bg_tensor *in,
                const int8_t *x, const bg_tensor *out, int8_t *y) {
    const uint32_t channels = in->channels;
    const uint32_t row = (uint32_t)layer->kernel * channels;
    for (int32_t column = 0; column < out->width; column++) {
        const taps span = taps_inside(layer, in->width, column);
        for (uint32_t c = 0; c < out->channels; c++) {
            const int32_t sum = data->bias[c] + window_sum(layer, in, x, data->weights + c * row, span);
            const int32_t scaled = bg_requantize(sum, data->multipliers[c], data->shifts[c]);
            *y++ = bg_to_output(scaled, out->zero_point, layer->act_min, layer->act_max);
        }
    }
}
