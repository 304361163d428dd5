"""What the image filters share: an image's shape, the windows over it, the type of a result."""

import contextvars
import functools
import math

import numpy as np

from fastconv import _arrays, _calls, _core, _geometry, _plan, _threads

DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")
FLOATS = tuple(name for name in DTYPES if name.startswith("float"))
BORDERS = (*_geometry.BORDERS, "valid")
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
_dtypes = {}  # of images, by function, where they are more

def takes_bool(function):
    """Let a filter that picks pixels, never sums them, take a bool image as uint8 and give bool."""
    name = function.__name__

    @functools.wraps(function)
    def call(image, *arguments, **options):
        array = image if type(image) is np.ndarray else _arrays.as_array(name, "image", image)
        if array.dtype != bool:
            return function(image, *arguments, **options)
        pixels, cval = array.view(np.uint8), options.get("cval", 0)
        if isinstance(cval, bool | np.bool_):
            cval = options["cval"] = int(cval)
        asked_for = options.get("out_dtype")
        out_dtype = checked_out_dtype(name, bool if asked_for is None else asked_for, call.dtypes)
        if out_dtype.kind != "b":
            return function(pixels, *arguments, **options)
        if options.get("structure") is not None:
            raise ValueError(f"{name}: structure has heights, expected none for a bool image")
        out = options.get("out")
        if _arrays.number(name, "cval", cval) not in (0, 1):
            raise ValueError(f"{name}: cval is {cval}, expected 0 or 1 for a bool image")
        if out is not None:
            shape = out.shape if isinstance(out, np.ndarray) else ()  # is checked by the function
            _arrays.check_out(name, out, shape, out_dtype)
            options["out"] = out.view(np.uint8)
        result = function(pixels, *arguments, **options | {"out_dtype": None})
        return result.view(bool) if out is None else out

    call.dtypes = _dtypes[name] = ("bool", *DTYPES)
    return call


def readable(function, image):
    """The image as an array that kernels can read."""
    return _arrays.readable(function, "image", image, _dtypes.get(function, DTYPES))


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
    anchor = checked_anchor(function, anchor, kernel_size)
    borders, is_valid = checked_border(function, border)
    pads = "valid"
    if not is_valid:
        pads = tuple((a, k - 1 - a) for a, k in zip(anchor, kernel_size, strict=True))
    if 0 in image_size:
        raise ValueError(f"{function}: image has {image_size} pixels, expected at least (1, 1)")
    return borders, *_geometry.windows(
        function, image_size, kernel_size, stride, pads, (1, 1), name="image"
    )


def checked_anchor(function, anchor, kernel_size):
    """The row and the column of the kernel over the output pixel."""
    if anchor is None:
        return kernel_size[0] // 2, kernel_size[1] // 2
    anchor = _geometry.pair(function, "anchor", anchor, -(2**62))
    if not all(0 <= a < k for a, k in zip(anchor, kernel_size, strict=True)):
        raise ValueError(
            f"{function}: anchor is {anchor}, expected None (the centre) or the (row, column) of "
            f"an element of the {kernel_size} kernel, from (0, 0) on"
        )
    return anchor


def checked_border(function, border):
    """What lies outside along both axes, and whether nothing does."""
    if isinstance(border, str) and border not in _geometry.BORDERS:
        _geometry.choice(function, "border", border, BORDERS)
        return ("constant", "constant"), True
    if isinstance(border, tuple | list) and "'valid'" in map(repr, border):
        raise ValueError(f"{function}: border is {_arrays.shown(border)}, expected 'valid' alone")
    return _geometry.borders(function, "border", border), False


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
    image = readable(function, image)
    h, w = shape_of(function, image, channel_axis)[-3:-1]
    out_dtype = checked_out_dtype(function, image.dtype if out_dtype is None else out_dtype)
    cval = checked_cval(function, cval, image.dtype)
    found = windows(function, (h, w), size, border, anchor, stride)
    return image, found, cval if "constant" in found[0] else 0.0, out_dtype


def checked_cval(function, cval, dtype):
    """The value outside of an image: any number around floats, a finite one around integers."""
    cval = _arrays.number(function, "cval", cval, finite=False)
    if dtype.kind != "f" and not math.isfinite(cval):
        raise ValueError(
            f"{function}: cval is {cval}, expected a finite number for a {dtype} image; convert "
            "the image to floats first"
        )
    return cval


def prepare_floats(function, image, size, border, cval, channel_axis, out_dtype):
    """The same for filters whose results are floats, and the width of those to compute in."""
    image = readable(function, image)
    shape_of(function, image, channel_axis)
    if out_dtype is None:
        out_dtype = image.dtype if image.dtype.kind == "f" else "float32"
    out_dtype = checked_out_dtype(function, out_dtype, FLOATS)
    image, found, cval, _ = prepare(
        function, image, size, border, None, cval, channel_axis, out_dtype
    )
    bits = 64 if np.float64 in (image.dtype, out_dtype) else 32
    check_holds(function, "cval", cval, bits)
    return image, found, cval, out_dtype, bits


def outs(function, out, n):
    """The array for each of n results, or None."""
    if out is None:
        return (None,) * n
    if not isinstance(out, tuple | list):
        shown = _arrays.shown(out)
        raise TypeError(f"{function}: out is {shown}, expected a tuple or list of {n} arrays")
    if len(out) != n:
        raise ValueError(f"{function}: out has {len(out)} arrays, expected {n}, one for a result")
    _arrays.check_apart(function, out)
    return out


def largest_pixel(dtype, cval):
    """The largest absolute value of an integer image's pixels and of what is outside."""
    limits = np.iinfo(dtype)
    return max(-int(limits.min), int(limits.max), abs(cval))


def check_holds(function, name, value, bits):
    """Is a number within the range of the floats (or integers) that are computed in?"""
    if bits >= 32 and float(np.finfo(f"float{bits}").max) < abs(value) < math.inf:
        raise ValueError(f"{function}: {name} is {value}, expected what float{bits} can hold")


def run(
    function, image, windows, algorithm, bits, weights=None, *, numbers, channel_axis, out_dtype,
    out, threads, bank=(), reduction="sum", rank=0, sources=(), key=None, why=None, places=0,
    ksize=0,
):  # fmt: skip
    """Check what is left, `out` and `threads`, and compute.

    `windows` is (border, rows, cols), `numbers` (scale, delta, cval); `sources` are other arrays
    that are read, which `out` may overlap. The call is kept under its `key`, if it has one. `why`
    it has its algorithm is for explain_plan, where the plan does not know. `places` says which of
    the algorithm's results is wanted, or a tuple which several: `out` is a sequence then, and
    they are a tuple.
    """
    border, rows, cols = windows
    several = isinstance(places, tuple)
    *lead, _, _, channels = shape_of(function, image, channel_axis)
    given = threads
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    shape = (*lead, *bank, rows.o, cols.o) + ((channels,) if channel_axis is not None else ())
    targets = [
        _arrays.writable(function, each, shape, out_dtype, (image, *sources))
        for each in (out if several else (out,))
    ]
    result = targets[0][0]
    question = asked.get()
    if question is not None:
        lead[0] = question.images
    planes = math.prod(lead)
    if result.size or question is not None:
        geometry = _geometry.Filter2d(
            planes, channels, math.prod(bank) * len(targets), rows, cols, border, image.dtype.name,
            out_dtype.name, algorithm, bits, *numbers, reduction, rank, ksize,
        )  # fmt: skip
    if question is not None:
        question.passes.append((geometry, why, threads))
    elif result.size:
        task, threads = _plan.filter2d(geometry, threads)
        _arrays.check_scratch(function, task, threads)
        outs = [None] * (_core.MORE + 1)
        for place, (each, _) in zip(places if several else (places,), targets, strict=True):
            outs[place] = each
        task(image, weights, tuple(outs), threads)
        if key is not None:
            shared = given is None and not _plan.is_small(geometry)
            _calls.keep(key, task, threads, shared, image, result, weights, places)
    results = tuple(finish() for _, finish in targets)
    return results if several else results[0]
