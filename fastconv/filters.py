"""Image filters for one image or any batch of them, in the caller's own element type.

An image is (..., H, W): every leading dimension is a batch; with ``channel_axis=-1`` it is
(..., H, W, C). Filters correlate, as OpenCV's do. Integer results are rounded half to even and
saturated, never wrapped or truncated; an integer kernel on an integer image is summed exactly.
"""

import math

import numpy as np

from fastconv import _arrays, _geometry, _plan, _threads

__all__ = ["filter2d", "gaussian", "laplacian", "sep_filter2d", "sobel"]

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
# A sum of integers is exact in a float while it stays below this.
EXACT = {32: 2**24, 64: 2**53}
# Longer kernels want another algorithm, and a mistaken sigma soon asks for one.
LONGEST_KERNEL = 2**15 - 1
MOST_WEIGHTS = 2**24
# Sums of larger derivative kernels leave what a float holds exactly; they are taken as floats.
LARGEST_EXACT_SOBEL = 15


def filter2d(
    image,
    kernel,
    *,
    border="reflect",
    cval=0,
    anchor=None,
    scale=1,
    delta=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Correlate every image with a kernel, or with each kernel of a bank.

    ``y[p, q] = delta + scale * sum over i, j of
    kernel[i, j] * image[p + i - anchor[0], q + j - anchor[1]]``.

    Parameters
    ----------
    image : (..., H, W) array, or (..., H, W, C) with ``channel_axis=-1``
        uint8, uint16, int16, float32 or float64.
    kernel : (kh, kw) array, or a bank (M, kh, kw)
        Any real type, any size (also larger than the image). Flip it for a convolution.
    border : str or (rows, columns)
        What lies outside: "reflect" (does not repeat the edge; OpenCV's default, SciPy's "mirror"),
        "symmetric" (repeats it; SciPy's "reflect"), "edge" ("nearest", "replicate"), "wrap"
        ("circular"), "constant" ("zeros"; its value is `cval`). With "valid" the result shrinks to
        the outputs whose window lies inside.
    cval : float
        The value outside with ``border="constant"``.
    anchor : (row, column), optional
        The kernel element over the output pixel; (kh // 2, kw // 2) by default.
    scale, delta : float
        Applied to each sum before it is rounded.
    channel_axis : None or -1
        -1 says that the last axis holds channels, any number of them, each filtered by itself.
    out_dtype : dtype, optional
        Type of the result; the image's by default. Integers are rounded half to even, then
        saturated; NaN gives 0.
    out : array of the result's shape and dtype, optional
        Receives the result; it may overlap the image.
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array; a bank adds an axis of M before H

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Integer image and kernel are summed exactly, and scaled in float64 unless float32 is exact; else
    8- and 16-bit and float32 images are computed in float32, float64 images and results in
    float64. The bits depend on neither threads, batch nor processor.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0, 10, 20], [30, 40, 50]], np.uint8)
    >>> filter2d(image, np.array([[-1, 0, 1]]), out_dtype="int16")
    array([[ 0, 20,  0],
           [ 0, 20,  0]], dtype=int16)
    """
    kernel = _kernel("filter2d", "kernel", kernel, (2, 3))
    return _filter(
        "filter2d", image, [kernel], border, cval, anchor, scale, delta, channel_axis, out_dtype,
        out, threads,
    )  # fmt: skip


def sep_filter2d(
    image,
    kernel_y,
    kernel_x,
    *,
    border="reflect",
    cval=0,
    anchor=None,
    scale=1,
    delta=0,
    channel_axis=None,
    out_dtype=None,
    out=None,
    threads=None,
):
    """Correlate every image with kernel_x along its rows, then with kernel_y down its columns.

    The same as `filter2d` with ``np.outer(kernel_y, kernel_x)``, in kh + kw multiplications per
    pixel instead of kh * kw, in one pass. Nothing is rounded between the two.

    Parameters
    ----------
    image, border, cval, anchor, scale, delta, channel_axis, out_dtype, out, threads
        As in `filter2d`.
    kernel_y : (kh,) array
    kernel_x : (kw,) array

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
    >>> image = np.eye(3, dtype=np.float32)
    >>> sep_filter2d(image, [1, 2, 1], [1, 2, 1], border="constant")
    array([[5., 4., 1.],
           [4., 6., 4.],
           [1., 4., 5.]], dtype=float32)
    """
    return _sep_filter(
        "sep_filter2d", image, kernel_y, kernel_x, border=border, cval=cval, anchor=anchor,
        scale=scale, delta=delta, channel_axis=channel_axis, out_dtype=out_dtype, out=out,
        threads=threads,
    )  # fmt: skip


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
    return _sep_filter(
        "gaussian", image, kernel_y, kernel_x, border=border, cval=cval,
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
    )  # fmt: skip


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
    return _sep_filter(
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
    return _filter(
        "laplacian", image, [np.array(kernels[ksize])], border, cval, None, scale, delta,
        channel_axis, _signed(image) if out_dtype is None else out_dtype, out, threads,
    )  # fmt: skip


def _sep_filter(
    function, image, kernel_y, kernel_x, *, border, cval, channel_axis, out_dtype, out, threads,
    anchor=None, scale=1, delta=0,
):  # fmt: skip
    kernels = [
        _kernel(function, "kernel_y", kernel_y, (1,)),
        _kernel(function, "kernel_x", kernel_x, (1,)),
    ]
    return _filter(
        function, image, kernels, border, cval, anchor, scale, delta, channel_axis, out_dtype, out,
        threads,
    )  # fmt: skip


def _filter(
    function, image, kernels, border, cval, anchor, scale, delta, channel_axis, out_dtype, out,
    threads,
):  # fmt: skip
    """One kernel (or bank of kernels) correlates in two dimensions, two in one each."""
    image = _arrays.readable(function, "image", image, DTYPES)
    *lead, h, w, channels = _image_shape(function, image, channel_axis)
    separable = len(kernels) == 2
    size = (len(kernels[0]), len(kernels[1])) if separable else kernels[0].shape[-2:]
    bank = kernels[0].shape[:-2] if not separable else ()
    numbers = tuple(
        _arrays.number(function, name, value)
        for name, value in (("scale", scale), ("delta", delta), ("cval", cval))
    )
    out_dtype = _checked_out_dtype(function, image.dtype if out_dtype is None else out_dtype)
    border, rows, cols = _windows(function, (h, w), size, border, anchor)
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    if "constant" not in border:
        numbers = (*numbers[:2], 0.0)
    bits = _bits(function, image.dtype, out_dtype, kernels, *numbers)
    weights = _weights(function, kernels, bits)
    for name, value in zip(("scale", "delta", "cval"), numbers, strict=True):
        if abs(value) > float(np.finfo(f"float{bits}").max):
            raise ValueError(f"{function}: {name} is {value}, expected what float{bits} can hold")
    shape = (*lead, *bank, rows.o, cols.o) + ((channels,) if channel_axis is not None else ())
    result, finish = _arrays.writable(function, out, shape, out_dtype, (image, *kernels))
    if result.size:
        geometry = _geometry.Filter2d(
            math.prod(lead), channels, math.prod(bank), rows, cols, border, image.dtype.name,
            out_dtype.name, bits, separable, *numbers,
        )  # fmt: skip
        task, threads = _plan.filter2d(geometry, threads)
        _arrays.check_scratch(function, task, threads)
        task(_arrays.as_bytes(image), _arrays.as_bytes(weights), _arrays.as_bytes(result), threads)
    return finish()


def _image_shape(function, image, channel_axis):
    """(..., H, W, C) of the image."""
    if channel_axis is not None:
        axis = _geometry.integer(function, "channel_axis", channel_axis, -image.ndim)
        if axis not in (-1, image.ndim - 1):
            raise ValueError(
                f"{function}: channel_axis is {axis}, expected None or -1; channels on another "
                "axis are a batch: leave channel_axis out"
            )
    shape = image.shape if channel_axis is not None else (*image.shape, 1)
    if len(shape) < 3:
        expected = "(..., H, W)" if channel_axis is None else "(..., H, W, C)"
        raise ValueError(f"{function}: image has shape {image.shape}, expected {expected}")
    return shape


def _windows(function, image_size, kernel_size, border, anchor):
    """The border and both axes of the window."""
    if anchor is None:
        anchor = (kernel_size[0] // 2, kernel_size[1] // 2)
    else:
        anchor = _geometry.pair(function, "anchor", anchor, 0)
        if anchor[0] >= kernel_size[0] or anchor[1] >= kernel_size[1]:
            raise ValueError(
                f"{function}: anchor is {anchor}, expected an element of the {kernel_size} kernel"
            )
    if isinstance(border, str) and border == "valid":
        border, pads = "constant", "valid"
    else:
        pads = tuple((a, k - 1 - a) for a, k in zip(anchor, kernel_size, strict=True))
    borders = _geometry.borders(function, "border", border)
    if 0 in image_size:
        raise ValueError(f"{function}: image has {image_size} pixels, expected at least (1, 1)")
    return borders, *_geometry.windows(
        function, image_size, kernel_size, (1, 1), pads, (1, 1), name="image"
    )


def _kernel(function, name, kernel, ndim):
    """The kernel as an array of finite real numbers."""
    if kernel is None or isinstance(kernel, str):
        raise TypeError(
            f"{function}: {name} is {kernel!r}, expected an array; fastconv.kernels.get(...) gives "
            "those that have a name"
        )
    kernel = _arrays.as_array(function, name, kernel)
    if kernel.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {name} has dtype {kernel.dtype}, expected real numbers")
    if kernel.ndim not in ndim or 0 in kernel.shape or max(kernel.shape[-2:]) > LONGEST_KERNEL:
        expected = {1: "(k,)", 2: "(kh, kw)", 3: "(M, kh, kw)"}
        raise ValueError(
            f"{function}: {name} has shape {kernel.shape}, expected "
            f"{' or '.join(expected[n] for n in ndim)} of 1 to {LONGEST_KERNEL} elements each way"
        )
    if kernel.size > MOST_WEIGHTS:
        raise ValueError(
            f"{function}: {name} has shape {kernel.shape}, expected at most {MOST_WEIGHTS} elements"
        )
    if kernel.dtype.kind == "f" and not np.isfinite(kernel).all():
        raise ValueError(f"{function}: {name} holds a NaN or an infinity, expected finite numbers")
    return kernel


def _checked_out_dtype(function, dtype):
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError):
        shown = _arrays.shown(dtype)
        raise TypeError(f"{function}: out_dtype is {shown}, expected a dtype") from None
    if dtype.name not in DTYPES:
        raise TypeError(f"{function}: out_dtype is {dtype}, expected {', '.join(DTYPES)}")
    return dtype.newbyteorder("=")


def _bits(function, dtype, out_dtype, kernels, scale, delta, cval):
    """The width of the floats to compute in: the narrowest in which integers stay exact."""
    if dtype.kind in "iu" and all(k.dtype.kind in "biu" for k in kernels):
        largest = max(abs(int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max), abs(cval))
        bound = largest * math.prod(_absolute_sum(k) for k in kernels)
        if bound >= EXACT[64]:
            raise ValueError(
                f"{function}: the kernel's sums may reach {bound:.3g}, expected less than "
                f"{EXACT[64]:.3g} for exact integers; pass a floating-point kernel"
            )
        # A power of two only moves the point; any other scale could round a result to a tie.
        plain = abs(math.frexp(scale)[0]) == 0.5 and (delta / scale).is_integer()
        if plain and bound + abs(delta / scale) < EXACT[32] and out_dtype != np.float64:
            return 32
        return 64
    return 64 if np.float64 in (dtype, out_dtype) else 32


def _weights(function, kernels, bits):
    """All weights in the type that is computed in."""
    with np.errstate(over="ignore"):
        weights = np.concatenate([k.ravel() for k in kernels]).astype(f"float{bits}")
    if not np.isfinite(weights).all():
        raise ValueError(
            f"{function}: the kernel holds a number too large to compute with, expected what "
            f"float{bits} can hold"
        )
    return weights


def _absolute_sum(kernel):
    """The largest sum of absolute weights of a kernel or of a bank of them."""
    axes = tuple(range(-min(kernel.ndim, 2), 0))
    return float(np.abs(kernel.astype(np.float64)).sum(axis=axes).max())


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
