"""Poolings of one, two and three axes, and their gradients, by PyTorch's names."""

from fastconv.pool.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    fractional_max_pool2d,
    fractional_max_pool3d,
    global_avg_pool,
    global_max_pool,
)
from fastconv.pool.adaptive_backward import (
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d_backward,
    global_avg_pool_backward,
    global_max_pool_backward,
)
from fastconv.pool.backward import (
    avg_pool1d_backward,
    avg_pool2d_backward,
    avg_pool3d_backward,
    lp_pool1d_backward,
    lp_pool2d_backward,
    lp_pool3d_backward,
    max_pool1d_backward,
    max_pool2d_backward,
    max_pool3d_backward,
)
from fastconv.pool.extremes import (
    max_pool1d,
    max_pool2d,
    max_pool3d,
    median_pool2d,
    min_pool1d,
    min_pool2d,
    min_pool3d,
)
from fastconv.pool.means import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from fastconv.pool.unpool import (
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool1d_backward", "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d", "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d", "adaptive_max_pool1d_backward", "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward", "adaptive_max_pool3d", "adaptive_max_pool3d_backward",
    "avg_pool1d", "avg_pool1d_backward", "avg_pool2d", "avg_pool2d_backward", "avg_pool3d",
    "avg_pool3d_backward", "fractional_max_pool2d", "fractional_max_pool3d", "global_avg_pool",
    "global_avg_pool_backward", "global_max_pool", "global_max_pool_backward", "lp_pool1d",
    "lp_pool1d_backward", "lp_pool2d", "lp_pool2d_backward", "lp_pool3d", "lp_pool3d_backward",
    "max_pool1d", "max_pool1d_backward", "max_pool2d", "max_pool2d_backward", "max_pool3d",
    "max_pool3d_backward", "max_unpool1d", "max_unpool2d", "max_unpool3d", "median_pool2d",
    "min_pool1d", "min_pool2d", "min_pool3d",
]  # fmt: skip
