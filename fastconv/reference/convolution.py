"""Convolutions, transposed ones, their gradients, columns."""

import math

import numpy as np

from fastconv.reference._windows import each_axis, geometry, move_channels, pad, pair, views

__all__ = [
    "activate", "conv1d", "conv1d_backward", "conv2d", "conv2d_backward", "conv3d",
    "conv3d_backward", "conv_integer", "conv_quantized", "conv_transpose1d",
    "conv_transpose1d_backward", "conv_transpose2d", "conv_transpose2d_backward",
    "conv_transpose3d", "conv_transpose3d_backward", "fold", "unfold",
]  # fmt: skip

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
    x = move_channels(np.asarray(x, np.float64), layout, -1, 1)
    weight = np.asarray(weight, np.float64)
    kernels, per_group, *kernel_size = weight.shape
    size, pads, _ = geometry(x, kernel_size, stride, padding, dilation)
    weight = weight.reshape(groups, kernels // groups, per_group, *kernel_size)
    y = np.zeros((len(x), groups, kernels // groups, math.prod(size)))
    padded = pad(x, pads, padding_mode)
    for tap, window in views(padded, kernel_size, size, stride, dilation):
        pixels = window.reshape(len(x), groups, per_group, math.prod(size))
        y += weight[(..., *tap)] @ pixels
    y = _with_bias(y.reshape(len(x), kernels, *size), bias)
    y = move_channels(y, layout, 1, -1)
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
    dy, x = (move_channels(np.asarray(each, np.float64), layout, -1, 1) for each in (dy, x))
    weight = np.asarray(weight, np.float64)
    kernels, per_group, *kernel_size = weight.shape
    size, pads, _ = geometry(x, kernel_size, stride, padding, dilation)
    weight = weight.reshape(groups, kernels // groups, per_group, *kernel_size)
    outer = dy.reshape(len(x), groups, kernels // groups, math.prod(size))
    padded, dweight = pad(x, pads, padding_mode), np.zeros(weight.shape)
    dpadded = np.zeros(padded.shape)
    both = zip(*(views(each, kernel_size, size, stride, dilation) for each in (padded, dpadded)),
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
    dx = move_channels(dx.reshape(x.shape), layout, 1, -1)
    return dx, dweight.reshape(kernels, per_group, *kernel_size), _over_pixels(dy)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                     dilation=1, *, activation=None, layout="NCHW"):
    """Add up the kernels, each pixel's times its values: the adjoint of conv2d.

    y[n, k, p*stride + i*dilation - top, ...] += weight[c, k, i, j] * x[n, c, p, q]

    weight is (C, K/groups, kh, kw); "same" gives `stride` rows for each one.

    >>> conv_transpose2d([[[[1, 2]]]], [[[[1, 1, 1]]]], stride=2)
    array([[[[1., 1., 3., 2., 2.]]]])
    """
    x, weight = move_channels(np.asarray(x, np.float64), layout, -1, 1), np.asarray(weight)
    frame, more, kept = _transposed(x, weight, stride, padding, output_padding, dilation)
    frame = np.zeros((len(x), groups * weight.shape[1], *frame))
    y, _, _ = conv2d_backward(x, frame, weight, stride, 0, dilation, groups)
    y = _with_bias(pad(y, more)[(..., *kept)], bias)
    return activate(move_channels(y, layout, 1, -1), activation)


def conv_transpose2d_backward(dy, x, weight, stride=1, padding=0, output_padding=0, groups=1,
                              dilation=1, *, layout="NCHW"):
    """Give (dx, dweight, dbias), the gradients of conv_transpose2d where dy is that by its result.

    >>> conv_transpose2d_backward(np.ones((1, 1, 1, 3)), [[[[1, 2]]]], [[[[4, 5]]]])
    (array([[[[9., 9.]]]]), array([[[[3., 3.]]]]), array([3.]))
    """
    dy, x = (move_channels(np.asarray(each, np.float64), layout, -1, 1) for each in (dy, x))
    weight = np.asarray(weight)
    frame, more, kept = _transposed(x, weight, stride, padding, output_padding, dilation)
    whole = pad(np.zeros((len(x), groups * weight.shape[1], *frame)), more)
    whole[(..., *kept)] = dy
    whole = whole[(..., *map(slice, frame))]
    dx = conv2d(whole, weight, None, stride, 0, dilation, groups)
    _, dweight, _ = conv2d_backward(x, whole, weight, stride, 0, dilation, groups)
    return move_channels(dx, layout, 1, -1), dweight, _over_pixels(dy)


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
    size, pads, _ = geometry(x, kernel_size, stride, padding, dilation)
    taps = views(pad(x, pads), kernel_size, size, stride, dilation)
    columns = np.stack([window for _, window in taps], 2)
    return columns.reshape(len(x), x.shape[1] * columns.shape[2], math.prod(size))


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Add up columns where unfold took them from: col2im, its adjoint.

    >>> fold([[[1, 2], [2, 3]]], (3,), 2)
    array([[[1., 4., 3.]]])
    """
    x, output_size = np.asarray(x, np.float64), pair(output_size)
    places = np.arange(1, math.prod(output_size) + 1).reshape(1, 1, *output_size)
    places = unfold(places, kernel_size, dilation, padding, stride)[0].astype(int)
    y = np.zeros((len(x), x.shape[1] // len(places), places.max() + 1))
    for n, c in np.ndindex(*y.shape[:2]):
        np.add.at(y[n, c], places, x[n, c * len(places) :][: len(places)])
    y = y[..., 1:]  # what came from the padding goes nowhere
    y = np.concatenate([y, np.zeros((*y.shape[:2], math.prod(output_size) - y.shape[2]))], 2)
    return y.reshape(*y.shape[:2], *output_size)


def _with_bias(y, bias):
    return y if bias is None else y + np.reshape(bias, (-1, *(1,) * (y.ndim - 2)))


def _over_pixels(dy):
    return dy.sum((0, *range(2, dy.ndim)))


def _transposed(x, weight, stride, padding, output_padding, dilation):
    """Give the size of what all kernels cover, how it is padded at its end, and what is kept."""
    size, pads, kept = [], [], []
    dims = x.ndim - 2
    for axis in range(dims):
        n, s, more = (each_axis(each, dims)[axis] for each in (x.shape[2:], stride, output_padding))
        extent = each_axis(dilation, dims)[axis] * (weight.shape[2 + axis] - 1) + 1
        if padding == "same":
            total, more = max(0, extent - s), more + max(0, s - extent)
            before, after = total // 2, total - total // 2
        else:
            before, after = (0, 0) if padding == "valid" else pair(each_axis(padding, dims)[axis])
        size.append((n - 1) * s + extent)
        pads.append((0, more))
        kept.append(slice(before, max(0, size[-1] + more - after)))
    return size, pads, kept
