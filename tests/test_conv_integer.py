"""Convolution of 8-bit integers: by hand, against the reference, and what is refused."""

import mmap
import sys
import tracemalloc

import numpy as np
import pytest
from conftest import FORCED
from helpers import CHANNELS, anything, assert_same_bits, change_plans, guarded, poisoned, to_layout
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastconv
from fastconv import (
    _config,
    _core,
    _geometry,
    conv_integer,
    conv_quantized,
    plan_conv_quantized,
    reference,
)

BYTES = ("uint8", "int8")


# Every instruction set; with and without products of bytes where it has both.
KERNELS = [
    (isa, vnni)
    for isa in ([FORCED] if FORCED else fastconv.available_isas())
    for vnni in ((True, False) if isa == "avx512" and _core.has_vnni() else (False,))
]


@pytest.fixture(params=KERNELS, ids=lambda each: each[0] + ("-vnni" if each[1] else ""))
def kernels(request, monkeypatch):
    isa, vnni = request.param
    change_plans(monkeypatch, VNNI=vnni)
    with _config.use_isa(isa):
        yield


@st.composite
def layers(draw):
    """x and weight of any sign and number of axes, channels first, and a convolution's options."""
    dims = draw(st.integers(1, 3))
    groups, c, k = draw(st.sampled_from(
        [(1, 1, 1), (1, 3, 4), (2, 2, 3), (5, 1, 1), (1, 8, 17), (17, 1, 1), (1, 2, 33), (1, 33, 3),
         (1, 16, 40), (3, 5, 70), (12, 2, 2), (70, 1, 1)]
    ))  # fmt: skip
    kernel = [draw(st.integers(1, 5)) for _ in range(dims)]
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(dims)) for _ in range(2))
    size = [draw(st.integers(1, 6)) for _ in range(dims - 1)] + [draw(st.integers(1, 60))]
    pads = [[draw(st.integers(0, 3)) for _ in range(2)] for _ in range(dims)]
    for i, n in enumerate(size):  # what a kernel covers fits
        pads[i][1] += max(0, dilation[i] * (kernel[i] - 1) + 1 - n - sum(pads[i]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x_dtype, dtype = draw(st.sampled_from(BYTES)), draw(st.sampled_from(BYTES))
    x = anything(rng, (draw(st.integers(1, 2)), groups * c, *size), x_dtype)
    weight = anything(rng, (groups * k, c, *kernel), dtype)
    options = {
        "stride": stride, "dilation": dilation, "groups": groups,
        "padding": draw(st.sampled_from([tuple(map(tuple, pads)), "same"])),
        "x_zero_point": int(anything(rng, (), x_dtype)),
        "weight_zero_point": draw(
            st.sampled_from([0, anything(rng, (), dtype), anything(rng, len(weight), dtype)])
        ),
    }  # fmt: skip
    return x, weight, options


last = pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])


@last
@given(layers(), st.integers(1, 3))
def test_sums(kernels, last, case, threads):
    x, weight, options = case
    layout = tuple(_geometry.LAYOUTS[x.ndim - 2])[last]
    x = to_layout(x, layout)
    expected = reference.conv_integer(x, weight, layout=layout, **options)
    out = poisoned(expected.shape, "int32")
    result = conv_integer(x, weight, layout=layout, out=out, threads=threads, **options)
    assert result is out
    assert_same_bits(result, expected)


@last
@given(layers(), st.sampled_from([*BYTES, "float32"]), st.integers(0, 2**32))
def test_quantized(kernels, last, case, dtype, seed):
    x, weight, options = case
    layout = tuple(_geometry.LAYOUTS[x.ndim - 2])[last]
    x = to_layout(x, layout)
    rng = np.random.default_rng(seed)
    options |= {
        "x_scale": rng.uniform(0.1, 1), "y_scale": rng.uniform(1, 1000), "layout": layout,
        "weight_scale": rng.uniform(0.01, 1, len(weight)).astype(np.float32), "dtype": dtype,
        "y_zero_point": 0 if dtype == "float32" else int(anything(rng, (), dtype)),
    }  # fmt: skip
    bias = rng.integers(-(10**4), 10**4, len(weight), np.int32)
    expected = reference.conv_quantized(x, weight, bias, **options)
    assert_same_bits(conv_quantized(x, weight, bias, **options), expected)
    layout = options.pop("layout")
    assert_same_bits(plan_conv_quantized(weight, bias, layout=layout, **options)(x), expected)


@pytest.mark.parametrize("k", CHANNELS)
def test_channels(kernels, layout, k):
    """Around the edges of a tile, and the largest sums of words."""
    rng = np.random.default_rng(k)
    x, weight = anything(rng, (1, k, 4, 9), "uint8"), anything(rng, (k, k, 2, 2), "int8")
    x[0, :, :2], weight[0] = 255, -128
    x = to_layout(x, layout)
    expected = reference.conv_integer(x, weight, layout=layout)
    assert_same_bits(conv_integer(x, weight, layout=layout), expected)


@pytest.mark.parametrize("weight_zero", [0, -37])
@pytest.mark.parametrize("c", [1, 4])
def test_groups_side_by_side(kernels, layout, c, weight_zero):
    """Whose neighbouring taps are whole words, and in channels last not neighbours in memory."""
    rng = np.random.default_rng(c)
    x, weight = anything(rng, (1, 3 * c, 4, 40), "uint8"), anything(rng, (51, c, 1, 4), "int8")
    x = to_layout(x, layout)
    options = {"groups": 3, "x_zero_point": 148, "weight_zero_point": weight_zero}
    expected = reference.conv_integer(x, weight, layout=layout, **options)
    assert_same_bits(conv_integer(x, weight, layout=layout, **options), expected)


@pytest.mark.parametrize(
    ("x", "weight", "zeros", "expected"),
    [
        # 250 * -128 + 5 * 127, and so on.
        (np.uint8([250, 5, 0]), np.int8([-128, 127]), (0, 0), [-31365, -640]),
        # (250 - 10) * (0 - 200) + (5 - 10) * (255 - 200).
        (np.uint8([250, 5, 10]), np.uint8([0, 255]), (10, 200), [-48275, 1000]),
        # (-128 - 7) * (100 + 3) + (127 - 7) * (-3 + 3).
        (np.int8([-128, 127, 7]), np.int8([100, -3]), (7, -3), [-13905, 12360]),
        # (-128 + 128) * (9 - 4) + (127 + 128) * (4 - 4).
        (np.int8([-128, 127, -1]), np.uint8([9, 4]), (-128, 4), [0, 1275]),
    ],
)
def test_signs_by_hand(kernels, x, weight, zeros, expected):
    zeros = {"x_zero_point": zeros[0], "weight_zero_point": zeros[1]}
    assert conv_integer(x[None, None], weight[None, None], **zeros).ravel().tolist() == expected


def test_rounding_by_hand(kernels):
    """Half to even, then saturated."""
    x, one = np.uint8([[[1, 3, 5, 7, 254, 255]]]), np.int8([[[1]]])

    def row(**options):
        return conv_quantized(x, one, x_scale=0.5, **options).ravel().tolist()

    assert row() == [0, 2, 2, 4, 127, 128]
    assert row(dtype="int8") == [0, 2, 2, 4, 127, 127]
    assert row(y_zero_point=200) == [200, 202, 202, 204, 255, 255]
    assert row(dtype=np.int8, y_zero_point=-128) == [-128, -126, -126, -124, -1, 0]
    assert row(dtype="float32") == [0.5, 1.5, 2.5, 3.5, 127, 127.5]
    assert row(bias=np.int32([-6])) == [0, 0, 0, 0, 124, 124]
    assert row(y_scale=1e-30) == [255] * 6
    assert row(weight_scale=[1e-30]) == [0] * 6


def test_padding_is_the_zero_point(kernels):
    x, ones = np.uint8([[[9, 9]]]), np.uint8([[[1, 1, 1]]])
    assert conv_integer(x, ones, padding=1, x_zero_point=9).ravel().tolist() == [0, 0]
    assert conv_integer(x, ones, padding=1, x_zero_point=7).ravel().tolist() == [4, 4]


@pytest.mark.parametrize("dtype", [*BYTES, "float32", "int32"])
@pytest.mark.parametrize("pixels", [46, 47, 96, 625, 1030])  # tiles of 48, and blocks, not all full
@pytest.mark.parametrize("weight_zero", [0, -37])
def test_products_of_planes(kernels, pixels, weight_zero, dtype):
    """Pixels in the lanes where the processor has products of bytes: nothing else is touched."""
    rng = np.random.default_rng(pixels)
    for groups, c, k in ((1, 1, 8), (1, 3, 9), (2, 5, 8), (1, 64, 17), (2, 4, 65)):
        x = anything(rng, (2, groups * c, pixels), ("uint8", "int8")[c % 2])
        weight = anything(rng, (groups * k, c, 1), "int8")
        options = {"groups": groups, "x_zero_point": 101, "weight_zero_point": weight_zero}
        check_between_guards(rng, x, weight, dtype, options)


def check_between_guards(rng, x, weight, dtype, options):
    """Results of a type are the reference's, and nothing outside of the arrays is touched."""
    function, more = conv_integer, ()
    if dtype != "int32":
        function, more = conv_quantized, (rng.integers(-(10**4), 10**4, len(weight), np.int32),)
        options = options | {
            "x_scale": 0.1, "weight_scale": rng.uniform(0.01, 0.1, len(weight)).astype("f4"),
            "y_scale": 10.0, "y_zero_point": 0 if dtype == "float32" else 5, "dtype": dtype,
        }  # fmt: skip
    expected = getattr(reference, function.__name__)(x, weight, *more, **options)
    for place in ("start", "end"):
        out = guarded(poisoned(expected.shape, dtype), place, mmap.PROT_READ | mmap.PROT_WRITE)
        arrays = guarded(x, place), guarded(weight, place)
        function(*arrays, *more, out=out, threads=3, **options)
        assert_same_bits(np.array(out), expected)


@pytest.mark.parametrize("dtype", [*BYTES, "float32", "int32"])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [
    ((9, 24), (3, 3), 1, 1), ((2, 31), (1, 8), 1, 0), ((8, 70), (5, 4), 1, (2, 3)),
    ((3, 100), (3, 3), (1, 4), (1, 2)), ((11, 57), (8, 7), (4, 2), (7, 6)),
    ((40, 64), (3, 5), (3, 2), 0), ((13, 33), (1, 1), (2, 1), 2), ((1, 129), (1, 2), (1, 3), 1),
])  # fmt: skip
def test_planes_for_themselves(kernels, size, kernel, stride, padding, dtype):
    """Wide ones have pixels in the lanes where the processor has products of bytes."""
    rng = np.random.default_rng(size[1])
    for channels, x_dtype in ((1, "uint8"), (5, "int8"), (70, "uint8")):
        x = anything(rng, (2, channels, *size), x_dtype)
        weight = anything(rng, (channels, 1, *kernel), "int8")
        x[0], weight[0] = np.iinfo(x_dtype).max, -128
        options = {"stride": stride, "padding": padding, "groups": channels, "x_zero_point": 101}
        check_between_guards(rng, x, weight, dtype, options)


def test_which_planes_have_pixels_in_the_lanes(tasks):
    for width, options, pixels in (
        (24, {}, True), (23, {}, False), (60, {"stride": 2}, True), (60, {"dilation": 2}, False),
        (200, {"stride": (1, 5)}, False), (40, {"weight_zero_point": 1}, False),
    ):  # fmt: skip
        x, weight = np.ones((1, 40, 5, width), np.uint8), np.ones((40, 1, 3, 3), np.int8)
        conv_integer(x, weight, padding=(1, 1), groups=40, **options)
        fits = _core.has_vnni() and _config.isa() == "avx512"
        assert (tasks[-1].algorithm == "integer_plane") == (pixels and fits)


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_nothing_outside_is_read(kernels, layout, place, stride, padding):
    rng = np.random.default_rng(stride)
    for c, width, size in ((3, 21, 3), (8, 70, 3), *((64, width, 1) for width in range(14, 50, 3))):
        x = to_layout(anything(rng, (1, c, 5, width), "uint8"), layout)
        weight = anything(rng, (5, c, size, size), "int8")
        options = {"stride": stride, "padding": padding, "layout": layout, "x_zero_point": 3}
        expected = reference.conv_integer(x, weight, **options)
        result = conv_integer(guarded(x, place), guarded(weight, place), **options)
        assert_same_bits(result, expected)


def test_a_plan_takes_either_sign_and_keeps_its_weights():
    weight = np.int8([[[1, -2]]])
    plan = plan_conv_quantized(weight, dtype="int32")
    weight[...] = 0
    assert plan(np.uint8([[[200, 100]]])).item() == 0
    assert plan(np.int8([[[-100, 100]]])).item() == -300


def test_a_plan_makes_no_wide_copies_of_its_weights():
    weight = np.ones((64, 256, 3, 3), np.int8)
    plan_conv_quantized(weight)
    tracemalloc.start()
    try:
        plan_conv_quantized(weight, weight_zero_point=1)
        assert tracemalloc.get_traced_memory()[1] < 4 * weight.nbytes
    finally:
        tracemalloc.stop()


def test_no_outputs_and_no_samples():
    weight = np.ones((3, 2, 1, 1), np.int8)
    assert conv_integer(np.ones((0, 2, 4, 4), np.uint8), weight).shape == (0, 3, 4, 4)
    none = conv_integer(np.ones((1, 2, 4, 4), np.uint8), weight[:0])
    assert none.shape == (1, 0, 4, 4) and none.dtype == np.int32


X, WEIGHT = np.ones((1, 2, 4, 4), np.uint8), np.ones((3, 2, 2, 2), np.int8)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "x has dtype float32, expected uint8, int8", {"x": X.astype(np.float32)}),
        (TypeError, "weight has dtype int16, expected uint8", {"weight": WEIGHT.astype(np.int16)}),
        (ValueError, "weight has shape (4, 4), expected (K, C // groups, kw)", {"weight": X[0, 0]}),
        (ValueError, "x has shape (4, 4), expected (N, C, H, W)", {"x": X[0, 0]}),
        (ValueError, "weight expects 4 input channels", {"groups": 2, "weight": WEIGHT[:2]}),
        (ValueError, "x_zero_point is 300, expected at most 255", {"x_zero_point": 300}),
        (ValueError, "x_zero_point is -1, expected what uint8 can hold", {"x_zero_point": -1}),
        (ValueError, "weight_zero_point is 128, expected what int8", {"weight_zero_point": 128}),
        (TypeError, "weight_zero_point has dtype float64", {"weight_zero_point": 0.5}),
        (ValueError, "weight_zero_point has shape (2,), expected a number or (3,)",
         {"weight_zero_point": [1, 2]}),
        (ValueError, "layout is 'NCW', expected one of 'NCHW', 'NHWC'", {"layout": "NCW"}),
        (ValueError, "out has shape (1,), expected (1, 3, 3, 3)", {"out": np.empty(1, np.int32)}),
        (TypeError, "out has dtype float64", {"out": np.empty((1, 3, 3, 3))}),
    ],
)  # fmt: skip
def test_refused(error, message, options):
    with pytest.raises(error) as caught:
        conv_integer(**{"x": X, "weight": WEIGHT, **options})
    assert str(caught.value).startswith(f"conv_integer: {message}")


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "y_zero_point is 256, expected at most 255", {"y_zero_point": 256}),
        (ValueError, "y_zero_point is -1, expected at least 0", {"y_zero_point": -1}),
        (ValueError, "dtype is 'int16', expected one of 'uint8', 'int8'", {"dtype": "int16"}),
        (ValueError, "x_scale is 0.0, expected a positive number of float32", {"x_scale": 0}),
        (ValueError, "x_scale is -1.0, expected a positive", {"x_scale": -1, "y_scale": -1}),
        (ValueError, "y_scale is -2.0, expected a positive", {"y_scale": -2}),
        (ValueError, "weight_scale is inf, expected a positive", {"weight_scale": [1, np.inf, 2]}),
        (ValueError, "weight_scale is -3.0, expected a positive", {"weight_scale": [1.0, 2, -3]}),
        (ValueError, "x_scale * weight_scale / y_scale is 0.0, expected a positive number of "
         "float32", {"x_scale": 1e-30, "y_scale": 1e30}),
        (ValueError, "x_scale * weight_scale / y_scale is inf", {"y_scale": 1e-45}),
        (ValueError, "y_scale is nan, expected a finite number", {"y_scale": np.nan}),
        (TypeError, "bias has dtype float64, expected int32", {"bias": np.zeros(3)}),
        (ValueError, "bias has shape (2,), expected (3,)", {"bias": np.zeros(2, np.int32)}),
        (ValueError, "weight_scale has shape (2,)", {"weight_scale": [1.0, 2.0]}),
    ],
)  # fmt: skip
def test_refused_scales(error, message, options):
    with pytest.raises(error) as caught:
        conv_quantized(X, WEIGHT, **options)
    assert str(caught.value).startswith(f"conv_quantized: {message}")


def test_sums_beyond_32_bits_are_refused(kernels):
    """255 * 127 * n < 2**31 up to n = 66311; the same sum is exact just below."""
    x, weight = (
        np.full((1, 66311, 1), each, dtype) for each, dtype in ((255, "uint8"), (127, "int8"))
    )
    assert conv_integer(x, weight).item() == 255 * 127 * 66311
    x, weight = (np.concatenate([each, each[:, :1]], 1) for each in (x, weight))
    with pytest.raises(ValueError, match=r"a sum of these weights may be 2147514120, expected"):
        conv_integer(x, weight)
    with pytest.raises(ValueError, match="may be 2147483648"):
        conv_quantized(x[:, :1], weight[:, :1] * 0 + 1, np.int32([2**31 - 255]), dtype="float32")


def test_the_reference_by_hand():
    """A matrix of 2x2 ones over 1..9 less 1, as ONNX's own case."""
    x = np.arange(2, 11, dtype=np.uint8).reshape(1, 1, 3, 3)
    y = reference.conv_integer(x, np.ones((1, 1, 2, 2), np.uint8), x_zero_point=1)
    assert_array_equal(y[0, 0], [[12, 16], [24, 28]])


@pytest.mark.parametrize("dtype", [*BYTES, "float32", "int32"])
def test_a_second_call(kernels, layout, dtype, monkeypatch):
    """Nothing is checked or planned again for arrays like the last ones."""
    rng = np.random.default_rng(0)
    weight = anything(rng, (4, 1, 3, 3), "int8")
    plan = plan_conv_quantized(weight, groups=4, dtype=dtype, y_scale=100, layout=layout)
    one, other = (to_layout(anything(rng, (2, 4, 6, 9), "uint8"), layout) for _ in range(2))
    expected = [plan(each) for each in (other, one)]
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["fastconv.conv_integer"], "_arrays", None)
        for x, y in zip((other, one), expected, strict=True):
            out = poisoned(y.shape, dtype)
            assert plan(x, out) is out
            assert_same_bits(out, y)
            assert_same_bits(plan(x, threads=1), y)
            assert_same_bits(plan(x), y)
    for threads in (True, 1.0):
        with pytest.raises(TypeError, match="threads is"):
            plan(one, threads=threads)


def test_a_second_call_whose_groups_are_joined(monkeypatch):
    """It takes as many threads as what is computed is worth, at once and again."""
    plan = plan_conv_quantized(np.ones((64, 1, 3, 3), np.int8), groups=64, padding=1)
    x = np.ones((1, 64, 128, 128), np.uint8)
    plan(x, out := np.empty_like(x))
    monkeypatch.setattr(sys.modules["fastconv.conv_integer"], "_arrays", None)
    assert plan(x, out) is out


def test_next_call(layout):
    """A plan's next call may be for other arrays than the one before."""
    rng = np.random.default_rng(0)
    weight = anything(rng, (5, 3, 3, 3), "int8")
    plan = plan_conv_quantized(weight, padding=1, dtype="int32", layout=layout)
    x = to_layout(anything(rng, (2, 3, 6, 6), "uint8"), layout)
    for each in (x, x, x.view(np.int8), x[:1], x[::-1], x.swapaxes(1, 3).copy().swapaxes(1, 3), x):
        expected = reference.conv_integer(each, weight, padding=1, layout=layout)
        assert_same_bits(plan(each), expected)
        assert_same_bits(plan(each, threads=2), expected)
        assert_same_bits(plan(each, out=poisoned(expected.shape, "int32")), expected)
    assert plan(x[:0]).shape == (0, *expected.shape[1:])
    with pytest.raises(TypeError, match="x has dtype float32"):
        plan(x.astype(np.float32))
