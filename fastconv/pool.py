"""Pooling as CNNs do it, in PyTorch's names and order of arguments: maxima and averages."""

from fastconv import _pooling

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"]


def max_pool2d(
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
    return _pooling.extreme(
        2, "max", "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    max_pool2d,
    """
>>> max_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[5., 4.]]])
""",
)
def max_pool1d(
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
        1, "max", "max_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    max_pool2d,
    """
>>> max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([7.])
""",
)
def max_pool3d(
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
        3, "max", "max_pool3d", x, kernel_size, stride, padding, dilation, ceil_mode,
        return_indices, layout, out, threads,
    )  # fmt: skip


def avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    *,
    dilation=1,
    layout="NCHW",
    out=None,
    threads=None,
):
    """Give the mean of each window.

    ``y[n, c, p, q] = sum over i, j of padded[n, c, p * stride + i * dilation, ...] / divisor``.
    Means of integers are rounded half to even.

    Parameters
    ----------
    x : (N, C, H, W) array, float32, float64, uint8, int16 or uint16
        (N, H, W, C) with ``layout="NHWC"``.
    kernel_size, stride, dilation, padding, ceil_mode, layout, out, threads
        As in `max_pool2d`.
    count_include_pad : bool
        Count the declared padding in the divisor; what `ceil_mode` reaches beyond it never counts.
    divisor_override : int or float, optional
        Divide by this instead. Not zero.

    Returns
    -------
    (N, C, OH, OW) array, or (N, OH, OW, C), of x's dtype

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> avg_pool2d(x, 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    return _pooling.mean(
        2, "avg_pool2d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    avg_pool2d,
    """
>>> avg_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[3., 3.]]])
""",
)
def avg_pool1d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    *,
    divisor_override=None,
    dilation=1,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pooling.mean(
        1, "avg_pool1d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip


@_pooling.documented_like(
    avg_pool2d,
    """
>>> avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([3.5])
""",
)
def avg_pool3d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    *,
    dilation=1,
    layout="NCDHW",
    out=None,
    threads=None,
):
    return _pooling.mean(
        3, "avg_pool3d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip
