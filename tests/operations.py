"""A call of every operation, to test what all of them keep: bits, memory, threads, arrays."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from helpers import FLOATS, PIXELS, anything, extent, to_layout

import fastconv
from fastconv import (
    avg_pool2d,
    conv1d,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
    conv_integer,
    conv_quantized,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    filters,
    max_pool2d,
    plan_conv2d,
)

POOLED = (*FLOATS, "uint8", "int16", "uint16")


class Operation(NamedTuple):
    """A call of a public function: its options, and the shapes of its arrays for a width."""

    function: Callable
    dtypes: tuple
    shapes: Callable
    options: dict

    def arrays(self, dtype, width, seed=0):
        """The array arguments by name; kernels of image filters are float64."""
        rng = np.random.default_rng([seed, width])
        return {
            name: anything(rng, shape, "float64" if name.startswith("kernel") else dtype)
            for name, shape in self.shapes(width).items()
        }

    def __call__(self, arrays, **more):
        return self.function(**arrays, **self.options, **more)


def call_plan(x, weight, bias, out=None, threads=None, residual=None, **options):
    """conv2d by way of a plan."""
    return plan_conv2d(weight, bias, **options)(x, out, threads, residual)


def call_depthwise(x, weight, bias, **options):
    """conv2d with a group for each channel."""
    return conv2d(x, weight, bias, groups=len(weight), **options)


def call_gaussian(image, **options):
    """gaussian along the rows only: its two kernels differ."""
    return filters.gaussian(image, (0, 1.5), **options)


def gradient_and_angle(image, out=None, **options):
    """Two results of gradient, the first of them in `out`."""
    out = None if out is None else (out, None)
    return filters.gradient(image, outputs=("magnitude", "angle"), out=out, **options)


def mean_and_deviation(image, out=None, **options):
    """The two results of local_mean_std, the first of them in `out`."""
    out = None if out is None else (out, None)
    return filters.local_mean_std(image, out=out, **options)


def median_of_unsigned(image, **options):
    """The median of an image without negative numbers, which are compared in another way."""
    return filters.median(np.abs(image), **options)


def gradient_by_input(
    x, weight, out=None, threads=None, *, stride=(1, 1), padding=((0, 0), (0, 0)),
    dilation=(1, 1), groups=1, layout="NCHW", **options,
):  # fmt: skip
    """The first result of conv2d_backward, where x is its dy; a batch in, a batch out."""
    outputs = x.shape[2:] if layout == "NCHW" else x.shape[1:3]
    axes = zip(outputs, weight.shape[2:], stride, padding, dilation, strict=True)
    images = np.zeros((len(x), groups * weight.shape[1], *(extent(*axis) for axis in axes)))
    images = to_layout(images, layout).astype(x.dtype.newbyteorder("="))
    return conv2d_backward(
        x, images, weight, stride, padding, dilation, groups, layout=layout, threads=threads,
        output_mask=(True, False, False), out=(out, None, None), **options,
    )[0]  # fmt: skip


def gradient_by_parameters(dy, seen, out=None, *, kernel, groups=1, **options):
    """The other two; they are sums over the batch."""
    channels = [each.shape[1 if options.get("layout") != "NHWC" else -1] for each in (dy, seen)]
    weight = np.zeros((channels[0], channels[1] // groups, *kernel))
    return conv2d_backward(
        dy, seen, weight.astype(dy.dtype.newbyteorder("=")), groups=groups,
        output_mask=(False, True, True), out=(None, out, None), **options,
    )[1:]  # fmt: skip


def volume_by_input(x, weight, out=None, threads=None, *, more, layout="NCDHW", **options):
    """The first result of conv3d_backward, where x is its dy, of volumes so much larger."""
    size = np.add(x.shape[2:] if layout == "NCDHW" else x.shape[1:-1], more)
    volumes = np.zeros((len(x), weight.shape[1], *size))
    volumes = to_layout(volumes, layout).astype(x.dtype.newbyteorder("="))
    return conv3d_backward(
        x, volumes, weight, layout=layout, threads=threads, output_mask=(True, False, False),
        out=(out, None, None), **options,
    )[0]  # fmt: skip


def volume_by_parameters(dy, seen, out=None, *, kernel, **options):
    """The other two, which are sums over the batch."""
    channels = [each.shape[1 if options.get("layout") != "NDHWC" else -1] for each in (dy, seen)]
    weight = np.zeros((channels[0], channels[1], *kernel), dy.dtype.newbyteorder("="))
    return conv3d_backward(
        dy, seen, weight, output_mask=(False, True, True), out=(None, out, None), **options
    )[1:]


def transposed_gradients(dy, seen, weight, out=None, **options):
    """All three results of conv_transpose2d_backward."""
    return conv_transpose2d_backward(dy, seen, weight, out=(out, None, None), **options)


def pool_and_indices(x, **options):
    return max_pool2d(x, return_indices=True, **options)


def average_gradient(x, out=None, threads=None):
    """avg_pool2d_backward of x, whose windows overlap."""
    n, c, h, w = x.shape
    return fastconv.avg_pool2d_backward(
        x, (n, c, 2 * h, w + 1), (3, 2), (2, 1), ((1, 0), (0, 0)), out=out, threads=threads
    )


def average_gradient_nhwc(x, out=None, threads=None):
    n, h, w, c = x.shape
    return fastconv.avg_pool2d_backward(
        x, (n, h, w, c), 3, 1, 1, layout="NHWC", out=out, threads=threads
    )


def adaptive_gradient(x, out=None, threads=None):
    n, c, h, w = x.shape
    return fastconv.adaptive_avg_pool2d_backward(x, (n, c, h + 2, w + 3), out=out, threads=threads)


def unpooled(x, out=None, threads=None):
    """max_unpool2d to every second place of a row, some of them twice."""
    places = np.arange(0, 2 * x[0, 0].size, 2) // 4 * 4
    indices = np.broadcast_to(places.reshape(x.shape[2:]), x.shape)
    return fastconv.max_unpool2d(
        x, indices, (1, 2), output_size=(x.shape[2], 2 * x.shape[3]), out=out, threads=threads
    )


def fractional(x, out=None, threads=None):
    """The same random windows for each sample."""
    samples = np.broadcast_to([[0.25, 0.75], [0.5, 0.125]], (len(x), 2, 2))
    return fastconv.fractional_max_pool2d(
        x, 2, (3, x.shape[3] - 1), random_samples=samples, out=out, threads=threads
    )


def fractional_volume(x, out=None, threads=None):
    """The same random windows for each sample; channels are last, and each has its own."""
    samples = np.broadcast_to([[0.25, 0.75, 0.5], [0.5, 0.125, 0]], (len(x), 2, 3))
    return fastconv.fractional_max_pool3d(
        x, (1, 2, 2), (2, 3, x.shape[3] - 1), random_samples=samples, layout="NDHWC", out=out,
        threads=threads,
    )  # fmt: skip


def _layer(x, weight):
    return {"x": x, "weight": weight, "bias": weight[:1]}


def _block(x, weight, residual):
    return {**_layer(x, weight), "residual": residual}


_INDEXED = {"kernel_size": (2, 3), "stride": (2, 1), "padding": 1}

# A call for every path through the kernels. `w` stretches what the lanes run along.
OPERATIONS = {
    "conv2d": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 4, 5, w), (6, 4, 3, 3)),
        {"padding": 1, "algorithm": "direct"},
    ),
    "conv2d strided": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 3, 9, 2 * w + 3), (9, 3, 3, 2)),
        {"stride": 2, "dilation": (1, 3), "activation": "relu"},
    ),
    "conv2d grouped": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 6, 4, w), (4, 3, 2, 4)),
        {"groups": 2, "padding": "same", "padding_mode": "reflect"},
    ),
    "conv2d depthwise": Operation(
        call_plan, FLOATS, lambda w: _layer((2, 5, 4, w), (5, 1, 3, 3)),
        {"groups": 5, "padding": 1, "padding_mode": "edge"},
    ),
    "conv2d channels in the lanes": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 16, 5, w), (40, 16, 3, 3)),
        {"stride": (1, 2), "padding": 1},
    ),
    "conv2d depthwise by rows": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 3, 6, w + 40), (3, 1, 3, 3)),
        {"padding": ((1, 0), (1, 4)), "padding_mode": ("reflect", "zeros")},
    ),
    "conv2d depthwise by rows, strided": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 3, 6, 2 * w + 33), (6, 1, 3, 3)),
        {"groups": 3, "padding": ((2, 1), (1, 40)), "stride": 2, "activation": "relu"},
    ),
    "conv2d depthwise 5x5": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 3, 9, 2 * w + 3), (6, 1, 5, 5)),
        {"groups": 3, "padding": 2, "stride": 2, "activation": "relu"},
    ),
    "conv2d depthwise dilated": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 3, 8, w + 60), (3, 1, 3, 3)),
        {"padding": "same", "dilation": 3, "padding_mode": ("wrap", "reflect")},
    ),
    "conv2d depthwise 7x7": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 3, 8, 2 * w), (3, 1, 7, 7)),
        {"padding": ((3, 2), (5, 0)), "stride": (1, 2), "padding_mode": "symmetric"},
    ),
    "conv2d depthwise 4x3": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 3, 9, 3 * w), (3, 1, 4, 3)),
        {"padding": 1, "stride": (2, 3)},
    ),
    "conv2d winograd": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 49, 22, w + 20), (18, 49, 3, 3)),
        {"padding": ((1, 2), (0, 1)), "padding_mode": ("zeros", "wrap")},
    ),
    "conv2d winograd NHWC": Operation(
        conv2d, FLOATS, lambda w: _layer((3, 13, 22, 49 + w), (35, 49 + w, 3, 3)),
        {"layout": "NHWC", "padding": ((2, 1), (0, 1)), "padding_mode": ("reflect", "zeros")},
    ),
    "conv2d winograd of small images": Operation(
        conv2d, FLOATS, lambda w: _layer((3, 40, 7, 5 + w % 2), (70, 40, 3, 3)),
        {"padding": 1, "activation": "relu"},
    ),
    "conv2d winograd of tiny images": Operation(
        conv2d, FLOATS, lambda w: _layer((3, 40, 4, 2 + w % 2 * 2), (70, 40, 3, 3)),
        {"padding": 1, "activation": "relu"},
    ),
    "conv2d winograd of stride 2": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 96, 30, 55 + w % 2), (96, 96, 3, 3)),
        {"padding": ((1, 2), (0, 1)), "stride": 2, "padding_mode": ("zeros", "wrap")},
    ),
    "conv2d winograd of stride 2, NHWC": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 33, 57, 95 + w % 3), (96, 95 + w % 3, 3, 3)),
        {"layout": "NHWC", "stride": 2},
    ),
    "conv2d winograd of rows": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 49, 3, w + 20), (35, 49, 1, 3)),
        {"padding": ((1, 0), (0, 1)), "padding_mode": ("zeros", "wrap")},
    ),
    "conv2d winograd of rows, NHWC": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 3, 17, 64 + w), (35, 64 + w, 1, 7)),
        {"layout": "NHWC", "padding": ((0, 0), (2, 3)), "activation": "silu"},
    ),
    "conv2d of one row": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 3, 1, w), (130, 3, 1, 1)), {}
    ),
    "conv2d NHWC": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 4, 3, w), (7, w, 3, 2)),
        {"layout": "NHWC", "padding": ((1, 0), (0, 2)), "padding_mode": "wrap"},
    ),
    "conv2d NHWC unpadded": Operation(
        call_plan, FLOATS, lambda w: _layer((2, 5, 7, 6), (2 * w, 3, 3, 2)),
        {"layout": "NHWC", "groups": 2, "stride": (1, 2)},
    ),
    "conv2d NHWC depthwise": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 4, 6, w), (w, 1, 3, 3)),
        {"layout": "NHWC", "padding": 1},
    ),
    "conv2d residual": Operation(
        conv2d, FLOATS, lambda w: _block((2, 4, 5, w), (6, 4, 3, 3), (2, 6, 5, w)),
        {"padding": 1, "algorithm": "direct", "activation": "relu"},
    ),
    "conv2d winograd residual": Operation(
        call_plan, FLOATS,
        lambda w: _block((2, 33, 22, w + 20), (18, 33, 3, 3), (2, 18, 20, w + 18)),
        {"activation": "gelu"},
    ),
    "conv2d NHWC residual": Operation(
        conv2d, FLOATS, lambda w: _block((2, 4, 3, w), (7, w, 3, 2), (2, 2, 2, 7)),
        {"layout": "NHWC", "activation": "sigmoid"},
    ),
    "conv2d NHWC depthwise residual": Operation(
        call_depthwise, FLOATS, lambda w: _block((2, 4, 6, w), (w, 1, 3, 3), (2, 4, 6, w)),
        {"layout": "NHWC", "padding": 1, "activation": "tanh"},
    ),
    "conv2d grouped silu": Operation(
        call_plan, FLOATS, lambda w: _layer((2, 6, 4, w), (4, 3, 2, 4)),
        {"groups": 2, "padding": 3, "activation": "silu"},
    ),
    "conv2d NHWC grouped clip": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 5, 7, 6), (2 * w, 3, 3, 2)),
        {"layout": "NHWC", "groups": 2, "activation": ("clip", -0.3, 0.7)},
    ),
    "conv2d hard_swish": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 1, 2, w), (3, 1, 1, 1)), {"activation": "hard_swish"}
    ),
    "conv2d leaky_relu": Operation(
        conv2d, FLOATS, lambda w: _layer((2, 1, 2, w), (3, 1, 1, 1)), {"activation": "leaky_relu"}
    ),
    "conv2d NHWC depthwise 5x5": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 7, 9, w), (w, 1, 5, 5)),
        {"layout": "NHWC", "padding": 2, "stride": 2, "padding_mode": "edge"},
    ),
    "conv2d NHWC depthwise dilated": Operation(
        call_depthwise, FLOATS, lambda w: _layer((2, 5, 9, w), (w, 1, 3, 2)),
        {"layout": "NHWC", "padding": "same", "dilation": 2, "activation": "relu"},
    ),
    "conv_integer": Operation(
        conv_integer, ("uint8", "int8"), lambda w: {"x": (2, 6, 5, w), "weight": (35, 6, 3, 2)},
        {"padding": ((1, 0), (2, 3)), "x_zero_point": 3, "weight_zero_point": 5},
    ),
    "conv_integer strided, NHWC": Operation(
        conv_integer, ("uint8", "int8"), lambda w: {"x": (2, 5, 7, 6), "weight": (2 * w, 3, 3, 2)},
        {"layout": "NHWC", "groups": 2, "stride": (1, 2), "padding": 1},
    ),
    "conv_quantized of sequences": Operation(
        conv_quantized, ("uint8", "int8"), lambda w: {"x": (3, 4, 3 * w), "weight": (9, 4, 5)},
        {"stride": 3, "padding": 2, "x_scale": 0.03, "y_zero_point": 50},
    ),
    "conv2d_backward input": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 4, 5, w), "weight": (4, 6, 3, 2)},
        {"padding": ((1, 0), (0, 2)), "dilation": (1, 2), "algorithm": "direct"},
    ),
    "conv2d_backward input, winograd": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 49, 22, w), "weight": (49, 18, 3, 3)},
        {"padding": ((1, 1), (1, 1))},
    ),
    "conv2d_backward input, strided": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 6, 5, w), "weight": (6, 2, 3, 5)},
        {"stride": (3, 2), "padding": ((1, 2), (4, 0)), "dilation": (2, 1), "groups": 2},
    ),
    "conv2d_backward input, past its kernel": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 6, 5, w), "weight": (w, 3, 1, 2)},
        {"stride": (2, 3), "padding": ((1, 1), (3, 2)), "layout": "NHWC"},
    ),
    "conv2d_backward input, with a border": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 3, 5, w), "weight": (3, 2, 3, 3)},
        {"padding": ((1, 2), (2, 0)), "padding_mode": ("wrap", "reflect"), "stride": (1, 2)},
    ),
    "conv2d_backward input, with a border, NHWC": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 5, 3, w), "weight": (w, 7, 3, 2)},
        {"padding": ((2, 2), (0, 3)), "padding_mode": ("symmetric", "edge"), "layout": "NHWC"},
    ),
    "conv2d_backward input, depthwise": Operation(
        gradient_by_input, FLOATS, lambda w: {"x": (2, 3, 6, w + 40), "weight": (3, 1, 3, 3)},
        {"padding": ((1, 1), (1, 1)), "groups": 3},
    ),
    "conv2d_backward weight": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (3, 35, 19, w), "seen": (3, 17, 19, w)},
        {"kernel": (3, 3), "padding": 1, "padding_mode": ("zeros", "reflect"),
         "algorithm": "direct"},
    ),
    "conv2d_backward weight, winograd": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (5, 35, 19, w + 20), "seen": (5, 17, 19, w + 21)},
        {"kernel": (3, 3), "padding": ((1, 1), (0, 1)), "padding_mode": ("reflect", "zeros")},
    ),
    "conv2d_backward weight, winograd, NHWC": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (6, 18, w + 20, 2 * 33), "seen": (6, 20, w + 20, 2 * 18)},
        {"kernel": (3, 3), "padding": ((0, 0), (1, 1)), "groups": 2, "layout": "NHWC"},
    ),
    "conv2d_backward weight, of few channels": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (3, 20, 9, w), "seen": (3, 2, 18, 2 * w)},
        {"kernel": (3, 2), "stride": 2, "padding": ((1, 0), (0, 1))},
    ),
    "conv2d_backward weight, of few taps": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (11, 7, 19, w + 300), "seen": (11, 2, 20, w + 300)},
        {"kernel": (2, 4), "padding": ((0, 0), (2, 1)), "padding_mode": ("zeros", "reflect")},
    ),
    "conv2d_backward weight, 1x1": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 35, 4, w), "seen": (2, w + 1, 4, w)}, {"kernel": (1, 1)},
    ),
    "conv2d_backward weight, dilated, NHWC": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 9, 7, w), "seen": (2, 9, 14, 10)},
        {"kernel": (3, 2), "stride": (1, 2), "padding": ((2, 2), (0, 3)), "dilation": (2, 3),
         "layout": "NHWC"},
    ),
    "conv2d_backward weight, depthwise": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 18, 7, w), "seen": (2, 18, 7, w)},
        {"kernel": (5, 3), "groups": 18, "padding": (2, 1), "padding_mode": ("edge", "zeros")},
    ),
    "conv2d_backward weight, depthwise, dilated": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (3, 9, 5, w + 1), "seen": (3, 9, 11, w)},
        {"kernel": (4, 2), "groups": 9, "stride": (2, 1), "dilation": (2, 3),
         "padding": ((3, 1), (1, 3)), "padding_mode": ("wrap", "reflect")},
    ),
    "conv2d_backward weight, depthwise, strided": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 18, 7, w), "seen": (2, 18, 7, 2 * w)},
        {"kernel": (3, 3), "groups": 18, "stride": (1, 2), "padding": 1},
    ),
    "conv2d_backward weight, grouped, NHWC": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 5, w + 1, 36), "seen": (2, 10, 2 * w, 54)},
        {"kernel": (3, 2), "groups": 18, "stride": 2, "padding": 1, "layout": "NHWC"},
    ),
    "conv2d_backward weight, 1x1, strided": Operation(
        gradient_by_parameters, FLOATS,
        lambda w: {"dy": (2, 18, 4, w), "seen": (2, 7, 8, 2 * w)},
        {"kernel": (1, 1), "stride": 2},
    ),
    "conv1d": Operation(
        conv1d, FLOATS, lambda w: _layer((2, 4, w + 6), (6, 2, 3)),
        {"stride": 2, "padding": ((1, 2),), "groups": 2, "activation": "relu"},
    ),
    "conv1d, causal, NWC": Operation(
        conv1d, FLOATS, lambda w: _layer((2, 9, w), (7, w, 2)),
        {"padding": "causal", "dilation": 3, "layout": "NWC", "padding_mode": "edge"},
    ),
    "conv1d of long kernels": Operation(
        conv1d, FLOATS, lambda w: _layer((1, 1, 40 * w + 64), (20, 1, 64)), {"stride": 32},
    ),
    "conv3d": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 3, 4, 5, w), (6, 3, 3, 2, 3)),
        {"stride": (2, 1, 1), "padding": ((2, 1), (0, 1), (1, 1)), "activation": "gelu",
         "padding_mode": ("zeros", "wrap", "reflect")},
    ),
    "conv3d channels in the lanes": Operation(
        conv3d, FLOATS, lambda w: _block((2, 6, 3, 5, w + 2), (80, 3, 2, 3, 3), (2, 80, 2, 5, w)),
        {"groups": 2, "padding": (0, 1, 0), "activation": "relu"},
    ),
    "conv3d, NDHWC": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 4, 5, 3, w), (7, w, 3, 2, 2)),
        {"padding": ((1, 2), (0, 1), (1, 0)), "layout": "NDHWC", "dilation": (2, 1, 1),
         "padding_mode": ("symmetric", "zeros", "edge"), "activation": "tanh"},
    ),
    "conv3d, NDHWC unpadded": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 4, 5, 4, w), (7, w, 1, 2, 2)),
        {"stride": (2, 1, 1), "layout": "NDHWC"},
    ),
    "conv3d of 1x1x1": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 5, 3, 2, w), (18, 5, 1, 1, 1)), {}
    ),
    "conv3d depthwise": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 3, 4, 5, w), (3, 1, 3, 3, 3)),
        {"padding": 1, "groups": 3},
    ),
    "conv3d winograd": Operation(
        conv3d, FLOATS, lambda w: _block((2, 17, 4, 22, w + 20), (18, 17, 3, 3, 3),
                                         (2, 18, 4, 22, w + 20)),
        {"padding": 1, "padding_mode": ("zeros", "zeros", "wrap"), "activation": "relu"},
    ),
    "conv3d winograd, NDHWC": Operation(
        conv3d, FLOATS, lambda w: _layer((2, 3, 22, 41, w), (18, w, 3, 3, 3)),
        {"padding": ((2, 1), (1, 1), (0, 2)), "layout": "NDHWC", "stride": (2, 1, 1)},
    ),
    "conv3d_backward input": Operation(
        volume_by_input, FLOATS, lambda w: {"x": (2, 4, 3, 4, w), "weight": (4, 3, 3, 3, 2)},
        {"more": (0, 0, 0), "padding": ((1, 1), (1, 1), (1, 0)), "algorithm": "direct"},
    ),
    "conv3d_backward input, strided, with borders, NDHWC": Operation(
        volume_by_input, FLOATS, lambda w: {"x": (2, 4, 3, 4, w), "weight": (w, 3, 3, 2, 2)},
        {"more": (2, 2, 0), "padding": ((2, 1), (1, 0), (0, 1)), "stride": (2, 2, 1),
         "padding_mode": ("reflect", "zeros", "wrap"), "layout": "NDHWC"},
    ),
    "conv3d_backward weight": Operation(
        volume_by_parameters, FLOATS,
        lambda w: {"dy": (2, 19, 4, 5, w), "seen": (2, 17, 4, 5, w)},
        {"kernel": (3, 3, 3), "padding": 1, "padding_mode": ("zeros", "reflect", "zeros")},
    ),
    "conv3d_backward weight, NDHWC": Operation(
        volume_by_parameters, FLOATS,
        lambda w: {"dy": (2, 2, 3, 5, w), "seen": (2, 5, 4, 6, 3)},
        {"kernel": (2, 2, 2), "stride": (2, 1, 1), "layout": "NDHWC"},
    ),
    "conv_transpose1d": Operation(
        conv_transpose1d, FLOATS, lambda w: {"x": (2, 4, w), "weight": (4, 3, 5), "bias": (3,)},
        {"stride": 2, "padding": ((1, 0),), "output_padding": 1, "activation": "relu"},
    ),
    "conv_transpose3d": Operation(
        conv_transpose3d, FLOATS,
        lambda w: {"x": (2, 4, 3, 2, w), "weight": (4, 3, 3, 2, 4), "bias": (6,)},
        {"stride": (2, 1, 2), "padding": (1, 0, 1), "groups": 2, "activation": "relu"},
    ),
    "conv_transpose2d": Operation(
        conv_transpose2d, FLOATS,
        lambda w: {"x": (2, 4, 5, w), "weight": (4, 3, 3, 4), "bias": (6,)},
        {"stride": 2, "padding": ((1, 0), (0, 1)), "output_padding": (1, 0), "groups": 2,
         "activation": "relu"},
    ),
    "conv_transpose2d past its kernel": Operation(
        conv_transpose2d, FLOATS,
        lambda w: {"x": (2, 4, 5, w), "weight": (w, 3, 2, 1), "bias": (3,)},
        {"stride": 3, "activation": "sigmoid", "layout": "NHWC"},
    ),
    "conv_transpose2d backward": Operation(
        transposed_gradients, FLOATS,
        lambda w: {"dy": (2, 3, 13, 2 * w), "seen": (2, 5, 5, w), "weight": (5, 3, 3, 2)},
        {"stride": (3, 2), "padding": (1, 0)},
    ),
    "max_pool2d": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    ),
    "max_pool2d 2x2": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, 2 * w)}, {"kernel_size": 2},
    ),
    "max_pool2d NHWC": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 5, 6, w)},
        {"kernel_size": (2, 3), "stride": 1, "layout": "NHWC"},
    ),
    "max_pool2d and indices": Operation(
        pool_and_indices, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, w)}, _INDEXED
    ),
    "max_pool2d and indices NHWC": Operation(
        pool_and_indices, (*FLOATS, "uint8"), lambda w: {"x": (2, 4, 3, w)},
        {**_INDEXED, "layout": "NHWC"},
    ),
    "avg_pool2d": Operation(
        avg_pool2d, FLOATS, lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    ),
    "avg_pool2d strided": Operation(
        avg_pool2d, FLOATS, lambda w: {"x": (2, 2, 7, 3 * w)}, {"kernel_size": 3},
    ),
    "avg_pool2d NHWC": Operation(
        avg_pool2d, FLOATS, lambda w: {"x": (2, 5, 6, w)},
        {"kernel_size": 3, "padding": (0, 1), "ceil_mode": True, "layout": "NHWC"},
    ),
    "max_pool2d of pairs": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 6, 2 * w)}, {"kernel_size": 2},
    ),
    "max_pool2d of low planes": Operation(  # many rows of outputs at the end of the array
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (3, 20, 1, 2 * w)},
        {"kernel_size": 2, "stride": (1, 2), "padding": ((9, 9), (0, 0))},
    ),
    "max_pool2d of triples": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, 2 * w)},
        {"kernel_size": 3, "stride": 2, "padding": 1},
    ),
    "max_pool2d of windows beside each other": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (3, 9, 5, w + 1)},
        {"kernel_size": 3, "stride": (2, 1), "padding": ((1, 0), (0, 1))},
    ),
    "avg_pool3d of triples": Operation(
        fastconv.avg_pool3d, FLOATS, lambda w: {"x": (2, 2, 5, 6, 2 * w + 1)},
        {"kernel_size": 3, "stride": 2, "padding": (1, 1, 0)},
    ),
    "max_pool2d of many channels": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 5, 4, w + 60)},
        {"kernel_size": (3, 2), "stride": 2, "padding": 1, "layout": "NHWC"},
    ),
    "max_pool2d of 16 bits": Operation(
        max_pool2d, ("int16", "uint16"), lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": (3, 1), "stride": 3, "padding": ((1, 1), (0, 0))},
    ),
    "max_pool2d of far windows": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, 3 * w)},
        {"kernel_size": (4, 3), "stride": (1, 3), "dilation": (2, 1)},
    ),
    "max_pool2d dilated": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, 2 * w)},
        {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": (1, 2)},
    ),
    "max_pool2d of cut windows": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": 2, "stride": 1, "dilation": (1, 100), "padding": ((0, 0), (70, 90))},
    ),
    "max_pool2d of rows": Operation(
        max_pool2d, (*FLOATS, "uint8"), lambda w: {"x": (2, 2, 5, w)},
        {"kernel_size": (1, 2), "stride": (2, 1), "padding": (0, 1)},
    ),
    "max_pool1d": Operation(
        fastconv.max_pool1d, POOLED, lambda w: {"x": (2, 3, 2 * w)},
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    ),
    "max_pool1d NWC": Operation(
        fastconv.max_pool1d, POOLED, lambda w: {"x": (2, 9, w)},
        {"kernel_size": 3, "stride": 2, "padding": 1, "layout": "NWC"},
    ),
    "max_pool3d": Operation(
        fastconv.max_pool3d, POOLED, lambda w: {"x": (2, 2, 4, 5, w + 1)},
        {"kernel_size": (2, 9, 2), "stride": 1, "padding": (1, 4, 0)},
    ),
    "max_pool3d NDHWC": Operation(
        fastconv.max_pool3d, POOLED, lambda w: {"x": (2, 4, 5, 3, w)},
        {"kernel_size": 2, "padding": 1, "layout": "NDHWC"},
    ),
    "min_pool2d": Operation(
        fastconv.min_pool2d, POOLED, lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": 2, "stride": (1, 2), "padding": 1},
    ),
    "avg_pool1d": Operation(
        fastconv.avg_pool1d, POOLED, lambda w: {"x": (2, 3, w)},
        {"kernel_size": 3, "stride": 1, "padding": 1},
    ),
    "avg_pool2d of integers": Operation(
        avg_pool2d, ("uint8", "int16", "uint16"), lambda w: {"x": (2, 2, 7, w)},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": 1, "ceil_mode": True},
    ),
    "avg_pool3d": Operation(
        fastconv.avg_pool3d, FLOATS, lambda w: {"x": (2, 2, 4, 5, w + 1)},
        {"kernel_size": (2, 3, 2), "stride": (1, 2, 2)},
    ),
    "lp_pool2d": Operation(
        fastconv.lp_pool2d, FLOATS, lambda w: {"x": (2, 2, 5, w)},
        {"norm_type": 2.5, "kernel_size": 2, "stride": 1, "padding": 1},
    ),
    "median_pool2d": Operation(
        fastconv.median_pool2d, POOLED, lambda w: {"x": (2, 2, 5, w)},
        {"kernel_size": 3, "stride": (2, 1), "padding": 1},
    ),
    "adaptive_avg_pool2d": Operation(
        fastconv.adaptive_avg_pool2d, POOLED, lambda w: {"x": (2, 2, 5, w)}, {"output_size": (3, 4)}
    ),
    "adaptive_max_pool2d NHWC": Operation(
        fastconv.adaptive_max_pool2d, POOLED, lambda w: {"x": (2, 5, 4, w)},
        {"output_size": (3, 3), "layout": "NHWC"},
    ),
    "global_avg_pool": Operation(
        fastconv.global_avg_pool, POOLED, lambda w: {"x": (2, 5, 9, w)}, {}
    ),
    "global_avg_pool of long planes": Operation(
        fastconv.global_avg_pool, FLOATS, lambda w: {"x": (1, 3, 201, 2 * w + 1)}, {}
    ),
    "global_max_pool of long planes": Operation(
        fastconv.global_max_pool, FLOATS, lambda w: {"x": (1, 3, 201, 2 * w + 1)}, {}
    ),
    "global_max_pool": Operation(
        fastconv.global_max_pool, POOLED, lambda w: {"x": (2, 70, 2, w)}, {}
    ),
    "global_avg_pool NHWC": Operation(
        fastconv.global_avg_pool, POOLED, lambda w: {"x": (2, 7, 9, w)}, {"layout": "NHWC"}
    ),
    "fractional_max_pool2d": Operation(fractional, POOLED, lambda w: {"x": (2, 2, 5, w + 1)}, {}),
    "fractional_max_pool3d NDHWC": Operation(
        fractional_volume, POOLED, lambda w: {"x": (2, 3, 5, w + 1, 2)}, {}
    ),
    "max_unpool2d": Operation(unpooled, POOLED, lambda w: {"x": (2, 2, 3, w)}, {}),
    "max_pool2d_backward": Operation(
        fastconv.max_pool2d_backward, FLOATS, lambda w: {"dy": (2, 2, 4, w + 1), "x": (2, 2, 7, w)},
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1},
    ),
    "max_pool2d_backward 2x2": Operation(
        fastconv.max_pool2d_backward, FLOATS,
        lambda w: {"dy": (2, 2, 3, w), "x": (2, 2, 7, 2 * w + 1)}, {"kernel_size": 2},
    ),
    "max_pool2d_backward 2x2, narrow": Operation(
        fastconv.max_pool2d_backward, FLOATS,
        lambda w: {"dy": (w, 2, 3, w % 9 + 1), "x": (w, 2, 6, w % 9 * 2 + 2)}, {"kernel_size": 2},
    ),
    "lp_pool2d_backward": Operation(
        fastconv.lp_pool2d_backward, FLOATS, lambda w: {"dy": (2, 2, 6, w), "x": (2, 2, 7, w + 2)},
        {"norm_type": 3, "kernel_size": (2, 3), "stride": 1},
    ),
    "avg_pool2d_backward": Operation(
        average_gradient, FLOATS, lambda w: {"x": (2, 2, 4, w)}, {}
    ),
    "avg_pool2d_backward NHWC": Operation(
        average_gradient_nhwc, FLOATS, lambda w: {"x": (2, 4, 3, w)}, {}
    ),
    "adaptive_avg_pool2d_backward": Operation(
        adaptive_gradient, FLOATS, lambda w: {"x": (2, 2, 4, w)}, {}
    ),
    "filter2d": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 6, w), "kernel": (3, 3)}, {}
    ),
    "filter2d with a bank": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 6, w, 3), "kernel": (2, 4, 2)},
        {"channel_axis": -1, "border": "wrap", "out_dtype": "float32", "scale": 0.1},
    ),
    "filter2d of 5 rows": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 11, w), "kernel": (5, 3)}, {}
    ),
    "filter2d of 7 rows": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 11, w, 2), "kernel": (7, 2)},
        {"channel_axis": -1, "border": "edge"},
    ),
    "filter2d of many rows": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 21, w), "kernel": (20, 30)},
        {"border": ("wrap", "edge"), "delta": 2},
    ),
    "filter2d of more than scratch memory holds": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 3, 2, 1450 + w), "kernel": (2, 80)},
        {"channel_axis": -1, "border": "wrap"},
    ),
    "filter2d of more than scratch memory holds, strided": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 4, 7, 1450 + w), "kernel": (2, 2, 80)},
        {"channel_axis": -1, "stride": (2, 3), "border": ("constant", "reflect"), "cval": 3},
    ),
    "filter2d of rows": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 5, w + 4), "kernel": (1, 5)},
        {"border": "valid", "delta": 7},
    ),
    "sep_filter2d": Operation(
        filters.sep_filter2d, PIXELS,
        lambda w: {"image": (2, 6, w), "kernel_y": (5,), "kernel_x": (4,)},
        {"border": "constant", "cval": 3, "out_dtype": "float64"},
    ),
    "filter2d, strided": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 6, 2 * w + 5), "kernel": (3, 3)},
        {"stride": 2},
    ),
    "filter2d with a bank, strided": Operation(
        filters.filter2d, PIXELS, lambda w: {"image": (2, 9, 3 * w + 4, 3), "kernel": (2, 4, 2)},
        {"channel_axis": -1, "border": "wrap", "out_dtype": "float32", "stride": (2, 3)},
    ),
    "sep_filter2d, strided": Operation(
        filters.sep_filter2d, PIXELS,
        lambda w: {"image": (2, 7, w + 6, 5), "kernel_y": (5,), "kernel_x": (4,)},
        {"border": "constant", "cval": 3, "channel_axis": -1, "stride": (3, 5)},
    ),
    "gaussian": Operation(call_gaussian, PIXELS, lambda w: {"image": (2, 6, w)}, {}),
    "gaussian, strided": Operation(
        filters.gaussian, PIXELS, lambda w: {"image": (2, 6, 4 * w + 1)},
        {"sigma": 0.8, "stride": (1, 4)},
    ),
    "gaussian, recursive": Operation(
        filters.gaussian, PIXELS, lambda w: {"image": (2, 6, w)},
        {"sigma": (1.2, 4), "method": "recursive"},
    ),
    "gaussian, recursive, of channels": Operation(
        filters.gaussian, PIXELS, lambda w: {"image": (2, 70, w, 3)},
        {"sigma": (30, 0.7), "method": "recursive", "channel_axis": -1,
         "border": ("wrap", "constant"), "cval": 3},
    ),
    "sobel": Operation(filters.sobel, PIXELS, lambda w: {"image": (2, 6, w)}, {"ksize": 5}),
    "laplacian": Operation(
        filters.laplacian, PIXELS, lambda w: {"image": (2, 6, w)}, {"border": "symmetric"}
    ),
    "box": Operation(filters.box, PIXELS, lambda w: {"image": (2, 6, w)}, {"size": (2, 5)}),
    "box of groups": Operation(
        filters.box, PIXELS, lambda w: {"image": (2, 23, w, 3)},
        {"size": (11, 13), "channel_axis": -1, "border": ("constant", "wrap"), "cval": 3},
    ),
    "box of large windows": Operation(
        filters.box, PIXELS, lambda w: {"image": (2, 12, w)}, {"size": (19, 23), "border": "wrap"},
    ),
    "dilate": Operation(filters.dilate, PIXELS, lambda w: {"image": (2, 7, w)}, {"footprint": 5}),
    "erode of groups": Operation(
        filters.erode, PIXELS, lambda w: {"image": (2, 30, w, 2)},
        {"footprint": (9, 20), "channel_axis": -1, "border": "constant", "cval": 7},
    ),
    "dilate by a cross": Operation(
        filters.dilate, PIXELS, lambda w: {"image": (2, 6, w + 3)},
        {"footprint": np.array([[0, 1, 0, 0], [1, 1, 1, 1]]), "border": "valid"},
    ),
    "dilate of more than scratch memory holds": Operation(
        filters.dilate, PIXELS, lambda w: {"image": (2, 2, 3, 1450 + w)},
        {"footprint": np.add.outer(range(6), range(80)) % 7 == 0, "channel_axis": -1},
    ),
    "erode by a dome": Operation(
        filters.erode, PIXELS, lambda w: {"image": (2, 6, w)},
        {"structure": np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]])},
    ),
    "opening": Operation(filters.opening, PIXELS, lambda w: {"image": (2, 6, w)}, {}),
    "top_hat": Operation(
        filters.top_hat, PIXELS, lambda w: {"image": (2, 6, w, 3)}, {"channel_axis": -1}
    ),
    "median": Operation(filters.median, PIXELS, lambda w: {"image": (2, 6, w)}, {}),
    "median of 5x5": Operation(
        filters.median, PIXELS, lambda w: {"image": (2, 6, w, 2)},
        {"size": 5, "channel_axis": -1, "border": "edge"},
    ),
    "median of a network": Operation(
        filters.median, PIXELS, lambda w: {"image": (2, 8, w, 2)},
        {"size": (6, 7), "channel_axis": -1, "border": "symmetric"},
    ),
    "rank of sorted tiles": Operation(
        filters.rank, PIXELS, lambda w: {"image": (2, 21, w, 2)},
        {"rank": 100, "size": (15, 11), "channel_axis": -1, "border": ("constant", "wrap")},
    ),
    "median of turned tiles": Operation(
        filters.median, PIXELS, lambda w: {"image": (2, 7, w)}, {"size": (4, 40)},
    ),
    "percentile": Operation(
        filters.percentile, PIXELS, lambda w: {"image": (2, 6, w, 2)},
        {"q": 30, "size": (4, 3), "channel_axis": -1, "border": "constant", "cval": 5},
    ),
    "gaussian derivative": Operation(
        filters.gaussian, PIXELS, lambda w: {"image": (2, 6, w)},
        {"sigma": (1.2, 0.6), "order": (0, 1)},
    ),
    "scharr": Operation(filters.scharr, PIXELS, lambda w: {"image": (2, 6, w)}, {"scale": 0.3}),
    "prewitt": Operation(
        filters.prewitt, PIXELS, lambda w: {"image": (2, 6, w, 3)},
        {"dx": 0, "dy": 1, "channel_axis": -1},
    ),
    "roberts": Operation(
        filters.roberts, PIXELS, lambda w: {"image": (2, 6, w)}, {"border": ("edge", "wrap")}
    ),
    "laplacian_of_gaussian": Operation(
        filters.laplacian_of_gaussian, PIXELS, lambda w: {"image": (2, 6, w)}, {"sigma": 0.9}
    ),
    "difference_of_gaussians": Operation(
        filters.difference_of_gaussians, PIXELS, lambda w: {"image": (2, 6, w)},
        {"low_sigma": (0, 0.7), "out_dtype": "int16"},
    ),
    "gradient": Operation(
        filters.gradient, PIXELS, lambda w: {"image": (2, 6, w + 2)},
        {"outputs": "angle", "border": "valid"},
    ),
    "local_mean_std": Operation(
        mean_and_deviation, PIXELS, lambda w: {"image": (2, 6, w, 2)},
        {"size": (3, 2), "channel_axis": -1, "out_dtype": "float64"},
    ),
    "box by threes": Operation(
        filters.box, PIXELS, lambda w: {"image": (2, 8, w, 3)},
        {"size": (6, 9), "channel_axis": -1, "out_dtype": "float64"},
    ),
    "median of numbers without a sign": Operation(
        median_of_unsigned, PIXELS, lambda w: {"image": (2, 6, w)}, {},
    ),
    "median of 5x5 of such": Operation(
        median_of_unsigned, PIXELS, lambda w: {"image": (2, 6, w)}, {"size": 5},
    ),
    "sep_filter2d of colours": Operation(
        filters.sep_filter2d, PIXELS,
        lambda w: {"image": (2, 6, w, 3), "kernel_y": (2,), "kernel_x": (14,)},
        {"channel_axis": -1},
    ),
    "gradient of two": Operation(
        gradient_and_angle, PIXELS, lambda w: {"image": (2, 6, w, 3)},
        {"operator": "scharr", "channel_axis": -1, "out_dtype": "float64"},
    ),
    "harris": Operation(
        filters.harris, PIXELS, lambda w: {"image": (2, 6, w)},
        {"sigma": (0.8, 0.4), "border": ("reflect", "constant"), "cval": 9},
    ),
    "shi_tomasi": Operation(
        filters.shi_tomasi, PIXELS, lambda w: {"image": (2, 6, w, 3)}, {"channel_axis": -1}
    ),
}  # fmt: skip
# (name, dtype) of every call.
CALLS = [(name, dtype) for name, each in OPERATIONS.items() for dtype in each.dtypes]
