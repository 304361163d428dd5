"""Pooling beyond maxima and averages: minima, norms, medians."""

from fastconv import _pool_geometry, _pooling

__all__ = [
    "lp_pool1d", "lp_pool2d", "lp_pool3d", "median_pool2d", "min_pool1d", "min_pool2d",
    "min_pool3d",
]  # fmt: skip


def min_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
    *,
    layout="NCHW",
    out=None,
    threads=None,
):
    """Give the least element of each window.

    Padding is never the least; a NaN in the window gives NaN.

    Parameters
    ----------
    x : (N, C, H, W) array, as in `max_pool2d`
    kernel_size, stride, dilation : int or (rows, columns)
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
    ceil_mode, return_indices, out, threads
        As in `max_pool2d`; indices are flat in the sample's (H, W) plane.
    layout : "NCHW" or "NHWC"

    Returns
    -------
    (N, C, OH, OW) array of x's dtype, in x's layout; with `return_indices` a pair of them

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> min_pool2d(np.array([[[[3.0, 1], [2, 4]]]]), 2)
    array([[[[1.]]]])
    """
    return _pooling.extreme(
        2, "min", "min_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    min_pool2d,
    """
>>> min_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[1., 2.]]])
""",
)
def min_pool1d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
    *,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pooling.extreme(
        1, "min", "min_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    min_pool2d,
    """
>>> min_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([0.])
""",
)
def min_pool3d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
    *,
    layout="NCDHW",
    out=None,
    threads=None,
):
    return _pooling.extreme(
        3, "min", "min_pool3d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


def lp_pool2d(
    x,
    norm_type,
    kernel_size,
    stride=None,
    ceil_mode=False,
    *,
    padding=0,
    dilation=1,
    layout="NCHW",
    out=None,
    threads=None,
):
    """Give the norm of each window.

    ``(sum over the window of |x|**norm_type) ** (1 / norm_type)``, as ONNX. PyTorch leaves out
    the absolute value (which an odd norm_type shows) and scales up windows that end outside.

    Parameters
    ----------
    x : (N, C, H, W) array, float32 or float64
    norm_type : float
        Above 0.
    kernel_size, stride, dilation : int or (rows, columns)
    padding, ceil_mode, layout, out, threads
        As in `max_pool2d`; padding is zeros.

    Returns
    -------
    (N, C, OH, OW) array of x's dtype, in x's layout

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> lp_pool2d(np.array([[[[2.0, 4], [-5, 6]]]]), 2, 2)
    array([[[[9.]]]])
    """
    return _pooling.norm(
        2, "lp_pool2d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    lp_pool2d,
    """
>>> lp_pool1d(np.array([[[3.0, -4, 5, 12]]]), 2, 2)
array([[[ 5., 13.]]])
""",
)
def lp_pool1d(
    x,
    norm_type,
    kernel_size,
    stride=None,
    ceil_mode=False,
    *,
    padding=0,
    dilation=1,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pooling.norm(
        1, "lp_pool1d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    lp_pool2d,
    """
>>> lp_pool3d(np.full((1, 1, 1, 2, 2), -2.0), 2, (1, 2, 2)).ravel()
array([4.])
""",
)
def lp_pool3d(
    x,
    norm_type,
    kernel_size,
    stride=None,
    ceil_mode=False,
    *,
    padding=0,
    dilation=1,
    layout="NCDHW",
    out=None,
    threads=None,
):
    return _pooling.norm(
        3, "lp_pool3d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip


def median_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    *,
    layout="NCHW",
    out=None,
    threads=None,
):
    """Give the median of the elements of each window that lie in the image.

    Of an even number of them the lower one in the middle; a NaN in the window gives NaN.

    Parameters
    ----------
    x : (N, C, H, W) array, as in `max_pool2d`
    kernel_size : int or (rows, columns)
        At most 1024 elements.
    stride, padding, dilation, ceil_mode, layout, out, threads
        As in `max_pool2d`.

    Returns
    -------
    (N, C, OH, OW) array of x's dtype, in x's layout; NaN, or 0, in a window of padding

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> median_pool2d(np.array([[[[1.0, 9, 2], [8, 3, 7], [4, 6, 5]]]]), 3)
    array([[[[5.]]]])
    """
    call = _pooling.Call("median_pool2d", x, 2, layout, _pooling.NUMBERS, out, threads)
    axes = _pool_geometry.windows(
        "median_pool2d", call.size, kernel_size, stride, padding, dilation, ceil_mode
    )
    elements = axes[0].k * axes[1].k
    if elements > _pool_geometry.MEDIAN_LARGEST:
        raise ValueError(
            f"median_pool2d: kernel_size has {elements} elements, expected at most "
            f"{_pool_geometry.MEDIAN_LARGEST}"
        )
    return call.widened(axes, "pool_median")
