"""Blurs."""

import numpy as np

from fastconv import _arrays, _geometry
from fastconv.filters import _image
from fastconv.filters._image import LONGEST_KERNEL
from fastconv.filters.correlation import sep_correlate
from fastconv.filters.derivatives import signed_dtype

# The n-th derivative of a Gaussian is the Gaussian times (-1)**n times these, over sigma**n; as
# weights of a correlation, which sees them from the other side, without the sign.
_HERMITE = (None, lambda u: u, lambda u: u**2 - 1, lambda u: u**3 - 3 * u)
HIGHEST_ORDER = len(_HERMITE) - 1


def gaussian(
    image,
    sigma,
    *,
    order=0,
    truncate=4.0,
    radius=None,
    border="reflect",
    cval=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Blur every image with a Gaussian, or with a derivative of one.

    The weights are ``exp(-i**2 / (2 * sigma**2))`` for i from -radius to radius, divided by their
    sum; radius is ``int(truncate * sigma + 0.5)`` (as SciPy's gaussian_filter). A derivative's are
    those times a Hermite polynomial of ``u = i / sigma``: ``u / sigma``,
    ``(u**2 - 1) / sigma**2`` or ``(u**3 - 3 * u) / sigma**3``.

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`.
    sigma : float or (rows, columns)
        Standard deviation in pixels; 0 leaves that axis as it is.
    order : int or (rows, columns)
        Of the derivative down the columns and along the rows, 0 to 3; where it is not 0, sigma is
        more than 0. 1 is positive where the image gets brighter downwards or to the right.
    truncate : float
        Where the kernel ends, in standard deviations.
    radius : int or (rows, columns), optional
        Where it ends, in pixels; `truncate` is then not used.
    out_dtype : dtype, optional
        The image's by default; of a derivative of integers float32.

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
    >>> gaussian(dot, 0.8, order=(0, 1))[2].round(1)
    array([  0. ,  45.1,   0. , -45.1,   0. ], dtype=float32)
    """
    key, result = _image.planned_call(
        "gaussian", image, out, None, sigma, order, truncate, radius, border, cval, channel_axis,
        out_dtype, threads,
    )  # fmt: skip
    if result is not None:
        return result
    orders = _geometry.pair("gaussian", "order", order, 0)
    if max(orders) > HIGHEST_ORDER:
        raise ValueError(
            f"gaussian: order is {_arrays.shown(order)}, expected 0 to {HIGHEST_ORDER}"
        )
    kernel_y, kernel_x = gaussian_kernels("gaussian", "sigma", sigma, orders, truncate, radius)
    if out_dtype is None and any(orders):
        out_dtype = signed_dtype(image, narrow=False)
    return sep_correlate(
        "gaussian", image, kernel_y, kernel_x, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads, key=key,
    )  # fmt: skip


def gaussian_kernels(function, name, sigma, orders=(0, 0), truncate=4.0, radius=None):
    """The weights down the columns and along the rows; `name` is the argument that sigma is."""
    truncate = _arrays.number(function, "truncate", truncate)
    if truncate < 0:
        raise ValueError(f"{function}: truncate is {truncate}, expected at least 0")
    many = isinstance(sigma, tuple | list) or (isinstance(sigma, np.ndarray) and sigma.ndim)
    sigmas = tuple(sigma) if many else (sigma, sigma)
    if len(sigmas) != 2:
        raise ValueError(
            f"{function}: {name} is {_arrays.shown(sigma)}, expected a number or a pair"
        )
    radii = (None, None) if radius is None else _geometry.pair(function, "radius", radius, 0)
    return [
        _gaussian_weights(function, name, each, order, truncate, r)
        for each, order, r in zip(sigmas, orders, radii, strict=True)
    ]


def _gaussian_weights(function, name, sigma, order, truncate, radius):
    sigma = _arrays.number(function, name, sigma)
    if sigma < 0:
        raise ValueError(f"{function}: {name} is {sigma}, expected at least 0")
    given = f"{name} is {sigma}" if radius is None else f"radius is {radius}"
    radius = min(truncate * sigma + 0.5, LONGEST_KERNEL) if radius is None else radius
    radius = int(radius)
    if 2 * radius + 1 > LONGEST_KERNEL:
        raise ValueError(
            f"{function}: {given}, expected a kernel of at most {LONGEST_KERNEL} elements "
            f"(a radius of {LONGEST_KERNEL // 2})"
        )
    if sigma == 0 and order == 0:
        return np.eye(1, 2 * radius + 1, radius)[0]
    # A weight of exp(-inf) is 0, also times infinity; no derivative has finite weights at sigma 0.
    with np.errstate(all="ignore"):
        u = np.arange(-radius, radius + 1) / sigma
        weights = np.exp(-0.5 * u**2)
        weights /= weights.sum()
        if order:
            weights = np.where(weights == 0, 0, weights * _HERMITE[order](u))
            weights /= np.float64(sigma) ** order
    if not np.isfinite(weights).all():
        raise ValueError(
            f"{function}: {name} is {sigma}, expected more for a derivative of order {order}"
        )
    return weights
