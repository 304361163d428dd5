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
    from fastconv import filters, kernels, pool, reference
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
    from fastconv.pool import *  # noqa: F403
except ImportError as error:
    if "_core" not in str(error):
        raise
    raise ImportError(
        f"fastconv: no compiled module in {__path__[0]}; if that is the source folder, go to "  # noqa: F405
        "another one, or install it in place: python -m pip install -e ."
    ) from None

__all__ = [
    "CausalConv1d", "__version__", "available_isas", "conv1d", "conv1d_backward", "conv2d",
    "conv2d_backward", "conv3d", "conv3d_backward", "conv_integer", "conv_quantized",
    "conv_transpose1d", "conv_transpose1d_backward", "conv_transpose2d",
    "conv_transpose2d_backward", "conv_transpose3d", "conv_transpose3d_backward", "explain_plan",
    "filters", "fold", "get_num_threads", "kernels", "plan_conv1d", "plan_conv2d", "plan_conv3d",
    "plan_conv_quantized", "reference", "set_num_threads", "show_config", "unfold",
]  # fmt: skip
__all__ += pool.__all__
