"""A stride gives every so many-th row and column of the full correlation, bit for bit."""

from itertools import product

import numpy as np
import pytest
from helpers import BORDERS, PIXELS, anything, assert_same_bits, poisoned
from numpy.testing import assert_array_equal

from fastconv import _geometry, _plan, filters, reference
from fastconv.filters import filter2d, gaussian, sep_filter2d

STRIDES = (2, 3, 4, 5, (1, 2), (2, 1), (3, 8), (1000, 999), (2**40, 1))
RNG = np.random.default_rng(7)
CALLS = {
    "3x3": (filter2d, RNG.standard_normal((3, 3))),
    "integers": (filter2d, RNG.integers(-3, 4, (3, 3))),
    "bank": (filter2d, RNG.standard_normal((2, 4, 7))),
    "column": (filter2d, RNG.standard_normal((6, 1))),
    "pixel": (filter2d, np.array([[0.3]])),
    "separable": (sep_filter2d, RNG.standard_normal(9), RNG.standard_normal(12)),
    "integers, separable": (sep_filter2d, np.array([1, 4, 6, 4, 1]), np.array([1, 2, 1])),
    "3x3 of two": (sep_filter2d, RNG.standard_normal(3), RNG.standard_normal(3)),
    "gaussian": (gaussian, 0.8),
    "slope": (gaussian, 0.6, {"order": (0, 1)}),
}


def check(name, image, stride, threads=1, **options):
    """The bits are those of the full result; the output was poisoned."""
    function, *kernels = CALLS[name]
    if isinstance(kernels[-1], dict):
        options |= kernels.pop()
    rows, cols = (stride, stride) if isinstance(stride, int) else stride
    full = function(image, *kernels, threads=1, **options)
    expected = full[..., ::rows, ::cols]
    if options.get("channel_axis") is not None:
        expected = full[..., ::rows, ::cols, :]
    out = poisoned(expected.shape, full.dtype)
    result = function(image, *kernels, stride=stride, out=out, threads=threads, **options)
    assert result is out
    assert_same_bits(out, expected, f"{name}, {image.shape}, {stride}, {options}")


def test_worked_example(isa):
    image = np.arange(1, 16, dtype=np.uint8).reshape(3, 5)  # 1 ... 5; 6 ... 10; 11 ... 15
    kernel = [[0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert filter2d(image, kernel, stride=2).tolist() == [[4, 6, 8], [24, 26, 28]]
    assert filter2d(image, kernel, stride=(1, 3)).tolist() == [[4, 8], [14, 18], [24, 28]]
    assert filter2d(image, kernel, stride=(5, 2), border="zeros").tolist() == [[2, 6, 4]]
    assert filter2d(image, kernel, stride=(1, 2), border="valid").tolist() == [[14, 18]]
    assert sep_filter2d(image, [1], [1, 0, 1], stride=2).tolist() == [[4, 6, 8], [24, 26, 28]]
    step = np.repeat([[0.0, 8]], 4, axis=1)
    assert gaussian(step, (0, 0.5), radius=1, stride=2).round(2).tolist() == [[0, 0, 7.15, 8]]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_bits_of_the_full_result(isa, dtype, name):
    shapes = [(1, 1), (2, 5), (7, 40), (2, 9, 133), (5, 300)]
    borders = [*BORDERS, ("wrap", "constant")]
    for i, (stride, shape) in enumerate(product(STRIDES, shapes)):
        image = anything(np.random.default_rng(i), shape, dtype)
        check(name, image, stride, 1 + i % 3, border=borders[i % 6], cval=3)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 17])
def test_channels(isa, channels, name):
    for i, stride in enumerate(STRIDES):
        for dtype in ("uint8", "float16", "float32", "float64"):
            image = anything(np.random.default_rng(i), (2, 8, 61, channels), dtype)
            border = list(BORDERS)[i % 5]
            check(name, image, stride, 1 + i % 3, channel_axis=-1, border=border, cval=3)


@pytest.mark.parametrize("name", CALLS)
def test_blocks(isa, small_blocks, name):
    for i, stride in enumerate(STRIDES):
        image = anything(np.random.default_rng(i), (23, 190), PIXELS[i % 6])
        check(name, image, stride, 1 + i % 3, border=list(BORDERS)[i % 5], cval=3)


@pytest.mark.parametrize("stride", STRIDES)
def test_valid(isa, dtype, stride):
    for shape in ((9, 12), (10, 13), (11, 200), (30, 12)):
        image = anything(np.random.default_rng(1), shape, dtype)
        check("separable", image, stride, border="valid")
        check("bank", image, stride, border="valid", anchor=(3, 0), scale=0.3, delta=2)


def test_as_the_reference(isa):
    image = anything(np.random.default_rng(2), (2, 9, 31), "uint8")
    for stride in STRIDES:
        for options in ({"stride": stride}, {"stride": stride, "border": "valid"}):
            for name in ("filter2d", "sep_filter2d"):
                kernels = CALLS["integers" if name == "filter2d" else "integers, separable"][1:]
                expected = getattr(reference, name)(image, *kernels, **options)
                assert_array_equal(getattr(filters, name)(image, *kernels, **options), expected)
            expected = reference.gaussian(image.astype(float), 0.8, **options)
            y = gaussian(image.astype(float), 0.8, **options)
            np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_wide_lines_and_long_strides(isa):
    image = anything(np.random.default_rng(3), (3, 70_000), "float32")
    for stride in (2, 3, (1, 300), (1, 5000), (2, 69_999)):
        for name in ("3x3", "separable", "bank"):
            check(name, image, stride, 2)


def test_what_is_no_number_reaches_the_outputs_that_see_it(isa, dtype):
    image = np.ones((20, 90), dtype)
    image[7, 41] = np.nan
    result = filter2d(image, np.ones((3, 3)), stride=3)
    assert np.argwhere(np.isnan(result)).tolist() == [[2, 14]]  # rows 5 to 7, columns 41 to 43


def test_scratch_memory():
    """At most 4 MB per thread, or what the full result takes."""
    for size, strides in product(
        [(3, 3), (31, 31), (101, 101), (1, 3001)], [(2, 2), (1, 50), (3, 2000), (1, 10**6)]
    ):
        for image in ((4000, 50_000), (100, 10**8)):
            pads = tuple((k // 2, k - 1 - k // 2) for k in size)
            for channels, bits in product((1, 3), (32, 64)):
                full, strided = (
                    _plan.filter2d(_geometry.Filter2d(
                        1, channels, 1,
                        *_geometry.windows("filter2d", image, size, stride, pads, (1, 1)),
                        ("reflect", "reflect"), "uint8", "uint8", "filter2d", bits, 1.0, 0.0, 0.0,
                    ), 1)[0].scratch_bytes
                    for stride in ((1, 1), strides)
                )  # fmt: skip
                assert strided <= max(4 * 2**20, full), (size, strides, image, channels)


@pytest.mark.parametrize(("stride", "error", "words"), [
    (0, ValueError, "stride is 0, expected at least 1"),
    ((2, -1), ValueError, "stride is -1, expected at least 1"),
    (1.0, TypeError, "stride is 1.0, expected an integer or a pair"),
    ((1, 2, 3), ValueError, "stride is (1, 2, 3), expected an integer or a pair"),
    ("2", TypeError, "stride is '2', expected an integer or a pair"),
])  # fmt: skip
def test_errors(stride, error, words):
    out = poisoned((9, 9), np.float32)
    before = out.copy()
    for name, kernels in (
        ("filter2d", [np.ones((3, 3))]), ("sep_filter2d", [[1], [1]]), ("gaussian", [1]),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            getattr(filters, name)(np.ones((9, 9), "f4"), *kernels, stride=stride, out=out)
        assert str(caught.value) == f"{name}: {words}"
    assert out.tobytes() == before.tobytes()
    with pytest.raises(ValueError, match=r"gaussian: stride is 2, expected 1 with method"):
        gaussian(np.ones((9, 9)), 3, method="recursive", stride=2)
    assert gaussian(np.ones((9, 9)), 3, method="recursive", stride=(1, 1)).shape == (9, 9)
