"""Back from outputs: unpooling, and gradients of maxima and averages, the same for any threads."""

from fastconv import _pool_grad, _pooling

__all__ = [
    "avg_pool1d_backward", "avg_pool2d_backward", "avg_pool3d_backward", "max_pool1d_backward",
    "max_pool2d_backward", "max_pool3d_backward", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


def max_pool2d_backward(
    dy,
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    *,
    indices=None,
    layout="NCHW",
    out=None,
    threads=None,
):
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
    return _pool_grad.max_backward(
        2, "max_pool2d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 4)
>>> max_pool1d_backward(np.ones((1, 1, 1)), x, 4).ravel()
array([0., 1., 0., 0.])
""",
)
def max_pool1d_backward(
    dy,
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    *,
    indices=None,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pool_grad.max_backward(
        1, "max_pool1d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 1, 1, 4)
>>> max_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x, (1, 1, 4)).ravel()
array([0., 1., 0., 0.])
""",
)
def max_pool3d_backward(
    dy,
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    *,
    indices=None,
    layout="NCDHW",
    out=None,
    threads=None,
):
    return _pool_grad.max_backward(
        3, "max_pool3d_backward", dy, x, indices, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


def avg_pool2d_backward(
    dy,
    input_size,
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
    return _pool_grad.mean_backward(
        2, "avg_pool2d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    avg_pool2d_backward,
    """
>>> avg_pool1d_backward(np.ones((1, 1, 1)), (1, 1, 4), 4).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def avg_pool1d_backward(
    dy,
    input_size,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    *,
    dilation=1,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pool_grad.mean_backward(
        1, "avg_pool1d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    avg_pool2d_backward,
    """
>>> avg_pool3d_backward(np.ones((1, 1, 1, 1, 1)), (1, 1, 1, 1, 4), (1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def avg_pool3d_backward(
    dy,
    input_size,
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
    return _pool_grad.mean_backward(
        3, "avg_pool3d_backward", dy, input_size, count_include_pad, divisor_override, layout, out,
        threads, kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


def max_unpool2d(
    x,
    indices,
    kernel_size,
    stride=None,
    padding=0,
    output_size=None,
    *,
    layout="NCHW",
    out=None,
    threads=None,
):
    """Put elements back where a maximum was found, among zeros.

    Parameters
    ----------
    x : (N, C, OH, OW) array, as in `max_pool2d`
    indices : array of x's shape, int64
        As `max_pool2d` gives them; -1 is nowhere. Of several elements for one place the last one
        stays.
    kernel_size, stride, padding : int or (rows, columns)
        Of the pooling.
    output_size : tuple, optional
        The size, or the whole shape, of the result; by default
        ``(n - 1) * stride + kernel_size - padding before and after`` for each axis.
    layout : "NCHW" or "NHWC"
    out, threads
        As in `max_pool2d`.

    Returns
    -------
    (N, C, H, W) array of x's dtype, in x's layout

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> max_unpool2d(np.array([[[[7.0]]]]), np.array([[[[2]]]]), 2)[0, 0]
    array([[0., 0.],
           [7., 0.]])
    """
    return _pool_grad.unpool(
        2, "max_unpool2d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip


@_pooling.documented_like(
    max_unpool2d,
    """
>>> max_unpool1d(np.array([[[7.0, 8]]]), np.array([[[1, 2]]]), 2)
array([[[0., 7., 8., 0.]]])
""",
)
def max_unpool1d(
    x,
    indices,
    kernel_size,
    stride=None,
    padding=0,
    output_size=None,
    *,
    layout="NCW",
    out=None,
    threads=None,
):
    return _pool_grad.unpool(
        1, "max_unpool1d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip


@_pooling.documented_like(
    max_unpool2d,
    """
>>> max_unpool3d(np.ones((1, 1, 1, 1, 1)), np.full((1, 1, 1, 1, 1), 5), 2).ravel()
array([0., 0., 0., 0., 0., 1., 0., 0.])
""",
)
def max_unpool3d(
    x,
    indices,
    kernel_size,
    stride=None,
    padding=0,
    output_size=None,
    *,
    layout="NCDHW",
    out=None,
    threads=None,
):
    return _pool_grad.unpool(
        3, "max_unpool3d", x, indices, kernel_size, stride, padding, output_size, layout, out,
        threads,
    )  # fmt: skip
