"""Correlation of images with a kernel, a bank of kernels, or a column times a row."""

import math

import numpy as np

from fastconv import _arrays, _calls, _core, _geometry, _plan
from fastconv.filters import _image
from fastconv.filters._image import EXACT, LONGEST_KERNEL

MOST_WEIGHTS = 2**24
ALGORITHMS = ("auto", "direct")


def filter2d(
    image, kernel, *, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
    channel_axis=None, algorithm="auto", out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Correlate every image with a kernel, or with each kernel of a bank.

    ``y[p, q] = delta + scale * sum over i, j of
    kernel[i, j] * image[p * stride[0] + i - anchor[0], q * stride[1] + j - anchor[1]]``.

    Parameters
    ----------
    image : (..., H, W) array, or (..., H, W, C) with ``channel_axis=-1``
        uint8, uint16, int16, float16, float32 or float64.
    kernel : (kh, kw) array, or a bank (M, kh, kw)
        Any real type, up to 32767 each way and 2**24 elements (also larger than the image). Flip it
        for a convolution.
    border : str or (rows, columns)
        What lies outside: "reflect" (does not repeat the edge; OpenCV's default, SciPy's "mirror"),
        "symmetric" (repeats it; SciPy's "reflect"), "edge" ("nearest", "replicate"), "wrap"
        ("circular"), "constant" ("zeros"; its value is `cval`). Alone, "valid" shrinks the result
        to the outputs whose window lies inside.
    cval : float
        The value outside with ``border="constant"``, even if that is called "zeros"; for images of
        floats NaN or an infinity, too, which reaches the outputs whose window lies partly outside.
    anchor : (row, column), optional
        The kernel element over the output pixel; (kh // 2, kw // 2) by default.
    stride : int or (rows, columns)
        Give every so many-th row and column of the full result, from the first on:
        ``full[..., ::stride[0], ::stride[1]]`` bit for bit, if those are sums of "direct" (see
        algorithm), computed without the others.
    scale, delta : float
        Applied to each sum before it is rounded.
    channel_axis : None or -1
        -1 says that the last axis holds channels, any number of them, each filtered by itself.
        Without it a colour photograph (H, W, 3) is H images of W rows and 3 columns.
    algorithm : "auto" or "direct"
        "auto" takes Winograd's F(6, 6) down the columns for large kernels, of 600 elements and 20
        rows or more, unless image and kernel are integers, most weights are nearly zero, the bank
        holds hundreds of them, or a pixel dozens of channels: 15 of 36 multiplications. On
        photographs and under kernels of both signs its rounding errors have at most twice the rms,
        and four times the maximum, of those of "direct", which sums the terms as they are; noise of
        mean zero under a smooth kernel has up to 2.6 times the rms. They are relative to
        the largest values around. A NaN or an infinity reaches the same outputs with both; near
        one, others may be summed directly, and rounded so. A stride is always "direct".
    out_dtype : dtype, optional
        Type of the result; the image's by default. Integers are rounded half to even, then
        saturated; NaN gives 0. In float16 what rounds beyond 65504 is infinite.
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
    float64 images and results are computed in float64, all others in float32, float16 too: its
    results are rounded once. The bits depend on neither threads, batch nor processor.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0, 10, 20], [30, 40, 50]], np.uint8)
    >>> filter2d(image, np.array([[-1, 0, 1]]), out_dtype="int16")
    array([[ 0, 20,  0],
           [ 0, 20,  0]], dtype=int16)
    """
    key, result = _calls.planned(
        "filter2d", image, out, kernel, border, cval, anchor, stride, scale, delta, channel_axis,
        algorithm, out_dtype, threads,
    )  # fmt: skip
    if result is not None:
        return result
    kernel = _kernel("filter2d", "kernel", kernel, (2, 3))
    _geometry.choice("filter2d", "algorithm", algorithm, ALGORITHMS)
    return correlate(
        "filter2d", image, [kernel], border, cval, anchor, scale, delta, channel_axis, out_dtype,
        out, threads, key, stride, algorithm,
    )  # fmt: skip


def sep_filter2d(
    image, kernel_y, kernel_x, *, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Correlate every image with kernel_x along its rows, then with kernel_y down its columns.

    The same as `filter2d` with ``np.outer(kernel_y, kernel_x)``, in kh + kw multiplications per
    pixel instead of kh * kw, in one pass. Nothing is rounded between the two.

    Parameters
    ----------
    image, border, cval, anchor, stride, scale, delta, channel_axis, out_dtype, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
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
    return sep_correlate(
        "sep_filter2d", image, kernel_y, kernel_x, border=border, cval=cval, anchor=anchor,
        stride=stride, scale=scale, delta=delta, channel_axis=channel_axis, out_dtype=out_dtype,
        out=out, threads=threads,
    )  # fmt: skip


def sep_correlate(
    function, image, kernel_y, kernel_x, *, border, cval, channel_axis, out_dtype, out, threads,
    anchor=None, scale=1, delta=0, key=None, stride=1,
):  # fmt: skip
    kernels = [
        _kernel(function, "kernel_y", kernel_y, (1,)),
        _kernel(function, "kernel_x", kernel_x, (1,)),
    ]
    return correlate(
        function, image, kernels, border, cval, anchor, scale, delta, channel_axis, out_dtype, out,
        threads, key, stride,
    )  # fmt: skip


def correlate(
    function, image, kernels, border, cval, anchor, scale, delta, channel_axis, out_dtype, out,
    threads, key=None, stride=1, algorithm="auto",
):  # fmt: skip
    """One kernel (or bank of kernels) correlates in two dimensions, two in one each."""
    separable = len(kernels) == 2
    size = (len(kernels[0]), len(kernels[1])) if separable else kernels[0].shape[-2:]
    bank = kernels[0].shape[:-2] if not separable else ()
    stride = _geometry.pair(function, "stride", stride, 1)
    scale = _arrays.number(function, "scale", scale)
    delta = _arrays.number(function, "delta", delta)
    image, windows, cval, out_dtype = _image.prepare(
        function, image, size, border, anchor, cval, channel_axis, out_dtype, stride
    )
    numbers = (scale, delta, cval)
    bits = _bits(function, image.dtype, out_dtype, kernels, *numbers)
    weights = _weights(function, kernels, bits)
    for name, value in zip(("scale", "delta", "cval"), numbers, strict=True):
        _image.check_holds(function, name, value, bits)
    why = _plan.ASKED_DIRECT if algorithm == "direct" else None
    place, in_place = 0, image.dtype == f"float{bits}"
    if separable:
        algorithm = "filter_separable"
    else:
        may_round = algorithm == "auto" and not _are_integers(image.dtype, kernels)
        may_round = may_round and _are_spread(kernels[0])
        channels = image.shape[-1] if channel_axis is not None else 1
        algorithm = _plan.dense_filter(
            size, stride, math.prod(bank), channels * bits // 8, may_round, in_place
        )
    if stride == (1, 1) and _in_16_bits(image.dtype, out_dtype, kernels, *numbers):
        algorithm = "filter_integer_separable" if separable else "filter_integer"
        bits, weights = 8, np.concatenate([k.ravel() for k in kernels]).astype(np.int16)
    elif separable and stride == (1, 1) and in_place and (slope := _slope(kernels)):
        place, weights = slope
        algorithm, weights, why = "filter_gradient", weights.astype(f"float{bits}"), _plan.SLOPE
    elif separable and _plan.is_faster_dense(size) and (dense := _dense(kernels, bits)) is not None:
        algorithm, weights, why = "filter2d", dense, _plan.DENSE
    return _image.run(
        function, image, windows, algorithm, bits, weights, numbers=numbers,
        bank=bank, channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
        sources=kernels, key=key, why=why, places=place,
    )  # fmt: skip


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


def _bits(function, dtype, out_dtype, kernels, scale, delta, cval):
    """The width of the floats to compute in: the narrowest in which integers stay exact."""
    if _are_integers(dtype, kernels):
        sums = math.prod(_absolute_sum(k) for k in kernels)
        bound = _image.largest_pixel(dtype, cval) * sums
        if bound >= EXACT[64]:
            given = f"cval is {cval}, so " if abs(cval) > 2**16 else ""
            raise ValueError(
                f"{function}: {given}the kernel's sums may reach {bound:.3g}, expected less than "
                f"{EXACT[64]:.3g} for exact integers; convert the image to floats first"
            )
        # A power of two only moves the point; any other scale could round a result to a tie.
        plain = abs(math.frexp(scale)[0]) == 0.5 and (delta / scale).is_integer()
        if plain and bound + abs(delta / scale) < EXACT[32] and out_dtype != np.float64:
            return 32
        return 64
    return 64 if np.float64 in (dtype, out_dtype) else 32


def _are_integers(dtype, kernels):
    """Are all terms integers? Their sums are exact then."""
    return dtype.kind in "iu" and all(k.dtype.kind in "biu" for k in kernels)


def _are_spread(kernel):
    """Do many elements of a kernel, of each of a bank, share its weight?"""
    weights = abs(kernel.astype(np.float64)).reshape(-1, kernel.shape[-1] * kernel.shape[-2])
    most = _plan.WINOGRAD_DOWN_SPREAD * weights.shape[1] * (weights**2).sum(axis=1)
    return bool((weights.sum(axis=1) ** 2 >= most).all())


def _in_16_bits(dtype, out_dtype, kernels, scale, delta, cval):
    """Do sums of uint8 stay in 16 bits, and are they few enough terms to be faster there?"""
    if dtype != np.uint8 or out_dtype not in (np.uint8, np.int16):
        return False
    if any(k.dtype.kind not in "biu" or k.ndim > 2 for k in kernels) or scale != 1:
        return False
    if len(kernels) == 1 and np.count_nonzero(kernels[0]) > _core.INTEGER_TERMS:
        return False
    bound = 255 * math.prod(_absolute_sum(k) for k in kernels) + abs(delta)
    return cval in range(256) and delta.is_integer() and bound < 2**15


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


def _slope(kernels):
    """Which slope of a gradient the kernels give, along rows (0) or down columns (1), and the
    weights of its smoothing, beside the middle and in it; None where they give none.
    """
    for place, (smoothing, difference) in enumerate((kernels, kernels[::-1])):
        is_slope = len(smoothing) == 3 and np.array_equal(difference, (-1, 0, 1))
        if is_slope and smoothing[0] == smoothing[-1]:
            return place, smoothing[:2]
    return None


def _dense(kernels, bits):
    """The products of a column and a row of weights, unless one would lose precision."""
    dense = np.outer(*(k.astype(np.float64) for k in kernels))
    limits, size = np.finfo(f"float{bits}"), abs(dense)
    if (((limits.tiny <= size) & (size <= limits.max)) | (dense == 0)).all():
        return dense.ravel().astype(f"float{bits}")
    return None


def _absolute_sum(kernel):
    """The largest sum of absolute weights of a kernel or of a bank of them."""
    axes = tuple(range(-min(kernel.ndim, 2), 0))
    return float(np.abs(kernel.astype(np.float64)).sum(axis=axes).max())
