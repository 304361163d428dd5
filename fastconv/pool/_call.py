"""What all poolings do: look at their arguments, plan, and call the C core."""

import copy
import inspect
import math

import numpy as np

from fastconv import _arrays, _calls, _geometry, _plan, _threads
from fastconv.pool import _axes
from fastconv.pool._axes import Pool

FLOATS = ("float32", "float64")
NUMBERS = ("float32", "float64", "uint8", "int16", "uint16")
# Averages of uint8 in float32 are exact and round as they should for windows of so many elements.
EXACT_UINT8 = 2**15


def run(geometry, x, result, beside, threads):
    """What a call does without its checks, which take longer than small poolings."""
    task, threads = _plan.pool(geometry, threads)
    task(x, beside, (result,), threads)


class Call:
    """The input of a pooling over `dims` axes."""

    def __init__(
        self, function, x, dims, layout, dtypes, out=None, threads=None, name="x", key=None
    ):
        layouts = _geometry.LAYOUTS[dims]
        self.function, self.dims, self.out, self.key = function, dims, out, key
        self.layout = _geometry.choice(function, "layout", layout, tuple(layouts))
        self.first = self.layout[1] == "C"  # channels first
        self.x = _arrays.readable(function, name, x, dtypes, layouts[self.layout])
        self.dtype = self.x.dtype
        self.threads = threads
        if threads is not None:
            self.threads = _threads.checked(function, "threads", threads)
        self.n, self.channels, *size = self.sizes(self.x.shape)
        self.size = tuple(size)

    def sizes(self, shape):
        """(samples, channels, *size) of a shape in this layout."""
        n, *rest = shape
        return (n, *rest) if self.first else (n, rest[-1], *rest[:-1])

    def shape(self, size):
        """The shape of as many samples and channels of another size."""
        if self.first:
            return (self.n, self.channels, *size)
        return (self.n, *size, self.channels)

    def results(self, axes):
        """The shape of the outputs."""
        return self.shape(tuple(axis.o for axis in axes))

    def geometry(self, axes, bits=None, **more):
        planes, channels = (self.n * self.channels, 1) if self.first else (self.n, self.channels)
        axes = (_geometry.POINT,) * (3 - self.dims) + tuple(axes)
        bits = 8 * self.dtype.itemsize if bits is None else bits
        return Pool(planes, channels, axes, bits, self.dtype.name, **more)

    def reduce(self, axes, pooling, bits=None, **more):
        """The outputs of windows, without indices."""
        return self.run(self.geometry(axes, bits, pooling=pooling, **more), self.results(axes))

    def run(self, geometry, shape, indices=None, starts=None):
        inputs = [each for each in (self.x, indices, starts) if each is not None]
        result, finish = _arrays.writable(self.function, self.out, shape, self.dtype, inputs)
        if result.size:
            task, threads = _plan.pool(geometry, self.threads)
            _arrays.check_scratch(self.function, task, threads)
            task(self.x, starts, (result, indices), threads)
            if self.key is not None and indices is None:
                shared = self.threads is None and not _plan.is_small_pool(geometry)
                _calls.keep(self.key, task, threads, shared, self.x, result)
        return finish()

    def widened(self, axes, algorithm, pooling="max", indices=None, starts=None, shape=None):
        """The outputs of a kernel that knows no 16-bit integers: those go as floats."""
        shape = self.results(axes) if shape is None else shape
        if self.dtype.itemsize != 2:
            geometry = self.geometry(axes, algorithm=algorithm, pooling=pooling)
            return self.run(geometry, shape, indices, starts)
        result, finish = _arrays.writable(self.function, self.out, shape, self.dtype, (self.x,))
        floats = copy.copy(self)
        floats.x, floats.dtype, floats.out = self.x.astype(np.float32), np.dtype("float32"), None
        y = floats.widened(axes, algorithm, pooling, indices, starts, shape)
        limits = np.iinfo(self.dtype)
        np.nan_to_num(y, copy=False)  # of windows without data, as infinities
        result[...] = np.clip(y, limits.min, limits.max)
        return finish()

    def extreme(self, axes, pooling, return_indices, starts=None):
        """Maxima or minima, and where they stand."""
        if not return_indices and starts is None:
            return self.reduce(axes, pooling, 32 if self.dtype.itemsize == 2 else None)
        indices = np.empty(self.results(axes), np.int64) if return_indices else None
        y = self.widened(axes, "pool_argmax", pooling, indices, starts)
        return (y, indices) if return_indices else y

    def mean(self, axes, count_include_pad=True, divisor=0.0):
        """Averages; those of integers are exact, rounded half to even and saturated."""
        bits = None
        if self.dtype.kind != "f":
            elements = math.prod(axis.k or -(-axis.n // axis.o) + 1 for axis in axes)
            narrow = self.dtype == np.uint8 and elements <= EXACT_UINT8 and divisor == 0
            bits = 32 if narrow else 64
        return self.reduce(
            axes, "sum", bits, count_include_pad=bool(count_include_pad), divisor=divisor
        )


def extreme(
    dims, pooling, function, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices,
    layout, out, threads,
):  # fmt: skip
    key, y = _calls.planned(
        function, x, out, None, kernel_size, stride, padding, dilation, ceil_mode, return_indices,
        layout, threads,
    )  # fmt: skip
    if y is not None:
        return y
    call = Call(function, x, dims, layout, NUMBERS, out, threads, key=key)
    axes = _axes.windows(function, call.size, kernel_size, stride, padding, dilation, ceil_mode)
    return call.extreme(axes, pooling, bool(return_indices))


def mean(
    dims, function, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
    divisor_override, dilation, layout, out, threads,
):  # fmt: skip
    key, y = _calls.planned(
        function, x, out, None, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, dilation, layout, threads,
    )  # fmt: skip
    if y is not None:
        return y
    divisor = divisor_of(function, divisor_override)
    call = Call(function, x, dims, layout, NUMBERS, out, threads, key=key)
    axes = _axes.windows(function, call.size, kernel_size, stride, padding, dilation, ceil_mode)
    return call.mean(axes, count_include_pad, divisor)


def divisor_of(function, divisor_override):
    """0 for the window's own size."""
    if divisor_override is None:
        return 0.0
    divisor = _arrays.number(function, "divisor_override", divisor_override)
    if divisor == 0:
        raise ValueError(f"{function}: divisor_override is 0, expected another number")
    return divisor


def norm_of(function, norm_type):
    norm = _arrays.number(function, "norm_type", norm_type)
    if norm <= 0:
        raise ValueError(f"{function}: norm_type is {norm}, expected more than 0")
    return norm


def norm(
    dims, function, x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout, out,
    threads,
):  # fmt: skip
    norm_type = norm_of(function, norm_type)
    call = Call(function, x, dims, layout, FLOATS, out, threads)
    axes = _axes.windows(function, call.size, kernel_size, stride, padding, dilation, ceil_mode)
    return call.reduce(axes, "sum", divisor=1.0, norm=norm_type)


def dimensions(function, name, array, layout):
    """(axes, layout) of an array of any layout; channels come first by default."""
    by_name = {key: dims for dims, each in _geometry.LAYOUTS.items() for key in each}
    if layout is not None:
        return by_name[_geometry.choice(function, "layout", layout, tuple(by_name))], layout
    dims = _arrays.as_array(function, name, array).ndim - 2
    if dims not in _geometry.LAYOUTS:
        raise ValueError(f"{function}: {name} has {dims + 2} dimensions, expected 3, 4 or 5")
    return dims, next(iter(_geometry.LAYOUTS[dims]))


def anywhere(function, x, layout, dtypes, out, threads):
    """A call of any number of axes."""
    dims, layout = dimensions(function, "x", x, layout)
    return Call(function, x, dims, layout, dtypes, out, threads)


# What a documentation of two axes says, and what it says of one and of three.
_WORDS = {
    1: {
        "(N, C, H, W)": "(N, C, W)", "(N, H, W, C)": "(N, W, C)", "(N, C, OH, OW)": "(N, C, OW)",
        "(N, OH, OW, C)": "(N, OW, C)", '"NCHW"': '"NCW"', '"NHWC"': '"NWC"', "2d": "1d",
        "int, (rows, columns), ((top, bottom), (left, right))": "int, ((before, after),)",
        " or (rows, columns)": "", ", or (rows, columns) of them": "", "(H, W) plane": "row",
        "p, q]": "p]", "over i, j": "over i", "* dilation, ...": "* dilation",
    },
    3: {
        "(N, C, H, W)": "(N, C, D, H, W)", "(N, H, W, C)": "(N, D, H, W, C)",
        "(N, C, OH, OW)": "(N, C, OD, OH, OW)", "(N, OH, OW, C)": "(N, OD, OH, OW, C)",
        '"NCHW"': '"NCDHW"', '"NHWC"': '"NDHWC"', "2d": "3d", "(H, W) plane": "(D, H, W) volume",
        "int, (rows, columns), ((top, bottom), (left, right))":
            "int, three of them, three pairs (before, after)",
        "(rows, columns)": "(slices, rows, columns)", "(N, C, 2)": "(N, C, 3)", "p, q]": "p, q, r]",
        "over i, j": "over i, j, k",
    },
}  # fmt: skip


def documented_like(other, example):
    """A decorator: the documentation of a function of two axes, for one or three of them."""

    def documented(function):
        doc = inspect.cleandoc(other.__doc__)
        for word, mine in _WORDS[1 if "1d" in function.__name__ else 3].items():
            doc = doc.replace(word, mine)
        text, separator, _ = doc.partition(">>> import numpy as np\n")
        function.__doc__ = text + separator + example.strip() + "\n"
        return function

    return documented
