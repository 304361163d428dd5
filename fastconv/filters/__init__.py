"""Image filters for one image or any batch of them, in the caller's own element type.

An image is (..., H, W): every leading dimension is a batch; with ``channel_axis=-1`` it is
(..., H, W, C). Filters correlate, as OpenCV's do. Integer results are rounded half to even and
saturated, never wrapped or truncated; an integer kernel on an integer image is summed exactly.
"""

from fastconv.filters.averages import box, local_mean_std
from fastconv.filters.correlation import filter2d, sep_filter2d
from fastconv.filters.derivatives import laplacian, sobel
from fastconv.filters.morphology import (
    black_hat,
    closing,
    dilate,
    erode,
    morphological_gradient,
    opening,
    top_hat,
)  # fmt: skip
from fastconv.filters.order import maximum, median, minimum, percentile, rank
from fastconv.filters.smoothing import gaussian

__all__ = [
    "black_hat", "box", "closing", "dilate", "erode", "filter2d", "gaussian", "laplacian",
    "local_mean_std", "maximum", "median", "minimum", "morphological_gradient", "opening",
    "percentile", "rank", "sep_filter2d", "sobel", "top_hat",
]  # fmt: skip
