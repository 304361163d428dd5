"""Image filters for one image or any batch of them, in the caller's own element type.

An image is (..., H, W): every leading dimension is a batch; with ``channel_axis=-1`` it is
(..., H, W, C). Colour photographs (H, W, 3) need that: without it they are H images of W rows and 3
columns, and nothing can tell that they were not meant. Filters correlate, as OpenCV's do. Integer
results are rounded half to even and saturated, never wrapped or truncated; an integer kernel on an
integer image is summed exactly.
"""

from fastconv.filters.averages import box, local_mean_std
from fastconv.filters.blobs import difference_of_gaussians, laplacian_of_gaussian
from fastconv.filters.corners import harris, shi_tomasi
from fastconv.filters.correlation import filter2d, sep_filter2d
from fastconv.filters.derivatives import laplacian, prewitt, roberts, scharr, sobel
from fastconv.filters.gradients import gradient
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
    "black_hat", "box", "closing", "difference_of_gaussians", "dilate", "erode", "filter2d",
    "gaussian", "gradient", "harris", "laplacian", "laplacian_of_gaussian", "local_mean_std",
    "maximum", "median", "minimum", "morphological_gradient", "opening", "percentile", "prewitt",
    "rank", "roberts", "scharr", "sep_filter2d", "shi_tomasi", "sobel", "top_hat",
]  # fmt: skip
