"""Scratch memory: a call takes its inputs, its output, and at most 4 MB for each thread.

The packed weights of a call are its weights in another order (Winograd's are three to ten times as
many, for 3x3 kernels); a plan keeps them, plain calls hand one buffer of them on (at most 16 MB).
They are not scratch memory.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest
from helpers import BORDERS, anything, assert_same_bits, change_plans, integers
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import _geometry, _plan, conv2d, filters, reference
from fastconv.filters import _image

MOST_BYTES = 4 * 2**20

# (input channels, output channels, rows, columns, kernel, more) of layers of real networks.
LAYERS = {
    "ResNet-50 first": (3, 64, 224, 224, 7, {"stride": 2}),
    "ResNet-50 conv2 1x1": (64, 256, 56, 56, 1, {}),
    "ResNet-50 conv2 3x3": (64, 64, 56, 56, 3, {}),
    "ResNet-50 conv3 3x3, strided": (128, 128, 56, 56, 3, {"stride": 2}),
    "ResNet-50 conv3 shortcut": (256, 512, 56, 56, 1, {"stride": 2}),
    "ResNet-50 conv4 3x3": (256, 256, 14, 14, 3, {}),
    "ResNet-50 conv5 1x1": (2048, 512, 7, 7, 1, {}),
    "ResNet-50 conv5 shortcut": (1024, 2048, 14, 14, 1, {"stride": 2}),
    "ResNet-50 conv5 3x3": (512, 512, 7, 7, 3, {}),
    "ResNeXt-50 conv3": (256, 256, 28, 28, 3, {"groups": 32}),
    "VGG-16 first": (3, 64, 224, 224, 3, {}),
    "VGG-16 conv1_2": (64, 64, 224, 224, 3, {}),
    "VGG-16 conv3_2": (256, 256, 56, 56, 3, {}),
    "VGG-16 conv4_2": (512, 512, 28, 28, 3, {}),
    "VGG-16 conv5_1": (512, 512, 14, 14, 3, {}),
    "MobileNet first": (3, 32, 224, 224, 3, {"stride": 2}),
    "MobileNet depthwise": (32, 32, 112, 112, 3, {"groups": 32}),
    "MobileNet depthwise, strided": (512, 512, 14, 14, 3, {"groups": 512, "stride": 2}),
    "MobileNet 1x1": (1024, 1024, 7, 7, 1, {}),
    "EfficientNet depthwise": (672, 672, 14, 14, 5, {"groups": 672}),
    "ConvNeXt first": (3, 96, 224, 224, 4, {"stride": 4, "padding": 0}),
    "ConvNeXt depthwise": (96, 96, 56, 56, 7, {"groups": 96}),
    "U-Net first": (3, 64, 512, 512, 3, {}),
    "U-Net second": (64, 64, 512, 512, 3, {}),
    "U-Net bottom": (512, 1024, 32, 32, 3, {}),
    "U-Net widest": (1024, 512, 64, 64, 3, {}),
    "U-Net up, after a join": (128, 64, 512, 512, 3, {}),
    "U-Net last": (64, 2, 512, 512, 1, {}),
    "DeepLab, dilated": (2048, 256, 33, 33, 3, {"dilation": 12, "padding": 12}),
    "Inception 1x7": (768, 192, 17, 17, (1, 7), {"padding": (0, 3)}),
    "AlexNet first": (3, 96, 227, 227, 11, {"stride": 4, "padding": 0}),
    "SSD conv4_3, classes": (512, 84, 38, 38, 3, {}),
    "SSD fc7, classes": (1024, 126, 19, 19, 3, {}),
    "SRCNN first": (1, 64, 512, 512, 9, {}),
    "SRCNN last": (32, 1, 512, 512, 5, {}),
}

# Beyond those: (input channels, output channels, size, kernel, more).
OTHERS = list(
    product((1, 16, 500, 2048), (16, 500, 2048), (14, 33, 112, 500), (1, 3, 7),
            ({}, {"stride": 2}, {"dilation": 6}))
)  # fmt: skip


def scratch_bytes(layer, layout, bits, n=1, threads=1):
    """Of each algorithm that may compute a layer; nothing is computed."""
    c, k, h, w, kernel, options = layer
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    options = {"stride": 1, "padding": kernel[0] // 2, "dilation": 1, "groups": 1, **options}
    stride, dilation = ((options[name],) * 2 for name in ("stride", "dilation"))
    padding = _geometry.padding("conv2d", options["padding"])
    rows, cols = _geometry.windows("conv2d", (h, w), kernel, stride, padding, dilation)
    groups = options["groups"]
    geometry = _geometry.Conv2d(
        n, groups, c // groups, k // groups, rows, cols, ("constant", "constant"), (None,), False,
        layout, bits,
    )  # fmt: skip
    return [
        _plan.conv2d(geometry, winograd, threads)[0].scratch_bytes
        for winograd in (False, True)[: 1 + (_plan.winograd_refused(geometry) is None)]
    ]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_networks(isa, layout, bits, name):
    """Of one sample and of many, on one thread and on several, with Winograd and without."""
    for n, threads in ((1, 1), (1, 3), (8, 1), (8, 16)):
        assert max(scratch_bytes(LAYERS[name], layout, bits, n, threads)) <= MOST_BYTES


@pytest.mark.parametrize("bits", [32, 64])
def test_other_layers(isa, layout, bits):
    for c, k, size, kernel, options in OTHERS:
        layer = (c, k, size, size, kernel, {"padding": "same", **options})
        assert max(scratch_bytes(layer, layout, bits)) <= MOST_BYTES, layer


@pytest.mark.parametrize(("x", "weight", "options"), [
    ((1, 3, 200, 500), (6, 500, 3, 3), {"layout": "NHWC", "padding": 1, "dilation": (1, 60)}),
    ((1, 3, 40, 40), (1000, 3, 17, 17), {"padding": 8}),
], ids=["copied", "sums"])  # fmt: skip
def test_blocks_that_keep_to_it(isa, tasks, x, weight, options):
    """Of the channels that are copied, and of those that are summed."""
    rng = np.random.default_rng(1)
    x, weight = (integers(rng, shape, np.float32, 2) for shape in (x, weight))
    assert_array_equal(conv2d(x, weight, **options), reference.conv2d(x, weight, **options))
    sizes = tasks[-1].sizes
    assert sizes["block_c"] < sizes["c"] or sizes["block_k"] < sizes["k"]
    assert tasks[-1].scratch_bytes <= MOST_BYTES


@pytest.mark.parametrize("channels", [1, 3, 11, 16, 31, 300, 2048])
@pytest.mark.parametrize("image_dtype", ["uint8", "float32", "float64"])
def test_filters(isa, image_dtype, channels):
    """Of narrow images and of wide ones, whose lines are cut; nothing is computed.

    One pixel of hundreds of channels, under a window of hundreds of columns, is a line of more.
    """
    long = channels <= 16
    rng = np.random.default_rng(2)
    for width in (7, 60, 3000):
        image = np.zeros((0, 12, width, channels), image_dtype)
        for function, arguments in (
            *((function, (size,)) for size in (3, 5, 9, 11)
              for function in (filters.box, filters.maximum, filters.local_mean_std)),
            *((filters.median, (size,)) for size in (3, 5, 7)),
            *((filters.filter2d, (rng.random(size),))
              for size in ((3, 3), (5, 5), (7, 7), (9, 9), (15, 15), (31, 31), (59, 46))),
            (filters.filter2d, (rng.random((2, 63, 63)),)),
            *((filters.dilate, (rng.random(size) < 0.5,))
              for size in ((15, 15), (63, 63), (256, 16), (16, 100))),
            *((partial(filters.filter2d, stride=stride), (rng.random(size),))
              for size, stride in (((63, 63), (1, 60)), ((500, 3), 2), ((40, 40), (7, 3)))),
            (filters.sep_filter2d, (rng.random(7), rng.random(7))),
            *((filters.gaussian, (sigma,)) for sigma in (5, 30, 101)[: 1 + 2 * long]),
            *((filters.box, (size,)) for size in (31, 801)[: 1 + long]),
            (filters.gradient, ()), (filters.harris, ()),
        ):  # fmt: skip
            question = _image.Asked()
            token = _image.asked.set(question)
            function(image, *arguments, channel_axis=-1, threads=1)
            _image.asked.reset(token)
            for geometry, _, _ in question.passes:
                task = _plan.filter2d(geometry, 1)[0]
                assert task.scratch_bytes <= MOST_BYTES, (function, arguments, width)
                # A block of a column or two computes whole vectors for them.
                assert task.blocks[1] * channels >= min(16, geometry.cols.o), (function, arguments)


@pytest.mark.parametrize(("function", "size", "channels", "dtype", "whole"), [
    ("filter2d", (31, 31), 100, "float32", True), ("filter2d", (63, 63), 170, "float32", True),
    ("filter2d", (63, 63), 300, "float32", False), ("filter2d", (59, 46), 200, "float64", False),
    ("dilate", (63, 63), 100, "float32", True), ("dilate", (220, 220), 3, "float64", True),
    ("dilate", (256, 256), 3, "float32", True), ("dilate", (63, 63), 300, "float64", False),
])  # fmt: skip
def test_which_filters_go_by_parts(tasks, function, size, channels, dtype, whole):
    """Only those whose lines do not fit: lines come again for each part."""
    element = np.random.default_rng(5).random(size) < 0.5
    image = np.ones((2, 2, channels), dtype)
    if function == "filter2d":
        filters.filter2d(image, element * 0.1, channel_axis=-1, algorithm="direct")
    else:
        filters.dilate(image, element, channel_axis=-1)
    assert (tasks[-1].sizes["kernel_rows"] == size[0]) == whole
    assert tasks[-1].scratch_bytes <= MOST_BYTES


# A shape, the axis of channels, the size of a kernel, and more.
BY_PARTS = [
    ((5, 7), None, (4, 9), {"delta": 2, "scale": -0.3}), ((2, 17, 70), None, (3, 13, 5), {}),
    ((9, 40, 3), -1, (11, 4), {"anchor": (0, 3)}), ((1, 1), None, (12, 2), {}),
    ((7, 150), None, (7, 5), {"stride": (2, 3)}), ((2, 8, 33, 5), -1, (2, 5, 2), {"stride": 2}),
    ((6, 9, 2), -1, (13, 1), {"stride": (1, 4)}), ((8, 30), None, (11, 3), {"stride": (2, 1)}),
    ((11, 50), None, (12, 33), {}), ((6, 2, 2), -1, (11, 21), {}), ((5, 70), None, (9, 19), {}),
]  # fmt: skip


@pytest.mark.parametrize("border", [*BORDERS, "valid"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_kernels_by_parts(isa, monkeypatch, tasks, dtype, border):
    """A kernel that sees more lines than a ring may hold: the same sums, added up in parts."""
    rng = np.random.default_rng(3)
    for shape, axis, size, options in BY_PARTS:
        shape = list(shape)
        at = len(shape) - 2 - (axis is not None)
        if border == "valid":
            shape[at : at + 2] = shape[at] + size[-2], shape[at + 1] + size[-1]
        images = integers(rng, shape, dtype), anything(rng, shape, dtype)  # exact sums, and others
        image, kernel = np.stack(images), integers(rng, size, "float32")
        options = {"border": border, "channel_axis": axis, "algorithm": "direct", **options}
        whole = filters.filter2d(image, kernel, **options)
        assert tasks[-1].sizes["kernel_rows"] == size[-2]
        bound = 1e-5 * float(abs(np.nan_to_num(whole[1], posinf=0, neginf=0)).max(initial=1))
        for rows in (1, 2, 5, 6):
            with monkeypatch.context() as patch:
                line = size[-1] * image.dtype.itemsize * (1 if axis is None else shape[-1])
                ring = rows * line
                change_plans(patch, MOST_RING=1, RING_LINES=0, RING_BYTES=ring)
                parts = filters.filter2d(image, kernel, threads=2, **options)
            assert tasks[-1].sizes["kernel_rows"] <= rows
            assert_same_bits(parts[0], whole[0])
            assert_allclose(parts[1], whole[1], 1e-3 if dtype == "float16" else 1e-5, bound)


@pytest.mark.parametrize("border", [*BORDERS, "valid"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_footprints_some_rows_at_a_time(isa, monkeypatch, tasks, dtype, border):
    """Of a footprint that sees more than a ring may hold: flat ones and those with heights."""
    rng = np.random.default_rng(4)
    for shape, size in (((8, 9), (5, 4)), ((2, 12, 40), (9, 3)), ((14, 70), (12, 12))):
        image, footprint = anything(rng, shape, dtype), rng.random(size) < 0.4
        footprint[1:3] = False  # rows of no element
        footprint[3, 2] = True
        for element in (
            {"footprint": footprint},
            {"footprint": footprint, "structure": rng.standard_normal(size)},
        ):
            for filtered in (filters.dilate, filters.erode):
                plain = filtered(image, **element, border=border)
                for rows in (1, 2, 3):
                    with monkeypatch.context() as patch:
                        ring = rows * size[1] * image.dtype.itemsize
                        change_plans(
                            patch, ELEMENT_BYTES=0, MOST_RING=1, RING_LINES=0, RING_BYTES=ring
                        )
                        some = filtered(image, **element, border=border, threads=2)
                    assert tasks[-1].sizes["kernel_rows"] <= rows < size[0]
                    assert_same_bits(some, plain)
