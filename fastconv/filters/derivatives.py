"""Derivatives of images."""

import numpy as np

from fastconv import _geometry
from fastconv.filters.correlation import correlate, sep_correlate

# Sums of larger derivative kernels leave what a float holds exactly; they are taken as floats.
LARGEST_EXACT_SOBEL = 15


def sobel(
    image,
    dx=1,
    dy=0,
    *,
    ksize=3,
    scale=1,
    delta=0,
    border="reflect",
    cval=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Differentiate every image dx times along its rows and dy times down its columns.

    For ksize 3 and dx=1: ``[1, 2, 1]`` down the columns, ``[-1, 0, 1]`` along the rows (Sobel and
    Feldman, 1968). Larger kernels smooth and differentiate with more binomial factors, as OpenCV's.

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`.
    dx, dy : int
        Order of the derivative, at least 0, together at least 1 and each less than ksize.
    ksize : int
        Odd, from 3 to 31.
    scale, delta : float
        As in `filter2d`; the kernel is not normalised.
    out_dtype : dtype, optional
        By default one that holds negative slopes: int16 for uint8, float32 for uint16 and int16,
        else the image's own.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.array([[0, 0, 9, 9]] * 3, np.uint8)
    >>> sobel(step)[1]
    array([ 0, 36, 36,  0], dtype=int16)
    """
    ksize = _geometry.integer("sobel", "ksize", ksize, 3)
    if ksize % 2 == 0 or ksize > 31:
        raise ValueError(f"sobel: ksize is {ksize}, expected an odd number from 3 to 31")
    dx, dy = (_geometry.integer("sobel", name, n, 0) for name, n in (("dx", dx), ("dy", dy)))
    if not dx + dy > 0 or max(dx, dy) >= ksize:
        raise ValueError(
            f"sobel: dx={dx}, dy={dy}, expected at least one derivative, each of order below "
            f"ksize={ksize}"
        )
    kernel_y, kernel_x = _derivative(dy, ksize), _derivative(dx, ksize)
    if ksize > LARGEST_EXACT_SOBEL:
        kernel_y, kernel_x = kernel_y.astype(np.float64), kernel_x.astype(np.float64)
    return sep_correlate(
        "sobel", image, kernel_y, kernel_x, border=border, cval=cval,
        scale=scale, delta=delta, channel_axis=channel_axis, out=out, threads=threads,
        out_dtype=_signed(image) if out_dtype is None else out_dtype,
    )  # fmt: skip


def laplacian(
    image,
    *,
    ksize=1,
    scale=1,
    delta=0,
    border="reflect",
    cval=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Sum the second derivatives of every image along both axes.

    ksize 1 is ``[[0, 1, 0], [1, -4, 1], [0, 1, 0]]`` and ksize 3
    ``[[2, 0, 2], [0, -8, 0], [2, 0, 2]]`` (as OpenCV's Laplacian).

    Parameters
    ----------
    image, border, cval, scale, delta, channel_axis, out, threads
        As in `filter2d`.
    ksize : 1 or 3
    out_dtype : dtype, optional
        By default one that holds negative values, as in `sobel`.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> dot = np.array([[0, 0, 0], [0, 5, 0], [0, 0, 0]], np.uint8)
    >>> laplacian(dot, border="constant")
    array([[  0,   5,   0],
           [  5, -20,   5],
           [  0,   5,   0]], dtype=int16)
    """
    kernels = {1: [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 3: [[2, 0, 2], [0, -8, 0], [2, 0, 2]]}
    if _geometry.integer("laplacian", "ksize", ksize, 1) not in kernels:
        raise ValueError(f"laplacian: ksize is {ksize}, expected 1 or 3")
    return correlate(
        "laplacian", image, [np.array(kernels[ksize])], border, cval, None, scale, delta,
        channel_axis, _signed(image) if out_dtype is None else out_dtype, out, threads,
    )  # fmt: skip


def _derivative(order, ksize):
    """Binomial smoothing of ksize elements, differentiated `order` times."""
    weights = np.ones(1, np.int64)
    for _ in range(order):
        weights = np.convolve(weights, [-1, 1])
    for _ in range(ksize - 1 - order):
        weights = np.convolve(weights, [1, 1])
    return weights


def _signed(image):
    """The type that derivatives of an image have by default; None where it is the image's own."""
    narrow = {"uint8": "int16", "uint16": "float32", "int16": "float32"}
    return narrow.get(getattr(getattr(image, "dtype", None), "name", None))
