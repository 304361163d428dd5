"""Corners: where an image changes in every direction."""

import numpy as np

from fastconv import _arrays, _calls, _geometry
from fastconv.filters import _image
from fastconv.filters.derivatives import sobel_kernels
from fastconv.filters.smoothing import gaussian_kernels

# Larger kernels find slopes of up to 2**33 in uint16 images; their fourth powers, which a response
# is made of, are more than a float32 can hold.
LARGEST_KSIZE = 9


def harris(
    image, sigma=1.0, k=0.04, ksize=3, *, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Measure how much every pixel is a corner: more than 0 on corners, less than 0 on edges.

    ``det(M) - k * trace(M)**2``, where M is the mean under a Gaussian of
    ``[[dx * dx, dx * dy], [dx * dy, dy * dy]]`` of `sobel`'s slopes (Harris and Stephens, A
    Combined Corner and Edge Detector, 1988). All of it is of the image as the border continues it;
    OpenCV and scikit-image continue the products, which tells within the window's reach of an edge.

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
        Each channel has corners of its own.
    sigma : float or (rows, columns)
        Standard deviation of the Gaussian in pixels; it ends at 4 of them.
    k : float
        What an edge costs, less than 0.25: 0.04 to 0.06 is usual.
    ksize : int
        Of the Sobel kernels, which are not normalised: odd, from 3 to 9.
    out_dtype : float16, float32 or float64, optional
        float32 by default, of float64 images float64. Responses are fourth powers of slopes:
        float16 has no room for those beyond 65504, which become infinite.

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
    >>> image = np.zeros((9, 9))
    >>> image[4:, 4:] = 1
    >>> response = harris(image, border="edge")
    >>> divmod(int(response.argmax()), 9), response[8].min().round(1)
    ((4, 4), np.float64(-4.2))
    """
    k = _arrays.number("harris", "k", k)
    if not 0 <= k < 0.25:
        raise ValueError(f"harris: k is {k}, expected at least 0 and less than 0.25")

    return _corners(
        "harris", image, sigma, ksize, k, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


def shi_tomasi(
    image, sigma=1.0, ksize=3, *, border="reflect", cval=0, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Measure how much every pixel is a corner: large on corners, near 0 on edges and elsewhere.

    The smaller eigenvalue of M, where M is the mean under a Gaussian of
    ``[[dx * dx, dx * dy], [dx * dy, dy * dy]]`` of `sobel`'s slopes (Shi and Tomasi, Good Features
    to Track, 1994), at the border as in `harris`.

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
        Each channel has corners of its own.
    sigma, ksize, out_dtype
        As in `harris`.

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
    >>> dot = np.zeros((5, 5))
    >>> dot[2, 2] = 1
    >>> shi_tomasi(dot, sigma=0.5)[2].round(3)
    array([0.046, 0.258, 0.715, 0.258, 0.046])
    """

    return _corners(
        "shi_tomasi", image, sigma, ksize, 0.0, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


def _corners(
    function, image, sigma, ksize, k, *, border, cval, channel_axis, out_dtype, out, threads
):  # fmt: skip
    key, result = _calls.planned(
        function, image, out, None, sigma, ksize, k, border, cval, channel_axis, out_dtype, threads
    )
    if result is not None:
        return result
    if out_dtype is None and getattr(getattr(image, "dtype", None), "name", None) == "float16":
        out_dtype = "float32"
    ksize = _geometry.integer(function, "ksize", ksize, 3)
    if ksize % 2 == 0 or ksize > LARGEST_KSIZE:
        raise ValueError(
            f"{function}: ksize is {ksize}, expected an odd number from 3 to {LARGEST_KSIZE}"
        )
    window = gaussian_kernels(function, "sigma", sigma)
    size = [ksize - 1 + len(kernel) for kernel in window]
    image, windows, cval, out_dtype, bits = _image.prepare_floats(
        function, image, size, border, cval, channel_axis, out_dtype
    )
    weights = np.concatenate([*sobel_kernels(1, 0, ksize), *window]).astype(f"float{bits}")
    return _image.run(
        function, image, windows, f"filter_{function}", bits, weights, numbers=(k, 0.0, cval),
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads, key=key,
        ksize=ksize,
    )  # fmt: skip
