"""Blurs."""

import math

import numpy as np

from fastconv import _arrays, _calls, _geometry
from fastconv.filters import _image
from fastconv.filters._image import LONGEST_KERNEL
from fastconv.filters.correlation import sep_correlate
from fastconv.filters.derivatives import signed_dtype

# The n-th derivative of a Gaussian is the Gaussian times (-1)**n times these, over sigma**n; as
# weights of a correlation, which sees them from the other side, without the sign.
_HERMITE = (None, lambda u: u, lambda u: u**2 - 1, lambda u: u**3 - 3 * u)
HIGHEST_ORDER = len(_HERMITE) - 1

# Either half of a Gaussian, about: the real part of the sum of amplitude * exp(-rate * i / sigma)
# (Deriche, 1993, the smoothing operator of fourth order).
_DERICHE = ((1.68 - 3.735j, 1.783 - 0.6318j), (-0.6803 + 0.2598j, 1.723 - 1.997j))
# A recursion runs in over so many sigma: what it has not seen then weighs less than 3e-5 of all.
RUN_IN = 6
# Beyond, float32 rounds away too much of a slope, and running in takes longer than large images.
LARGEST_RECURSIVE_SIGMA = 1000


def gaussian(
    image, sigma, *, order=0, truncate=4.0, radius=None, method="kernel", border="reflect", cval=0,
    stride=1, channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Blur every image with a Gaussian, or with a derivative of one.

    The weights are ``exp(-i**2 / (2 * sigma**2))`` for i from -radius to radius, divided by their
    sum; radius is ``int(truncate * sigma + 0.5)`` (as SciPy's gaussian_filter). A derivative's are
    those times a Hermite polynomial of ``u = i / sigma``: ``u / sigma``,
    ``(u**2 - 1) / sigma**2`` or ``(u**3 - 3 * u) / sigma**3``.

    Parameters
    ----------
    image, border, cval, stride, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    sigma : float or (rows, columns)
        Standard deviation in pixels; 0 leaves that axis as it is.
    order : int or (rows, columns)
        Of the derivative down the columns and along the rows, 0 to 3; where it is not 0, sigma is
        more than 0. 1 is positive where the image gets brighter downwards or to the right.
    truncate : float
        Where the kernel ends, in standard deviations.
    radius : int or (rows, columns), optional
        Where it ends, in pixels; `truncate` is then not used.
    method : "kernel" or "recursive"
        "recursive" approximates the Gaussian in a time per pixel that does not grow with sigma (see
        Notes), for sigma up to 1000 and order 0. It ends nowhere, so `truncate` and `radius` do not
        apply, nor does ``border="valid"``; and it computes every pixel, so nor does `stride`.
    out_dtype : dtype, optional
        The image's by default; of a derivative of integers float32.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    The recursive method is Deriche's filter of fourth order ("Recursively implementing the Gaussian
    and its derivatives", INRIA report 1893, 1993). For any sigma its results are within 1e-3 of the
    image's range, the border's value included, of the kernel's; those of uint8 differ by 1 at most.
    In float32, rounding adds up to ``(10 + sigma) * 1e-7`` of the largest pixel. It is worth it
    from a sigma of about 3 on. A NaN or an infinity may reach every pixel of its plane.

    Recursions begin six sigma outside the image. Inside it they begin again, each time six sigma
    early, where there is not scratch memory for all of it: rows after 32 KB, in the floats that are
    computed in, and columns after 10 to 40 MB of rows. With a sigma of hundreds that takes time.

    Examples
    --------
    >>> import numpy as np
    >>> dot = np.zeros((5, 5), np.uint8)
    >>> dot[2, 2] = 255
    >>> gaussian(dot, 0.8)[2]
    array([ 6, 29, 63, 29,  6], dtype=uint8)
    >>> gaussian(dot, 0.8, order=(0, 1))[2].round(1)
    array([  0. ,  45.1,   0. , -45.1,   0. ], dtype=float32)
    >>> step = np.repeat([[0.0, 1.0]], 200, axis=1)
    >>> gaussian(step, 30, method="recursive")[0, 180:220:10].round(3)
    array([0.258, 0.376, 0.507, 0.637])
    """
    key, result = _calls.planned(
        "gaussian", image, out, None, sigma, order, truncate, radius, method, border, cval, stride,
        channel_axis, out_dtype, threads,
    )  # fmt: skip
    if result is not None:
        return result
    orders = _geometry.pair("gaussian", "order", order, 0)
    if max(orders) > HIGHEST_ORDER:
        raise ValueError(
            f"gaussian: order is {_arrays.shown(order)}, expected 0 to {HIGHEST_ORDER}"
        )
    if _geometry.choice("gaussian", "method", method, ("kernel", "recursive")) == "recursive":
        sigmas = _recursive_sigmas(sigma, orders, truncate, radius, border, stride)
        return _recursive(image, sigmas, border, cval, channel_axis, out_dtype, out, threads, key)
    kernel_y, kernel_x = gaussian_kernels("gaussian", "sigma", sigma, orders, truncate, radius)
    if out_dtype is None and any(orders):
        out_dtype = signed_dtype(image, narrow=False)
    return sep_correlate(
        "gaussian", image, kernel_y, kernel_x, border=border, cval=cval, stride=stride,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads, key=key,
    )  # fmt: skip


def _recursive_sigmas(sigma, orders, truncate, radius, border, stride):
    """Sigma down the columns and along the rows, if all that goes with them is for recursion."""
    strides = _geometry.pair("gaussian", "stride", stride, 1)
    refused = (
        ("order", orders, any(orders), "0"),
        ("truncate", truncate, _arrays.number("gaussian", "truncate", truncate) != 4, "none"),
        ("radius", radius, radius is not None, "none"),
        ("border", border, isinstance(border, str) and border == "valid", "any other"),
        ("stride", stride, strides != (1, 1), "1"),
    )
    for name, value, wrong, expected in refused:
        if wrong:
            raise ValueError(
                f"gaussian: {name} is {_arrays.shown(value)}, expected {expected} with "
                'method="recursive"'
            )
    _geometry.borders("gaussian", "border", border)
    sigmas = _sigmas("gaussian", "sigma", sigma)
    if max(sigmas) > LARGEST_RECURSIVE_SIGMA:
        raise ValueError(
            f"gaussian: sigma is {_arrays.shown(sigma)}, expected at most "
            f'{LARGEST_RECURSIVE_SIGMA} with method="recursive"'
        )
    return sigmas


def _recursive(image, sigmas, border, cval, channel_axis, out_dtype, out, threads, key):
    size = [2 * math.ceil(RUN_IN * sigma) + 1 for sigma in sigmas]
    image, windows, cval, out_dtype = _image.prepare(
        "gaussian", image, size, border, None, cval, channel_axis, out_dtype
    )
    bits = 64 if np.float64 in (image.dtype, out_dtype) else 32
    _image.check_holds("gaussian", "cval", cval, bits)
    sections = [_sections(sigma, np.dtype(f"float{bits}")) for sigma in sigmas]
    return _image.run(
        "gaussian", image, windows, "filter_recursive", bits, np.concatenate(sections),
        numbers=(1.0, 0.0, cval), channel_axis=channel_axis, out_dtype=out_dtype, out=out,
        threads=threads, key=key,
    )  # fmt: skip


def _sections(sigma, dtype):
    """Two damped oscillations, as filter_recursive.h has them; of sigma 0 it takes none."""
    if sigma == 0:
        return np.zeros(14, dtype)
    amplitude, rate = np.array(_DERICHE).T
    with np.errstate(all="ignore"):  # of next to no sigma the exponential is 0
        pole = np.exp(-rate / sigma)
    stiffness, damping = abs(1 - pole) ** 2, abs(pole) ** 2
    # c, c * pole, c * pole**2, ... are value * c * (1 - conj(pole)) + slope * c * conj(pole) after
    # a 1: from its own place on if that is passed forward, else from the next.
    terms = np.array([amplitude, amplitude * pole])
    values, slopes = (terms * (1 - pole.conj())).real, (terms * pole.conj()).real
    total = (values / stiffness).sum()
    # Where pixels are equal they stay so: the values, which are then x / stiffness, make up for how
    # stiffness is rounded.
    rounded = stiffness.astype(dtype).astype(np.float64)
    values *= rounded / stiffness
    columns = (-rounded, damping, values[0] / total, slopes[0] / total)
    columns += (values[1] / total, slopes[1] / total, 1 / rounded)
    return np.stack(columns, -1).astype(dtype).ravel()


def gaussian_kernels(function, name, sigma, orders=(0, 0), truncate=4.0, radius=None):
    """The weights down the columns and along the rows; `name` is the argument that sigma is."""
    truncate = _arrays.number(function, "truncate", truncate)
    if truncate < 0:
        raise ValueError(f"{function}: truncate is {truncate}, expected at least 0")
    sigmas = _sigmas(function, name, sigma)
    radii = (None, None) if radius is None else _geometry.pair(function, "radius", radius, 0)
    return [
        _gaussian_weights(function, name, each, order, truncate, r)
        for each, order, r in zip(sigmas, orders, radii, strict=True)
    ]


def _sigmas(function, name, sigma):
    """Two numbers that are at least 0, from one or two."""
    # In the place of the least: they are finite.
    sigmas = _geometry.pair(function, name, sigma, True, one="a number", check=_arrays.number)
    if min(sigmas) < 0:
        raise ValueError(f"{function}: {name} is {min(sigmas)}, expected at least 0")
    return sigmas


def _gaussian_weights(function, name, sigma, order, truncate, radius):
    given = f"radius is {radius}"
    if radius is None:
        given = f"{name} is {sigma} and truncate {truncate:g}"
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
