"""conv2d against the reference: exactly on small integers, within the stated bound on floats."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from helpers import BORDERS, CHANNELS, LANES, extent, integers, poisoned, to_layout
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from test_reference import IMAGE, KERNEL, POOLED, SAME

from fastconv import conv2d, max_pool2d, reference

nan, inf = np.nan, np.inf

NONE, ONE = ((0, 0), (0, 0)), ((1, 1), (1, 1))
KERNELS = [(1, 1), (3, 3), (1, 3), (2, 2), (3, 1), (5, 5), (2, 4), (7, 1), (1, 7)]
# (groups, input channels, output channels)
LAYERS = [
    (1, 1, 1), (1, 3, 4), (2, 4, 6), (5, 5, 5), (3, 3, 6), (1, 8, 17), (3, 9, 9), (2, 16, 2),
    (17, 17, 17), (1, 2, 33), (1, 33, 3),
]  # fmt: skip
# (stride, padding, dilation); the widest padding is wider than most of the images.
WINDOWS = [
    ((1, 1), NONE, (1, 1)),
    ((1, 1), ONE, (1, 1)),
    ((1, 1), ((3, 0), (0, 2)), (1, 1)),
    ((1, 1), "same", (1, 1)),
    ((1, 1), "same", (2, 3)),
    ((1, 1), ((9, 11), (10, 9)), (1, 1)),
    ((1, 1), ((0, 4), (5, 0)), (3, 2)),
    ((2, 2), NONE, (1, 1)),
    ((2, 2), ONE, (1, 1)),
    ((1, 2), ((0, 2), (3, 0)), (2, 1)),
    ((2, 1), "same", (1, 1)),
    ((3, 2), "same", (1, 2)),
    ((2, 3), ((2, 1), (1, 2)), (2, 2)),
    ((2, 4), ((1, 0), (7, 3)), (3, 3)),
    ((5, 3), "same", (1, 4)),
    ((4, 7), ((0, 0), (0, 1)), (1, 1)),
]
MODES = [*BORDERS, ("reflect", "wrap"), ("constant", "edge"), ("symmetric", "constant")]


class Case(NamedTuple):
    """A call with small integers, in NCHW, and its result."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    options: dict
    expected: np.ndarray

    def check(self, dtype, layout, threads=1):
        """Compare every element, on an output that was poisoned."""
        x, weight = to_layout(self.x, layout).astype(dtype), self.weight.astype(dtype)
        bias = None if self.bias is None else self.bias.astype(dtype)
        expected = to_layout(self.expected, layout)
        out = poisoned(expected.shape, dtype)
        options = {**self.options, "layout": layout, "algorithm": "direct", "threads": threads}
        assert conv2d(x, weight, bias, out=out, **options) is out
        assert_array_equal(out, expected, f"conv2d(x{x.shape}, weight{weight.shape}, {options})")


def case(seed, size, kernel, layer=(1, 2, 3), window=WINDOWS[1], n=1, **more):
    """The case of a kernel, a layer and a window whose result has the given (rows, columns)."""
    rng = np.random.default_rng(seed)
    groups, c, k = layer
    stride, padding, dilation = window
    pads = (padding, padding) if isinstance(padding, str) else padding
    spare = rng.integers(stride)
    shape = map(extent, size, kernel, stride, pads, dilation, spare)
    x = integers(rng, (n, c, *shape), np.float64)
    weight = integers(rng, (k, c // groups, *kernel), np.float64)
    bias = integers(rng, k, np.float64, 100) if seed % 3 else None
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, **more}
    expected = reference.conv2d(x, weight, bias, **options)
    assert np.all(np.greater_equal(expected.shape[2:], size))  # padding alone may give more
    return Case(x, weight, bias, options, expected)


@cache
def sweep(window):
    """A case for each width of the result, everything else changing along with it."""
    return [
        case(
            i := 33 * window + width,
            (1 + i % 6, width),
            KERNELS[i % len(KERNELS)],
            LAYERS[i % len(LAYERS)],
            WINDOWS[window],
            1 + i % 2,
            padding_mode=MODES[i % len(MODES)],
            activation="relu" if i % 4 == 1 else None,
        )
        for width in range(1, 2 * LANES["float32"] + 2)
    ]


@cache
def channel_sweep(size, groups):
    """Cases of one-row and small images with every pair of neighbours in CHANNELS."""
    pairs = zip(CHANNELS, CHANNELS[7:] + CHANNELS[:7], strict=True)
    return [
        case(i, (1 + i % 3, 5), size, (groups, groups * c, groups * k))
        for i, (c, k) in enumerate(pairs)
    ]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_worked_example(isa, dtype, layout):
    image, kernel = (np.array(rows, dtype)[None, None] for rows in (IMAGE, KERNEL))
    y = conv2d(to_layout(image, layout), kernel, padding="same", layout=layout)
    assert_array_equal(y, to_layout(np.array(SAME, dtype)[None, None], layout))
    pooled = max_pool2d(y, 2, layout=layout)
    assert_array_equal(pooled.squeeze(), POOLED)


@pytest.mark.parametrize("window", range(len(WINDOWS)))
def test_every_width(isa, dtype, layout, window):
    for width, each in enumerate(sweep(window)[: 2 * LANES[dtype] + 1], 1):
        each.check(dtype, layout, 1 + width % 3)


@pytest.mark.parametrize(("size", "groups"), [((3, 3), 1), ((1, 1), 1), ((1, 2), 2)])
def test_every_count_of_channels(isa, dtype, layout, size, groups):
    for number, each in enumerate(channel_sweep(size, groups)):
        each.check(dtype, layout, 1 + number % 3)


@pytest.mark.parametrize("window", range(len(WINDOWS)))
def test_blocks(isa, dtype, layout, small_blocks, window):
    """Small blocks of rows, columns (from 97 outputs on) and channels."""
    wide = case(window, (3, 97 + 13 * window), (3, 2), (1, 7, 5), WINDOWS[window])
    for threads, each in enumerate([*sweep(window)[window::16], wide], 1):
        each.check(dtype, layout, threads)


@pytest.mark.parametrize("padding", [((0, 3), (0, 4)), ((0, 3), (2, 2))])
def test_as_many_outputs_as_pixels_with_a_stride(isa, dtype, layout, padding):
    """Padding makes up for what the stride skips: it is no matrix product of pixels in place."""
    rng = np.random.default_rng(9)
    x, weight = (integers(rng, shape, float) for shape in ((2, 3, 4, 5), (33, 3, 1, 1)))
    options = {"stride": 2, "padding": padding}
    expected = reference.conv2d(x, weight, **options)
    assert expected.shape[2:] == x.shape[2:]
    Case(x, weight, None, options, expected).check(dtype, layout)


@pytest.mark.parametrize(("size", "layer"), [((2, 3000), (1, 24, 3)), ((1, 100), (2, 3000, 2))])
def test_blocks_of_an_ordinary_size(isa, dtype, layout, size, layer):
    """512 KB of input: too much for the columns of the first, the channels of the second."""
    case(1, size, (3, 1), layer).check(dtype, layout, 2)


def test_a_large_result(isa, dtype):
    """More than 16 MB, written past the caches."""
    x = np.arange(300.0 * 512, dtype=dtype).reshape(1, 1, 300, 512)
    weight = np.arange(32, dtype=dtype).reshape(32, 1, 1, 1)
    y = conv2d(x, weight)
    assert y.flags.c_contiguous
    assert_array_equal(y, weight.reshape(1, 32, 1, 1) * x)


def test_random_floats_are_within_the_bound(isa, dtype, layout):
    """|error| <= (n + 2) * eps * sum|w * x| for n terms, the bias one of them."""
    rng = np.random.default_rng(5)
    for each in [sweep(window)[11 + window] for window in range(len(WINDOWS))]:
        bias = np.zeros(len(each.weight)) if each.bias is None else each.bias
        x, weight, bias = (
            rng.standard_normal(a.shape).astype(dtype) for a in (each.x, each.weight, bias)
        )
        y = conv2d(
            to_layout(x, layout), weight, bias, layout=layout, algorithm="direct", **each.options
        )
        expected = reference.conv2d(x, weight, bias, **each.options)
        size = reference.conv2d(abs(x), abs(weight), abs(bias), **each.options)
        bound = (weight[0].size + 3) * np.finfo(dtype).eps * size
        assert np.all(abs(y - to_layout(expected, layout)) <= to_layout(bound, layout))


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("window", [1, 6, 9, 12])
def test_not_a_number_reaches_its_windows_only(isa, dtype, layout, window, activation):
    each = case(8, (5, 2 * LANES[dtype]), (3, 3), (2, 4, 6), WINDOWS[window])
    x = each.x.copy()
    x.flat[::41] = np.resize([nan, inf, -inf], len(x.flat[::41]))
    options = {**each.options, "activation": activation}
    expected = reference.conv2d(x, each.weight, each.bias, **options)
    assert 0 < np.isnan(expected).mean() < 1
    each._replace(x=x, options=options, expected=expected).check(dtype, layout, 2)


@pytest.mark.parametrize(("spelling", "meaning"), [
    ({}, {"stride": (1, 1), "padding": NONE, "dilation": (1, 1), "groups": 1, "bias": None}),
    ({"stride": 2, "dilation": 3}, {"stride": (2, 2), "dilation": [3, 3]}),
    ({"padding": 2}, {"padding": ((2, 2), (2, 2))}),
    ({"padding": (2, 1)}, {"padding": np.array([[2, 2], [1, 1]])}),
    ({"padding": "valid"}, {"padding": 0}),
    ({"padding": "same"}, {"padding": ONE}),
    ({"padding": 1, "padding_mode": "circular"}, {"padding": 1, "padding_mode": ("wrap", "wrap")}),
    ({"padding": 1, "padding_mode": "replicate"}, {"padding": 1, "padding_mode": "edge"}),
    ({"padding": 1, "padding_mode": "constant"}, {"padding": 1, "padding_mode": "zeros"}),
    ({"algorithm": "auto", "activation": None}, {"algorithm": "direct"}),
])  # fmt: skip
def test_spellings(spelling, meaning):
    rng = np.random.default_rng(6)
    x, weight = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, 3, 3))
    assert_array_equal(conv2d(x, weight, **spelling), conv2d(x, weight, **meaning))


def test_arguments_in_pytorchs_order():
    rng = np.random.default_rng(7)
    x, weight = integers(rng, (1, 4, 9, 8), np.float64), integers(rng, (6, 2, 3, 3), np.float64)
    bias = np.arange(6.0)
    named = {"stride": 2, "padding": (3, 1), "dilation": (1, 2), "groups": 2}
    expected = reference.conv2d(x, weight, bias, **named)
    assert_array_equal(conv2d(x, weight, bias, 2, (3, 1), (1, 2), 2), expected)


@pytest.mark.parametrize(("x", "weight", "options", "shape"), [
    ((0, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}, (0, 4, 5, 6)),
    ((2, 3, 5, 6), (0, 3, 3, 3), {}, (2, 0, 3, 4)),
    ((2, 3, 0, 6), (4, 3, 3, 3), {"padding": "same"}, (2, 4, 0, 6)),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}, (1, 1, 1, 1)),
    ((1, 1, 1, 1), (2, 1, 5, 5), {"padding": 2}, (1, 2, 1, 1)),
    ((1, 1, 2, 2), (2, 1, 9, 8), {"padding": "same"}, (1, 2, 2, 2)),
    ((1, 1, 7, 7), (1, 1, 2, 2), {"stride": 100}, (1, 1, 1, 1)),
])
def test_smallest(isa, dtype, layout, x, weight, options, shape):
    x, weight = np.ones(x, dtype), np.ones(weight, dtype)
    y = conv2d(to_layout(x, layout), weight, layout=layout, **options)
    assert y.dtype == dtype
    expected = to_layout(reference.conv2d(x, weight, **options), layout)
    assert expected.shape == to_layout(np.empty(shape), layout).shape
    assert_array_equal(y, expected)


@st.composite
def cases(draw):
    few = st.integers(1, 4)
    pair = st.tuples(few, few)
    pads = st.tuples(*[st.tuples(st.integers(0, 9), st.integers(0, 9))] * 2)
    groups = draw(few)
    return case(
        draw(st.integers(0, 2**32)),
        draw(st.tuples(st.integers(1, 6), st.integers(1, 40))),
        draw(st.tuples(st.integers(1, 6), st.integers(1, 6))),
        (groups, groups * draw(st.integers(1, 9)), groups * draw(st.integers(1, 9))),
        (draw(pair), draw(pads | st.just("same")), draw(pair)),
        draw(st.integers(1, 3)),
        padding_mode=draw(st.tuples(*[st.sampled_from(BORDERS)] * 2)),
        activation=draw(st.sampled_from([None, "relu"])),
    )


@given(cases(), st.integers(1, 4))
def test_anything(isa, dtype, layout, each, threads):
    each.check(dtype, layout, threads)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("c", "k", "w", "layout"), [
    (32, 8, 16, "NCHW"), (32, 8, 17, "NCHW"), (3, 40, 9, "NHWC"), (16, 16, 16, "NCHW"),
])  # fmt: skip
def test_a_weight_that_is_not_finite_meets_padding_too(isa, dtype, value, c, k, w, layout):
    """0 * inf is NaN: on padding as anywhere, whatever the algorithm."""
    rng = np.random.default_rng(7)
    x = to_layout(integers(rng, (1, c, 14, w), dtype), layout)
    weight = integers(rng, (k, c, 3, 3), dtype)
    weight[0, 0, 0, 0] = value
    options = {"padding": 1, "layout": layout}
    assert_array_equal(conv2d(x, weight, **options), reference.conv2d(x, weight, **options))
