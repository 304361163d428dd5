"""What is brighter or darker than its surroundings, at one scale."""

import numpy as np

from fastconv import _arrays
from fastconv.filters import _blocks
from fastconv.filters.smoothing import gaussian_kernels

# Of the two Gaussians whose difference comes closest to the Laplacian of one (Marr and Hildreth,
# Theory of Edge Detection, 1980).
RATIO = 1.6


def laplacian_of_gaussian(
    image, sigma, *, truncate=4.0, border="reflect", cval=0, channel_axis=None, out_dtype=None,
    out=None, threads=None,
):  # fmt: skip
    """Blur every image with a Gaussian and sum the second derivatives along both axes.

    The sum of two `gaussian` filters, of order (2, 0) and (0, 2) (as SciPy's gaussian_laplace):
    negative on bright blobs of about ``1.4 * sigma`` pixels' radius, positive on dark ones, and 0
    along edges (Marr and Hildreth, 1980).

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    sigma : float or (rows, columns)
        Standard deviation in pixels, more than 0.
    truncate : float
        Where the kernel ends, in standard deviations.
    out_dtype : dtype, optional
        The image's by default; of integers float32. Integers are rounded once.

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
    >>> dot[2, 2] = 100
    >>> laplacian_of_gaussian(dot, 0.8)[2].round(1)
    array([ 14.5,  -7.4, -77.7,  -7.4,  14.5], dtype=float32)
    """
    kernels = [
        gaussian_kernels("laplacian_of_gaussian", "sigma", sigma, orders, truncate)
        for orders in ((2, 0), (0, 2))
    ]

    def make(block, over):
        total = over(block, *kernels[0])
        total += over(block, *kernels[1])
        return [total]

    return _blocks.compute(
        "laplacian_of_gaussian", image, [len(kernel) for kernel in kernels[0]], make, 3,
        border=border, cval=cval, channel_axis=channel_axis, out_dtype=out_dtype, outs=(out,),
        threads=threads,
    )[0]  # fmt: skip


def difference_of_gaussians(
    image, low_sigma, high_sigma=None, *, truncate=4.0, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Subtract from every image, blurred with a Gaussian, the image blurred with a wider one.

    Two `gaussian` filters, the second subtracted from the first, unrounded (as scikit-image's
    difference_of_gaussians): what is neither finer than low_sigma nor coarser than high_sigma.
    Positive on bright blobs; at a ratio of 1.6 most like minus a Laplacian of a Gaussian (Marr and
    Hildreth, 1980).

    Parameters
    ----------
    image, border, cval, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    low_sigma : float or (rows, columns)
        Standard deviation of the narrower Gaussian in pixels; 0 leaves that axis as it is.
    high_sigma : float or (rows, columns), optional
        Of the wider one, at least low_sigma along each axis; ``1.6 * low_sigma`` by default.
    truncate : float
        Where the kernels end, in standard deviations.
    out_dtype : dtype, optional
        The image's by default; of integers float32. Integers are rounded once.

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
    >>> dot[2, 2] = 100
    >>> difference_of_gaussians(dot, 0.5)[2].round(1)
    array([-2.1, -3. , 37. , -3. , -2.1], dtype=float32)
    """
    function = "difference_of_gaussians"
    low = gaussian_kernels(function, "low_sigma", low_sigma, truncate=truncate)
    if high_sigma is None:
        if not np.any(low_sigma):
            raise ValueError(f"{function}: low_sigma is 0, expected more, or high_sigma too")
        high_sigma = np.multiply(RATIO, low_sigma).tolist()
    high = gaussian_kernels(function, "high_sigma", high_sigma, truncate=truncate)
    if np.any(np.less(high_sigma, low_sigma)):
        raise ValueError(
            f"{function}: high_sigma is {_arrays.shown(high_sigma)}, expected at least low_sigma, "
            f"{_arrays.shown(low_sigma)}"
        )

    def make(block, over):
        difference = over(block, *low)
        difference -= over(block, *high)
        return [difference]

    return _blocks.compute(
        function, image, [len(kernel) for kernel in high], make, 3, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, outs=(out,), threads=threads,
    )[0]  # fmt: skip
