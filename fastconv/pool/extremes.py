"""Pooling to one element of each window: maxima, minima, medians."""

from fastconv.pool import _axes, _call


def max_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCHW", out=None, threads=None,
):  # fmt: skip
    """Give the greatest element of each window.

    ``y[n, c, p, q] = max over i, j of padded[n, c, p * stride + i * dilation, ...]``; padding is
    never the greatest. A NaN in the window gives NaN.

    Parameters
    ----------
    x : (N, C, H, W) array, float32, float64, uint8, int16 or uint16
        (N, H, W, C) with ``layout="NHWC"``.
    kernel_size, stride, dilation : int or (rows, columns)
        The window, and elements from one window, one element of it, to the next; the stride is
        kernel_size by default.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
    ceil_mode : bool
        Keep a last window that begins inside the image (or the padding before it) and ends outside.
    return_indices : bool
        Also give where each maximum stands: int64, flat in the sample's (H, W) plane, the first of
        equal elements, the last of several NaNs; -1 (and the lowest value) in a window of padding.
    layout : "NCHW" or "NHWC"
    out : array of the result's shape and dtype, optional
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (N, C, OH, OW) array, or (N, OH, OW, C), of x's dtype; with `return_indices` a pair of them

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> max_pool2d(x, 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    return _call.extreme(
        2, "max", "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    max_pool2d,
    """
>>> max_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[5., 4.]]])
""",
)
def max_pool1d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _call.extreme(
        1, "max", "max_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    max_pool2d,
    """
>>> max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([7.])
""",
)
def max_pool3d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _call.extreme(
        3, "max", "max_pool3d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


def min_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCHW", out=None, threads=None,
):  # fmt: skip
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
    return _call.extreme(
        2, "min", "min_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    min_pool2d,
    """
>>> min_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[1., 2.]]])
""",
)
def min_pool1d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _call.extreme(
        1, "min", "min_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    min_pool2d,
    """
>>> min_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([0.])
""",
)
def min_pool3d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
    layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _call.extreme(
        3, "min", "min_pool3d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


def median_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, layout="NCHW", out=None,
    threads=None,
):  # fmt: skip
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
    call = _call.Call("median_pool2d", x, 2, layout, _call.NUMBERS, out, threads)
    axes = _axes.windows(
        "median_pool2d", call.size, kernel_size, stride, padding, dilation, ceil_mode
    )
    elements = axes[0].k * axes[1].k
    if elements > _axes.MEDIAN_LARGEST:
        raise ValueError(
            f"median_pool2d: kernel_size has {elements} elements, expected at most "
            f"{_axes.MEDIAN_LARGEST}"
        )
    return call.widened(axes, "pool_median")
