"""Image filters for one image or any batch of them, in the caller's own element type.

An image is (..., H, W): every leading dimension is a batch; with ``channel_axis=-1`` it is
(..., H, W, C). Filters correlate, as OpenCV's do. Integer results are rounded half to even and
saturated, never wrapped or truncated; an integer kernel on an integer image is summed exactly.
"""

from fastconv.filters.correlation import filter2d, sep_filter2d
from fastconv.filters.derivatives import laplacian, sobel
from fastconv.filters.smoothing import gaussian

__all__ = ["filter2d", "gaussian", "laplacian", "sep_filter2d", "sobel"]
