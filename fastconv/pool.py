"""Pooling as CNNs do it, in PyTorch's names and order of arguments."""

import numpy as np

from fastconv import _arrays, _geometry, _plan, _threads

__all__ = ["avg_pool2d", "max_pool2d"]


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
    x : (N, C, H, W) array, float32, float64 or uint8
        Images; (N, H, W, C) with ``layout="NHWC"``.
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
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> max_pool2d(x, 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    return _pool2d(
        "max_pool2d", "max", ("float32", "float64", "uint8"), x, kernel_size, stride, padding,
        dilation, ceil_mode, layout, out, threads, return_indices=bool(return_indices),
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

    Parameters
    ----------
    x : (N, C, H, W) array, float32 or float64
        Images; (N, H, W, C) with ``layout="NHWC"``.
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
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> avg_pool2d(x, 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    divisor = 0.0
    if divisor_override is not None:
        divisor = _arrays.number("avg_pool2d", "divisor_override", divisor_override)
        if divisor == 0:
            raise ValueError("avg_pool2d: divisor_override is 0, expected another number")
    return _pool2d(
        "avg_pool2d", "avg", ("float32", "float64"), x, kernel_size, stride, padding, dilation,
        ceil_mode, layout, out, threads, count_include_pad=bool(count_include_pad), divisor=divisor,
    )  # fmt: skip


def _pool2d(
    function, pooling, dtypes, x, kernel_size, stride, padding, dilation, ceil_mode, layout, out,
    threads, *, return_indices=False, count_include_pad=True, divisor=0.0,
):  # fmt: skip
    layout = _geometry.choice(function, "layout", layout, tuple(_geometry.SHAPES))
    x = _arrays.readable(function, "x", x, dtypes, _geometry.SHAPES[layout])
    n, channels, h, w = _geometry.sizes(layout, x.shape)
    kernel = _geometry.pair(function, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else _geometry.pair(function, "stride", stride, 1)
    padding = _geometry.padding(function, padding)
    dilation = _geometry.pair(function, "dilation", dilation, 1)
    rows, cols = _geometry.windows(
        function, (h, w), kernel, stride, padding, dilation, bool(ceil_mode)
    )
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    shape = _geometry.images(layout, n, channels, rows.o, cols.o)
    result, finish = _arrays.writable(function, out, shape, x.dtype, (x,))
    indices = np.empty(shape, np.int64) if return_indices else None
    if result.size:
        planes, c = (n * channels, 1) if layout == "NCHW" else (n, channels)
        geometry = _geometry.Pool2d(
            planes, c, rows, cols, 8 * x.itemsize, pooling, return_indices, count_include_pad,
            divisor,
        )  # fmt: skip
        task, threads = _plan.pool2d(geometry, threads)
        _arrays.check_scratch(function, task, threads)
        task(_arrays.as_bytes(x), _arrays.as_bytes(result), _arrays.as_bytes(indices), threads)
    return (finish(), indices) if return_indices else finish()
