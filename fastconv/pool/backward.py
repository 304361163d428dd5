"""Gradients of maxima, means and norms of windows, the same for any number of threads."""

from fastconv.pool import _call, _gradient


def max_pool2d_backward(
    dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, indices=None,
    layout="NCHW", out=None, threads=None,
):  # fmt: skip
    """Give the gradient of `max_pool2d` with respect to x.

    Parameters
    ----------
    dy : (N, C, OH, OW) array, float32 or float64
        The gradient with respect to the result; it goes to the maxima.
    x : (N, C, H, W) array of dy's dtype
    kernel_size, stride, padding, dilation, ceil_mode, layout, threads
        As they were in `max_pool2d`.
    indices : array of dy's shape, int64, optional
        What the pooling gave with `return_indices`: x is then not searched again.
    out : array like x, optional

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 1, 4)
    >>> max_pool2d_backward(np.ones((1, 1, 1, 1)), x, (1, 4)).ravel()
    array([0., 1., 0., 0.])
    """
    return _gradient.max_backward(
        2, "max_pool2d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 4)
>>> max_pool1d_backward(np.ones((1, 1, 1)), x, 4).ravel()
array([0., 1., 0., 0.])
""",
)
def max_pool1d_backward(
    dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, indices=None,
    layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _gradient.max_backward(
        1, "max_pool1d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 1, 1, 4)
>>> max_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x, (1, 1, 4)).ravel()
array([0., 1., 0., 0.])
""",
)
def max_pool3d_backward(
    dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, indices=None,
    layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _gradient.max_backward(
        3, "max_pool3d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


def avg_pool2d_backward(
    dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, dilation=1, layout="NCHW", out=None, threads=None,
):  # fmt: skip
    """Give the gradient of `avg_pool2d` with respect to x.

    Parameters
    ----------
    dy : (N, C, OH, OW) array, float32 or float64
        The gradient with respect to the result.
    input_size : tuple
        The shape of x.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As they were in `avg_pool2d`.
    layout, threads
        As in `avg_pool2d`.
    out : array, optional

    Returns
    -------
    array of shape input_size, of dy's dtype

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 1, 1, 4), (1, 4)).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _gradient.mean_backward(
        2, "avg_pool2d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    avg_pool2d_backward,
    """
>>> avg_pool1d_backward(np.ones((1, 1, 1)), (1, 1, 4), 4).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def avg_pool1d_backward(
    dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, dilation=1, layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _gradient.mean_backward(
        1, "avg_pool1d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    avg_pool2d_backward,
    """
>>> avg_pool3d_backward(np.ones((1, 1, 1, 1, 1)), (1, 1, 1, 1, 4), (1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def avg_pool3d_backward(
    dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, dilation=1, layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _gradient.mean_backward(
        3, "avg_pool3d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


def lp_pool2d_backward(
    dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
    layout="NCHW", out=None, threads=None,
):  # fmt: skip
    """Give the gradient of `lp_pool2d` with respect to x.

    ``dx = sign(x) * |x|**(norm_type - 1) * sum over windows of dy * y**(1 - norm_type)``, and
    0 where x is 0 or a window's norm is.

    Parameters
    ----------
    dy : (N, C, OH, OW) array, float32 or float64
        The gradient with respect to the result.
    x : (N, C, H, W) array of dy's dtype
    norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout, threads
        As they were in `lp_pool2d`.
    out : array like x, optional

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([3.0, -4]).reshape(1, 1, 1, 2)
    >>> lp_pool2d_backward(np.ones((1, 1, 1, 1)), x, 2, (1, 2)).ravel()
    array([ 0.6, -0.8])
    """
    return _gradient.norm_backward(
        2, "lp_pool2d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    lp_pool2d_backward,
    """
>>> x = np.array([3.0, -4]).reshape(1, 1, 2)
>>> lp_pool1d_backward(np.ones((1, 1, 1)), x, 2, 2).ravel()
array([ 0.6, -0.8])
""",
)
def lp_pool1d_backward(
    dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
    layout="NCW", out=None, threads=None,
):  # fmt: skip
    return _gradient.norm_backward(
        1, "lp_pool1d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_call.documented_like(
    lp_pool2d_backward,
    """
>>> x = np.array([3.0, -4]).reshape(1, 1, 1, 1, 2)
>>> lp_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x, 2, (1, 1, 2)).ravel()
array([ 0.6, -0.8])
""",
)
def lp_pool3d_backward(
    dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
    layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _gradient.norm_backward(
        3, "lp_pool3d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip
