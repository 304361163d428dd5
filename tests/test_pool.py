"""Pooling against the reference, exactly: of small integers, only the quotients are rounded."""

from functools import cache

import numpy as np
import pytest
from helpers import FLOATS, LANES, extent, integers, poisoned, to_layout
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastconv import avg_pool2d, max_pool2d, reference

nan, inf = np.nan, np.inf

NONE, ONE = ((0, 0), (0, 0)), ((1, 1), (1, 1))
# (kernel, stride, padding, dilation); some windows lie wholly in the padding.
WINDOWS = [
    ((2, 2), (2, 2), NONE, (1, 1)),
    ((3, 3), (2, 2), ONE, (1, 1)),
    ((3, 3), (1, 1), ((1, 0), (0, 2)), (1, 1)),
    ((1, 1), (1, 1), NONE, (1, 1)),
    ((1, 1), (2, 2), NONE, (1, 1)),
    ((2, 3), (3, 3), ((0, 0), (1, 1)), (1, 1)),
    ((3, 2), (1, 2), "same", (2, 1)),
    ((2, 2), (2, 1), "same", (1, 3)),
    ((1, 5), (1, 4), ((0, 3), (7, 6)), (1, 1)),
    ((4, 1), (2, 2), ((5, 4), (1, 3)), (1, 2)),
    ((2, 2), (2, 2), ((0, 0), (0, 1)), (1, 2)),
    ((7, 7), (7, 7), ((3, 3), (3, 3)), (1, 1)),
]
AVERAGES = [{}, {"count_include_pad": False}, {"divisor_override": 3}, {"divisor_override": -0.5}]


@cache
def case(window, width, channels):
    """Images of small integers from 0 on, many of them equal, and a window's options for them."""
    rng = np.random.default_rng([window, width, channels])
    kernel, stride, padding, dilation = WINDOWS[window]
    pads = (padding, padding) if isinstance(padding, str) else padding
    size = (1 + width % 5, width)
    shape = map(extent, size, kernel, stride, pads, dilation, rng.integers(stride))
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    options["ceil_mode"] = bool(width % 2)
    return integers(rng, (1 + width % 2, channels, *shape), np.uint8), options


@cache
def max_case(*numbers):
    x, options = case(*numbers)
    return x, options, *reference.max_pool2d(x.astype(np.float64), return_indices=True, **options)


@cache
def average_case(average, *numbers):
    x, options = case(*numbers)
    options = {**options, **AVERAGES[average]}
    return x, options, reference.avg_pool2d(x.astype(np.float64), **options)


def stretched(window, dtype, layout):
    """Cases for lengths of what the lanes run along: up to two vectors and one element."""
    step = 3 if dtype == "uint8" else 1  # all lengths for some window
    for n in range(1 + window % step, 2 * LANES[dtype] + 2, step):
        yield (window, n, 2) if layout == "NCHW" else (window, 1 + n % 4, n)


def check_max(case, dtype, layout, threads=1):
    """Compare maxima and indices, and the maxima alone, on outputs that were poisoned."""
    x, options, y, places = case
    if dtype == "uint8":
        y = np.maximum(y, 0)  # what a window without data gives
    x, y, places = (to_layout(each, layout) for each in (x.astype(dtype), y, places))
    options = {**options, "layout": layout, "threads": threads}
    message = f"max_pool2d(x{x.shape}, {options})"
    out = poisoned(y.shape, dtype)
    assert max_pool2d(x, out=out, **options) is out
    assert_array_equal(out, y, message)
    out = poisoned(y.shape, dtype)
    result, indices = max_pool2d(x, return_indices=True, out=out, **options)
    assert result is out
    assert indices.dtype == np.int64
    assert_array_equal(out, y, message)
    assert_array_equal(indices, places, message)


def check_average(case, dtype, layout, threads=1):
    x, options, y = case
    x, y = (to_layout(each, layout).astype(dtype) for each in (x, y))
    options = {**options, "layout": layout, "threads": threads}
    out = poisoned(y.shape, dtype)
    assert avg_pool2d(x, out=out, **options) is out
    assert_array_equal(out, y, f"avg_pool2d(x{x.shape}, {options})")


@pytest.mark.parametrize("window", range(len(WINDOWS)))
@pytest.mark.parametrize("dtype", [*FLOATS, "uint8"])
def test_max_of_every_width(isa, dtype, layout, window):
    for i, each in enumerate(stretched(window, dtype, layout)):
        check_max(max_case(*each), dtype, layout, 1 + i % 3)


@pytest.mark.parametrize("window", range(len(WINDOWS)))
def test_average_of_every_width(isa, dtype, layout, window):
    for i, each in enumerate(stretched(window, dtype, layout)):
        check_average(average_case(i % 4, *each), dtype, layout, 1 + i % 3)


@pytest.mark.parametrize(("kernel", "options", "average", "greatest", "indices"), [
    ((2, 2), {}, [[2.5, 4.5], [10.5, 12.5]], [[5, 7], [13, 15]], [[5, 7], [13, 15]]),
    ((2, 2), {"stride": 2, "padding": 1}, [[0, 0.75, 0.75], [3, 7.5, 4.5], [3, 6.75, 3.75]],
     [[0, 2, 3], [8, 10, 11], [12, 14, 15]], [[0, 2, 3], [8, 10, 11], [12, 14, 15]]),
    (3, {"ceil_mode": True}, [[5, 7], [13, 15]], [[10, 11], [14, 15]], [[10, 11], [14, 15]]),
    ((1, 4), {"stride": (3, 1)}, [[1.5], [13.5]], [[3], [15]], [[3], [15]]),
    (2, {"dilation": 3}, [[7.5]], [[15]], [[15]]),
])
def test_by_hand(isa, dtype, layout, kernel, options, average, greatest, indices):
    """The image is 0 1 2 3 / 4 5 6 7 / 8 9 10 11 / 12 13 14 15."""
    x = np.arange(16, dtype=dtype).reshape(1, 1, 4, 4)
    x, average, greatest, indices = (
        to_layout(np.reshape(each, (1, 1, *np.shape(each)[-2:])), layout)
        for each in (x, average, greatest, indices)
    )
    call = {"kernel_size": kernel, "layout": layout, **options}
    y, places = max_pool2d(x, return_indices=True, **call)
    assert_array_equal(y, greatest)
    assert_array_equal(places, indices)
    assert_array_equal(avg_pool2d(x, **call), average)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_not_a_number_wins_its_windows_only(isa, dtype, layout, stride):
    rng = np.random.default_rng(stride)
    x = integers(rng, (2, 3, 7, 2 * LANES[dtype] + 3), dtype)
    x.flat[::29] = np.resize([nan, -inf, inf, nan], len(x.flat[::29]))
    options = {"kernel_size": 3, "stride": stride, "padding": 1}
    expected = reference.max_pool2d(x, return_indices=True, **options)
    assert 0 < np.isnan(expected[0]).mean() < 1
    check_max((x, options, *expected), dtype, layout, 2)
    check_average((x, options, reference.avg_pool2d(x, **options)), dtype, layout, 2)


def test_first_of_equals_last_of_several_nan_and_nothing(isa, dtype):
    def pool(*values, padding=0):
        x = np.array(values, dtype).reshape(1, 1, 1, -1)
        y, places = max_pool2d(x, (1, x.shape[-1]), 1, padding, return_indices=True)
        return y.ravel().tolist(), places.ravel().tolist()

    assert pool(4, 4) == ([4], [0])
    assert pool(-inf, -inf) == ([-inf], [0])
    assert pool(1, nan, 5, nan, inf)[1] == [3]
    assert pool(7, padding=((0, 1), (1, 0))) == ([-inf, 7, -inf, -inf], [-1, 0, -1, -1])


def test_windows_without_data_are_divided_by_nothing(isa, dtype):
    x = np.ones((1, 1, 1, 2), dtype)
    options = {"kernel_size": (1, 2), "stride": 2, "padding": (0, 2), "count_include_pad": False}
    assert_array_equal(avg_pool2d(x, **options).ravel(), [nan, 1, nan])


@pytest.mark.parametrize(("spelling", "meaning"), [
    ({"kernel_size": 2}, {"kernel_size": (2, 2), "stride": (2, 2), "padding": NONE}),
    ({"kernel_size": [3, 2], "padding": 1},
     {"kernel_size": (3, 2), "padding": ONE, "stride": (3, 2)}),
    ({"kernel_size": 2, "padding": "valid"}, {"kernel_size": 2, "padding": (0, 0)}),
    ({"kernel_size": 3, "stride": 1, "padding": "same"},
     {"kernel_size": 3, "stride": 1, "padding": ONE, "dilation": (1, 1), "ceil_mode": False}),
])
def test_spellings(spelling, meaning):
    x = np.random.default_rng(1).standard_normal((2, 3, 9, 8))
    for function in (max_pool2d, avg_pool2d):
        assert_array_equal(function(x, **spelling), function(x, **meaning))


def test_arguments_in_pytorchs_order():
    x = np.random.default_rng(2).integers(0, 9, (1, 2, 9, 8)).astype(float)
    expected = reference.max_pool2d(x, 3, 2, 1, 2, True, True)
    for y, each in zip(max_pool2d(x, 3, 2, 1, 2, True, True), expected, strict=True):
        assert_array_equal(y, each)
    assert_array_equal(
        avg_pool2d(x, 3, 2, 1, True, False, 7), reference.avg_pool2d(x, 3, 2, 1, True, False, 7)
    )


@pytest.mark.parametrize(("shape", "result"), [
    ((0, 2, 4, 6), (0, 2, 2, 3)), ((2, 0, 4, 6), (2, 0, 2, 3)), ((1, 1, 2, 2), (1, 1, 1, 1)),
])
def test_smallest(isa, dtype, shape, result):
    x = np.ones(shape, dtype)
    y, places = max_pool2d(x, 2, return_indices=True)
    assert places.dtype == np.int64
    assert y.dtype == dtype
    assert y.shape == places.shape == result
    assert avg_pool2d(x, 2).shape == result


@st.composite
def cases(draw):
    few = st.integers(1, 4)
    pair = st.tuples(few, few)
    pads = st.tuples(*[st.tuples(st.integers(0, 6), st.integers(0, 6))] * 2)
    options = {
        "kernel_size": draw(st.tuples(st.integers(1, 6), st.integers(1, 6))),
        "stride": draw(pair),
        "padding": draw(pads | st.just("same")),
        "dilation": draw(pair),
        "ceil_mode": draw(st.booleans()),
    }
    shape = draw(st.tuples(few, few, *[st.integers(16, 40)] * 2))
    return draw(st.integers(0, 2**32)), shape, options, draw(st.sampled_from(AVERAGES))


@given(cases(), st.integers(1, 4))
def test_anything(isa, dtype, layout, each, threads):
    seed, shape, options, average = each
    x = integers(np.random.default_rng(seed), shape, np.uint8)
    expected = reference.max_pool2d(x.astype(dtype), return_indices=True, **options)
    check_max((x, options, *expected), dtype, layout, threads)
    check_max((x, options, *expected), "uint8", layout, threads)
    options |= average
    expected = reference.avg_pool2d(x.astype(dtype), **options)
    check_average((x, options, expected), dtype, layout, threads)
