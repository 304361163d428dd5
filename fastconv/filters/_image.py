"""What the image filters share: an image's shape, the windows over it, the type of a result."""

import contextvars
import math

import numpy as np

from fastconv import _arrays, _calls, _geometry, _plan, _threads

DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")
FLOATS = tuple(name for name in DTYPES if name.startswith("float"))
# A sum of integers is exact in a float while it stays below this.
EXACT = {32: 2**24, 64: 2**53}
# Longer kernels want another algorithm, and a mistaken sigma soon asks for one.
LONGEST_KERNEL = 2**15 - 1

class Asked:
    """What is written down of a call that is asked about, not made: explain_plan gives it a batch
    of no images, of which every function checks all arguments and computes nothing."""

    def __init__(self):
        self.passes = []  # (geometry, why it has its algorithm, threads that were asked for)
        self.images = 1  # in a block, or in the image
        self.blocks = None  # of a filter of several passes: what of it is computed at once


asked = contextvars.ContextVar("asked", default=None)

def shape_of(function, image, channel_axis):
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


def windows(function, image_size, kernel_size, border, anchor, stride=(1, 1)):
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
        function, image_size, kernel_size, stride, pads, (1, 1), name="image"
    )


def checked_out_dtype(function, dtype, dtypes=DTYPES):
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError):
        shown = _arrays.shown(dtype)
        raise TypeError(f"{function}: out_dtype is {shown}, expected a dtype") from None
    if dtype.name not in dtypes:
        raise TypeError(f"{function}: out_dtype is {dtype}, expected {', '.join(dtypes)}")
    return dtype.newbyteorder("=")


def prepare(
    function, image, size, border, anchor, cval, channel_axis, out_dtype, stride=(1, 1)
):
    """Check what every filter of a window's size takes: the image, its windows, cval, out_dtype."""
    image = _arrays.readable(function, "image", image, DTYPES)
    h, w = shape_of(function, image, channel_axis)[-3:-1]
    out_dtype = checked_out_dtype(function, image.dtype if out_dtype is None else out_dtype)
    cval = _arrays.number(function, "cval", cval)
    found = windows(function, (h, w), size, border, anchor, stride)
    return image, found, cval if "constant" in found[0] else 0.0, out_dtype


def largest_pixel(dtype, cval):
    """The largest absolute value of an integer image's pixels and of what is outside."""
    limits = np.iinfo(dtype)
    return max(-int(limits.min), int(limits.max), abs(cval))


def check_holds(function, name, value, bits):
    """Is a number within the range of the floats (or uint8) that are computed in?"""
    if bits > 8 and abs(value) > float(np.finfo(f"float{bits}").max):
        raise ValueError(f"{function}: {name} is {value}, expected what float{bits} can hold")


def run(
    function, image, windows, algorithm, bits, weights=None, *, numbers, channel_axis, out_dtype,
    out, threads, bank=(), reduction="sum", rank=0, sources=(), key=None, why=None,
):  # fmt: skip
    """Check what is left, `out` and `threads`, and compute.

    `windows` is (border, rows, cols), `numbers` (scale, delta, cval); `sources` are other arrays
    that are read, which `out` may overlap. The call is kept under its `key`, if it has one. `why`
    it has its algorithm is for explain_plan, where the plan does not know.
    """
    border, rows, cols = windows
    *lead, _, _, channels = shape_of(function, image, channel_axis)
    given = threads
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    shape = (*lead, *bank, rows.o, cols.o) + ((channels,) if channel_axis is not None else ())
    result, finish = _arrays.writable(function, out, shape, out_dtype, (image, *sources))
    question = asked.get()
    if question is not None:
        lead[0] = question.images
    planes = math.prod(lead)
    if result.size or question is not None:
        geometry = _geometry.Filter2d(
            planes, channels, math.prod(bank), rows, cols, border, image.dtype.name,
            out_dtype.name, algorithm, bits, *numbers, reduction, rank,
        )  # fmt: skip
    if question is not None:
        question.passes.append((geometry, why, threads))
    elif result.size:
        task, threads = _plan.filter2d(geometry, threads)
        _arrays.check_scratch(function, task, threads)
        weights = None if weights is None else _arrays.as_bytes(weights)
        task(_arrays.as_bytes(image), weights, _arrays.as_bytes(result), threads)
        if key is not None:
            shared = given is None and not _plan.is_small(geometry)
            _calls.keep(key, task, threads, shared, image, result, weights)
    return finish()
