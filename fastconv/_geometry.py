"""Is a call legal, and how big is its result? The sizes of every operation, checked.

Sizes follow one formula: a window covers K = dilation * (k - 1) + 1 elements, the padded input has
L = n + before + after, and there are (L - K) // stride + 1 outputs (PyTorch and ONNX agree).
"""

import math
import operator
from typing import NamedTuple

import numpy as np

from fastconv._arrays import number, shown

# Every border name and the one that stands for it. "reflect" is NumPy's, PyTorch's and OpenCV's:
# it does not repeat the edge (SciPy calls that "mirror", and its "reflect" is "symmetric" here).
BORDERS = {
    "constant": "constant", "zeros": "constant",
    "edge": "edge", "nearest": "edge", "replicate": "edge",
    "reflect": "reflect", "mirror": "reflect", "reflect101": "reflect",
    "symmetric": "symmetric", "grid-mirror": "symmetric",
    "wrap": "wrap", "circular": "wrap", "grid-wrap": "wrap",
}  # fmt: skip

# The layouts, and what a batch looks like in each; by dimensions, channels first and last.
SHAPES = {"NCHW": "(N, C, H, W)", "NHWC": "(N, H, W, C)"}
LAYOUTS = {
    1: {"NCW": "(N, C, W)", "NWC": "(N, W, C)"},
    2: SHAPES,
    3: {"NCDHW": "(N, C, D, H, W)", "NDHWC": "(N, D, H, W, C)"},
}
# The axes of a window, as errors call them, and what an argument about them may be.
AXES = {1: ("columns",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}
SEVERAL = {1: "one of them in a tuple", 2: "a pair", 3: "a triple"}
# What a kernel may cover, and padding add: products of two such sizes fit a 64-bit integer.
LARGEST = 2**31 - 1


# The activations that a name alone describes, and those with parameters. Each is the name in the C
# core and its parameters: relu6 is a clip.
ACTIVATIONS = {
    None: (None,), "relu": ("relu",), "relu6": ("clip", 0.0, 6.0),
    "leaky_relu": ("leaky_relu", 0.01), "hard_swish": ("hard_swish",), "sigmoid": ("sigmoid",),
    "tanh": ("tanh",), "silu": ("silu",), "gelu": ("gelu",),
}  # fmt: skip
ACTIVATION_PARAMETERS = {"leaky_relu": ("slope",), "clip": ("low", "high")}


class Window(NamedTuple):
    """One axis of a sliding window."""

    n: int  # input
    k: int  # kernel
    stride: int
    dilation: int
    before: int
    after: int  # declared padding; ceil_mode may reach beyond it
    o: int  # output


# Of an axis that there is not.
POINT = Window(1, 1, 1, 1, 0, 0, 1)


def integer(function, name, value, least, most=2**62):
    """An integer from `least` to `most`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} is {shown(value)}, expected an integer") from None
    if result < least:
        raise ValueError(f"{function}: {name} is {shown(result)}, expected at least {least}")
    if result > most:
        raise ValueError(f"{function}: {name} is {shown(result)}, expected at most {most}")
    return result


def pair(function, name, value, least, dims=2, one="an integer", check=integer):
    """One integer for both axes, or (rows, columns); so for one axis, or for three.

    `one` says what else is expected, `check` takes (function, name, each, least).
    """
    several = _is_sequence(value)
    values = tuple(value) if several else (value,) * dims
    try:
        if len(values) == dims:
            return tuple(check(function, name, each, least) for each in values)
        error = ValueError
    except TypeError:
        if several:
            raise
        error = TypeError
    raise error(f"{function}: {name} is {shown(value)}, expected {one} or {SEVERAL[dims]}")


def triple(function, name, value):
    """Three of something."""
    values = tuple(value) if _is_sequence(value) else ()
    if len(values) != 3:
        raise ValueError(f"{function}: {name} is {shown(value)}, expected three of them")
    return values


def choice(function, name, value, choices):
    """One of a few words."""
    if not isinstance(value, str | None) or value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{function}: {name} is {shown(value)}, expected one of {expected}")
    return value


def activation(function, value, dtype):
    """An activation as (name in the C core, *parameters); its numbers are finite in dtype."""
    if isinstance(value, str | None) and value in ACTIVATIONS:
        return ACTIVATIONS[value]
    name, *values = value if isinstance(value, tuple | list) and value else (None,)
    parameters = ACTIVATION_PARAMETERS.get(name, ()) if isinstance(name, str) else ()
    if not parameters or len(values) != len(parameters):
        forms = [repr(each) for each in ACTIVATIONS]
        forms += [f"({key!r}, {', '.join(each)})" for key, each in ACTIVATION_PARAMETERS.items()]
        raise ValueError(
            f"{function}: activation is {shown(value)}, expected one of {', '.join(forms)}"
        )
    numbers = [
        number(function, f"activation's {parameter}", each)
        for parameter, each in zip(parameters, values, strict=True)
    ]
    for each in numbers:
        if abs(each) > float(np.finfo(dtype).max):
            raise ValueError(
                f"{function}: activation is {shown(value)}, expected what {dtype} can hold"
            )
    if name == "clip" and numbers[0] > numbers[1]:
        raise ValueError(f"{function}: activation is {shown(value)}, expected low <= high")
    return (name, *numbers)


def borders(function, name, value, dims=2):
    """The border of each axis, from one name or as many as there are axes."""
    values = (value,) * dims if isinstance(value, str) else value
    if not isinstance(values, tuple | list) or len(values) != dims:
        several = {1: "a tuple of one", 2: "a pair of names", 3: "a triple of names"}[dims]
        raise ValueError(f"{function}: {name} is {shown(value)}, expected a name or {several}")
    return tuple(BORDERS[choice(function, name, each, BORDERS)] for each in values)


# Padding of each axis, and of its two sides.
_PADDINGS = {
    1: ("(columns,)", "((left, right),)"),
    2: ("(rows, columns)", "((top, bottom), (left, right))"),
    3: ("(slices, rows, columns)", "((front, back), (top, bottom), (left, right))"),
}


def padding(function, value, dims=2, words=("same", "valid")):
    """Padding as a pair for each axis, ((top, bottom), (left, right)), or one of the words."""
    if isinstance(value, str):
        return choice(function, "padding", value, words)
    values = tuple(value) if _is_sequence(value) else (value,) * dims
    if len(values) != dims:
        *most, last = ["an integer", *_PADDINGS[dims], *map('"{}"'.format, words)]
        raise ValueError(
            f"{function}: padding is {shown(value)}, expected {', '.join(most)} or {last}"
        )
    return tuple(pair(function, "padding", each, 0) for each in values)


def _is_sequence(value):
    return isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def windows(function, size, kernel, stride, pads, dilation, ceil_mode=False, name="x"):
    """The axes of a window that slides over an image of the given size."""
    axes = AXES[len(size)]
    if isinstance(pads, str):
        pads = (pads,) * len(size)
    return tuple(
        _window(function, name, *axis, ceil_mode)
        for axis in zip(axes, size, kernel, stride, pads, dilation, strict=True)
    )


def _window(function, name, axis, n, k, stride, pad, dilation, ceil_mode):
    dilation = 1 if k == 1 else dilation
    covered = dilation * (k - 1) + 1
    if covered > LARGEST:
        raise ValueError(
            f"{function}: the kernel covers {covered} {axis} with dilation {dilation}, expected at "
            f"most {LARGEST}"
        )
    if pad == "same":
        outputs = -(-n // stride)
        stride = 1 if outputs == 1 else stride
        total = max(0, (outputs - 1) * stride + covered - n)
        return Window(n, k, stride, dilation, total // 2, total - total // 2, outputs)
    if pad == "causal":
        pad = (covered - 1, 0)
    before, after = (0, 0) if pad == "valid" else pad
    room = n + before + after - covered
    if n < 1:
        raise ValueError(f"{function}: {name} has {n} {axis}, expected at least 1")
    if room < 0:
        padding = f" ({n} and {before + after} of padding)" if before + after else ""
        raise ValueError(
            f"{function}: the kernel covers {covered} {axis} but {name} has {n + before + after}"
            f"{padding}, expected at least as many"
        )
    if before + after > LARGEST:
        raise ValueError(
            f"{function}: padding adds {before + after} {axis}, expected at most {LARGEST}"
        )
    outputs = room // stride + 1
    if ceil_mode:
        outputs = -(-room // stride) + 1
        if (outputs - 1) * stride >= n + before:  # the last window would start in the padding
            outputs -= 1
    # The stride past a single output is nothing to plan for.
    stride = 1 if outputs == 1 else stride
    return Window(n, k, stride, dilation, before, after, outputs)


class Phase(NamedTuple):
    """One axis of the convolution that is every stride-th element of a derivative."""

    taps: slice  # of the forward kernel, last one first; none of them: this phase is zero
    window: Window


def phases(window, first, size):
    """The derivative by elements [first, first + size) of a window's padded input: its phases.

    Element j gets w[t] * dy[o] from every o * stride + t * dilation = j: those of every stride-th j
    come from the same taps, and from neighbouring outputs.
    """
    w = window
    common = math.gcd(w.stride, w.dilation)
    step, dilation = w.stride // common, w.dilation // common
    result = []
    for j in range(first, first + min(w.stride, size)):
        taps = [t for t in range(min(w.k, step)) if (j - t * w.dilation) % w.stride == 0]
        outputs = -(-(first + size - j) // w.stride)
        if not taps:
            result.append(Phase(slice(0, 0), Window(w.o, 0, 1, 1, 0, 0, outputs)))
            continue
        count = (w.k - 1 - taps[0]) // step + 1
        covered = (count - 1) * dilation + 1
        before = covered - 1 - (j - taps[0] * w.dilation) // w.stride
        after = outputs - 1 + covered - w.o - before
        last = taps[0] + (count - 1) * step
        backwards = slice(last, taps[0] - 1 if taps[0] else None, -step)
        spaced = dilation if count > 1 else 1
        result.append(Phase(backwards, Window(w.o, count, 1, spaced, before, after, outputs)))
    return result


def transposed(function, size, kernel, stride, pads, dilation, extra):
    """The axes of the window whose adjoint takes images of the given size."""
    axes = AXES[len(size)]
    if isinstance(pads, str):
        pads = (pads,) * len(size)
    return tuple(
        _transposed(function, *axis)
        for axis in zip(axes, size, kernel, stride, pads, dilation, extra, strict=True)
    )


def _transposed(function, axis, o, k, stride, pad, dilation, extra):
    if o < 1:
        raise ValueError(f"{function}: x has {o} {axis}, expected at least 1")
    if extra >= max(stride, dilation) and extra > 0:
        raise ValueError(
            f"{function}: output_padding is {extra} {axis}, expected less than the stride, "
            f"{stride}, or the dilation, {dilation}"
        )
    dilation = 1 if k == 1 else dilation
    covered = dilation * (k - 1) + 1
    before, after = (0, 0) if isinstance(pad, str) else pad
    if pad == "same":
        total = max(0, covered - stride)
        before, after = total // 2, total - total // 2
        extra += max(0, stride - covered)
    n = (o - 1) * stride + covered + extra - before - after
    if n < 1:
        raise ValueError(
            f"{function}: padding cuts {before + after} {axis} of "
            f"{(o - 1) * stride + covered + extra}, expected fewer"
        )
    if max(n, covered, before + after) > LARGEST:
        raise ValueError(f"{function}: the result has {n} {axis}, expected at most {LARGEST}")
    return Window(n, k, 1 if o == 1 else stride, dilation, before, after, o)


class Conv2d(NamedTuple):
    """A convolution that can be computed: samples, groups, channels per group, its axes.

    In three dimensions each slice of a result is one of n samples, and its channels are those of
    all the slices that it sees: the first slice's, then the next one's.
    """

    n: int
    groups: int
    c: int
    k: int
    rows: Window
    cols: Window
    border: tuple
    activation: tuple
    residual: bool
    layout: str  # as if it had two dimensions
    bits: int
    depth: Window = POINT
    border_d: str = "constant"
    dims: int = 2

    @property
    def axes(self):
        return self.depth, self.rows, self.cols

    @property
    def borders(self):
        return self.border_d, *self.border

    @property
    def samples(self):
        """Of the arrays."""
        return self.n // self.depth.o

    @property
    def channels(self):
        """Of one slice, per group."""
        return self.c // self.depth.k

    @property
    def shape(self):
        sizes = [window.o for window in self.axes[3 - self.dims :]]
        return images(self.layout, self.samples, self.groups * self.k, *sizes)

    @property
    def seen(self):
        """(rows, columns, channels) of padded input that a block holds at once, at least."""
        rows, cols = ((w.k - 1) * w.dilation + 1 for w in (self.rows, self.cols))
        if self.layout == "NCHW":
            return rows, cols, 1
        # Each output of one channel alone points to the pixels that it sees.
        if self.c == self.k == 1:
            return 1, 1, 1
        return rows, (self.cols.o - 1) * self.cols.stride + cols, self.c


class Filter2d(NamedTuple):
    """An image filter that can be computed: planes of channels, and kernels over each plane."""

    planes: int
    channels: int
    kernels: int
    rows: Window
    cols: Window
    border: tuple
    dtype: str
    out_dtype: str
    algorithm: str
    bits: int  # of the numbers to compute in: floats, or uint8 or uint16
    scale: float
    delta: float
    cval: float
    reduction: str = "sum"  # of a filter_window or filter_footprint
    rank: int = 0  # of a filter_rank; 0 is the smallest
    ksize: int = 0  # of the slopes of a filter_harris or filter_shi_tomasi


def deep(geometry, depth, **more):
    """The geometry with this axis of slices, and with what else is to be replaced."""
    samples, channels = geometry.samples, geometry.channels
    return geometry._replace(n=samples * depth.o, c=channels * depth.k, depth=depth, **more)


def images(layout, n, channels, *size):
    """The shape of a batch of images."""
    return (n, *size, channels) if layout.endswith("C") else (n, channels, *size)


def sizes(layout, shape):
    """(n, channels, *size) of a batch's shape."""
    n, *rest = shape
    return (n, rest[-1], *rest[:-1]) if layout.endswith("C") else (n, *rest)
