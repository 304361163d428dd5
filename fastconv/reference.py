"""Every operation again in plain NumPy and float64: the specification.

Tests, the benchmark and the documentation compare fastconv with these functions. They are
written to be read as definitions: one loop over the kernel's elements ("taps"), each of which
sees a shifted and strided view of the padded input. They share no code with the rest of the
package, do not check their arguments, and are slow. Floating results are float64 whatever the
input; integer results are exact sums, rounded half to even and saturated.
"""

import math

import numpy as np

from fastconv import _reference_pool

__all__ = [
    "activate", "avg_pool2d", "black_hat", "box", "closing", "conv1d", "conv1d_backward",
    "conv2d", "conv2d_backward", "conv3d", "conv3d_backward", "conv_integer",
    "conv_quantized", "conv_transpose1d",
    "conv_transpose1d_backward", "conv_transpose2d", "conv_transpose2d_backward",
    "conv_transpose3d", "conv_transpose3d_backward", "difference_of_gaussians", "dilate",
    "erode", "filter2d", "fold", "gaussian", "gradient", "harris", "laplacian",
    "laplacian_of_gaussian", "local_mean_std", "max_pool2d", "maximum", "median", "minimum",
    "morphological_gradient", "opening", "pad", "percentile", "prewitt", "rank", "roberts",
    "scharr", "sep_filter2d", "shi_tomasi", "sobel", "top_hat", "unfold",
]  # fmt: skip
# Poolings of any number of axes, but for the two that are defined here.
_POOLINGS = {
    name: function
    for name, function in _reference_pool.FAMILY.items()
    if name not in ("max_pool2d", "avg_pool2d")
}
globals().update(_POOLINGS)
__all__ += _POOLINGS

# Every accepted border name, and the mode of numpy.pad that defines it.
_BORDERS = {
    "constant": "constant", "zeros": "constant",
    "edge": "edge", "nearest": "edge", "replicate": "edge",
    "reflect": "reflect", "mirror": "reflect", "reflect101": "reflect",
    "symmetric": "symmetric", "grid-mirror": "symmetric",
    "wrap": "wrap", "circular": "wrap", "grid-wrap": "wrap",
}

_ERFC = np.frompyfunc(math.erfc, 1, 1)
# Every activation by name; the defaults are PyTorch's.
_ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "clip": np.clip,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-abs(x))),
    "tanh": np.tanh,
    # The limit of these at minus infinity is their value at -1000, which is -0.
    "silu": lambda x: np.maximum(x, -1e3) * _ACTIVATIONS["sigmoid"](x),
    "gelu": lambda x: np.maximum(x, -1e3) * _ERFC(-x / math.sqrt(2)).astype(np.float64) / 2,
    "hard_swish": lambda x: np.maximum(x, -1e3) * (np.clip(x + 3, 0, 6) / 6),
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
    for axis, widths, name in zip(range(-dims, 0), padding, _each(border, dims), strict=True):
        value = {"constant_values": cval} if _BORDERS[name] == "constant" else {}
        all_widths = [(0, 0)] * x.ndim
        all_widths[axis] = tuple(widths)
        x = np.pad(x, all_widths, _BORDERS[name], **value)
    return x


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def activate(x, activation):
    """Apply an activation, a name or a tuple (name, *parameters), to every element.

    relu: max(x, 0); relu6: min(max(x, 0), 6); leaky_relu: x if x > 0 else slope * x;
    clip: min(max(x, low), high); sigmoid: 1 / (1 + exp(-x)); tanh; silu: x * sigmoid(x);
    gelu: x * (1 + erf(x / sqrt(2))) / 2 = x * erfc(-x / sqrt(2)) / 2;
    hard_swish: x * min(max(x + 3, 0), 6) / 6.

    >>> activate([-2.0, 1, 8], "relu6"), activate([-2.0, 1, 8], ("leaky_relu", 0.5))
    (array([0., 1., 6.]), array([-1.,  1.,  8.]))
    """
    name, *parameters = activation if isinstance(activation, tuple) else (activation,)
    return _ACTIVATIONS[name](np.asarray(x, np.float64), *parameters)


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *,
           padding_mode="zeros", activation=None, residual=None, layout="NCHW"):
    """Cross-correlate a batch of images with K kernels, as CNNs do.

    y[n, k, p, q] = bias[k] + sum over c, i, j of
    weight[k, c, i, j] * padded[n, c of k's group, p*stride + i*dilation, q*stride + j*dilation]

    x is (N, C, H, W), or (N, H, W, C) with layout="NHWC"; weight is (K, C/groups, kh, kw). The
    residual, of the result's shape, is added; then the activation is applied (see activate).

    >>> conv2d(np.ones((1, 1, 2, 3)), np.ones((1, 1, 3, 3)), padding="same")[0, 0]
    array([[4., 6., 4.],
           [4., 6., 4.]])
    """
    x = _move_channels(np.asarray(x, np.float64), layout, -1, 1)
    weight = np.asarray(weight, np.float64)
    kernels, per_group, *kernel_size = weight.shape
    size, pads, _ = _geometry(x, kernel_size, stride, padding, dilation)
    weight = weight.reshape(groups, kernels // groups, per_group, *kernel_size)
    y = np.zeros((len(x), groups, kernels // groups, math.prod(size)))
    padded = pad(x, pads, padding_mode)
    for tap, window in _taps(padded, kernel_size, size, stride, dilation):
        pixels = window.reshape(len(x), groups, per_group, math.prod(size))
        y += weight[(..., *tap)] @ pixels
    y = _with_bias(y.reshape(len(x), kernels, *size), bias)
    y = _move_channels(y, layout, 1, -1)
    return activate(y if residual is None else y + np.asarray(residual, np.float64), activation)


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def conv2d_backward(dy, x, weight, stride=1, padding=0, dilation=1, groups=1, *,
                    padding_mode="zeros", layout="NCHW"):
    """Give (dx, dweight, dbias), the gradients of conv2d where dy is that by its result.

    Each product weight * padded that conv2d adds to an output gives weight * dy to the padded
    element and padded * dy to the weight; an element of x sums those of all its copies.

    >>> conv2d_backward(np.ones((1, 1, 1, 2)), [[[[1, 2, 3]]]], [[[[4, 5]]]])[:2]
    (array([[[[4., 9., 5.]]]]), array([[[[3., 5.]]]]))
    """
    dy, x = (_move_channels(np.asarray(each, np.float64), layout, -1, 1) for each in (dy, x))
    weight = np.asarray(weight, np.float64)
    kernels, per_group, *kernel_size = weight.shape
    size, pads, _ = _geometry(x, kernel_size, stride, padding, dilation)
    weight = weight.reshape(groups, kernels // groups, per_group, *kernel_size)
    outer = dy.reshape(len(x), groups, kernels // groups, math.prod(size))
    padded, dweight = pad(x, pads, padding_mode), np.zeros(weight.shape)
    dpadded = np.zeros(padded.shape)
    both = zip(*(_taps(each, kernel_size, size, stride, dilation) for each in (padded, dpadded)),
               strict=True)
    for (tap, window), (_, dwindow) in both:
        pixels = window.reshape(len(x), groups, per_group, math.prod(size))
        dweight[(..., *tap)] = (outer @ pixels.swapaxes(-1, -2)).sum(0)
        dwindow += (weight[(..., *tap)].swapaxes(-1, -2) @ outer).reshape(dwindow.shape)
    # Which element of x each padded one is a copy of; -1: of none.
    pixels = math.prod(x.shape[2:])
    places = pad(np.arange(pixels).reshape(x.shape[2:]), pads, padding_mode, -1)
    dx = np.zeros((*x.shape[:2], pixels))
    flat = dpadded.reshape(*x.shape[:2], places.size)
    for place, gradient in zip(places.ravel(), flat.T, strict=True):
        if place >= 0:
            dx[..., place] += gradient.T
    dx = _move_channels(dx.reshape(x.shape), layout, 1, -1)
    return dx, dweight.reshape(kernels, per_group, *kernel_size), _over_pixels(dy)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                     dilation=1, *, activation=None, layout="NCHW"):
    """Add up the kernels, each pixel's times its values: the adjoint of conv2d.

    y[n, k, p*stride + i*dilation - top, ...] += weight[c, k, i, j] * x[n, c, p, q]

    weight is (C, K/groups, kh, kw); "same" gives `stride` rows for each one.

    >>> conv_transpose2d([[[[1, 2]]]], [[[[1, 1, 1]]]], stride=2)
    array([[[[1., 1., 3., 2., 2.]]]])
    """
    x, weight = _move_channels(np.asarray(x, np.float64), layout, -1, 1), np.asarray(weight)
    frame, more, kept = _transposed(x, weight, stride, padding, output_padding, dilation)
    frame = np.zeros((len(x), groups * weight.shape[1], *frame))
    y, _, _ = conv2d_backward(x, frame, weight, stride, 0, dilation, groups)
    y = _with_bias(pad(y, more)[(..., *kept)], bias)
    return activate(_move_channels(y, layout, 1, -1), activation)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0, output_padding=0, groups=1,
                              dilation=1, *, layout="NCHW"):
    """Give (dx, dweight, dbias), the gradients of conv_transpose2d where dy is that by its result.

    >>> conv_transpose2d_backward(np.ones((1, 1, 1, 3)), [[[[1, 2]]]], [[[[4, 5]]]])
    (array([[[[9., 9.]]]]), array([[[[3., 3.]]]]), array([3.]))
    """
    dy, x = (_move_channels(np.asarray(each, np.float64), layout, -1, 1) for each in (dy, x))
    weight = np.asarray(weight)
    frame, more, kept = _transposed(x, weight, stride, padding, output_padding, dilation)
    whole = pad(np.zeros((len(x), groups * weight.shape[1], *frame)), more)
    whole[(..., *kept)] = dy
    whole = whole[(..., *map(slice, frame))]
    dx = conv2d(whole, weight, None, stride, 0, dilation, groups)
    _, dweight, _ = conv2d_backward(x, whole, weight, stride, 0, dilation, groups)
    return _move_channels(dx, layout, 1, -1), dweight, _over_pixels(dy)


def conv1d(x, weight, *arguments, layout="NCW", **options):
    """Cross-correlate sequences, (N, C, W): conv2d on one axis; "causal" pads on the left alone.

    >>> conv1d([[[1, 2, 3]]], [[[1, 10]]], padding="causal")
    array([[[10., 21., 32.]]])
    """
    return conv2d(x, weight, *arguments, layout=layout, **options)


def conv3d(x, weight, *arguments, layout="NCDHW", **options):
    """Cross-correlate volumes, (N, C, D, H, W): conv2d on three axes.

    >>> conv3d([[[[[1]], [[2]]]]], [[[[[1]], [[10]]]]])
    array([[[[[21.]]]]])
    """
    return conv2d(x, weight, *arguments, layout=layout, **options)


def conv_integer(x, weight, stride=1, padding=0, dilation=1, groups=1, *, x_zero_point=0,
                 weight_zero_point=0, layout=None):
    """Cross-correlate integers less their zero points, which padding holds; any number of axes.

    >>> conv_integer([[[3, 4, 5]]], [[[7, 9]]], x_zero_point=3, weight_zero_point=[7], padding=1)
    array([[[0, 2, 4, 0]]], dtype=int32)
    """
    weight = np.asarray(weight)
    zeros = np.reshape(weight_zero_point, (-1, *[1] * (weight.ndim - 1)))
    y = conv2d(np.subtract(x, x_zero_point, dtype=float), np.subtract(weight, zeros, dtype=float),
               None, stride, padding, dilation, groups, layout=layout or "NCHW")
    return y.astype(np.int32)


def conv_quantized(x, weight, bias=None, *arguments, x_scale=1.0, weight_scale=1.0, y_scale=1.0,
                   y_zero_point=0, dtype="uint8", layout=None, **options):
    """Scale such sums in float32, then round half to even and saturate, or not (float32).

    >>> conv_quantized([[[1, 3, 200]]], [[[1]]], [2], x_scale=0.5, weight_scale=3, y_zero_point=1)
    array([[[  5,   9, 255]]], dtype=uint8)
    """
    last = layout is not None and layout.endswith("C")
    axes = (-1, *[1] * (0 if last else np.ndim(weight) - 2))
    sums = conv_integer(x, weight, *arguments, layout=layout, **options)
    if bias is not None:
        sums = sums + np.reshape(bias, axes)
    x_scale, weight_scale, y_scale = map(np.float32, (x_scale, weight_scale, y_scale))
    y = sums.astype(np.float32) * np.reshape(x_scale * weight_scale / y_scale, axes)
    if np.dtype(dtype).kind == "f":
        return y
    info = np.iinfo(dtype)
    return np.clip(np.rint(y) + y_zero_point, info.min, info.max).astype(dtype)


def conv1d_backward(dy, x, weight, *arguments, layout="NCW", **options):
    """Give (dx, dweight, dbias) of conv1d; see conv2d_backward.

    >>> conv1d_backward([[[1, 2]]], [[[1, 2, 3]]], [[[4, 5]]])[:2]
    (array([[[ 4., 13., 10.]]]), array([[[5., 8.]]]))
    """
    return conv2d_backward(dy, x, weight, *arguments, layout=layout, **options)


def conv3d_backward(dy, x, weight, *arguments, layout="NCDHW", **options):
    """Give (dx, dweight, dbias) of conv3d; see conv2d_backward.

    >>> conv3d_backward([[[[[2]]]]], [[[[[1]], [[2]]]]], [[[[[1]], [[10]]]]])[1].ravel()
    array([2., 4.])
    """
    return conv2d_backward(dy, x, weight, *arguments, layout=layout, **options)


def conv_transpose1d(x, weight, *arguments, layout="NCW", **options):
    """Add up the kernels, (C, K/groups, kw), each element's times its values.

    >>> conv_transpose1d([[[1, 2]]], [[[1, 1, 1]]], stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    return conv_transpose2d(x, weight, *arguments, layout=layout, **options)


def conv_transpose3d(x, weight, *arguments, layout="NCDHW", **options):
    """Add up the kernels, (C, K/groups, kd, kh, kw), each voxel's times its values.

    >>> conv_transpose3d([[[[[1]], [[2]]]]], [[[[[1]], [[1]]]]])[..., 0, 0]
    array([[[1., 3., 2.]]])
    """
    return conv_transpose2d(x, weight, *arguments, layout=layout, **options)


def conv_transpose1d_backward(dy, x, weight, *arguments, layout="NCW", **options):
    """Give (dx, dweight, dbias) of conv_transpose1d; see conv_transpose2d_backward.

    >>> conv_transpose1d_backward([[[1, 1, 1]]], [[[1, 2]]], [[[4, 5]]])
    (array([[[9., 9.]]]), array([[[3., 3.]]]), array([3.]))
    """
    return conv_transpose2d_backward(dy, x, weight, *arguments, layout=layout, **options)


def conv_transpose3d_backward(dy, x, weight, *arguments, layout="NCDHW", **options):
    """Give (dx, dweight, dbias) of conv_transpose3d; see conv_transpose2d_backward.

    >>> conv_transpose3d_backward(np.ones((1, 1, 1, 1, 3)), [[[[[1, 2]]]]], [[[[[4, 5]]]]])[2]
    array([3.])
    """
    return conv_transpose2d_backward(dy, x, weight, *arguments, layout=layout, **options)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Give what a kernel sees, (N, C * kernel elements, places): im2col, along one to three axes.

    >>> unfold([[[1, 2, 3]]], 2)
    array([[[1., 2.],
            [2., 3.]]])
    """
    x = np.asarray(x, np.float64)
    size, pads, _ = _geometry(x, kernel_size, stride, padding, dilation)
    taps = _taps(pad(x, pads), kernel_size, size, stride, dilation)
    columns = np.stack([window for _, window in taps], 2)
    return columns.reshape(len(x), x.shape[1] * columns.shape[2], math.prod(size))


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Add up columns where unfold took them from: col2im, its adjoint.

    >>> fold([[[1, 2], [2, 3]]], (3,), 2)
    array([[[1., 4., 3.]]])
    """
    x, output_size = np.asarray(x, np.float64), _pair(output_size)
    places = np.arange(1, math.prod(output_size) + 1).reshape(1, 1, *output_size)
    places = unfold(places, kernel_size, dilation, padding, stride)[0].astype(int)
    y = np.zeros((len(x), x.shape[1] // len(places), places.max() + 1))
    for n, c in np.ndindex(*y.shape[:2]):
        np.add.at(y[n, c], places, x[n, c * len(places) :][: len(places)])
    y = y[..., 1:]  # what came from the padding goes nowhere
    y = np.concatenate([y, np.zeros((*y.shape[:2], math.prod(output_size) - y.shape[2]))], 2)
    return y.reshape(*y.shape[:2], *output_size)


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
    x = _move_channels(x if _is_integer(x) else x.astype(np.float64), layout, -1, 1)
    lowest = np.iinfo(x.dtype).min if _is_integer(x) else -np.inf
    stride = kernel_size if stride is None else stride
    size, _, reach = _geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    positions = pad(np.arange(x.shape[-2] * x.shape[-1]).reshape(x.shape[-2:]), reach, cval=-1)
    y = np.full((*x.shape[:2], *size), lowest, x.dtype)
    indices = np.full(y.shape, -1)
    windows = _taps(pad(x, reach, cval=lowest), kernel_size, size, stride, dilation)
    places = _taps(positions, kernel_size, size, stride, dilation)
    for (_, value), (_, place) in zip(windows, places, strict=True):
        better = (place >= 0) & ((indices < 0) | (value > y) | np.isnan(value))
        y = np.where(better, value, y)
        indices = np.where(better, place, indices)
    y, indices = (_move_channels(each, layout, 1, -1) for each in (y, indices))
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
    x = _move_channels(np.asarray(x, np.float64), layout, -1, 1)
    stride = kernel_size if stride is None else stride
    size, pads, reach = _geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    counted = pad(np.ones(x.shape[-2:]), pads, cval=float(count_include_pad))
    counted = pad(counted, np.subtract(reach, pads))
    total, divisor = (
        sum(window for _, window in _taps(padded, kernel_size, size, stride, dilation))
        for padded in (pad(x, reach), counted)
    )
    y = total / (divisor if divisor_override is None else divisor_override)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        y = np.clip(np.rint(np.nan_to_num(y, nan=0)), limits.min, limits.max).astype(dtype)
    return _move_channels(y, layout, 1, -1)


def filter2d(image, kernel, *, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
             channel_axis=None, out_dtype=None):
    """Correlate every image of (..., H, W) with a kernel, or with each kernel of a bank.

    y[p, q] = delta + scale * sum over i, j of
    kernel[i, j] * image[p * stride[0] + i - anchor[0], q * stride[1] + j - anchor[1]]

    A bank (M, kh, kw) gives (..., M, H, W). With `channel_axis` -1 the image is (..., H, W, C) and
    the result ends in C too. `border` "valid" keeps only the outputs whose window lies inside.
    An integer kernel on an integer image is summed in int64, anything else in float64; an integer
    `out_dtype` (the image's own by default) is rounded half to even, then saturated; NaN gives 0.

    >>> filter2d(np.array([[0, 10, 20, 200]], np.uint8), np.array([[-1, 0, 2]]))
    array([[ 10,  40, 255,  20]], dtype=uint8)
    """
    kernel = np.asarray(kernel)
    results = [
        _filter(image, [each], border, cval, anchor, stride, scale, delta, channel_axis, out_dtype)
        for each in kernel.reshape(-1, *kernel.shape[-2:])
    ]
    bank_axis = -3 if channel_axis is None else -4
    return results[0] if kernel.ndim == 2 else np.stack(results, bank_axis)


def sep_filter2d(image, kernel_y, kernel_x, **options):
    """Correlate with the outer product of two 1-D kernels, unrounded in between.

    The same as filter2d with kernel[i, j] = kernel_y[i] * kernel_x[j], and its options.

    >>> sep_filter2d(np.array([[1, 2, 3]], np.int16), [2], [1, 10, 100], border="zeros")
    array([[420, 642,  64]], dtype=int16)
    """
    return _filter(image, [np.asarray(kernel_y)[:, None], np.asarray(kernel_x)[None]], **options)


def gaussian(image, sigma, *, order=0, truncate=4.0, radius=None, method="kernel", out_dtype=None,
             **options):
    """Blur with weights exp(-(i/sigma)**2 / 2), |i| <= radius, divided by their sum.

    The radius is int(truncate*sigma + 0.5) unless given, as in SciPy; `sigma`, `radius` and `order`
    are one number or a pair (y, x), in pixels. Sigma 0 leaves the axis as it is. For the derivative
    of that order, the n-th, the weights are multiplied by a Hermite polynomial, He_n(i/sigma) /
    sigma**n: convolved, the sign of odd ones is the other. Integers then give floats. Options as
    filter2d.

    With method="recursive" the weights are Deriche's approximation of fourth order, x = |i|/sigma,
    (1.68 cos 0.6318x + 3.735 sin 0.6318x) exp(-1.783x)
    - (0.6803 cos 1.997x + 0.2598 sin 1.997x) exp(-1.723x), divided by their sum as well; they end
    nowhere, but from 20 sigma on they are less than 1e-14.

    >>> gaussian(np.array([[0.0, 0, 4, 0, 0]]), (0, 1), radius=1).round(3)
    array([[0.   , 1.096, 1.807, 1.096, 0.   ]])
    """
    if method == "recursive":
        kernels = [_deriche(s) for s in _pair(sigma)]
    else:
        kernels = _gaussians(sigma, truncate, order, radius)
    out_dtype = _signed(image, out_dtype, narrow=False) if np.any(order) else out_dtype
    return sep_filter2d(image, *kernels, out_dtype=out_dtype, **options)


def sobel(image, dx=1, dy=0, *, ksize=3, out_dtype=None, **options):
    """Differentiate dx times along the rows and dy times down the columns, smoothing across.

    A derivative kernel of order d is [-1, 1] d times and [1, 1] ksize - d - 1 times, convolved
    (OpenCV's getDerivKernels): [1, 2, 1] and [-1, 0, 1] for ksize 3. Ksize 1 means 3 taps along
    a differentiated axis and none across. By default uint8 gives int16 for a ksize up to 5, other
    integers and larger ksizes floats. Options as filter2d.

    >>> sobel(np.array([[0, 0, 10, 10]], np.uint8))
    array([[ 0, 40, 40,  0]], dtype=int16)
    """
    kernel_y, kernel_x = _derivative(dy, ksize), _derivative(dx, ksize)
    out_dtype = _signed(image, out_dtype, narrow=ksize <= 5)
    return sep_filter2d(image, kernel_y, kernel_x, out_dtype=out_dtype, **options)


def scharr(image, dx=1, dy=0, *, out_dtype=None, **options):
    """Differentiate along the rows (dx=1, dy=0) or down the columns (0, 1), smoothing across.

    [-1, 0, 1] along, [3, 10, 3] across. Data types as sobel, options as filter2d.

    >>> scharr(np.array([[0, 0, 10, 10]], np.uint8))
    array([[  0, 160, 160,   0]], dtype=int16)
    """
    kernel = np.outer([3, 10, 3], [-1, 0, 1])
    kernel = kernel.T if dy else kernel
    return filter2d(image, kernel, out_dtype=_signed(image, out_dtype), **options)


def prewitt(image, dx=1, dy=0, *, out_dtype=None, **options):
    """Differentiate along the rows (dx=1, dy=0) or down the columns (0, 1), adding up across.

    [-1, 0, 1] along, [1, 1, 1] across. Data types as sobel, options as filter2d.

    >>> prewitt(np.array([[0, 0, 10, 10]], np.uint8))
    array([[ 0, 30, 30,  0]], dtype=int16)
    """
    kernel = np.outer([1, 1, 1], [-1, 0, 1])
    kernel = kernel.T if dy else kernel
    return filter2d(image, kernel, out_dtype=_signed(image, out_dtype), **options)


def roberts(image, diagonal=0, *, out_dtype=None, **options):
    """Subtract across each 2x2 square, along one of its diagonals.

    y[i, j] = image[i+1, j+1] - image[i, j]; on the other diagonal, 1,
    y[i, j] = image[i+1, j] - image[i, j+1]

    Data types as sobel, options as filter2d.

    >>> roberts(np.array([[1, 2], [4, 8]], np.uint8), border="valid")
    array([[7]], dtype=int16)
    """
    kernel = [[0, -1], [1, 0]] if diagonal else [[-1, 0], [0, 1]]
    out_dtype = _signed(image, out_dtype)
    return filter2d(image, kernel, anchor=(0, 0), out_dtype=out_dtype, **options)


def laplacian(image, *, ksize=1, out_dtype=None, **options):
    """Add the second derivatives along both axes, each as sobel's with the same ksize.

    Ksize 1 is [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 3 is [[2, 0, 2], [0, -8, 0], [2, 0, 2]].
    Data types as sobel, options as filter2d.

    >>> laplacian(np.array([[0, 0, 10, 10]], np.uint8))
    array([[  0,  10, -10,   0]], dtype=int16)
    """
    smooth = [0, 1, 0] if ksize == 1 else _derivative(0, ksize)
    along_x = np.multiply.outer(smooth, _derivative(2, ksize))
    return filter2d(image, along_x + along_x.T, out_dtype=_signed(image, out_dtype), **options)


def box(image, size, *, normalize=True, **options):
    """Give the mean of each rectangle, or its sum. Options as filter2d, but for scale and delta.

    >>> box(np.array([[0, 3, 6, 90]], np.uint8), (1, 3))
    array([[ 2,  3, 33, 34]], dtype=uint8)
    """
    return _over_windows(image, size, lambda v: v.mean(-1) if normalize else v.sum(-1), **options)


def local_mean_std(image, size, **options):
    """Give the mean and the population's standard deviation of each rectangle.

    >>> local_mean_std(np.array([[1, 1, 4, 4]]), (1, 2))[1]
    array([[0. , 0. , 1.5, 0. ]])
    """
    options["out_dtype"] = np.float64
    return tuple(
        _over_windows(image, size, each, **options)
        for each in (lambda v: v.mean(-1), lambda v: v.std(-1))
    )


def rank(image, rank, size=3, **options):
    """Give the pixel of a rank in each rectangle, 0 the smallest; NaN where one is in it.

    >>> rank(np.array([[5, 3, 7, 1, 2]], np.uint8), 1, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """

    def take(v):
        v = np.sort(v, -1)  # NaNs last
        return np.where(np.isnan(v[..., -1]), np.nan, v[..., rank])

    return _over_windows(image, size, take, **options)


def median(image, size=3, **options):
    """Give the middle pixel of each rectangle; of an even number the upper of the two.

    >>> median(np.array([[1, 1, 200, 1, 9, 9, 9]], np.uint8), (1, 3))
    array([[1, 1, 1, 9, 9, 9, 9]], dtype=uint8)
    """
    return rank(image, math.prod(_pair(size)) // 2, size, **options)


def percentile(image, q, size=3, **options):
    """Give the pixel of rank int(pixels * q / 100), at most the largest, of each rectangle.

    >>> percentile(np.array([[5, 3, 7, 1, 2]], np.uint8), 50, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """
    pixels = math.prod(_pair(size))
    return rank(image, min(int(pixels * q / 100), pixels - 1), size, **options)


def minimum(image, size=3, **options):
    """Give the smallest pixel of each rectangle.

    >>> minimum(np.array([[5, 3, 7, 7, 7]], np.uint8), (1, 3))
    array([[3, 3, 3, 7, 7]], dtype=uint8)
    """
    return rank(image, 0, size, **options)


def maximum(image, size=3, **options):
    """Give the largest pixel of each rectangle.

    >>> maximum(np.array([[5, 3, 7, 1, 1]], np.uint8), (1, 3))
    array([[5, 7, 7, 7, 1]], dtype=uint8)
    """
    return rank(image, -1, size, **options)


def dilate(image, footprint=3, *, structure=None, iterations=1, **options):
    """Give the largest of the pixels under a footprint, each with the structure's height added.

    >>> dilate(np.array([[0, 7, 0, 0, 9]], np.uint8), (1, 3))
    array([[7, 7, 7, 9, 9]], dtype=uint8)
    """
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    return _repeated(
        image, heights.shape, lambda v: (v[..., part.ravel()] + heights[part]).max(-1),
        iterations, **options,
    )  # fmt: skip


def erode(image, footprint=3, *, structure=None, iterations=1, **options):
    """Give the smallest of the pixels under a footprint, each less the structure's height.

    >>> erode(np.array([[9, 9, 2, 9, 9, 9]], np.uint8), (1, 3))
    array([[9, 2, 2, 2, 9, 9]], dtype=uint8)
    """
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    return _repeated(
        image, heights.shape, lambda v: (v[..., part.ravel()] - heights[part]).min(-1),
        iterations, **options,
    )  # fmt: skip


def opening(image, footprint=3, *, structure=None, **options):
    """Erode, then dilate with the footprint turned around.

    >>> opening(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[1, 1, 1, 5, 5, 5, 1]], dtype=uint8)
    """
    return _twice(erode, dilate, image, footprint, structure, **options)


def closing(image, footprint=3, *, structure=None, **options):
    """Dilate, then erode with the footprint turned around.

    >>> closing(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[9, 9, 9, 5, 5, 5, 9]], dtype=uint8)
    """
    return _twice(dilate, erode, image, footprint, structure, **options)


def morphological_gradient(image, footprint=3, *, out_dtype=None, **options):
    """Give the dilated image less the eroded one.

    >>> morphological_gradient(np.array([[0, 0, 0, 9, 9, 9]], np.uint8), (1, 3))
    array([[0, 0, 9, 9, 0, 0]], dtype=uint8)
    """
    more, less = (each(image, footprint, **options) for each in (dilate, erode))
    return _less(image, more, less, out_dtype)


def top_hat(image, footprint=3, *, out_dtype=None, **options):
    """Give the image less its opening.

    >>> top_hat(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _less(image, image, opening(image, footprint, **options), out_dtype)


def black_hat(image, footprint=3, *, out_dtype=None, **options):
    """Give the closing of the image less the image.

    >>> black_hat(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _less(image, closing(image, footprint, **options), image, out_dtype)


def _over_windows(image, size, reduce, *, border="reflect", cval=0, anchor=None,
                  channel_axis=None, out_dtype=None):
    """Reduce the pixels of each window, on the last axis, in float64."""
    image = np.asarray(image)
    y = image.astype(np.float64)
    if channel_axis is not None:
        y = np.moveaxis(y, -1, -3)
    kh, kw = _pair(size)
    if border != "valid":
        row, column = (kh // 2, kw // 2) if anchor is None else anchor
        y = pad(y, ((row, kh - 1 - row), (column, kw - 1 - column)), border, cval)
    outputs = [max(0, n - k + 1) for n, k in zip(y.shape[-2:], (kh, kw), strict=True)]
    with np.errstate(invalid="ignore"):
        y = reduce(np.stack([window for _, window in _taps(y, (kh, kw), outputs)], -1))
    y = _to_dtype(y, image.dtype if out_dtype is None else np.dtype(out_dtype))
    return y if channel_axis is None else np.moveaxis(y, -3, -1)


def _element(footprint, structure):
    """The heights of a structuring element; NaN is not part of it."""
    if np.ndim(footprint) == 2:
        heights = np.zeros(np.shape(footprint)) if structure is None else np.asarray(structure)
        return np.where(np.asarray(footprint) != 0, heights, np.nan)
    return np.zeros(_pair(footprint)) if structure is None else np.asarray(structure, np.float64)


def _repeated(image, size, reduce, count, out_dtype=None, **options):
    """Reduce all windows of the result so many times, in between in the image's dtype."""
    dtype = np.asarray(image).dtype
    between = np.float32 if dtype == np.float16 else dtype
    for _ in range(count - 1):
        image = _over_windows(image, size, reduce, out_dtype=between, **options)
    return _over_windows(
        image, size, reduce, out_dtype=dtype if out_dtype is None else out_dtype, **options
    )


def _twice(first, second, image, footprint, structure, anchor=None, out_dtype=None, **options):
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    kh, kw = heights.shape
    row, column = (kh // 2, kw // 2) if anchor is None else anchor
    heights = np.where(part, heights, 0)
    between = first(image, part, structure=heights, anchor=(row, column), **options)
    return second(
        between, part[::-1, ::-1], structure=heights[::-1, ::-1],
        anchor=(kh - 1 - row, kw - 1 - column),
        out_dtype=np.asarray(image).dtype if out_dtype is None else out_dtype, **options,
    )  # fmt: skip


def _less(image, more, less, out_dtype):
    """The difference, in the image's dtype unless another is asked for."""
    dtype = np.asarray(image).dtype if out_dtype is None else np.dtype(out_dtype)
    return _to_dtype(np.subtract(more, less, dtype=np.float64), dtype)


def laplacian_of_gaussian(image, sigma, *, truncate=4.0, out_dtype=None, **options):
    """Correlate with the sum of two Gaussian derivatives, of order (2, 0) and (0, 2).

    By default the result is of floats. Options as filter2d.

    >>> laplacian_of_gaussian(np.array([[0, 0, 10, 0, 0]], np.uint8), 1, truncate=1).round(2)
    array([[ 0.  , -1.24, -6.56, -1.24,  0.  ]])
    """
    kernel = sum(np.outer(*_gaussians(sigma, truncate, order)) for order in ((2, 0), (0, 2)))
    return filter2d(image, kernel, out_dtype=out_dtype or np.float64, **options)


def difference_of_gaussians(image, low_sigma, high_sigma=None, *, truncate=4.0, out_dtype=None,
                            **options):
    """Correlate with a Gaussian minus a wider one, of 1.6 * low_sigma unless given.

    By default the result is of floats. Options as filter2d.

    >>> difference_of_gaussians(np.array([[0, 0, 10, 0, 0]]), (0, 0.6), truncate=1).round(2)
    array([[ 0.  , -1.02,  2.05, -1.02,  0.  ]])
    """
    high_sigma = np.multiply(1.6, low_sigma) if high_sigma is None else high_sigma
    low, high = (np.outer(*_gaussians(s, truncate)) for s in (low_sigma, high_sigma))
    margins = [((n - k) // 2,) * 2 for n, k in zip(high.shape, low.shape, strict=True)]
    kernel = np.pad(low, margins) - high
    return filter2d(image, kernel, out_dtype=out_dtype or np.float64, **options)


def gradient(image, operator="sobel", *, outputs=("dx", "dy", "magnitude", "angle"), **options):
    """Give the derivatives dx and dy of an operator, hypot(dx, dy) and arctan2(dy, dx).

    `operator` is "sobel", "scharr" or "prewitt"; `outputs` is one of the four names, or a tuple of
    them: the result is then a tuple, too. The results are of floats. Options as filter2d.

    >>> gradient(np.array([[0, 0, 10, 10]]), outputs=("magnitude", "angle"))
    (array([[ 0., 40., 40.,  0.]]), array([[0., 0., 0., 0.]]))
    """
    operate = {"sobel": sobel, "scharr": scharr, "prewitt": prewitt}[operator]
    options["out_dtype"] = np.float64
    dx, dy = (operate(image, *order, **options) + 0.0 for order in ((1, 0), (0, 1)))  # no -0
    made = {"dx": dx, "dy": dy, "magnitude": np.hypot(dx, dy), "angle": np.arctan2(dy, dx)}
    return made[outputs] if isinstance(outputs, str) else tuple(made[name] for name in outputs)


def harris(image, sigma=1.0, k=0.04, ksize=3, *, border="reflect", cval=0, channel_axis=None,
           out_dtype=None):
    """Give det(M) - k * trace(M)**2 of the structure tensor M, as floats.

    M is the mean under a Gaussian of [[dx*dx, dx*dy], [dx*dy, dy*dy]], where dx and dy are sobel's
    derivatives of the image as the border continues it.

    >>> harris(np.array([[0.0, 0, 1, 1]]), 0).round(2)
    array([[  0.  , -10.24, -10.24,   0.  ]])
    """
    xx, xy, yy = _structure_tensor(image, sigma, ksize, border, cval, channel_axis)
    return xx * yy - xy**2 - k * (xx + yy) ** 2


def shi_tomasi(image, sigma=1.0, ksize=3, *, border="reflect", cval=0, channel_axis=None,
               out_dtype=None):
    """Give the smaller eigenvalue of the structure tensor, harris's, as floats.

    >>> shi_tomasi(np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]), 0.5, border="zeros")[1].round(3)
    array([0.258, 0.715, 0.258])
    """
    xx, xy, yy = _structure_tensor(image, sigma, ksize, border, cval, channel_axis)
    return (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)


def _structure_tensor(image, sigma, ksize, border, cval, channel_axis):
    """Continue the image once, as far as both passes see, and then only look inside."""
    image = np.asarray(image, np.float64)
    image = image if channel_axis is None else np.moveaxis(image, -1, -3)
    if border != "valid":
        margins = [(n // 2 + ksize // 2,) * 2 for n in map(len, _gaussians(sigma, 4.0))]
        image = pad(image, margins, border, cval)
    dx, dy = (sobel(image, *order, ksize=ksize, border="valid") for order in ((1, 0), (0, 1)))
    means = (gaussian(each, sigma, border="valid") for each in (dx * dx, dx * dy, dy * dy))
    return [each if channel_axis is None else np.moveaxis(each, -3, -1) for each in means]


def _gaussians(sigma, truncate, order=0, radius=None):
    """The weights of a Gaussian or its derivatives, down the columns and along the rows."""
    kernels = []
    for s, n, r in zip(_pair(sigma), _pair(order), _pair(radius), strict=True):
        r = int(truncate * s + 0.5) if r is None else r
        i = np.arange(-r, r + 1)
        weights = np.exp(-0.5 * (i / s) ** 2) if s > 0 else (i == 0).astype(np.float64)
        weights /= weights.sum()
        if n:
            weights *= np.polynomial.hermite_e.hermeval(i / s, [0] * n + [1]) / s**n
        kernels.append(weights)
    return kernels


def _deriche(sigma):
    """The weights of Deriche's recursive Gaussian."""
    i = np.arange(-int(20 * sigma), int(20 * sigma) + 1)
    x = abs(i) / sigma if sigma else np.zeros(1)
    weights = (1.68 * np.cos(0.6318 * x) + 3.735 * np.sin(0.6318 * x)) * np.exp(-1.783 * x)
    weights -= (0.6803 * np.cos(1.997 * x) + 0.2598 * np.sin(1.997 * x)) * np.exp(-1.723 * x)
    return weights / weights.sum()


def _each(value, dims):
    return (value,) * dims if np.ndim(value) == 0 else tuple(value)


def _pair(value):
    return _each(value, 2)


def _with_bias(y, bias):
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * (y.ndim - 2)))


def _over_pixels(dy):
    return dy.sum((0, *range(2, dy.ndim)))


def _is_integer(x):
    return np.issubdtype(x.dtype, np.integer)


def _move_channels(x, layout, source, target):
    return np.moveaxis(x, source, target) if layout.endswith("C") else x


def _geometry(x, kernel_size, stride, padding, dilation, ceil_mode=False):
    """Give the output's size, the padding as ((top, bottom), (left, right)), and the reach: the
    padding lengthened to what the last window of ceil_mode covers.
    """
    size, pads, reach = [], [], []
    dims = x.ndim - 2
    axes = zip(x.shape[2:], *(_each(each, dims) for each in (kernel_size, stride, dilation)),
               strict=True)
    for axis, (n, k, s, d) in enumerate(axes):
        extent = d * (k - 1) + 1
        if padding == "same":
            total = max(0, (-(-n // s) - 1) * s + extent - n)
            before, after = total // 2, total - total // 2
        elif padding == "causal":
            before, after = extent - 1, 0
        else:
            before, after = (0, 0) if padding == "valid" else _pair(_each(padding, dims)[axis])
        room = n + before + after - extent
        outputs = 1 + (-(-room // s) if ceil_mode else room // s)
        if ceil_mode and (outputs - 1) * s >= n + before:
            outputs -= 1  # the last window would start in the padding after the data
        size.append(max(0, outputs))
        pads.append((before, after))
        reach.append((before, max(after, (outputs - 1) * s + extent - n - before)))
    return size, pads, reach


def _transposed(x, weight, stride, padding, output_padding, dilation):
    """Give the size of what all kernels cover, how it is padded at its end, and what is kept."""
    size, pads, kept = [], [], []
    dims = x.ndim - 2
    for axis in range(dims):
        n, s, more = (_each(each, dims)[axis] for each in (x.shape[2:], stride, output_padding))
        extent = _each(dilation, dims)[axis] * (weight.shape[2 + axis] - 1) + 1
        if padding == "same":
            total, more = max(0, extent - s), more + max(0, s - extent)
            before, after = total // 2, total - total // 2
        else:
            before, after = (0, 0) if padding == "valid" else _pair(_each(padding, dims)[axis])
        size.append((n - 1) * s + extent)
        pads.append((0, more))
        kept.append(slice(before, max(0, size[-1] + more - after)))
    return size, pads, kept


def _taps(padded, kernel_size, size, stride=1, dilation=1):
    """Yield each kernel element's place (i, j) and the view it sees: one element per output."""
    dims = len(size)
    strides, dilations = _each(stride, dims), _each(dilation, dims)
    for tap in np.ndindex(*_each(kernel_size, dims)):
        seen = [
            slice(i * d, i * d + n * s, s)
            for i, d, n, s in zip(tap, dilations, size, strides, strict=True)
        ]
        yield tap, padded[(..., *seen)]


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def _filter(image, passes, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
            channel_axis=None, out_dtype=None):
    """Pad once, correlate with each 2-D kernel of `passes` in turn, then scale and round once.

    Of the result a stride leaves every so many-th row and column.
    """
    image = np.asarray(image)
    exact = all(map(_is_integer, [image, *passes])) and float(cval).is_integer()
    y = image.astype(np.int64 if exact else np.float64)
    if channel_axis is not None:
        y = np.moveaxis(y, -1, -3)
    if border != "valid":
        height, width = (1 + sum(kernel.shape[axis] - 1 for kernel in passes) for axis in (0, 1))
        row, column = (height // 2, width // 2) if anchor is None else anchor
        y = pad(y, ((row, height - 1 - row), (column, width - 1 - column)), border, cval)
    for kernel in passes:
        size = [max(0, n - k + 1) for n, k in zip(y.shape[-2:], kernel.shape, strict=True)]
        kernel = kernel.astype(y.dtype)
        y = sum(kernel[tap] * window for tap, window in _taps(y, kernel.shape, size))
    rows, columns = _pair(stride)
    y = y[..., ::rows, ::columns]
    y = _to_dtype(y * scale + delta, image.dtype if out_dtype is None else np.dtype(out_dtype))
    return y if channel_axis is None else np.moveaxis(y, -3, -1)


def _to_dtype(y, dtype):
    """Round half to even and saturate for an integer dtype (NaN gives 0), else give float64."""
    if not np.issubdtype(dtype, np.integer):
        return y.astype(np.float64)
    saturated = np.clip(np.rint(y), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.where(np.isnan(y), 0, saturated).astype(dtype)


def _derivative(order, ksize):
    ksize = max(3, ksize) if order else ksize
    kernel = np.array([1])
    for factor in [[-1, 1]] * order + [[1, 1]] * (ksize - order - 1):
        kernel = np.convolve(kernel, factor)
    return kernel


def _signed(image, out_dtype, narrow=True):
    """Give integer images a dtype with room for their derivatives, unless one is asked for."""
    wider = {"uint8": np.int16 if narrow else np.float32, "uint16": np.float32, "int16": np.float32}
    return wider.get(np.asarray(image).dtype.name) if out_dtype is None else out_dtype
