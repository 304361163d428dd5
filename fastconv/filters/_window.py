"""One number of each rectangle of pixels: its sum, its largest or its smallest."""

import numpy as np

from fastconv import _calls, _geometry, _plan
from fastconv.filters import _image
from fastconv.filters._image import EXACT, LONGEST_KERNEL


def rectangle(function, name, size, one="an integer"):
    """(rows, columns) from one integer or two."""
    rows, cols = _geometry.pair(function, name, size, 1, one=one)
    if max(rows, cols) > LONGEST_KERNEL:
        raise ValueError(f"{function}: {name} is {size}, expected at most {LONGEST_KERNEL}")
    return rows, cols


def reduce(
    function, reduction, image, size, *, divisor=1, border, cval, anchor, channel_axis, out_dtype,
    out, threads,
):  # fmt: skip
    """Give the sums, divided, or the extremes of the windows of a checked size."""
    key, result = _calls.planned(
        function, image, out, None, reduction, size, divisor, border, cval, anchor, channel_axis,
        out_dtype, threads,
    )  # fmt: skip
    if result is not None:
        return result
    image, windows, cval, out_dtype = _image.prepare(
        function, image, size, border, anchor, cval, channel_axis, out_dtype
    )
    algorithm = _plan.window_filter(size)
    if reduction == "sum":
        bits = _sum_bits(function, image.dtype, out_dtype, size, cval, divisor)
        if bits == 32 and _in_integers(image.dtype, out_dtype, size, cval):
            algorithm, bits = "filter_box", 8
    else:
        bits = order_bits(image.dtype, out_dtype, cval)
    _image.check_holds(function, "cval", cval, bits)
    return _image.run(
        function, image, windows, algorithm, bits,
        numbers=(float(divisor), 0.0, cval),
        channel_axis=channel_axis, out_dtype=out_dtype, out=out, threads=threads,
        reduction=reduction, key=key,
    )  # fmt: skip


def store(function, floats, out, channel_axis, threads):
    """Copy floats, rounded and saturated where they become integers: each the largest of one."""
    if floats.dtype == out.dtype:
        out[...] = floats
        return
    reduce(
        function, "maximum", floats, (1, 1), border="valid", cval=0, anchor=None,
        channel_axis=channel_axis, out_dtype=out.dtype, out=out, threads=threads,
    )  # fmt: skip


def order_bits(dtype, out_dtype, cval):
    """The numbers to compare in: the narrowest that hold every pixel."""
    if dtype == out_dtype and dtype.kind != "f":
        limits = np.iinfo(dtype)
        if cval.is_integer() and limits.min <= cval <= limits.max:
            return limits.bits
    return 64 if np.float64 in (dtype, out_dtype) else 32


def _sum_bits(function, dtype, out_dtype, size, cval, divisor):
    """The width of the floats to sum in: the narrowest in which integers stay exact."""
    if dtype.kind == "f":
        return 64 if np.float64 in (dtype, out_dtype) else 32
    bound = _image.largest_pixel(dtype, cval) * size[0] * size[1]
    if bound >= EXACT[64]:
        raise ValueError(
            f"{function}: a window's sum may reach {bound:.3g}, expected less than {EXACT[64]:.3g}"
        )
    # A quotient in float32 is a tie only where the exact one is: between integers while its sum has
    # a bit to spare, between numbers of float16 while its divisor has 11 bits less than a float32.
    exact = EXACT[32] if divisor == 1 else EXACT[32] // 2
    if out_dtype == np.float16 and divisor >= EXACT[32] >> 11:
        return 64
    return 32 if bound < exact and cval.is_integer() and out_dtype != np.float64 else 64


def _in_integers(dtype, out_dtype, size, cval):
    """Are these sums of uint8, of 16 bits along a row, and cast from float32 at most?"""
    types = np.uint8, np.uint16, np.int16, np.float32
    return dtype == np.uint8 and out_dtype in types and 255 * size[1] < 2**16 and cval in range(256)
