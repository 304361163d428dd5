"""The mean of every rectangle of pixels, and how far its pixels are from it."""

import numpy as np

from fastconv import _arrays, _calls
from fastconv.filters import _image
from fastconv.filters._window import rectangle, reduce


def box(
    image, size, *, normalize=True, border="reflect", cval=0, anchor=None, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Average every rectangle of pixels, or sum it.

    ``y[p, q] = mean over i, j of image[p + i - anchor[0], q + j - anchor[1]]``, in a time that
    hardly grows with the rectangle.

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    size : int or (rows, columns)
        Of the rectangle, at least 1.
    normalize : bool
        False gives sums instead of means; choose an `out_dtype` that holds them.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Sums of integers are exact, and the mean is rounded once. Floats are summed in the image's type,
    float16 in float32; all in float64 for such a result.

    Rectangles of at most 9 rows and columns are summed term by term. Larger ones sum along the rows
    in spans that double, then down the columns by the algorithm of van Herk (1992) and of Gil and
    Werman (1993); nothing is subtracted, so a NaN stays inside its windows. Of uint8 images sums
    are integers where they can be: down the columns one row is added and one subtracted.

    Examples
    --------
    >>> import numpy as np
    >>> box(np.array([[0, 3, 6, 90]], np.uint8), (1, 3))
    array([[ 2,  3, 33, 34]], dtype=uint8)
    """
    size = rectangle("box", "size", size)
    if not isinstance(normalize, bool | np.bool):
        raise TypeError(f"box: normalize is {_arrays.shown(normalize)}, expected True or False")
    return reduce(
        "box", "sum", image, size, divisor=size[0] * size[1] if normalize else 1, border=border,
        cval=cval, anchor=anchor, channel_axis=channel_axis, out_dtype=out_dtype, out=out,
        threads=threads,
    )  # fmt: skip


def local_mean_std(
    image, size, *, border="reflect", cval=0, anchor=None, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Give the mean and the standard deviation of every rectangle of pixels.

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    size : int or (rows, columns)
        Of the rectangle, at least 1.
    out_dtype : float16, float32 or float64, optional
        float64 for float64 images, else float32.
    out : tuple or list of two arrays, optional
        Receives the results, of their shape and dtype; it may overlap the image. None in the place
        of one stands for a new array.

    Returns
    -------
    mean, std
        Two (..., H, W) or (..., H, W, C) arrays; the standard deviation is the population's
        (divided by the number of pixels).

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Sums of pixels and of their squares are float64, those of a window alone: a deviation below 1e-8
    of the mean is lost in their rounding, and so is one below 1e-154, whose square float64 cannot
    hold. Those of uint8 in small windows are exact, and results then rounded to float32. A window
    that holds a NaN, or a square beyond float64, has a NaN for its deviation.

    Examples
    --------
    >>> import numpy as np
    >>> mean, std = local_mean_std(np.array([[1, 1, 4, 4]], np.uint8), (1, 2))
    >>> mean, std
    (array([[1. , 1. , 2.5, 4. ]], dtype=float32), array([[0. , 0. , 1.5, 0. ]], dtype=float32))
    """
    function = "local_mean_std"
    outs = _image.outs(function, out, 2)
    key, results = _calls.planned(
        function, image, outs, None, size, border, cval, anchor, channel_axis, out_dtype, threads
    )
    if results is not None:
        return results
    size = rectangle(function, "size", size)
    image, windows, cval, _ = _image.prepare(
        function, image, size, border, anchor, cval, channel_axis, None
    )
    if out_dtype is None:
        out_dtype = np.float64 if image.dtype == np.float64 else np.float32
    out_dtype = _image.checked_out_dtype(function, out_dtype, _image.FLOATS)
    # float32 holds the sums of squares of small windows of uint8.
    exact = image.dtype == np.uint8 and cval in range(256)
    bits = 32 if exact and 255**2 * size[0] * size[1] < _image.EXACT[32] else 64
    return _image.run(
        function, image, windows, "filter_moments", bits,
        numbers=(float(size[0] * size[1]), 0.0, cval), channel_axis=channel_axis,
        out_dtype=out_dtype, out=outs, threads=threads, key=key, places=(0, 1),
    )  # fmt: skip
