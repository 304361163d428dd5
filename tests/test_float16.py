"""Images of float16: each is widened, exactly, computed as float32 or float64, and rounded once."""

import numpy as np
import pytest
from helpers import assert_same_bits, rounded
from numpy.testing import assert_array_equal
from operations import OPERATIONS

from fastconv import filters
from fastconv.filters import box, filter2d, gradient, laplacian_of_gaussian, morphological_gradient

nan, inf = np.nan, np.inf

# Each of the 65536, in the order of their bits; and how many of either sign are not infinite.
EVERY = np.arange(2**16).astype(np.uint16).view(np.float16)
FINITE = 0x7C00
QUIET = {"float16": 1 << 9, "float32": 1 << 22, "float64": 1 << 51}
WIDENED = [name for name, each in OPERATIONS.items() if "float16" in each.dtypes]
# What has a tie in float16 for its nearest number of float32.
BESIDE_A_TIE = 1 + 2.0**-11 + 2.0**-40


def converted(array, dtype):
    """A window of one pixel does nothing but load and store it."""
    return filters.maximum(array.reshape(1, -1), 1, out_dtype=dtype)[0]


def assert_converted(array, dtype):
    """As NumPy does it; a NaN keeps its sign and its payload, and is a quiet one."""
    expected = rounded(array, dtype)
    bits = expected.view(f"u{expected.itemsize}")
    bits[np.isnan(array)] |= np.array(QUIET[dtype], bits.dtype)
    assert_same_bits(converted(array, dtype), expected)


def test_every_load(isa, dtype):
    assert_converted(EVERY, dtype)


def test_load_and_store_of_all(isa):
    assert_converted(EVERY, "float16")


def test_every_tie_and_its_neighbours(isa, dtype):
    """The numbers where results change: bits of float16 count up, and a tie goes to even ones."""
    exact = np.append(EVERY[:FINITE].astype(dtype), np.array(2**16, dtype))
    ties = (exact[:-1] + exact[1:]) / 2
    low = np.arange(FINITE)
    for sign, first in ((1, 0), (-1, 1 << 15)):
        for numbers, bits in (
            (ties, low + low % 2),
            (np.nextafter(ties, np.array(0, dtype)), low),
            (np.nextafter(ties, np.array(inf, dtype)), low + 1),
        ):
            y = converted(sign * numbers, "float16")
            assert_array_equal(y.view(np.uint16), first + bits)


def test_stores_of_any_number(isa, dtype):
    rng = np.random.default_rng(1)
    size = np.dtype(dtype).itemsize
    assert_converted(rng.integers(0, 256, 60_001 * size, np.uint8).view(dtype), "float16")
    powers = 2.0 ** rng.integers(-30, 20, 60_001)
    assert_converted((rng.standard_normal(60_001) * powers).astype(dtype), "float16")
    info = np.finfo(dtype)
    edges = [0, 65504, 65519.99, 65520, 65536, 2.0**-14, 2.0**-24, 2.0**-25, 1e-30, info.max,
             info.tiny, info.smallest_subnormal, inf, nan]  # fmt: skip
    assert_converted(np.array([*edges, *np.negative(edges)], dtype), "float16")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_stores_of_every_integer(isa, dtype):
    info = np.iinfo(dtype)
    every = np.arange(info.min, info.max + 1).astype(dtype)
    y = converted(every, "float16")
    assert_same_bits(y, rounded(every, "float16"))
    assert y[-1] == {"uint8": 255, "uint16": inf, "int16": 2.0**15}[dtype]


@pytest.mark.parametrize("name", WIDENED)
def test_as_of_the_widened_image(isa, name):
    """The result is that of the image in float32, rounded where it is of float16."""
    operation = OPERATIONS[name]
    arrays = operation.arrays("float16", 37)
    wide = {**arrays, "image": arrays["image"].astype("float32")}
    if "out_dtype" in operation.options:
        assert_same_bits(operation(arrays), operation(wide))
        return
    expected = operation(wide)
    assert expected.dtype == "float32"
    corners = operation.function in (filters.harris, filters.shi_tomasi)
    assert_same_bits(operation(arrays), expected if corners else rounded(expected, "float16"))
    assert_same_bits(operation(arrays, out_dtype="float32"), expected)
    wide["image"] = arrays["image"].astype("float64")
    expected = operation(wide)
    assert_same_bits(operation(arrays, out_dtype="float64"), expected)
    assert_same_bits(operation(wide, out_dtype="float16"), rounded(expected, "float16"))


def test_results_of_local_mean_std(isa):
    image = np.array([[0.5, 1.5, 1000]], np.float16)
    mean, std = filters.local_mean_std(image, (1, 2), border="valid")
    assert mean.dtype == std.dtype == "float32"
    assert (mean.tolist(), std.tolist()) == ([[1, 500.75]], [[0.5, 499.25]])


def test_sums_are_not_of_float16(isa):
    """Which counts no further than to 2048."""
    ones = np.ones((64, 65), np.float16)
    y = box(ones, (64, 65), normalize=False, border="valid")
    assert (y.dtype, y.item()) == ("float16", 4160)
    assert filter2d(ones, ones, border="valid").item() == 4160
    assert box(60000 * ones, (64, 65), border="valid").item() == 60000


def test_float64_is_rounded_once(isa):
    image = np.full((3, 3), BESIDE_A_TIE)
    one, above = np.ones((1, 1)), 1 + 2.0**-10
    assert np.float16(np.float32(BESIDE_A_TIE)) == 1
    assert filter2d(image, one, out_dtype="float16")[0, 0] == above
    assert filter2d(np.ones((3, 3), np.uint8), one.astype(int), scale=BESIDE_A_TIE,
                    out_dtype="float16")[0, 0] == above  # fmt: skip
    assert box(image[:1, :1], 1, out_dtype="float16") == above
    assert filters.median(image, out_dtype="float16")[0, 0] == above
    image[:, 0] = 0
    y = gradient(image, outputs="dx", border="valid", out_dtype="float16")
    assert y.tolist() == [[4 * above]]
    assert filters.sobel(image, border="valid", out_dtype="float16").tolist() == [[4 * above]]
    y = morphological_gradient(image, out_dtype="float16")
    assert y[1].tolist() == [above, above, 0]


def test_nothing_is_rounded_between_two_passes(isa):
    """Of 1025 and 0.5 neither the sum nor the difference is a float16."""
    image, half = np.array([[1025.0]], np.float16), np.array([[0.5]])
    for name in ("opening", "closing"):
        assert getattr(filters, name)(image, structure=half).tolist() == [[1025]]
    for name in ("top_hat", "black_hat"):
        assert getattr(filters, name)(image, structure=half).tolist() == [[0]]
    assert morphological_gradient(image, structure=half).tolist() == [[1]]
    y = filters.opening(image, structure=half, out_dtype="float64")
    assert (y.dtype, y.item()) == ("float64", 1025)
    y = filters.dilate(image, structure=half, out_dtype="float32")
    assert (y.dtype, y.item()) == ("float32", 1025.5)
    assert filters.sep_filter2d(image, [0.1], [10]).tolist() == [[1025]]


def test_beyond_65504_is_infinite_silently(isa):
    image = np.array([[-65504, 65504]], np.float16)
    assert filter2d(image, [[2]]).tolist() == [[-inf, inf]]
    assert morphological_gradient(image).tolist() == [[inf, inf]]
    assert filters.black_hat(np.array([[65504, -65504, 65504]], np.float16)).max() == inf
    wide = morphological_gradient(image, out_dtype="float32")
    assert wide.tolist() == [[131008, 131008]]
    for dtype in ("uint16", "float32", "float64"):
        y = morphological_gradient(np.array([[0, 65520]], dtype), out_dtype="float16")
        assert y.tolist() == [[inf, inf]]
    assert gradient(image, outputs="dx", border="edge").tolist() == [[inf, inf]]
    dot = np.array([[0, 1e6, 0]])
    assert laplacian_of_gaussian(dot, 0.5, out_dtype="float16")[0, 1] == -inf


def test_integers_of_float16(isa):
    image = np.array([[0.5, 1.5, 2.5, -3, 300, inf, -inf, nan]], np.float16)
    for name, options in (("filter2d", {"kernel": [[1]]}), ("median", {"size": 1})):
        function = getattr(filters, name)
        y = function(image, out_dtype="uint8", **options)
        assert y.tolist() == [[0, 2, 2, 0, 255, 255, 0, 0]]
        y = function(image, out_dtype="int16", **options)
        assert y.tolist() == [[0, 2, 2, -3, 300, 32767, -32768, 0]]
    far = np.array([[-30000, 30000]], np.float16)
    for out_dtype, most in (("uint8", 255), ("int16", 32767), ("uint16", 60000)):
        y = morphological_gradient(far, out_dtype=out_dtype)
        assert y.tolist() == [[most, most]]
