"""Prepared plans, and the plans behind every call: algorithm, blocks, threads."""

import math
import re

import numpy as np
import pytest
from helpers import assert_same_bits, change_plans
from operations import OPERATIONS

import fastconv
from fastconv import _config, _geometry, _plan, conv2d, filters, plan_conv2d

RNG = np.random.default_rng(1)
WEIGHT, BIAS = RNG.standard_normal((5, 2, 3, 3)), RNG.standard_normal(5)


@pytest.mark.parametrize("options", [
    {}, {"stride": 2, "padding": 1, "activation": "relu"}, {"layout": "NHWC", "dilation": 2},
    {"padding": "same", "padding_mode": "wrap", "algorithm": "direct"},
])
def test_a_plan_takes_any_batch_and_size(isa, dtype, options):
    weight, bias = WEIGHT.astype(dtype), BIAS.astype(dtype)
    plan = plan_conv2d(weight, bias, **options)
    for n, h, w in [(1, 7, 9), (3, 5, 40), (0, 8, 8), (1, 7, 9), (2, 30, 5)]:
        shape = (n, h, w, 2) if options.get("layout") else (n, 2, h, w)
        x = RNG.standard_normal(shape).astype(dtype)
        expected = conv2d(x, weight, bias, **options)
        assert_same_bits(plan(x), expected)
        out = np.zeros_like(expected)
        assert plan(x, out=out, threads=2) is out
        assert_same_bits(out, expected)


def test_a_plan_keeps_its_own_weights(layout):
    weight, bias = np.ones((2, 3, 1, 1)), np.zeros(2)
    plan = plan_conv2d(weight, bias, layout=layout)
    weight[:], bias[:] = 7, 7
    assert np.all(plan(np.ones((1, 3, 3, 3))) == 3)
    weight.setflags(write=False)
    assert np.all(plan_conv2d(weight, layout=layout)(np.ones((1, 3, 3, 3))) == 21)


def test_a_plan_runs_on_the_instruction_set_in_use():
    plan, x = plan_conv2d(WEIGHT), RNG.standard_normal((1, 2, 9, 9))
    expected = plan(x)
    for isa in fastconv.available_isas():
        with _config.use_isa(isa):
            assert_same_bits(plan(x), expected)


def test_a_plan_says_what_it_is():
    plan = plan_conv2d(np.ones((8, 3, 5, 1), np.float32), stride=(2, 1), padding="same", groups=2)
    assert repr(plan) == (
        "Conv2dPlan(6 -> 8 channels, kernel 5x1, stride (2, 1), padding 'same', dilation (1, 1), "
        "groups 2, NCHW, float32)"
    )


def test_the_calls_of_the_other_tests_are_planned_as_they_say(tasks):
    for name, algorithm in {
        "conv2d": "direct_pixel", "conv2d channels in the lanes": "direct_channel",
        "conv2d winograd": "winograd_4x4", "conv2d winograd NHWC": "winograd_4x4",
        "conv2d winograd of small images": "winograd_3x3",
        "conv2d winograd of tiny images": "winograd_2x2",
        "conv2d winograd of stride 2": "winograd_stride_2",
        "conv2d winograd of stride 2, NHWC": "winograd_stride_2",
        "conv2d depthwise by rows": "depthwise_rows",
        "conv2d depthwise by rows, strided": "depthwise_rows",
        "conv2d NHWC": "direct_channel", "conv2d NHWC depthwise": "depthwise",
        "conv2d depthwise": "depthwise_plane", "conv2d depthwise 5x5": "depthwise_plane",
    }.items():  # fmt: skip
        for dtype, width in [("float32", 37), *(("float64", w) for w in (1, 2, 3, 4))]:
            if width == 37 or "winograd" in name:
                OPERATIONS[name](OPERATIONS[name].arrays(dtype, width))
                assert tasks[-1].algorithm == algorithm


def test_calls_of_one_geometry_are_planned_once(tasks):
    for _ in range(2):
        conv2d(np.ones((1, 2, 9, 9)), WEIGHT)
        filters.filter2d(np.ones((9, 9)), np.ones((3, 3)))
        fastconv.max_pool2d(np.ones((1, 2, 9, 9)), 2)
    assert [task.algorithm for task in tasks] == ["direct_pixel", "filter2d", "pool"]


@pytest.mark.parametrize(("x", "weight", "options", "algorithm"), [
    ((1, 48, 40, 40), (16, 48, 3, 3), {}, "winograd_4x4"),
    ((1, 47, 40, 40), (64, 47, 3, 3), {}, "winograd_3x3"),  # 4x4 would lose accuracy
    ((1, 128, 56, 56), (128, 128, 3, 3), {"padding": 1, "stride": 2}, "winograd_stride_2"),
    ((1, 256, 28, 28), (256, 256, 3, 3), {"padding": 1, "stride": 2}, "direct_channel"),
    ((1, 96, 40, 40), (32, 48, 3, 3), {"groups": 2}, "winograd_4x4"),
    ((99, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}, "winograd_2x2"),  # not of 99 samples
    ((1, 15, 40, 20), (16, 15, 3, 3), {}, "direct_channel"),
    ((1, 15, 40, 40), (16, 15, 3, 3), {}, "direct_pixel"),  # one vector of output channels
    ((1, 15, 40, 50), (16, 15, 3, 3), {}, "direct_pixel"),  # rows of three vectors
    ((1, 3, 40, 40), (16, 3, 1, 1), {}, "direct_pixel"),  # a row of 100 vectors
    ((1, 16, 40, 40), (15, 16, 3, 3), {}, "direct_pixel"),
    ((1, 16, 40, 40), (16, 16, 3, 3), {"stride": 2}, "direct_channel"),
    ((1, 16, 40, 40), (16, 16, 3, 3), {"dilation": 2}, "direct_pixel"),
    ((1, 16, 40, 40), (16, 16, 3, 1), {}, "direct_pixel"),
    ((1, 16, 40, 40), (16, 16, 5, 5), {}, "direct_pixel"),
    ((1, 16, 40, 40), (16, 16, 3, 3), {"algorithm": "direct"}, "direct_pixel"),
    ((1, 40, 40, 48), (16, 48, 3, 3), {"layout": "NHWC"}, "winograd_4x4"),
    ((1, 9, 9, 8), (8, 1, 3, 3), {"groups": 8, "layout": "NHWC"}, "depthwise"),
    ((1, 9, 9, 8), (16, 1, 3, 3), {"groups": 8, "layout": "NHWC"}, "direct_channel"),
    ((1, 8, 9, 9), (8, 1, 3, 3), {"groups": 8}, "depthwise_plane"),
    ((1, 8, 9, 9), (16, 1, 3, 3), {"groups": 8}, "depthwise_plane"),
    ((1, 8, 9, 9), (128, 1, 3, 3), {"groups": 8}, "direct_pixel"),
])
def test_the_algorithm_follows_from_one_sample(tasks, x, weight, options, algorithm):
    conv2d(np.zeros(x, np.float32), np.zeros(weight, np.float32), **options)
    assert [task.algorithm for task in tasks] == [algorithm]


@pytest.mark.parametrize(("name", "size", "stride", "kernel", "products"), [
    ("winograd_4x4", 56, 1, (3, 3), 36), ("winograd_3x3", 9, 1, (3, 3), 25),
    ("winograd_2x2", 2, 1, (3, 3), 16),
    ("winograd_stride_2", 56, 2, (3, 3), 81), ("winograd_row_6", 56, 1, (1, 3), 6),
    ("winograd_row_8", 56, 1, (1, 7), 8),
])  # fmt: skip
def test_winograds_products_are_those_of_the_kernel(name, size, stride, kernel, products):
    """Packed are one weight for each product, and those of the tiles that are repaired."""
    padding = ((kernel[0] // 2,) * 2, (1, 1))
    sizes, strides = (size, size), (stride, stride)
    windows = _geometry.windows("conv2d", sizes, kernel, strides, padding, (1, 1))
    cut = ("constant", "constant")
    g = _geometry.Conv2d(1, 1, 128, 128, *windows, cut, (None,), False, "NCHW", 32)
    task, _ = _plan.conv2d(g, True, 1)
    assert task.algorithm == _plan.winograd_scheme(g).name == name
    # Points in odd numbers of lines take up to a sixteenth more.
    least = 128 * 128 * (products + math.prod(kernel))
    assert least <= task.packed_size < 1.07 * least


def test_blocks_shrink_to_their_size(tasks, monkeypatch):
    """What the tests of blocks rest on: rows, columns, channels are cut in turn."""
    x, weight = np.zeros((1, 8, 40, 300), np.float32), np.zeros((4, 8, 3, 3), np.float32)
    blocks = []
    for size in (2**20, 2**16, 2**14, 2**10):
        change_plans(monkeypatch, BLOCK_BYTES=size)
        conv2d(x, weight, padding=1, threads=1)
        blocks.append([tasks[-1].sizes[f"block_{name}"] for name in ("rows", "cols", "c", "k")])
    whole = [40, 300, 8, 4]
    assert blocks[0] == whole
    assert [[a < b for a, b in zip(each, whole, strict=True)] for each in blocks[1:]] == [
        [True, False, False, False], [True, True, False, False], [True, True, True, False]
    ]  # fmt: skip
    change_plans(monkeypatch, BLOCK_BYTES=2**12)
    filters.filter2d(x[0, 0], np.ones((3, 3)))
    assert tasks[-1].sizes["block_cols"] < 300


@pytest.mark.parametrize(("x", "weight", "layout"), [
    ((1, 56, 56, 64), (64, 64, 1, 1), "NHWC"), ((1, 1024, 14, 14), (64, 1024, 1, 1), "NCHW"),
    ((1, 2048, 7, 7), (64, 2048, 1, 1), "NCHW"), ((3, 64, 14, 14), (64, 64, 3, 3), "NCHW"),
])  # fmt: skip
def test_few_units_are_cut_for_threads(x, weight, layout):
    weight = np.broadcast_to(np.float32(0), weight)
    x = np.broadcast_to(np.float32(0), x)
    text = fastconv.explain_plan(x, weight, layout=layout, threads=3)
    units = int(re.search(r"; (\d+) in all", text)[1])
    assert units >= 3


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_every_thread_gets_a_part(tasks, threads):
    """Rows are shared, or the output channels of images with few rows."""
    conv2d(np.zeros((1, 2, 9, 9)), WEIGHT, threads=threads)
    assert tasks[-1].sizes["block_rows"] <= -(-7 // threads)
    conv2d(np.zeros((1, 2, 1, 9)), np.zeros((256, 2, 1, 1)), threads=threads)
    assert tasks[-1].sizes["block_k"] <= 256 // threads + 64
    fastconv.max_pool2d(np.zeros((1, 1, 24, 9)), 2, threads=threads)
    assert tasks[-1].sizes["block_rows"] == 12 // threads


def test_small_work_is_not_shared():
    try:
        fastconv.set_num_threads(3)
        assert _plan.share(None, 1e-6) == 1
        assert _plan.share(None, 1.0) == 3
        assert _plan.share(2, 1e-6) == 2
    finally:
        fastconv.set_num_threads(None)


def test_winograd_is_chosen_for_a_sample_whatever_the_batch():
    """Also where the two estimates are equal."""
    cut = ("constant", "constant")
    layers = [(25, 25, 4, 12, 1), (20, 25, 5, 13, 1), (20, 70, 5, 8, 1), (64, 64, 7, 7, 1)]
    layers += [(64, 64, 63, 63, 2), (96, 96, 33, 57, 2), (98, 96, 31, 57, 2)]
    for c, k, h, w, stride in layers:
        rows, cols = _geometry.windows(
            "conv2d", (h, w), (3, 3), (stride, stride), ((0, 0), (0, 0)), (1, 1)
        )
        chosen = {
            (_plan.winograd_refused(g), _plan.winograd_scheme(g))
            for n in range(1, 40)
            for g in [_geometry.Conv2d(n, 1, c, k, rows, cols, cut, (None,), False, "NCHW", 32)]
        }
        assert len(chosen) == 1
