/* All operators: for an image whose networks may change without it. An image of known networks may
 * link a table of their operators in place of this file; bg_open refuses what is not in it. */
#include "kernels.h"

const bg_kernel bg_operators[BG_OP_COUNT] = {
    [BG_OP_CONV] = bg_conv_s8,
    [BG_OP_FULLY_CONNECTED] = bg_fully_connected_s8,
    [BG_OP_ADD] = bg_add_s8,
    [BG_OP_MEAN] = bg_mean_s8,
    [BG_OP_DEPTHWISE_CONV] = bg_depthwise_conv_s8,
    [BG_OP_SUB] = bg_sub_s8,
    [BG_OP_MUL] = bg_mul_s8,
    [BG_OP_AVERAGE_POOL] = bg_average_pool_s8,
    [BG_OP_MAX_POOL] = bg_max_pool_s8,
    [BG_OP_CONCATENATION] = bg_concatenation_s8,
    [BG_OP_STRIDED_SLICE] = bg_strided_slice_s8,
    [BG_OP_RESHAPE] = bg_reshape_s8,
    [BG_OP_PAD] = bg_pad_s8,
    [BG_OP_LOOKUP] = bg_lookup_s8,
};
