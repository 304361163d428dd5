"""The patches under a kernel as columns (im2col), and their sums (col2im), in PyTorch's names."""

import math

import numpy as np

from fastconv import _arrays, _geometry

__all__ = ["fold", "unfold"]

DTYPES = ("float32", "float64")


def unfold(x, kernel_size, dilation=1, padding=0, stride=1, *, out=None):
    """Give what a kernel sees of each image at each of its places: im2col.

    ``y[n, (c, i, j), (p, q)] =
    padded[n, c, p * stride + i * dilation, q * stride + j * dilation]``, where indices in
    parentheses are flat: `conv2d` without bias is ``weight.reshape(K, -1) @ y``. So along one axis
    or three.

    Parameters
    ----------
    x : (N, C, W), (N, C, H, W) or (N, C, D, H, W) array, float32 or float64
    kernel_size, dilation, stride : int or one for each axis
    padding : int, one or a pair for each axis, "same" or "valid"
        Of zeros.
    out : array of the result's shape and dtype, optional

    Returns
    -------
    (N, C * kernel elements, places) array of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> unfold(np.array([[[1, 2, 3, 4]]], np.float32), 2)
    array([[[1., 2., 3.],
            [2., 3., 4.]]], dtype=float32)
    """
    function = "unfold"
    x = _arrays.readable(function, "x", x, DTYPES)
    if x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{function}: x has shape {x.shape}, expected (N, C, W), (N, C, H, W) or "
            "(N, C, D, H, W)"
        )
    windows = _windows(function, x.shape[2:], kernel_size, dilation, padding, stride)
    n, channels = x.shape[:2]
    kernel, places = ([getattr(window, each) for window in windows] for each in "ko")
    shape = (n, channels * math.prod(kernel), math.prod(places))
    result, finish = _arrays.writable(function, out, shape, x.dtype, (x,))
    columns = result.reshape(n, channels, *kernel, *places)
    for tap in np.ndindex(*kernel):
        seen, to = _seen(windows, tap)
        column = columns[(slice(None), slice(None), *tap)]
        if any(part != slice(0, window.o) for part, window in zip(to, windows, strict=True)):
            column.fill(0)
        column[(..., *to)] = x[(..., *seen)]
    return finish()


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1, *, out=None):
    """Add up columns where `unfold` took them from: col2im, its adjoint.

    Element by element of the kernel in order, so bits follow from the input alone. It is ONNX's
    Col2Im.

    Parameters
    ----------
    x : (N, C * kernel elements, places) array, float32 or float64
    output_size : int or one for each axis
        Of the images; by their number, one, two or three axes. An integer alone is of two.
    kernel_size, dilation, padding, stride
        As in `unfold`.
    out : array of the result's shape and dtype, optional

    Returns
    -------
    (N, C, *output_size) array of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> fold(np.array([[[1, 2, 3], [2, 3, 4]]], np.float32), (4,), 2)
    array([[[1., 4., 6., 4.]]], dtype=float32)
    """
    function = "fold"
    x = _arrays.readable(function, "x", x, DTYPES, "(N, C * kernel elements, places)")
    dims = len(output_size) if isinstance(output_size, tuple | list) else 2
    if dims not in (1, 2, 3):
        raise ValueError(
            f"{function}: output_size has {dims} numbers, expected one, two or three"
        )
    size = _geometry.pair(function, "output_size", output_size, 1, dims)
    windows = _windows(function, size, kernel_size, dilation, padding, stride, "output_size")
    kernel, places = ([getattr(window, each) for window in windows] for each in "ko")
    elements, count = math.prod(kernel), math.prod(places)
    if x.shape[1] % elements or x.shape[2] != count:
        raise ValueError(
            f"{function}: x has shape {x.shape}, expected (N, a multiple of {elements}, {count})"
        )
    shape = (len(x), x.shape[1] // elements, *size)
    result, finish = _arrays.writable(function, out, shape, x.dtype, (x,))
    columns = x.reshape(*shape[:2], *kernel, *places)
    result.fill(0)
    for tap in np.ndindex(*kernel):
        seen, of = _seen(windows, tap)
        result[(..., *seen)] += columns[(slice(None), slice(None), *tap, *of)]
    return finish()


def _windows(function, size, kernel_size, dilation, padding, stride, name="x"):
    dims = len(size)
    kernel, dilation, stride = (
        _geometry.pair(function, each, value, 1, dims)
        for each, value in (
            ("kernel_size", kernel_size), ("dilation", dilation), ("stride", stride)
        )
    )  # fmt: skip
    padding = _geometry.padding(function, padding, dims)
    return _geometry.windows(function, size, kernel, stride, padding, dilation, name=name)


def _seen(windows, tap):
    """The elements of an image that a tap sees, and the places that see them."""
    elements, places = [], []
    for w, t in zip(windows, tap, strict=True):
        start = t * w.dilation - w.before  # of the first place
        first = min(w.o, max(0, -(start // w.stride)))
        end = max(first, min(w.o, -((start - w.n) // w.stride)))
        start += first * w.stride
        elements.append(slice(start, start + (end - first) * w.stride, w.stride))
        if first == end:
            elements[-1] = slice(0, 0)
        places.append(slice(first, end))
    return elements, places
