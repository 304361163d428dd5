"""Filters of several passes over the image, one block at a time: temporary memory stays small.

A block is a strip of the image: some rows and those that they see. A pass takes the strip for an
image, with the border; its results for the rows that are only seen are left out.

All that a result follows from is in its window: blocks may be cut anywhere. How they are cut does
not follow from the threads.
"""

import itertools
import math

import numpy as np

from fastconv import _arrays, _threads
from fastconv.filters import _image
from fastconv.filters._window import store
from fastconv.filters.correlation import correlate

# What a call takes beyond its results, unless the window is so large that such blocks would mostly
# be margin: they are then five times as high as it.
TEMPORARY_BYTES = 4 * 2**20


def compute(
    function, image, size, make, arrays, *, border, cval, channel_axis, out_dtype, outs, threads,
):  # fmt: skip
    """Check all arguments, then give the results of `make` for the image, one for each of `outs`.

    make(block, over) gives those of a block (N, h, w, C), in floats; meanwhile it keeps up to so
    many `arrays` like the block. ``over(pixels, kernel_y, kernel_x)`` is a pass in float32, or in
    float64 where the image or a result is; kernels that read the image hold floats, so that they
    take all images alike. `size` (odd) is that of the window that a result follows from.
    """
    image = _image.readable(function, image)
    *lead, h, w, channels = _image.shape_of(function, image, channel_axis)
    if out_dtype is None:
        out_dtype = image.dtype if image.dtype.kind == "f" else "float32"
    out_dtype = _image.checked_out_dtype(function, out_dtype)
    _, windows, cval, _ = _image.prepare(
        function, image, size, border, None, cval, channel_axis, out_dtype
    )
    bits = 64 if np.float64 in (image.dtype, out_dtype) else 32
    _image.check_holds(function, "cval", cval, bits)
    if threads is not None:
        _threads.checked(function, "threads", threads)
    borders, rows, cols = windows
    shape = (*lead, rows.o, cols.o) + ((channels,) if channel_axis is not None else ())
    targets = [_arrays.writable(function, out, shape, out_dtype, (image,)) for out in outs]
    floats = np.dtype(f"float{bits}")
    question = _image.asked.get()
    if question is not None:
        lead[0] = 1
    if math.prod(lead) * channels == 0:
        return [finish() for _, finish in targets]
    source = image.reshape(-1, h, w, channels)
    results = [target.reshape(-1, rows.o, cols.o, channels) for target, _ in targets]
    area = TEMPORARY_BYTES // (arrays * floats.itemsize) // channels
    block_size = _strip_size(rows, cols, area)
    is_valid = border == "valid"

    def over(pixels, *kernels):
        if is_valid:
            pixels = _centre(pixels, size, kernels)
        return correlate(
            function, pixels, kernels, border, cval, None, 1, 0, -1, floats, None, threads,
        )  # fmt: skip

    def fill(part):
        block, kept = _strip(source, part, rows, borders[0], is_valid)
        for result, array in zip(results, make(block, over), strict=True):
            store(function, array[:, kept], result[part], -1, 1)

    if question is not None:
        shape = (math.prod(lead), rows.o, cols.o)
        block_size = tuple(map(min, shape, block_size))
        question.images, question.blocks = block_size[0], (shape, block_size, arrays)
        parts = [_middle(n, k) for n, k in zip(shape[1:], block_size[1:], strict=True)]
        fill((slice(0), *parts))
        return [finish() for _, finish in targets]
    with np.errstate(all="ignore"):  # NaN and infinity pass silently, as through a correlation
        for part in _parts(results[0].shape, block_size):
            fill(part)
    return [finish() for _, finish in targets]


def _centre(pixels, size, kernels):
    """What smaller kernels see of a block that is as large as the window of `size` asks for."""
    y, x = ((n - len(kernel)) // 2 for n, kernel in zip(size, kernels, strict=True))
    return pixels[:, y : pixels.shape[1] - y, x : pixels.shape[2] - x]


def _strip_size(rows, cols, area):
    """The (images, rows, columns) of the results of a strip: all columns, or whole images."""
    margin = rows.k - 1
    height = max(area // cols.n - margin, 4 * margin, 1)
    if height + margin >= rows.n:
        return max(1, area // (rows.n * cols.n)), rows.o, cols.o
    strips = -(-rows.o // height)
    return 1, -(-rows.o // strips), cols.o


def _parts(shape, size):
    """The places of all blocks: a slice of each of the first axes."""
    axes = [
        [slice(start, min(start + step, n)) for start in range(0, n, step)]
        for n, step in zip(shape, size, strict=False)
    ]
    return itertools.product(*axes)


def _middle(n, size):
    """The place along an axis of a block like most others."""
    start = -(-n // size) // 2 * size
    return slice(start, min(start + size, n))


def _strip(source, part, rows, border, is_valid):
    """The rows that a strip sees in the image, and which of a pass's results over them are its."""
    images, place, _ = part
    first, last = place.start - rows.before, place.stop - rows.before + rows.k - 1
    if is_valid:
        return source[images, first:last], slice(None)
    if border == "wrap" and not 0 <= first <= last <= rows.n and (first > 0 or last < rows.n):
        return source[images, np.arange(first, last) % rows.n], slice(rows.before, -rows.before)
    # A reflection reaches no further into the image than the strip does.
    first, last = max(first, 0), min(last, rows.n)
    return source[images, first:last], slice(place.start - first, place.stop - first)
