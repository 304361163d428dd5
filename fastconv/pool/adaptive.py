"""Pooling into a given number of outputs: adaptive, global and fractional."""

import numpy as np

from fastconv import _arrays
from fastconv.pool import _axes, _call


def adaptive_avg_pool2d(x, output_size, *, layout="NCHW", out=None, threads=None):
    """Give the means of so many windows that cover the input.

    Window i of an axis of n elements begins at ``i * n // output_size`` and ends before
    ``(i + 1) * n / output_size``, rounded up, as in PyTorch.

    Parameters
    ----------
    x : (N, C, H, W) array, as in `max_pool2d`
    output_size : an integer or None, or (rows, columns) of them
        None is the input's own size.
    layout : "NCHW" or "NHWC"
    out, threads
        As in `avg_pool2d`.

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
    >>> adaptive_avg_pool2d(np.array([[[[1.0, 2, 3], [4, 5, 6]]]]), 1)
    array([[[[3.5]]]])
    """
    call = _call.Call("adaptive_avg_pool2d", x, 2, layout, _call.NUMBERS, out, threads)
    return call.mean(_axes.adaptive("adaptive_avg_pool2d", call.size, output_size))


@_call.documented_like(
    adaptive_avg_pool2d,
    """
>>> adaptive_avg_pool1d(np.array([[[1.0, 2, 3, 4, 8]]]), 2)
array([[[2., 5.]]])
""",
)
def adaptive_avg_pool1d(x, output_size, *, layout="NCW", out=None, threads=None):
    call = _call.Call("adaptive_avg_pool1d", x, 1, layout, _call.NUMBERS, out, threads)
    return call.mean(_axes.adaptive("adaptive_avg_pool1d", call.size, output_size))


@_call.documented_like(
    adaptive_avg_pool2d,
    """
>>> adaptive_avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), (2, 1, 1)).ravel()
array([1.5, 5.5])
""",
)
def adaptive_avg_pool3d(x, output_size, *, layout="NCDHW", out=None, threads=None):
    call = _call.Call("adaptive_avg_pool3d", x, 3, layout, _call.NUMBERS, out, threads)
    return call.mean(_axes.adaptive("adaptive_avg_pool3d", call.size, output_size))


def adaptive_max_pool2d(
    x, output_size, return_indices=False, *, layout="NCHW", out=None, threads=None
):
    """Give the greatest elements of so many windows that cover the input.

    Parameters
    ----------
    x : (N, C, H, W) array, as in `max_pool2d`
    output_size : an integer or None, or (rows, columns) of them
    layout : "NCHW" or "NHWC"
    return_indices, out, threads
        As in `max_pool2d`; the windows are those of `adaptive_avg_pool2d`.

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
    >>> adaptive_max_pool2d(np.array([[[[1.0, 2, 3], [4, 5, 6]]]]), (1, 2))
    array([[[[5., 6.]]]])
    """
    call = _call.Call("adaptive_max_pool2d", x, 2, layout, _call.NUMBERS, out, threads)
    axes = _axes.adaptive("adaptive_max_pool2d", call.size, output_size)
    return call.extreme(axes, "max", bool(return_indices))


@_call.documented_like(
    adaptive_max_pool2d,
    """
>>> adaptive_max_pool1d(np.array([[[1.0, 2, 3, 4, 8]]]), 2)
array([[[3., 8.]]])
""",
)
def adaptive_max_pool1d(
    x, output_size, return_indices=False, *, layout="NCW", out=None, threads=None
):
    call = _call.Call("adaptive_max_pool1d", x, 1, layout, _call.NUMBERS, out, threads)
    axes = _axes.adaptive("adaptive_max_pool1d", call.size, output_size)
    return call.extreme(axes, "max", bool(return_indices))


@_call.documented_like(
    adaptive_max_pool2d,
    """
>>> adaptive_max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), (2, 1, 1)).ravel()
array([3., 7.])
""",
)
def adaptive_max_pool3d(
    x, output_size, return_indices=False, *, layout="NCDHW", out=None, threads=None
):
    call = _call.Call("adaptive_max_pool3d", x, 3, layout, _call.NUMBERS, out, threads)
    axes = _axes.adaptive("adaptive_max_pool3d", call.size, output_size)
    return call.extreme(axes, "max", bool(return_indices))


def global_avg_pool(x, *, layout=None, out=None, threads=None):
    """Give the mean of each channel of each sample.

    Parameters
    ----------
    x : (N, C, W), (N, C, H, W) or (N, C, D, H, W) array, as in `max_pool2d`
    layout : "NCW", "NWC", "NCHW", "NHWC", "NCDHW" or "NDHWC", optional
        By default the one of x's dimensions with channels first.
    out, threads
        As in `avg_pool2d`.

    Returns
    -------
    array like x, with 1 in place of each size but N and C

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> global_avg_pool(np.array([[[[1.0, 2, 3], [4, 5, 6]]]]))
    array([[[[3.5]]]])
    """
    call = _call.anywhere("global_avg_pool", x, layout, _call.NUMBERS, out, threads)
    axes = _axes.adaptive("global_avg_pool", call.size, 1)
    return call.mean(axes)


def global_max_pool(x, *, layout=None, out=None, threads=None):
    """Give the greatest element of each channel of each sample.

    Parameters
    ----------
    x : (N, C, W), (N, C, H, W) or (N, C, D, H, W) array, as in `max_pool2d`
    layout : "NCW", "NWC", "NCHW", "NHWC", "NCDHW" or "NDHWC", optional
        By default the one of x's dimensions with channels first.
    out, threads
        As in `max_pool2d`.

    Returns
    -------
    array like x, with 1 in place of each size but N and C

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> global_max_pool(np.array([[[[1.0, 2, 3], [4, 5, 6]]]]))
    array([[[[6.]]]])
    """
    call = _call.anywhere("global_max_pool", x, layout, _call.NUMBERS, out, threads)
    axes = _axes.adaptive("global_max_pool", call.size, 1)
    return call.extreme(axes, "max", False)


def fractional_max_pool2d(
    x, kernel_size, output_size=None, output_ratio=None, return_indices=False, random_samples=None,
    *, seed=None, layout="NCHW", out=None, threads=None,
):  # fmt: skip
    """Give the greatest elements of windows that lie at random, about evenly.

    ``start[i] = int((i + sample) * alpha) - int(sample * alpha)`` with
    ``alpha = (n - kernel_size) / (output_size - 1)``; the last window ends where the input does
    (Graham, "Fractional Max-Pooling", 2014, as PyTorch computes it).

    Parameters
    ----------
    x : (N, C, H, W) array, as in `max_pool2d`
    kernel_size : int or (rows, columns)
    output_size : int or (rows, columns), optional
    output_ratio : float or (rows, columns), optional
        In place of output_size: between 0 and 1, of the input's size.
    random_samples : (N, C, 2) array, float32 or float64, optional
        Numbers from 0 on and below 1 for each plane, PyTorch's ``_random_samples``: of two axes
        (column, row), of three (slice, row, column).
    seed : int, numpy.random.Generator or None
        What to draw them from where they are not given.
    return_indices, layout, out, threads
        As in `max_pool2d`.

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
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> fractional_max_pool2d(x, 2, output_size=2, random_samples=[[[0.1, 0.7]]])[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return _fractional(
        2, "fractional_max_pool2d", x, kernel_size, output_size, output_ratio, return_indices,
        random_samples, seed, layout, out, threads,
    )  # fmt: skip


@_call.documented_like(
    fractional_max_pool2d,
    """
>>> x = np.arange(4.0).reshape(1, 1, 1, 1, 4)
>>> fractional_max_pool3d(x, (1, 1, 2), output_size=(1, 1, 2), seed=0).ravel()
array([1., 3.])
""",
)
def fractional_max_pool3d(
    x, kernel_size, output_size=None, output_ratio=None, return_indices=False, random_samples=None,
    *, seed=None, layout="NCDHW", out=None, threads=None,
):  # fmt: skip
    return _fractional(
        3, "fractional_max_pool3d", x, kernel_size, output_size, output_ratio, return_indices,
        random_samples, seed, layout, out, threads,
    )  # fmt: skip


def _fractional(
    dims, function, x, kernel_size, output_size, output_ratio, return_indices, random_samples,
    seed, layout, out, threads,
):  # fmt: skip
    call = _call.Call(function, x, dims, layout, _call.NUMBERS, out, threads)
    axes = _axes.fractional(function, call.size, kernel_size, output_size, output_ratio)
    shape = (call.n, call.channels, dims)
    if random_samples is None:
        try:
            random_samples = np.random.default_rng(seed).random(shape)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{function}: seed is {_arrays.shown(seed)}, expected what default_rng takes"
            ) from None
    samples = _arrays.readable(function, "random_samples", random_samples, _call.FLOATS)
    if samples.shape != shape:
        raise ValueError(
            f"{function}: random_samples has shape {samples.shape}, expected {shape}"
        )
    wrong = samples[~((samples >= 0) & (samples < 1))]
    if wrong.size:
        raise ValueError(
            f"{function}: random_samples has {wrong[0]}, expected numbers from 0 on and below 1"
        )
    floats = call.dtype if call.dtype.kind == "f" else np.dtype("float32")
    return call.extreme(axes, "max", bool(return_indices), _axes.starts(samples, axes, floats))
