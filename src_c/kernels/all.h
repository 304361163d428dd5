/* Every algorithm of a variant, and the symbol that dispatch.c finds them by. The stub that includes
 * this has set FC_ISA and FC_BITS and included the ISA's simd header. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../fastconv.h"
#include "../filter_block.h"

#include "layout.h"
#include "convert.h"
#include "filter_lines.h"
#include "filter_window.h"
#include "filter_slide.h"
#include "filter_footprint.h"
#include "filter_median.h"
#include "filter_network.h"
#if FC_BITS != 16 /* in 16 bits numbers are compared, and nothing else */
#include "slices.h"
#include "pool_axis.h"
#include "pool_windows.h"
#include "pool.h"
#include "pool_global.h"
#include "pool_spread.h"
#if LANES == 1 || FC_BITS == 32 /* no vectors in others: one variant serves all */
#include "pool_argmax.h"
#endif
#if LANES == 1
#include "pool_median.h"
#include "pool_scatter.h"
#endif
#include "filter_histogram.h"
#include "filter_rank.h"
#endif
#if FC_BITS == 8
#include "filter_integer.h"
#include "filter_box.h"
#include "conv_integer.h"
#ifdef SUM_DOT4
#include "conv_integer_pixel.h"
#include "conv_integer_plane.h"
#endif
#elif FC_BITS >= 32
#include "pool_max_grad.h"
#include "transpose.h"
#include "activation.h"
#include "epilogue.h"
#include "panel_nchw.h"
#include "rows_nhwc.h"
#include "conv_direct_pixel.h"
#include "conv_direct_channel.h"
#include "conv_weight_grad.h"
#include "conv_weight_grad_groups.h"
#include "conv_weight_grad_planes.h"
#include "conv_bias_grad.h"
#include "conv_fold.h"
#include "winograd_transform.h"
#include "winograd_unit.h"
#include "winograd_weights.h"
#include "winograd_input.h"
#include "winograd_product.h"
#include "winograd_output.h"
#include "conv_winograd.h"
#include "conv_winograd_weight_grad.h"
#include "conv_depthwise.h"
#include "plane_nchw.h"
#include "conv_depthwise_plane.h"
#include "conv_depthwise_rows.h"
#include "filter_strip.h"
#include "filter2d.h"
#include "filter_separable.h"
#include "filter_winograd.h"
#include "filter_rolling.h"
#include "polar.h"
#include "filter_moments.h"
#include "filter_gradient.h"
#include "filter_corners.h"
#include "recursive_lines.h"
#include "filter_recursive.h"
#include "fma_peak.h"
#endif

#define FC_TEXT_(x) #x
#define FC_TEXT(x) FC_TEXT_(x)
#define FC_TABLE__(isa, bits) fc_kernels_##isa##_##bits
#define FC_TABLE_(isa, bits) FC_TABLE__(isa, bits)
#define FC_TABLE FC_TABLE_(FC_ISA, FC_BITS)

/* Returned by code: in a table, which a loaded library relocates, each pointer takes 32 bytes. */
#define FC_AT(id, ...) \
    case id: found = (struct fc_algorithm){__VA_ARGS__}; break;
#define FC_AT_CONV(id, name) FC_AT(id, name, name##_units, name##_scratch, name##_packed, name##_pack)

FC_SMALL struct fc_algorithm algorithm(enum fc_algorithm_id id)
{
    struct fc_algorithm found = {0};
    switch (id) {
    FC_AT(FC_FILTER_FOOTPRINT, filter_footprint, fc_filter_units, filter_footprint_scratch)
    FC_AT(FC_FILTER_MEDIAN, filter_median, fc_filter_units, filter_median_scratch)
    FC_AT(FC_FILTER_NETWORK, filter_network, fc_filter_units, filter_network_scratch)
    FC_AT(FC_FILTER_SLIDE, filter_slide, fc_filter_units, filter_slide_scratch)
    FC_AT(FC_FILTER_WINDOW, filter_window, fc_filter_units, filter_window_scratch)
#if FC_BITS != 16
    FC_AT(FC_FILTER_RANK, filter_rank, fc_filter_units, filter_rank_scratch)
    FC_AT(FC_POOL, pool, pool_rows, pool_scratch)
    FC_AT(FC_POOL_GLOBAL, pool_global, pool_planes, pool_no_scratch)
#if LANES == 1 || FC_BITS == 32
    FC_AT(FC_POOL_ARGMAX, pool_argmax, pool_units, pool_no_scratch)
#endif
#if LANES == 1
    FC_AT(FC_POOL_MEDIAN, pool_median, pool_units, pool_median_scratch)
    FC_AT(FC_POOL_SCATTER, pool_scatter, pool_planes, pool_no_scratch)
#endif
#endif
#if FC_BITS == 8
    FC_AT(FC_FILTER_INTEGER, filter_integer, fc_filter_units, filter_integer_scratch)
    FC_AT(FC_FILTER_INTEGER_SEPARABLE, filter_integer_separable, fc_filter_units,
          filter_integer_separable_scratch)
    FC_AT(FC_FILTER_BOX, filter_box, fc_filter_units, filter_box_scratch)
    FC_AT(FC_CONV_INTEGER, conv_integer, conv_integer_units, conv_integer_scratch)
#ifdef SUM_DOT4
    FC_AT(FC_CONV_INTEGER_VNNI, conv_integer_vnni, conv_integer_units, conv_integer_vnni_scratch)
    FC_AT(FC_CONV_INTEGER_PIXEL, conv_integer_pixel, conv_integer_units, conv_integer_pixel_scratch)
    FC_AT(FC_CONV_INTEGER_PLANE, conv_integer_plane, conv_integer_units, conv_integer_plane_scratch)
#endif
#elif FC_BITS >= 32
    FC_AT(FC_POOL_MAX_GRAD, pool_max_grad, pool_planes, pool_no_scratch)
    FC_AT(FC_POOL_SPREAD, pool_spread, pool_planes, pool_spread_scratch)
    FC_AT_CONV(FC_CONV_DIRECT_PIXEL, conv_direct_pixel)
    FC_AT_CONV(FC_CONV_WINOGRAD_4X4, conv_winograd_4x4)
    FC_AT_CONV(FC_CONV_WINOGRAD_3X3, conv_winograd_3x3)
    FC_AT_CONV(FC_CONV_WINOGRAD_2X2, conv_winograd_2x2)
    FC_AT_CONV(FC_CONV_WINOGRAD_STRIDE_2, conv_winograd_stride_2)
    FC_AT_CONV(FC_CONV_WINOGRAD_ROW_6, conv_winograd_row_6)
    FC_AT_CONV(FC_CONV_WINOGRAD_ROW_8, conv_winograd_row_8)
    FC_AT_CONV(FC_CONV_DIRECT_CHANNEL, conv_direct_channel)
    FC_AT_CONV(FC_CONV_DEPTHWISE, conv_depthwise)
    FC_AT_CONV(FC_CONV_DEPTHWISE_PLANE, conv_depthwise_plane)
    FC_AT(FC_CONV_DEPTHWISE_ROWS, conv_depthwise_rows, conv_depthwise_rows_units,
          conv_depthwise_rows_scratch, conv_depthwise_plane_packed, conv_depthwise_plane_pack)
    FC_AT(FC_CONV_WEIGHT_GRAD, conv_weight_grad, conv_weight_grad_units, conv_weight_grad_scratch)
    FC_AT(FC_CONV_WINOGRAD_WEIGHT_GRAD, conv_winograd_weight_grad, conv_winograd_weight_grad_units,
          conv_winograd_weight_grad_scratch)
    FC_AT(FC_CONV_WEIGHT_GRAD_GROUPS, conv_weight_grad_groups, conv_weight_grad_groups_units,
          conv_weight_grad_groups_scratch)
    FC_AT(FC_CONV_WEIGHT_GRAD_PLANES, conv_weight_grad_planes, conv_weight_grad_planes_units,
          conv_weight_grad_planes_scratch)
    FC_AT(FC_CONV_BIAS_GRAD, conv_bias_grad, conv_bias_grad_units, conv_bias_grad_scratch)
    FC_AT(FC_CONV_FOLD, conv_fold, conv_fold_units, conv_fold_scratch)
    FC_AT(FC_FILTER2D, filter2d, fc_filter_units, filter2d_scratch)
    FC_AT(FC_FILTER_ROLLING, filter_rolling, fc_filter_units, filter_rolling_scratch)
    FC_AT(FC_FILTER_WINOGRAD, filter_winograd, fc_filter_units, filter_winograd_scratch)
    FC_AT(FC_FILTER_SEPARABLE, filter_separable, fc_filter_units, filter_separable_scratch)
    FC_AT(FC_FILTER_MOMENTS, filter_moments, fc_filter_units, filter_moments_scratch)
    FC_AT(FC_FILTER_GRADIENT, filter_gradient, fc_filter_units, filter_gradient_scratch)
    FC_AT(FC_FILTER_HARRIS, filter_harris, fc_filter_units, filter_corners_scratch)
    FC_AT(FC_FILTER_SHI_TOMASI, filter_shi_tomasi, fc_filter_units, filter_corners_scratch)
    FC_AT(FC_FILTER_RECURSIVE, filter_recursive, filter_recursive_units, filter_recursive_scratch)
    FC_AT(FC_FMA_PEAK, fma_peak, fma_peak_units, fma_peak_scratch)
#endif
    default: break;
    }
    return found;
}

extern const struct fc_kernels FC_TABLE;
const struct fc_kernels FC_TABLE = {
    .isa = FC_TEXT(FC_ISA), .bits = FC_BITS, .lanes = LANES, .algorithm = algorithm};
