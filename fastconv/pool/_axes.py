"""Is a pooling legal, and how big is its result? Windows of one, two or three axes."""

from typing import NamedTuple

import numpy as np

from fastconv import _geometry
from fastconv._arrays import shown
from fastconv._geometry import AXES, SEVERAL, Window, _is_sequence, pair

# The most elements of a window whose median is asked for: it is sorted by insertion.
MEDIAN_LARGEST = 1024

# The type that a variant of so many bits computes in.
_COMPUTED = {8: np.dtype("uint8"), 32: np.dtype("float32"), 64: np.dtype("float64")}


class Pool(NamedTuple):
    """A pooling that can be computed; channels first, each channel is a plane."""

    planes: int
    channels: int
    axes: tuple  # depth, rows, columns; an axis without k is adaptive
    bits: int  # of the numbers to compute in
    dtype: str
    algorithm: str = "pool"
    pooling: str = "sum"
    count_include_pad: bool = True
    divisor: float = 0.0  # 0: the window's own size
    norm: float = 0.0  # of a sum: of |x|**norm, as a norm; 0: of x
    accumulate: bool = False  # of a pool_scatter
    positive: bool = False  # of a pool_max_grad

    @property
    def is_prepared(self):
        """Are elements converted before they are pooled?"""
        return self.norm != 0 or self.pooling == "min" or _COMPUTED[self.bits] != self.dtype


def windows(function, size, kernel_size, stride, padding, dilation, ceil_mode):
    """Every axis of windows that slide over a volume of the given size."""
    dims = len(size)
    kernel = pair(function, "kernel_size", kernel_size, 1, dims)
    stride = kernel if stride is None else pair(function, "stride", stride, 1, dims)
    pads = _geometry.padding(function, padding, dims)
    dilation = pair(function, "dilation", dilation, 1, dims)
    return _geometry.windows(function, size, kernel, stride, pads, dilation, bool(ceil_mode))


def adaptive(function, size, output_size):
    """Every axis of windows that cover a volume, so many of them."""
    dims = len(size)
    values = tuple(output_size) if _is_sequence(output_size) else (output_size,) * dims
    if len(values) != dims:
        raise ValueError(
            f"{function}: output_size is {shown(output_size)}, expected an integer, None, or "
            f"{SEVERAL[dims]}"
        )
    for axis, n in zip(AXES[dims], size, strict=True):
        if n < 1:
            raise ValueError(f"{function}: x has {n} {axis}, expected at least 1")
    outputs = (
        n if each is None else _geometry.integer(function, "output_size", each, 1, 2**31)
        for n, each in zip(size, values, strict=True)
    )
    return tuple(
        Window(n, n // o, 1 if o == 1 else n // o, 1, 0, 0, o)
        if n % o == 0
        else Window(n, 0, 1, 1, 0, 0, o)
        for n, o in zip(size, outputs, strict=True)
    )


def fractional(function, size, kernel_size, output_size, output_ratio):
    """The axes of random windows; their places come from samples."""
    dims = len(size)
    kernel = pair(function, "kernel_size", kernel_size, 1, dims)
    if (output_size is None) == (output_ratio is None):
        raise ValueError(
            f"{function}: output_size is {shown(output_size)} and output_ratio is "
            f"{shown(output_ratio)}, expected one of them"
        )
    if output_size is None:
        ratios = tuple(output_ratio) if _is_sequence(output_ratio) else (output_ratio,) * dims
        if len(ratios) != dims or not all(
            isinstance(each, int | float | np.number) and 0 < each < 1 for each in ratios
        ):
            raise ValueError(
                f"{function}: output_ratio is {shown(output_ratio)}, expected a number between 0 "
                f"and 1 or {SEVERAL[dims]} of them"
            )
        outputs = tuple(int(n * each) for n, each in zip(size, ratios, strict=True))
    else:
        outputs = pair(function, "output_size", output_size, 1, dims)
    for axis, n, k, o in zip(AXES[dims], size, kernel, outputs, strict=True):
        if o < 1:
            raise ValueError(
                f"{function}: output_ratio is {shown(output_ratio)}, expected what leaves one of "
                f"{n} {axis}"
            )
        if o + k - 1 > n:
            raise ValueError(
                f"{function}: x has {n} {axis}, expected at least {o + k - 1}, kernel_size + "
                "outputs - 1"
            )
    return tuple(Window(n, k, 1, 1, 0, 0, o) for n, k, o in zip(size, kernel, outputs, strict=True))


def starts(samples, axes, dtype):
    """Where fractional windows begin: of each plane slices, rows and columns, as in PyTorch.

    The arithmetic is in the dtype of x; a sample is (column, row), or (slice, row, column).
    """
    dims = len(axes)
    samples = samples.reshape(-1, dims).astype(dtype)[:, :: -1 if dims == 2 else 1]
    parts = [np.zeros((len(samples), 3 - dims), np.int64)]
    for axis, sample in zip(axes, samples.T[:, :, None], strict=True):
        start = np.full((len(samples), axis.o), axis.n - axis.k, np.int64)
        if axis.o > 1:
            alpha = np.dtype(dtype).type(axis.n - axis.k) / np.dtype(dtype).type(axis.o - 1)
            i = np.arange(axis.o - 1, dtype=dtype)
            start[:, :-1] = ((i + sample) * alpha).astype(np.int64) - (sample * alpha).astype(
                np.int64
            )
        parts.append(start)
    return np.ascontiguousarray(np.concatenate(parts, 1))
