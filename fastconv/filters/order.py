"""The pixel of a rank in every rectangle of pixels: medians, extremes, percentiles."""

from fastconv import _arrays, _calls, _geometry, _plan
from fastconv.filters import _image
from fastconv.filters._window import order_bits, rectangle

# Of a window, which are counted in 16 bits.
MOST_PIXELS = 2**16 - 1
# Of a window of uint8, that keep histograms of half a KB each; in float32 its rows may do so.
MOST_COLUMNS = 2**12


@_image.takes_bool
def median(
    image, size=3, *, border="reflect", cval=0, anchor=None, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Give the median of a rectangle around every pixel: noise goes, edges stay.

    Of an even number of pixels it is the upper of the two in the middle (as SciPy's
    median_filter).

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``. The
        image may be bool, too; `cval` is then 0 or 1.
    size : int or (rows, columns)
        Of the rectangle: less than 2**16 pixels, at most 32767 a side.
    out_dtype : dtype, optional
        The image's by default.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Small windows take networks of comparisons, up to 10x10 pixels (13x13 of uint16 and
    int16, 11x11 of uint8, 9x9 of float64). Larger ones take histograms, in a time that hardly grows
    with them (Perreault and Hebert, 2007): of uint8 pixels as they are, of others after parts of
    the image were sorted, so that equal or ordered pixels take no longer than others. At most 4 MB
    are taken for each thread.

    A NaN in a window gives NaN. 0.0 and -0.0 are equal: where one of them is the result, it may
    have either sign. OpenCV's medianBlur is the same with ``border="edge"``.

    Examples
    --------
    >>> import numpy as np
    >>> median(np.array([[1, 1, 200, 1, 9, 9, 9]], np.uint8), (1, 3))
    array([[1, 1, 1, 9, 9, 9, 9]], dtype=uint8)
    """
    size = rectangle("median", "size", size)
    return _rank(
        "median", image, size[0] * size[1] // 2, size, border, cval, anchor, channel_axis,
        out_dtype, out, threads,
    )  # fmt: skip


@_image.takes_bool
def minimum(
    image, size=3, *, border="reflect", cval=0, anchor=None, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Give the smallest pixel of a rectangle around every pixel; the same as `erode`.

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `median`.
    size : int or (rows, columns)
        Of the rectangle, at most 32767 a side; the time hardly grows with it.

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
    >>> minimum(np.array([[5, 3, 7, 7, 7]], np.uint8), (1, 3))
    array([[3, 3, 3, 7, 7]], dtype=uint8)
    """
    size = rectangle("minimum", "size", size)
    return _rank(
        "minimum", image, 0, size, border, cval, anchor, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def maximum(
    image, size=3, *, border="reflect", cval=0, anchor=None, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Give the largest pixel of a rectangle around every pixel; the same as `dilate`.

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `median`.
    size : int or (rows, columns)
        Of the rectangle, at most 32767 a side; the time hardly grows with it.

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
    >>> maximum(np.array([[5, 3, 7, 1, 1]], np.uint8), (1, 3))
    array([[5, 7, 7, 7, 1]], dtype=uint8)
    """
    size = rectangle("maximum", "size", size)
    return _rank(
        "maximum", image, size[0] * size[1] - 1, size, border, cval, anchor, channel_axis,
        out_dtype, out, threads,
    )  # fmt: skip


@_image.takes_bool
def rank(
    image, rank, size=3, *, border="reflect", cval=0, anchor=None, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give the pixel of a rank in a rectangle around every pixel.

    Parameters
    ----------
    image, size, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `median`.
    rank : int
        0 is the smallest pixel, 1 the next; -1 the largest.

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
    >>> rank(np.array([[5, 3, 7, 1, 2]], np.uint8), 1, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """
    size = rectangle("rank", "size", size)
    pixels = size[0] * size[1]
    rank = _geometry.integer("rank", "rank", rank, -pixels, pixels - 1) % pixels
    return _rank(
        "rank", image, rank, size, border, cval, anchor, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def percentile(
    image, q, size=3, *, border="reflect", cval=0, anchor=None, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give a percentile of a rectangle around every pixel.

    It is the pixel of rank ``int(pixels * q / 100)``, at most the largest (as SciPy's
    percentile_filter): always one of the pixels, never between two.

    Parameters
    ----------
    image, size, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `median`.
    q : float
        From 0, the smallest, to 100, the largest.

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
    >>> percentile(np.array([[5, 3, 7, 1, 2]], np.uint8), 50, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """
    size = rectangle("percentile", "size", size)
    pixels = size[0] * size[1]
    q = _arrays.number("percentile", "q", q)
    if not 0 <= q <= 100:
        raise ValueError(f"percentile: q is {q}, expected 0 to 100")
    return _rank(
        "percentile", image, min(int(pixels * q / 100), pixels - 1), size, border, cval, anchor,
        channel_axis, out_dtype, out, threads,
    )  # fmt: skip


def _rank(
    function, image, rank, size, border, cval, anchor, channel_axis, out_dtype, out, threads
):
    pixels = size[0] * size[1]
    if 0 < rank < pixels - 1 and pixels > MOST_PIXELS:
        raise ValueError(f"{function}: size is {size}, expected at most {MOST_PIXELS} pixels")
    key, result = _calls.planned(
        function, image, out, None, rank, size, border, cval, anchor, channel_axis,
        out_dtype, threads
    )
    if result is not None:
        return result
    image, windows, cval, out_dtype = _image.prepare(
        function, image, size, border, anchor, cval, channel_axis, out_dtype
    )
    bits = order_bits(image.dtype, out_dtype, cval)
    channels = _image.shape_of(function, image, channel_axis)[-1]
    algorithm, reduction = _plan.rank_filter(size, rank, bits, channels)
    if algorithm == "filter_rank" and (bits == 16 or size[1] > MOST_COLUMNS):
        bits = max(bits, 32)
    _image.check_holds(function, "cval", cval, bits)
    return _image.run(
        function, image, windows, algorithm, bits, numbers=(1.0, 0.0, cval),
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
        reduction=reduction, rank=rank, key=key,
    )  # fmt: skip
