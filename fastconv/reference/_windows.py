"""What definitions share: borders, sizes, and the views that the elements of a kernel see."""

import numpy as np

# Every accepted border name, and the mode of numpy.pad that defines it.
_BORDERS = {
    "constant": "constant", "zeros": "constant",
    "edge": "edge", "nearest": "edge", "replicate": "edge",
    "reflect": "reflect", "mirror": "reflect", "reflect101": "reflect",
    "symmetric": "symmetric", "grid-mirror": "symmetric",
    "wrap": "wrap", "circular": "wrap", "grid-wrap": "wrap",
}


def pad(x, padding, border="constant", cval=0):
    """Extend the last two axes by ``((top, bottom), (left, right))`` elements; so one, or three.

    `border` is one name or a pair (rows, columns); "reflect" does not repeat the edge element
    (SciPy calls that "mirror"), "symmetric" does. `cval` is the value of "constant". A border
    wider than the array goes on reflecting or wrapping; one element reflects to itself.

    >>> pad(np.array([[1, 2, 3, 4]]), ((0, 0), (2, 2)), "reflect")
    array([[3, 2, 1, 2, 3, 4, 3, 2]])
    """
    x = np.asarray(x)
    dims = len(padding)
    for axis, widths, name in zip(range(-dims, 0), padding, each_axis(border, dims), strict=True):
        value = {"constant_values": cval} if _BORDERS[name] == "constant" else {}
        all_widths = [(0, 0)] * x.ndim
        all_widths[axis] = tuple(widths)
        x = np.pad(x, all_widths, _BORDERS[name], **value)
    return x


def each_axis(value, dims):
    return (value,) * dims if np.ndim(value) == 0 else tuple(value)


def pair(value):
    return each_axis(value, 2)


def is_integer(x):
    return np.issubdtype(x.dtype, np.integer)


def move_channels(x, layout, source, target):
    return np.moveaxis(x, source, target) if layout.endswith("C") else x


def geometry(x, kernel_size, stride, padding, dilation, ceil_mode=False):
    """Give the output's size, the padding as ((top, bottom), (left, right)), and the reach: the
    padding lengthened to what the last window of ceil_mode covers.
    """
    size, pads, reach = [], [], []
    dims = x.ndim - 2
    axes = zip(x.shape[2:], *(each_axis(each, dims) for each in (kernel_size, stride, dilation)),
               strict=True)
    for axis, (n, k, s, d) in enumerate(axes):
        extent = d * (k - 1) + 1
        if padding == "same":
            total = max(0, (-(-n // s) - 1) * s + extent - n)
            before, after = total // 2, total - total // 2
        elif padding == "causal":
            before, after = extent - 1, 0
        else:
            before, after = (0, 0) if padding == "valid" else pair(each_axis(padding, dims)[axis])
        room = n + before + after - extent
        outputs = 1 + (-(-room // s) if ceil_mode else room // s)
        if ceil_mode and (outputs - 1) * s >= n + before:
            outputs -= 1  # the last window would start in the padding after the data
        size.append(max(0, outputs))
        pads.append((before, after))
        reach.append((before, max(after, (outputs - 1) * s + extent - n - before)))
    return size, pads, reach


def views(padded, kernel_size, size, stride=1, dilation=1):
    """Yield each kernel element's place (i, j) and the view it sees: one element per output."""
    dims = len(size)
    strides, dilations = each_axis(stride, dims), each_axis(dilation, dims)
    for tap in np.ndindex(*each_axis(kernel_size, dims)):
        seen = [
            slice(i * d, i * d + n * s, s)
            for i, d, n, s in zip(tap, dilations, size, strides, strict=True)
        ]
        yield tap, padded[(..., *seen)]
