"""Gradients of norms and of poolings into a given number of outputs."""

from fastconv import _pool_grad, _pooling

__all__ = [
    "adaptive_avg_pool1d_backward", "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d_backward", "adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward",
    "global_avg_pool_backward", "global_max_pool_backward", "lp_pool1d_backward",
    "lp_pool2d_backward", "lp_pool3d_backward",
]  # fmt: skip


def lp_pool2d_backward(
    dy,
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
    return _pool_grad.norm_backward(
        2, "lp_pool2d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    lp_pool2d_backward,
    """
>>> x = np.array([3.0, -4]).reshape(1, 1, 2)
>>> lp_pool1d_backward(np.ones((1, 1, 1)), x, 2, 2).ravel()
array([ 0.6, -0.8])
""",
)
def lp_pool1d_backward(
    dy,
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
    return _pool_grad.norm_backward(
        1, "lp_pool1d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


@_pooling.documented_like(
    lp_pool2d_backward,
    """
>>> x = np.array([3.0, -4]).reshape(1, 1, 1, 1, 2)
>>> lp_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x, 2, (1, 1, 2)).ravel()
array([ 0.6, -0.8])
""",
)
def lp_pool3d_backward(
    dy,
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
    return _pool_grad.norm_backward(
        3, "lp_pool3d_backward", dy, x, norm_type, layout, out, threads,
        kernel_size, stride, padding, dilation, ceil_mode,
    )  # fmt: skip


def adaptive_avg_pool2d_backward(dy, input_size, *, layout="NCHW", out=None, threads=None):
    """Give the gradient of `adaptive_avg_pool2d` with respect to x.

    Parameters
    ----------
    dy : (N, C, OH, OW) array, float32 or float64
    input_size : tuple
        The shape of x.
    layout, out, threads
        As in `avg_pool2d_backward`.

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
    >>> adaptive_avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 1, 1, 4)).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _pool_grad.adaptive_mean_backward(
        2, "adaptive_avg_pool2d_backward", dy, input_size, layout, out, threads
    )


@_pooling.documented_like(
    adaptive_avg_pool2d_backward,
    """
>>> adaptive_avg_pool1d_backward(np.ones((1, 1, 1)), (1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def adaptive_avg_pool1d_backward(dy, input_size, *, layout="NCW", out=None, threads=None):
    return _pool_grad.adaptive_mean_backward(
        1, "adaptive_avg_pool1d_backward", dy, input_size, layout, out, threads
    )


@_pooling.documented_like(
    adaptive_avg_pool2d_backward,
    """
>>> adaptive_avg_pool3d_backward(np.ones((1, 1, 1, 1, 1)), (1, 1, 1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def adaptive_avg_pool3d_backward(dy, input_size, *, layout="NCDHW", out=None, threads=None):
    return _pool_grad.adaptive_mean_backward(
        3, "adaptive_avg_pool3d_backward", dy, input_size, layout, out, threads
    )


def adaptive_max_pool2d_backward(dy, x, *, indices=None, layout="NCHW", out=None, threads=None):
    """Give the gradient of `adaptive_max_pool2d` with respect to x.

    Parameters
    ----------
    dy : (N, C, OH, OW) array, float32 or float64
    x : (N, C, H, W) array of dy's dtype
    indices, layout, out, threads
        As in `max_pool2d_backward`.

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
    >>> adaptive_max_pool2d_backward(np.ones((1, 1, 1, 1)), x).ravel()
    array([0., 1., 0., 0.])
    """
    return _pool_grad.max_backward(
        2, "adaptive_max_pool2d_backward", dy, x, indices, layout, out, threads
    )


@_pooling.documented_like(
    adaptive_max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 4)
>>> adaptive_max_pool1d_backward(np.ones((1, 1, 1)), x).ravel()
array([0., 1., 0., 0.])
""",
)
def adaptive_max_pool1d_backward(dy, x, *, indices=None, layout="NCW", out=None, threads=None):
    return _pool_grad.max_backward(
        1, "adaptive_max_pool1d_backward", dy, x, indices, layout, out, threads
    )


@_pooling.documented_like(
    adaptive_max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 1, 1, 4)
>>> adaptive_max_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x).ravel()
array([0., 1., 0., 0.])
""",
)
def adaptive_max_pool3d_backward(dy, x, *, indices=None, layout="NCDHW", out=None, threads=None):
    return _pool_grad.max_backward(
        3, "adaptive_max_pool3d_backward", dy, x, indices, layout, out, threads
    )


def global_avg_pool_backward(dy, input_size, *, layout=None, out=None, threads=None):
    """Give the gradient of `global_avg_pool` with respect to x.

    Parameters
    ----------
    dy : array, float32 or float64
    input_size : tuple
        The shape of x.
    layout : str, optional
        As in `global_avg_pool`.
    out, threads
        As in `avg_pool2d_backward`.

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
    >>> global_avg_pool_backward(np.ones((1, 1, 1)), (1, 1, 4)).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    dims, layout = _pooling.dimensions("global_avg_pool_backward", "dy", dy, layout)
    return _pool_grad.adaptive_mean_backward(
        dims, "global_avg_pool_backward", dy, input_size, layout, out, threads, 1
    )


def global_max_pool_backward(dy, x, *, layout=None, out=None, threads=None):
    """Give the gradient of `global_max_pool` with respect to x.

    Parameters
    ----------
    dy : array, float32 or float64
    x : array of dy's dtype
        Each gradient goes to the first of the greatest elements.
    layout : str, optional
        As in `global_max_pool`.
    out, threads
        As in `max_pool2d_backward`.

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
    >>> global_max_pool_backward(np.ones((1, 1, 1)), np.array([[[1.0, 3, 2]]])).ravel()
    array([0., 1., 0.])
    """
    dims, layout = _pooling.dimensions("global_max_pool_backward", "dy", dy, layout)
    return _pool_grad.max_backward(
        dims, "global_max_pool_backward", dy, x, None, layout, out, threads, output_size=1
    )
