"""Gradients of poolings into a given number of outputs."""

from fastconv.pool import _call, _gradient


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
    return _gradient.adaptive_mean_backward(
        2, "adaptive_avg_pool2d_backward", dy, input_size, layout, out, threads
    )


@_call.documented_like(
    adaptive_avg_pool2d_backward,
    """
>>> adaptive_avg_pool1d_backward(np.ones((1, 1, 1)), (1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def adaptive_avg_pool1d_backward(dy, input_size, *, layout="NCW", out=None, threads=None):
    return _gradient.adaptive_mean_backward(
        1, "adaptive_avg_pool1d_backward", dy, input_size, layout, out, threads
    )


@_call.documented_like(
    adaptive_avg_pool2d_backward,
    """
>>> adaptive_avg_pool3d_backward(np.ones((1, 1, 1, 1, 1)), (1, 1, 1, 1, 4)).ravel()
array([0.25, 0.25, 0.25, 0.25])
""",
)
def adaptive_avg_pool3d_backward(dy, input_size, *, layout="NCDHW", out=None, threads=None):
    return _gradient.adaptive_mean_backward(
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
    return _gradient.max_backward(
        2, "adaptive_max_pool2d_backward", dy, x, indices, layout, out, threads
    )


@_call.documented_like(
    adaptive_max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 4)
>>> adaptive_max_pool1d_backward(np.ones((1, 1, 1)), x).ravel()
array([0., 1., 0., 0.])
""",
)
def adaptive_max_pool1d_backward(dy, x, *, indices=None, layout="NCW", out=None, threads=None):
    return _gradient.max_backward(
        1, "adaptive_max_pool1d_backward", dy, x, indices, layout, out, threads
    )


@_call.documented_like(
    adaptive_max_pool2d_backward,
    """
>>> x = np.array([1.0, 3, 2, 0]).reshape(1, 1, 1, 1, 4)
>>> adaptive_max_pool3d_backward(np.ones((1, 1, 1, 1, 1)), x).ravel()
array([0., 1., 0., 0.])
""",
)
def adaptive_max_pool3d_backward(dy, x, *, indices=None, layout="NCDHW", out=None, threads=None):
    return _gradient.max_backward(
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
    dims, layout = _call.dimensions("global_avg_pool_backward", "dy", dy, layout)
    return _gradient.adaptive_mean_backward(
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
    dims, layout = _call.dimensions("global_max_pool_backward", "dy", dy, layout)
    return _gradient.max_backward(
        dims, "global_max_pool_backward", dy, x, None, layout, out, threads, output_size=1
    )
