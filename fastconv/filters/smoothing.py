"""Blurs."""

import numpy as np

from fastconv import _arrays, _geometry
from fastconv.filters._image import LONGEST_KERNEL
from fastconv.filters.correlation import sep_correlate


def gaussian(
    image,
    sigma,
    *,
    truncate=4.0,
    radius=None,
    border="reflect",
    cval=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Blur every image with a Gaussian.

    The weights are ``exp(-i**2 / (2 * sigma**2))`` for i from -radius to radius, divided by their
    sum; radius is ``int(truncate * sigma + 0.5)`` (as SciPy's gaussian_filter).

    Parameters
    ----------
    image, border, cval, channel_axis, out_dtype, out, threads
        As in `filter2d`.
    sigma : float or (rows, columns)
        Standard deviation in pixels; 0 leaves that axis as it is.
    truncate : float
        Where the kernel ends, in standard deviations.
    radius : int or (rows, columns), optional
        Where it ends, in pixels; `truncate` is then not used.

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
    >>> dot = np.zeros((5, 5), np.uint8)
    >>> dot[2, 2] = 255
    >>> gaussian(dot, 0.8)[2]
    array([ 6, 29, 63, 29,  6], dtype=uint8)
    """
    truncate = _arrays.number("gaussian", "truncate", truncate)
    if truncate < 0:
        raise ValueError(f"gaussian: truncate is {truncate}, expected at least 0")
    sigmas = tuple(sigma) if isinstance(sigma, tuple | list | np.ndarray) else (sigma, sigma)
    if len(sigmas) != 2:
        raise ValueError(
            f"gaussian: sigma is {_arrays.shown(sigma)}, expected a number or a pair"
        )
    radii = (None, None) if radius is None else _geometry.pair("gaussian", "radius", radius, 0)
    kernel_y, kernel_x = (
        _gaussian_weights(each, truncate, r) for each, r in zip(sigmas, radii, strict=True)
    )
    return sep_correlate(
        "gaussian", image, kernel_y, kernel_x, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


def _gaussian_weights(sigma, truncate, radius):
    sigma = _arrays.number("gaussian", "sigma", sigma)
    if sigma < 0:
        raise ValueError(f"gaussian: sigma is {sigma}, expected at least 0")
    given = f"sigma is {sigma}" if radius is None else f"radius is {radius}"
    radius = min(truncate * sigma + 0.5, LONGEST_KERNEL) if radius is None else radius
    radius = int(radius)
    if 2 * radius + 1 > LONGEST_KERNEL:
        raise ValueError(
            f"gaussian: {given}, expected a kernel of at most {LONGEST_KERNEL} elements "
            f"(a radius of {LONGEST_KERNEL // 2})"
        )
    if sigma == 0:
        return np.eye(1, 2 * radius + 1, radius)[0]
    with np.errstate(over="ignore"):  # a weight of exp(-inf) is 0
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()
