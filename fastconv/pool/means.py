"""Pooling by sums: means and norms."""

from fastconv.pool import _call


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, dilation=1, layout="NCHW", out=None, threads=None,
):  # fmt: skip
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
    return _call.mean(
        2, "avg_pool2d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    avg_pool2d,
    """
>>> avg_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
array([[[3., 3.]]])
""",
)
def avg_pool1d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, *,
    divisor_override=None, dilation=1, layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _call.mean(
        1, "avg_pool1d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    avg_pool2d,
    """
>>> avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).ravel()
array([3.5])
""",
)
def avg_pool3d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, dilation=1, layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _call.mean(
        3, "avg_pool3d", x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, out, threads,
    )  # fmt: skip


def lp_pool2d(
    x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
    layout="NCHW", out=None, threads=None,
):  # fmt: skip
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
    return _call.norm(
        2, "lp_pool2d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip


@_call.documented_like(
    lp_pool2d,
    """
>>> lp_pool1d(np.array([[[3.0, -4, 5, 12]]]), 2, 2)
array([[[ 5., 13.]]])
""",
)
def lp_pool1d(
    x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1, layout="NCW",
    out=None, threads=None,
):  # fmt: skip
    return _call.norm(
        1, "lp_pool1d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip


@_call.documented_like(
    lp_pool2d,
    """
>>> lp_pool3d(np.full((1, 1, 1, 2, 2), -2.0), 2, (1, 2, 2)).ravel()
array([4.])
""",
)
def lp_pool3d(
    x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
    layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _call.norm(
        3, "lp_pool3d", x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout,
        out, threads,
    )  # fmt: skip
