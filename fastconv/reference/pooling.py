"""Poolings, one window at a time, but for two that tests and benchmark call often.

Each function serves any number of axes. The only option is `layout`: channels are last if C is.
"""

import itertools

import numpy as np

from fastconv.reference._windows import geometry, is_integer, move_channels, pad, views


def _are_last(options):
    return (options.get("layout") or "").endswith("C")


def _channels_first(x, options):
    x = np.asarray(x)
    if x.dtype.kind not in "iu":
        x = x.astype(np.float64)
    return np.moveaxis(x, -1, 1) if _are_last(options) else x


def _channels_back(y, options):
    return np.moveaxis(y, 1, -1) if _are_last(options) else y


def _moving(size, kernel_size, stride, padding, dilation, ceil_mode):
    """Of each axis the taps of all its windows, and the declared padding (before, after)."""
    dims = len(size)
    kernel, stride, dilation = (
        np.broadcast_to(each, dims).tolist()
        for each in (kernel_size, kernel_size if stride is None else stride, dilation)
    )
    if padding == "valid":
        padding = 0
    if padding != "same":
        pads = [tuple(np.broadcast_to(each, 2)) for each in _each(padding, dims)]
    else:
        pads = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            pads.append((total // 2, total - total // 2))
    axes = []
    for n, k, s, d, (before, after) in zip(size, kernel, stride, dilation, pads, strict=True):
        room = n + before + after - d * (k - 1) - 1
        outputs = -(-n // s) if padding == "same" else room // s + 1
        if ceil_mode and padding != "same":
            outputs = -(-room // s) + 1
            outputs -= (outputs - 1) * s >= n + before
        axes.append([range(o * s - before, o * s - before + d * k, d) for o in range(outputs)])
    return axes, pads


def _each(value, dims):
    return value if isinstance(value, tuple | list) else (value,) * dims


def _adaptive(size, output_size):
    """Of each axis the taps of windows that cover it."""
    each = _each(output_size, len(size))
    outputs = [n if o is None else o for n, o in zip(size, each, strict=True)]
    return [
        [range(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]
        for n, o in zip(size, outputs, strict=True)
    ]


def _windows(size, axes):
    """(output, the window's taps that lie inside as an index) of all windows."""
    for output in itertools.product(*(range(len(axis)) for axis in axes)):
        taps = [
            [t for t in axis[o] if 0 <= t < n]
            for o, n, axis in zip(output, size, axes, strict=True)
        ]
        yield output, np.ix_(*taps)


def _reduced(x, axes, reduce, dtype=None):
    """reduce(elements) of every window; elements are (N, C, those of the window)."""
    y = np.zeros((*x.shape[:2], *map(len, axes)), dtype or x.dtype)
    for output, taps in _windows(x.shape[2:], axes):
        y[(..., *output)] = reduce(_elements(x, taps))
    return y


def _elements(x, taps):
    seen = x[(..., *taps)]
    return seen.reshape(*x.shape[:2], np.prod(seen.shape[2:], dtype=int))


def _extreme(x, axes, greatest, return_indices, options):
    places = np.arange(np.prod(x.shape[2:])).reshape(1, 1, *x.shape[2:])
    limits = np.iinfo(x.dtype) if x.dtype.kind in "iu" else None
    nothing = -np.inf if greatest else np.inf
    if limits:
        nothing = limits.min if greatest else limits.max
    y = _reduced(
        x, axes, lambda e: (e.max(-1) if greatest else e.min(-1)) if e.shape[-1] else nothing
    )
    y = _channels_back(y, options)
    if not return_indices:
        return y
    indices = np.full((*x.shape[:2], *map(len, axes)), -1)
    for output, taps in _windows(x.shape[2:], axes):
        elements = _elements(x, taps)
        if elements.shape[-1]:
            first = elements.argmax(-1) if greatest else elements.argmin(-1)
            last = elements.shape[-1] - 1 - np.isnan(elements)[..., ::-1].argmax(-1)
            at = np.where(np.isnan(elements).any(-1), last, first)
            indices[(..., *output)] = places[(0, 0, *taps)].ravel()[at]
    return y, _channels_back(indices, options)


def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
             return_indices=False, **options):  # fmt: skip
    """Give the greatest element of each window; padding never wins.

    >>> max_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
    array([[[5., 4.]]])
    """
    x = _channels_first(x, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _extreme(x, axes, True, return_indices, options)


def min_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
             return_indices=False, **options):  # fmt: skip
    """Give the least element of each window; padding never wins.

    >>> min_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
    array([[[1., 2.]]])
    """
    x = _channels_first(x, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _extreme(x, axes, False, return_indices, options)


def _divisors(size, axes, pads, count_include_pad, divisor_override):
    """What the sum of each window is divided by: its elements on the image, or on padding too."""
    counts = [
        [sum(-before <= t < n + after if count_include_pad else 0 <= t < n for t in taps)
         for taps in axis]
        for n, axis, (before, after) in zip(size, axes, pads, strict=True)
    ]  # fmt: skip
    divisors = np.ones([len(each) for each in counts])
    for i, each in enumerate(counts):
        divisors *= np.reshape(each, [-1 if i == j else 1 for j in range(len(counts))])
    return divisors if divisor_override is None else np.full(divisors.shape, divisor_override)


def _mean(x, axes, divisors, options):
    with np.errstate(invalid="ignore", divide="ignore"):
        y = _reduced(x.astype(np.float64), axes, lambda e: e.sum(-1)) / divisors
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        y = np.clip(np.rint(np.nan_to_num(y, nan=0)), limits.min, limits.max).astype(x.dtype)
    return _channels_back(y, options)


def avg_pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
             divisor_override=None, *, dilation=1, **options):  # fmt: skip
    """Give the mean of each window, with or without declared padding; of integers rounded.

    >>> avg_pool1d(np.array([[[1.0, 5, 2, 4]]]), 2)
    array([[[3., 3.]]])
    """
    x = _channels_first(x, options)
    size = x.shape[2:]
    axes, pads = _moving(size, kernel_size, stride, padding, dilation, ceil_mode)
    divisors = _divisors(size, axes, pads, count_include_pad, divisor_override)
    return _mean(x, axes, divisors, options)


def lp_pool(x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0, dilation=1,
            **options):  # fmt: skip
    """Give (sum of |x|**norm_type)**(1 / norm_type) of each window.

    >>> lp_pool1d(np.array([[[3.0, -4]]]), 2, 2)
    array([[[5.]]])
    """
    x = _channels_first(x, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    powers = np.abs(x) ** norm_type
    return _channels_back(_reduced(powers, axes, lambda e: e.sum(-1)) ** (1 / norm_type), options)


def median_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **options):
    """Give the median of each window's elements in the image, the lower of two; NaN for none.

    >>> median_pool2d(np.array([[[[4.0, 1, 3, 2]]]]), (1, 4))
    array([[[[2.]]]])
    """
    x = _channels_first(x, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    nothing = np.nan if x.dtype.kind == "f" else 0

    def median(e):
        if e.shape[-1] == 0:
            return nothing
        middle = np.sort(e, -1)[..., (e.shape[-1] - 1) // 2]
        return np.where(np.isnan(e).any(-1), nothing, middle)

    return _channels_back(_reduced(x, axes, median), options)


def adaptive_avg_pool(x, output_size, **options):
    """Give the means of windows from i * n // o to (i + 1) * n / o, rounded up.

    >>> adaptive_avg_pool1d(np.array([[[1.0, 2, 3, 4, 8]]]), 2)
    array([[[2., 5.]]])
    """
    x = _channels_first(x, options)
    axes = _adaptive(x.shape[2:], output_size)
    pads = [(0, 0)] * len(axes)
    return _mean(x, axes, _divisors(x.shape[2:], axes, pads, False, None), options)


def adaptive_max_pool(x, output_size, return_indices=False, **options):
    """Give the greatest elements of such windows.

    >>> adaptive_max_pool1d(np.array([[[1.0, 2, 3, 4, 8]]]), 2)
    array([[[3., 8.]]])
    """
    x = _channels_first(x, options)
    return _extreme(x, _adaptive(x.shape[2:], output_size), True, return_indices, options)


def global_avg_pool(x, **options):
    """Give the mean of each channel of each sample.

    >>> global_avg_pool(np.array([[[1.0, 2, 3]]]))
    array([[[2.]]])
    """
    return adaptive_avg_pool(x, 1, layout=options.get("layout"))


def global_max_pool(x, **options):
    """Give the greatest element of each channel of each sample.

    >>> global_max_pool(np.array([[[1.0, 2, 3]]]))
    array([[[3.]]])
    """
    return adaptive_max_pool(x, 1, layout=options.get("layout"))


def fractional_max_pool(x, kernel_size, output_size=None, output_ratio=None,
                        return_indices=False, random_samples=None, *, seed=None,
                        **options):  # fmt: skip
    """Give the greatest elements of windows that begin at int((i + u) * a) - int(u * a).

    u is the plane's sample, (column, row) or (slice, row, column), a = (n - k) / (o - 1), and the
    last begins at n - k; in float32 but for float64 images.

    >>> x = np.array([[[[1.0, 2, 3, 4]]]])
    >>> fractional_max_pool2d(x, (1, 2), (1, 2), random_samples=[[[0.5, 0.5]]])
    array([[[[2., 4.]]]])
    """
    real = np.float64 if np.asarray(x).dtype == np.float64 else np.float32
    x = _channels_first(x, options)
    size, dims = x.shape[2:], x.ndim - 2
    kernel = _each(kernel_size, dims)
    if output_size is None:
        output_size = [int(n * r) for n, r in zip(size, _each(output_ratio, dims), strict=True)]
    outputs = _each(output_size, dims)
    if random_samples is None:
        random_samples = np.random.default_rng(seed).random((*x.shape[:2], dims))
    samples = np.asarray(random_samples, real)
    if dims == 2:
        samples = samples[..., ::-1]
    y, indices = (np.zeros((*x.shape[:2], *outputs), dtype) for dtype in (x.dtype, int))
    for plane in np.ndindex(*x.shape[:2]):
        axes = []
        for n, k, o, u in zip(size, kernel, outputs, samples[plane], strict=True):
            a = real(n - k) / real(o - 1) if o > 1 else 0
            starts = [int((real(i) + u) * a) - int(u * a) for i in range(o - 1)] + [n - k]
            axes.append([range(start, start + k) for start in starts])
        one = tuple(slice(i, i + 1) for i in plane)
        y[one], indices[one] = _extreme(x[one], axes, True, True, {})
    y, indices = _channels_back(y, options), _channels_back(indices, options)
    return (y, indices) if return_indices else y


def max_unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None, **options):
    """Put elements where their indices say, among zeros; the last of several for one place.

    >>> max_unpool1d(np.array([[[7.0, 8]]]), np.array([[[1, 2]]]), 2)
    array([[[0., 7., 8., 0.]]])
    """
    x, indices = _channels_first(x, options), _channels_first(indices, options)
    dims = x.ndim - 2
    if output_size is None:
        kernel, stride = (
            np.broadcast_to(each, dims) for each in (kernel_size, stride or kernel_size)
        )
        pads = [sum(np.broadcast_to(each, 2)) for each in _each(padding, dims)]
        output_size = (np.array(x.shape[2:]) - 1) * stride + kernel - pads
    y = np.zeros((*x.shape[:2], *np.broadcast_to(output_size, dims)), x.dtype)
    return _channels_back(_scattered(y, indices, x, False), options)


def _scattered(y, indices, values, add):
    for plane in np.ndindex(*y.shape[:2]):
        flat = y[plane].reshape(-1)
        for index, value in zip(indices[plane].flat, values[plane].flat, strict=True):
            if index >= 0:
                flat[index] = flat[index] + value if add else value
    return y


def _max_backward(dy, x, axes, indices, options):
    if indices is None:
        _, indices = _extreme(x, axes, True, True, {})
    else:
        indices = _channels_first(indices, options)
    dy = _channels_first(dy, options)
    return _channels_back(_scattered(np.zeros(x.shape), indices, dy, True), options)


def _spread(dy, shape, axes, divisors):
    dx = np.zeros(shape)
    for output, taps in _windows(shape[2:], axes):
        dx[(..., *taps)] += (dy[(..., *output)] / divisors[output])[
            (..., *[None] * (len(shape) - 2))
        ]
    return dx


def _first(shape, options):
    """The shape with channels first."""
    shape = tuple(shape)
    last = _are_last(options)
    return (shape[0], shape[-1], *shape[1:-1]) if last else shape


def max_pool_backward(dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *,
                      indices=None, **options):  # fmt: skip
    """Give the gradient of max_pool: each dy goes to the element that was the maximum.

    >>> max_pool1d_backward(np.array([[[2.0]]]), np.array([[[1.0, 3]]]), 2)
    array([[[0., 2.]]])
    """
    x = _channels_first(x, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _max_backward(dy, x, axes, indices, options)


def avg_pool_backward(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False,
                      count_include_pad=True, divisor_override=None, *, dilation=1,
                      **options):  # fmt: skip
    """Give the gradient of avg_pool: each dy is shared by its window.

    >>> avg_pool1d_backward(np.array([[[2.0]]]), (1, 1, 2), 2)
    array([[[1., 1.]]])
    """
    shape, dy = _first(input_size, options), _channels_first(dy, options)
    axes, pads = _moving(shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    divisors = _divisors(shape[2:], axes, pads, count_include_pad, divisor_override)
    return _channels_back(_spread(dy, shape, axes, divisors), options)


def lp_pool_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, *, padding=0,
                     dilation=1, **options):  # fmt: skip
    """Give the gradient of lp_pool, 0 where an element or its window's norm is.

    >>> lp_pool1d_backward(np.array([[[1.0]]]), np.array([[[3.0, -4]]]), 2, 2)
    array([[[ 0.6, -0.8]]])
    """
    x, dy = _channels_first(x, options), _channels_first(dy, options)
    axes, _ = _moving(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = _reduced(np.abs(x) ** norm_type, axes, lambda e: e.sum(-1)) ** (1 / norm_type)
    with np.errstate(all="ignore"):
        share = np.where(y == 0, 0, dy * y ** (1 - norm_type))
        slope = np.where(x == 0, 0, np.sign(x) * np.abs(x) ** (norm_type - 1))
    return _channels_back(slope * _spread(share, x.shape, axes, np.ones(y.shape[2:])), options)


def adaptive_avg_pool_backward(dy, input_size, **options):
    """Give the gradient of adaptive_avg_pool.

    >>> adaptive_avg_pool1d_backward(np.array([[[2.0]]]), (1, 1, 2))
    array([[[1., 1.]]])
    """
    shape, dy = _first(input_size, options), _channels_first(dy, options)
    axes = _adaptive(shape[2:], dy.shape[2:])
    divisors = _divisors(shape[2:], axes, [(0, 0)] * len(axes), False, None)
    return _channels_back(_spread(dy, shape, axes, divisors), options)


def adaptive_max_pool_backward(dy, x, *, indices=None, **options):
    """Give the gradient of adaptive_max_pool.

    >>> adaptive_max_pool1d_backward(np.array([[[2.0]]]), np.array([[[1.0, 3]]]))
    array([[[0., 2.]]])
    """
    x = _channels_first(x, options)
    axes = _adaptive(x.shape[2:], _first(np.shape(dy), options)[2:])
    return _max_backward(dy, x, axes, indices, options)


def global_avg_pool_backward(dy, input_size, **options):
    """Give the gradient of global_avg_pool.

    >>> global_avg_pool_backward(np.array([[[2.0]]]), (1, 1, 2))
    array([[[1., 1.]]])
    """
    return adaptive_avg_pool_backward(dy, input_size, layout=options.get("layout"))


def global_max_pool_backward(dy, x, **options):
    """Give the gradient of global_max_pool.

    >>> global_max_pool_backward(np.array([[[2.0]]]), np.array([[[1.0, 3]]]))
    array([[[0., 2.]]])
    """
    return adaptive_max_pool_backward(dy, x, layout=options.get("layout"))


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
               return_indices=False, *, layout="NCHW"):
    """Give the greatest element of each window; padding never wins.

    y[n, c, p, q] = max over i, j of x[n, c, p*stride + i*dilation - top, ...]

    A NaN in the window gives NaN. Indices are flat in the sample's (H, W) plane: the first of
    equal elements, the last of several NaNs, -1 where a window holds nothing but padding.
    Integer input gives the same integer dtype.

    >>> max_pool2d(np.arange(8.0).reshape(1, 1, 2, 4), 2)
    array([[[[5., 7.]]]])
    """
    x = np.asarray(x)
    x = move_channels(x if is_integer(x) else x.astype(np.float64), layout, -1, 1)
    lowest = np.iinfo(x.dtype).min if is_integer(x) else -np.inf
    stride = kernel_size if stride is None else stride
    size, _, reach = geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    positions = pad(np.arange(x.shape[-2] * x.shape[-1]).reshape(x.shape[-2:]), reach, cval=-1)
    y = np.full((*x.shape[:2], *size), lowest, x.dtype)
    indices = np.full(y.shape, -1)
    windows = views(pad(x, reach, cval=lowest), kernel_size, size, stride, dilation)
    places = views(positions, kernel_size, size, stride, dilation)
    for (_, value), (_, place) in zip(windows, places, strict=True):
        better = (place >= 0) & ((indices < 0) | (value > y) | np.isnan(value))
        y = np.where(better, value, y)
        indices = np.where(better, place, indices)
    y, indices = (move_channels(each, layout, 1, -1) for each in (y, indices))
    return (y, indices) if return_indices else y


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None, *, dilation=1, layout="NCHW"):
    """Give the mean of each window.

    y[n, c, p, q] = (sum over i, j of x[n, c, p*stride + i*dilation - top, ...]) / divisor

    The divisor counts the window's elements that lie on the image, and with `count_include_pad`
    those on the declared padding too, but never those beyond it (`ceil_mode` makes such);
    `divisor_override` replaces it. Integer input gives the same integer dtype, rounded half to even
    and saturated.

    >>> avg_pool2d(np.arange(8.0).reshape(1, 1, 2, 4), 2)
    array([[[[2.5, 4.5]]]])
    """
    dtype = np.asarray(x).dtype
    x = move_channels(np.asarray(x, np.float64), layout, -1, 1)
    stride = kernel_size if stride is None else stride
    size, pads, reach = geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    counted = pad(np.ones(x.shape[-2:]), pads, cval=float(count_include_pad))
    counted = pad(counted, np.subtract(reach, pads))
    total, divisor = (
        sum(window for _, window in views(padded, kernel_size, size, stride, dilation))
        for padded in (pad(x, reach), counted)
    )
    y = total / (divisor if divisor_override is None else divisor_override)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        y = np.clip(np.rint(np.nan_to_num(y, nan=0)), limits.min, limits.max).astype(dtype)
    return move_channels(y, layout, 1, -1)


# One function for any number of axes, by the name that each of them has.
_FAMILY = {
    f"{name}{dims}d{backward}": globals()[name + backward]
    for name, backward in itertools.product(
        ("max_pool", "min_pool", "avg_pool", "lp_pool", "adaptive_avg_pool", "adaptive_max_pool",
         "max_unpool"),
        ("", "_backward"),
    )
    if name + backward in globals()
    for dims in (1, 2, 3)
} | {
    "fractional_max_pool2d": fractional_max_pool, "fractional_max_pool3d": fractional_max_pool,
} | {
    each.__name__: each
    for each in (
        median_pool2d, global_avg_pool, global_max_pool,
        global_avg_pool_backward, global_max_pool_backward,
    )
}  # fmt: skip
for _name, _function in _FAMILY.items():
    globals().setdefault(_name, _function)
__all__ = [*_FAMILY]
