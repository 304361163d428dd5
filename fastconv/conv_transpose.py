"""Transposed convolution, in PyTorch's names, order of arguments and layout of weights."""

from fastconv import _arrays, _geometry, _gradient, _threads
from fastconv._conv_plan import DTYPES, PLANS

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def conv_transpose1d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    activation=None,
    layout="NCW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Spread a batch of sequences with K kernels: `conv_transpose2d` over one axis.

    Parameters
    ----------
    x : (N, C, W) array, float32 or float64
        (N, W, C) with ``layout="NWC"``.
    weight : (C, K // groups, kw) array of x's dtype
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (int,)
    padding : int, (int,), ((left, right),), "same" or "valid"
    output_padding : int or (int,)
    groups, activation, algorithm, out, threads
        As in `conv_transpose2d`.
    layout : "NCW" or "NWC"

    Returns
    -------
    (N, K, OW) array, or (N, OW, K) with ``layout="NWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose1d(np.array([[[1, 2]]], np.float32), np.ones((1, 1, 3), np.float32), stride=2)
    array([[[1., 1., 3., 2., 2.]]], dtype=float32)
    """
    return _transposed(
        1, "conv_transpose1d", x, weight, bias, stride, padding, output_padding, groups, dilation,
        activation, layout, algorithm, out, threads,
    )  # fmt: skip


def conv_transpose2d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    activation=None,
    layout="NCHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Spread a batch of images with K kernels: the adjoint of `conv2d`, as decoders use it.

    ``y[n, k, p * stride + i * dilation - top, q * stride + j * dilation - left] +=
    weight[c, k, i, j] * x[n, c, p, q]``, summed over c, p, q, i, j, plus bias[k]
    (Dumoulin and Visin, arXiv:1603.07285, section 4).

    Parameters
    ----------
    x : (N, C, H, W) array, float32 or float64
        Images; (N, H, W, C) with ``layout="NHWC"``.
    weight : (C, K // groups, kh, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (rows, columns)
        Elements of the result from one pixel, one tap, to the next.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
        What is cut off the result; "same" gives H * stride rows.
    output_padding : int or (rows, columns)
        Rows and columns more at the end, fewer than the stride or the dilation.
    groups, activation, layout, algorithm
        As in `conv2d`.
    out : array of the result's shape and dtype, optional
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (N, K, OH, OW) array, or (N, OH, OW, K) with ``layout="NHWC"``, of x's dtype
        ``OH = (H - 1) * stride - top - bottom + dilation * (kh - 1) + 1 + output_padding``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1, 2]]]], np.float32)
    >>> conv_transpose2d(x, np.ones((1, 1, 2, 3), np.float32), stride=2)[0, 0]
    array([[1., 1., 3., 2., 2.],
           [1., 1., 3., 2., 2.]], dtype=float32)
    """
    return _transposed(
        2, "conv_transpose2d", x, weight, bias, stride, padding, output_padding, groups, dilation,
        activation, layout, algorithm, out, threads,
    )  # fmt: skip


def conv_transpose3d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    activation=None,
    layout="NCDHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Spread a batch of volumes with K kernels: `conv_transpose2d` over three axes.

    Parameters
    ----------
    x : (N, C, D, H, W) array, float32 or float64
        (N, D, H, W, C) with ``layout="NDHWC"``.
    weight : (C, K // groups, kd, kh, kw) array of x's dtype
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (slices, rows, columns)
    padding : int, (slices, rows, columns), a pair for each of them, "same" or "valid"
    output_padding : int or (slices, rows, columns)
    groups, activation, algorithm, out, threads
        As in `conv_transpose2d`.
    layout : "NCDHW" or "NDHWC"

    Returns
    -------
    (N, K, OD, OH, OW) array, or (N, OD, OH, OW, K) with ``layout="NDHWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1, 2], np.float32).reshape(1, 1, 2, 1, 1)
    >>> conv_transpose3d(x, np.ones((1, 1, 2, 1, 2), np.float32))[0, 0, :, 0]
    array([[1., 1.],
           [3., 3.],
           [2., 2.]], dtype=float32)
    """
    return _transposed(
        3, "conv_transpose3d", x, weight, bias, stride, padding, output_padding, groups, dilation,
        activation, layout, algorithm, out, threads,
    )  # fmt: skip


def _transposed(
    dims, function, x, weight, bias, stride, padding, output_padding, groups, dilation,
    activation, layout, algorithm, out, threads,
):  # fmt: skip
    x, plan, geometry = turned(
        dims, function, x, weight, stride, padding, output_padding, groups, dilation, layout,
        algorithm,
    )  # fmt: skip
    shape = turned_shape(geometry)
    if bias is not None:
        bias = plan.checked_bias(bias, geometry.groups * geometry.channels)
    _geometry.activation(function, activation, x.dtype)
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    result, finish = _arrays.writable(function, out, shape, x.dtype, (x, plan._weight, bias))
    if result.size:
        _gradient.by_input(
            function, geometry, x, plan._weight, result, threads, algorithm, bias, activation
        )
    return finish()


def turned(
    dims, function, x, weight, stride, padding, output_padding, groups, dilation, layout, algorithm
):  # fmt: skip
    """What is read of x; plan and geometry of the convolution to turn around."""
    plan = PLANS[dims](
        function, weight, None, stride, padding, dilation, groups, "zeros", None, layout, algorithm,
        turned=True,
    )  # fmt: skip
    x = _arrays.readable(function, "x", x, DTYPES, plan.batch)
    n, channels, *size = _geometry.sizes(layout, x.shape)
    k, c, *kernel = plan._weight.shape
    if channels != k:
        raise ValueError(
            f"{function}: weight expects {k} input channels but x has {channels}"
            + plan.layout_hint(x, k)
        )
    plan.check_dtype("x", x)
    extra = _geometry.pair(function, "output_padding", output_padding, 0, dims)
    windows = _geometry.transposed(
        function, size, kernel, plan._stride, plan._padding, plan._dilation, extra
    )
    return x, plan, plan.geometry_of(n, c, k, windows)


def turned_shape(geometry):
    """The shape of the transposed convolution's result."""
    g = geometry
    sizes = [window.n for window in g.axes[3 - g.dims :]]
    return _geometry.images(g.layout, g.samples, g.groups * g.channels, *sizes)
