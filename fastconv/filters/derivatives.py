"""Derivatives of images."""

import numpy as np

from fastconv import _calls, _geometry
from fastconv.filters.correlation import correlate, sep_correlate

# Sums of larger kernels on 16 bits leave what a float64 holds exactly; they are taken as floats.
LARGEST_EXACT_SOBEL = 19
# Up to here those of uint8 stay within 16 bits.
LARGEST_NARROW = 5
# What each 3x3 operator smooths with, across its difference [-1, 0, 1].
OPERATORS = {"sobel": (1, 2, 1), "scharr": (3, 10, 3), "prewitt": (1, 1, 1)}


def sobel(
    image, dx=1, dy=0, *, ksize=3, scale=1, delta=0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Differentiate every image dx times along its rows and dy times down its columns.

    For ksize 3 and dx=1: ``[1, 2, 1]`` down the columns, ``[-1, 0, 1]`` along the rows (Sobel and
    Feldman, 1968). Larger kernels smooth and differentiate with more binomial factors, as OpenCV's.
    Of floats (in `scharr`, `prewitt` and `gradient`, too) differences along a row are taken first:
    they may overflow where a dense kernel's sum would not.

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    dx, dy : int
        Order of the derivative, at least 0, together at least 1 and each less than ksize.
    ksize : int
        Odd, from 3 to 31. Integers are summed exactly up to 19, as floats from 21 on.
    scale, delta : float
        As in `filter2d`; the kernel is not normalised.
    out_dtype : dtype, optional
        By default one that holds every slope: int16 for uint8 and a ksize up to 5, float32 for
        other integers, else the image's own.

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
    key, result = _calls.planned(
        "sobel", image, out, None, dx, dy, ksize, scale, delta, border, cval, channel_axis,
        out_dtype, threads,
    )  # fmt: skip
    if result is not None:
        return result
    ksize = _geometry.integer("sobel", "ksize", ksize, 3)
    if ksize % 2 == 0 or ksize > 31:
        raise ValueError(f"sobel: ksize is {ksize}, expected an odd number from 3 to 31")
    dx, dy = (_geometry.integer("sobel", name, n, 0) for name, n in (("dx", dx), ("dy", dy)))
    if not dx + dy > 0 or max(dx, dy) >= ksize:
        raise ValueError(
            f"sobel: dx={dx}, dy={dy}, expected at least one derivative, each of order below "
            f"ksize={ksize}"
        )
    kernel_y, kernel_x = sobel_kernels(dx, dy, ksize)
    if ksize > LARGEST_EXACT_SOBEL:
        kernel_y, kernel_x = kernel_y.astype(np.float64), kernel_x.astype(np.float64)
    return sep_correlate(
        "sobel", image, kernel_y, kernel_x, border=border, cval=cval,
        scale=scale, delta=delta, channel_axis=channel_axis, out=out, threads=threads,
        out_dtype=signed_dtype(image, ksize <= LARGEST_NARROW) if out_dtype is None else out_dtype,
        key=key,
    )  # fmt: skip


def scharr(
    image, dx=1, dy=0, *, scale=1, delta=0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Differentiate every image along its rows, or down its columns with dx=0, dy=1.

    ``[3, 10, 3]`` across ``[-1, 0, 1]``, whose gradients point more truly than Sobel's (Scharr,
    2000; OpenCV's Scharr).

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    dx, dy : int
        One of them 1, the other 0.
    scale, delta : float
        As in `filter2d`; the kernel is not normalised: it gives 32 times the slope.
    out_dtype : dtype, optional
        By default one that holds negative slopes, as in `sobel`.

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
    >>> scharr(step)[1]
    array([  0, 144, 144,   0], dtype=int16)
    """
    return _operate(
        "scharr", image, dx, dy, scale=scale, delta=delta, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


def prewitt(
    image, dx=1, dy=0, *, scale=1, delta=0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Differentiate every image along its rows, or down its columns with dx=0, dy=1.

    ``[1, 1, 1]`` across ``[-1, 0, 1]``: the least-squares slope of the window (Prewitt, 1970;
    SciPy's prewitt).

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    dx, dy : int
        One of them 1, the other 0.
    scale, delta : float
        As in `filter2d`; the kernel is not normalised: it gives 6 times the slope.
    out_dtype : dtype, optional
        By default one that holds negative slopes, as in `sobel`.

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
    >>> prewitt(step.T, dx=0, dy=1)[:, 1]
    array([ 0, 27, 27,  0], dtype=int16)
    """
    return _operate(
        "prewitt", image, dx, dy, scale=scale, delta=delta, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


def roberts(
    image, diagonal=0, *, scale=1, delta=0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Subtract across every 2x2 square: one of the two differences of Roberts' cross (1963).

    diagonal 0: ``image[i + 1, j + 1] - image[i, j]``, positive where the image gets brighter to
    the bottom right (scikit-image's roberts_pos_diag); 1: ``image[i + 1, j] - image[i, j + 1]``,
    to the bottom left (roberts_neg_diag).

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
        The border is seen below and to the right.
    diagonal : 0 or 1
        Along which diagonal to subtract.
    scale, delta : float
        As in `filter2d`.
    out_dtype : dtype, optional
        By default one that holds negative slopes, as in `sobel`.

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
    >>> square = np.array([[1, 2], [4, 8]], np.uint8)
    >>> roberts(square, border="valid"), roberts(square, 1, border="valid")
    (array([[7]], dtype=int16), array([[2]], dtype=int16))
    """
    key, result = _calls.planned(
        "roberts", image, out, None, diagonal, scale, delta, border, cval, channel_axis, out_dtype,
        threads,
    )  # fmt: skip
    if result is not None:
        return result
    kernels = ([[-1, 0], [0, 1]], [[0, -1], [1, 0]])
    kernel = np.array(kernels[_geometry.integer("roberts", "diagonal", diagonal, 0, 1)])
    return correlate(
        "roberts", image, [kernel], border, cval, (0, 0), scale, delta, channel_axis,
        signed_dtype(image) if out_dtype is None else out_dtype, out, threads, key,
    )  # fmt: skip


def laplacian(
    image, *, ksize=1, scale=1, delta=0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Sum the second derivatives of every image along both axes.

    ksize 1 is ``[[0, 1, 0], [1, -4, 1], [0, 1, 0]]`` and ksize 3
    ``[[2, 0, 2], [0, -8, 0], [2, 0, 2]]`` (as OpenCV's Laplacian).

    Parameters
    ----------
    image, border, cval, scale, delta, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
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
    key, result = _calls.planned(
        "laplacian", image, out, None, ksize, scale, delta, border, cval, channel_axis, out_dtype,
        threads,
    )  # fmt: skip
    if result is not None:
        return result
    kernels = {1: [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 3: [[2, 0, 2], [0, -8, 0], [2, 0, 2]]}
    ksize = _geometry.integer("laplacian", "ksize", ksize, 1)
    if ksize not in kernels:
        raise ValueError(f"laplacian: ksize is {ksize}, expected 1 or 3")
    return correlate(
        "laplacian", image, [np.array(kernels[ksize])], border, cval, None, scale, delta,
        channel_axis, signed_dtype(image) if out_dtype is None else out_dtype, out, threads, key,
    )  # fmt: skip


def operator_kernels(name, dy):
    """The weights of a 3x3 operator down the columns and along the rows."""
    kernels = np.array([OPERATORS[name], (-1, 0, 1)])
    return kernels[::-1] if dy else kernels


def _operate(function, image, dx, dy, *, out_dtype, out, **options):
    key, result = _calls.planned(function, image, out, None, dx, dy, out_dtype, *options.values())
    if result is not None:
        return result
    dx, dy = (_geometry.integer(function, name, n, 0) for name, n in (("dx", dx), ("dy", dy)))
    if dx + dy != 1:
        raise ValueError(f"{function}: dx={dx}, dy={dy}, expected one of them 1 and the other 0")
    out_dtype = signed_dtype(image) if out_dtype is None else out_dtype
    kernels = operator_kernels(function, dy)
    return sep_correlate(
        function, image, *kernels, out_dtype=out_dtype, out=out, key=key, **options
    )


def sobel_kernels(dx, dy, ksize):
    """The weights down the columns and along the rows."""
    return _binomial(dy, ksize), _binomial(dx, ksize)


def _binomial(order, ksize):
    """Binomial smoothing of ksize elements, differentiated `order` times."""
    weights = np.ones(1, np.int64)
    for _ in range(order):
        weights = np.convolve(weights, [-1, 1])
    for _ in range(ksize - 1 - order):
        weights = np.convolve(weights, [1, 1])
    return weights


def signed_dtype(image, narrow=True):
    """The type that derivatives of an image have by default; None where it is the image's own.

    Those of uint8 are narrow where the kernel's sums stay within 16 bits.
    """
    signed = {"uint8": "int16" if narrow else "float32", "uint16": "float32", "int16": "float32"}
    return signed.get(getattr(getattr(image, "dtype", None), "name", None))
