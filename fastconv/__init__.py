"""Convolution, image filtering and pooling for NumPy arrays, on the processor at hand.

CNN operations: `conv2d`, `plan_conv2d`, `conv_transpose2d` and the gradients `conv2d_backward`,
`conv_transpose2d_backward`, so in one and three dimensions (`conv1d`, `conv3d`, ...);
`conv_integer`, `conv_quantized`, `CausalConv1d`, `unfold`, `fold`; poolings like `max_pool2d`, with
their gradients; what a convolution or a filter would be, in words: `explain_plan`. Image filters
for any batch of images: `fastconv.filters`. Kernels to filter with: `fastconv.kernels`. Small
networks: `fastconv.nn`. Every operation again in plain NumPy, as its definition:
`fastconv.reference`.
"""

try:
    from fastconv import filters, kernels, reference
    from fastconv._config import __version__, available_isas, show_config
    from fastconv._explain import explain_plan
    from fastconv._threads import get_num_threads, set_num_threads
    from fastconv.columns import fold, unfold
    from fastconv.conv import conv1d, conv2d, conv3d, plan_conv1d, plan_conv2d, plan_conv3d
    from fastconv.conv_backward import (
        conv1d_backward,
        conv2d_backward,
        conv3d_backward,
        conv_transpose1d_backward,
        conv_transpose2d_backward,
        conv_transpose3d_backward,
    )
    from fastconv.conv_causal import CausalConv1d
    from fastconv.conv_integer import conv_integer, conv_quantized, plan_conv_quantized
    from fastconv.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
    from fastconv.pool import (
        adaptive_avg_pool1d,
        adaptive_avg_pool1d_backward,
        adaptive_avg_pool2d,
        adaptive_avg_pool2d_backward,
        adaptive_avg_pool3d,
        adaptive_avg_pool3d_backward,
        adaptive_max_pool1d,
        adaptive_max_pool1d_backward,
        adaptive_max_pool2d,
        adaptive_max_pool2d_backward,
        adaptive_max_pool3d,
        adaptive_max_pool3d_backward,
        avg_pool1d,
        avg_pool1d_backward,
        avg_pool2d,
        avg_pool2d_backward,
        avg_pool3d,
        avg_pool3d_backward,
        fractional_max_pool2d,
        global_avg_pool,
        global_avg_pool_backward,
        global_max_pool,
        global_max_pool_backward,
        lp_pool1d,
        lp_pool1d_backward,
        lp_pool2d,
        lp_pool2d_backward,
        lp_pool3d,
        lp_pool3d_backward,
        max_pool1d,
        max_pool1d_backward,
        max_pool2d,
        max_pool2d_backward,
        max_pool3d,
        max_pool3d_backward,
        max_unpool1d,
        max_unpool2d,
        max_unpool3d,
        median_pool2d,
        min_pool1d,
        min_pool2d,
        min_pool3d,
    )
except ImportError as error:
    if "_core" not in str(error):
        raise
    raise ImportError(
        f"fastconv: no compiled module in {__path__[0]}; if that is the source folder, go to "
        "another one, or install it in place: python -m pip install -e ."
    ) from None

__all__ = [
    "CausalConv1d", "__version__", "adaptive_avg_pool1d", "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d", "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward", "adaptive_max_pool1d", "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d", "adaptive_max_pool2d_backward", "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward", "available_isas", "avg_pool1d", "avg_pool1d_backward",
    "avg_pool2d", "avg_pool2d_backward", "avg_pool3d", "avg_pool3d_backward", "conv1d",
    "conv1d_backward", "conv2d", "conv2d_backward", "conv3d", "conv3d_backward", "conv_integer",
    "conv_quantized", "conv_transpose1d", "conv_transpose1d_backward", "conv_transpose2d",
    "conv_transpose2d_backward", "conv_transpose3d", "conv_transpose3d_backward", "explain_plan",
    "filters", "fold", "fractional_max_pool2d", "get_num_threads", "global_avg_pool",
    "global_avg_pool_backward", "global_max_pool", "global_max_pool_backward", "kernels",
    "lp_pool1d", "lp_pool1d_backward", "lp_pool2d", "lp_pool2d_backward", "lp_pool3d",
    "lp_pool3d_backward", "max_pool1d", "max_pool1d_backward", "max_pool2d", "max_pool2d_backward",
    "max_pool3d", "max_pool3d_backward", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "median_pool2d", "min_pool1d", "min_pool2d", "min_pool3d", "plan_conv1d", "plan_conv2d",
    "plan_conv3d", "plan_conv_quantized", "reference", "set_num_threads", "show_config", "unfold",
]  # fmt: skip
