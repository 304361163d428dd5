"""Box, rank and morphological filters against the reference and SciPy: exact but for float sums."""

import itertools

import numpy as np
import pytest
from helpers import (
    BORDERS,
    PIXELS,
    anything,
    assert_same_bits,
    change_plans,
    clear_plans,
    guarded,
    poisoned,
    rounded,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from test_filters import assert_close
from test_reference import SCIPY_BORDERS

from fastconv import _calls, _config, _geometry, _plan, _threads, filters, reference
from fastconv.filters import order

nan, inf = np.nan, np.inf
SIZES = [(1, 1), (2, 3), (3, 3), (5, 5), (1, 8), (8, 1), (9, 4), (4, 17), (16, 16), (21, 9)]
SHAPES = [(1, 1), (2, 3), (7, 40), (23, 70), (40, 5)]
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
DOME = np.array([[0, 1, 2, 1], [1, 2, 5, 0]])
ORDERED = {
    "dilate": {"footprint": CROSS},
    "erode": {"footprint": CROSS, "structure": np.array([[9, 0, 9], [1, 2, 1], [9, 3, 9]])},
    "opening": {"footprint": np.array([[1, 1, 0], [0, 1, 0]])},
    "closing": {"structure": DOME},
    "morphological_gradient": {"footprint": (2, 5)},
    "top_hat": {"footprint": (3, 2)},
    "black_hat": {"footprint": CROSS},
    "median": {"size": (3, 4)},
    "percentile": {"q": 77, "size": 3},
    "rank": {"rank": -2, "size": (2, 3)},
    "minimum": {"size": (12, 3)},
    "maximum": {"size": 5},
}


def check(name, image, threads=1, **options):
    """The function gives what the reference gives, into an output that was poisoned."""
    expected = getattr(reference, name)(image, **options)
    out = poisoned(expected.shape, options.get("out_dtype", image.dtype))
    assert getattr(filters, name)(image, out=out, threads=threads, **options) is out
    assert_array_equal(out, rounded(expected, out.dtype), f"{name}, {image.shape}, {options}")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", PIXELS)
def test_rectangles(isa, dtype, size):
    for seed, shape in enumerate(SHAPES):
        image = anything(np.random.default_rng(seed), shape, dtype)
        border = list(BORDERS)[seed % len(BORDERS)]
        for name, key in (("maximum", "size"), ("erode", "footprint"), ("median", "size")):
            check(name, image, border=border, cval=3, **{key: size})
        check("percentile", image, border=border, cval=3, q=20, size=size)


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("dtype", PIXELS)
def test_order(isa, name, dtype):
    rng = np.random.default_rng(3)
    for shape in ((2, 9, 37), (1, 1, 1), (3, 70)):
        image = rng.integers(0, 200, shape).astype(dtype)
        check(name, image, **ORDERED[name])
        check(name, image, threads=3, border=("wrap", "constant"), cval=9, **ORDERED[name])
    for channels in (1, 2, 3, 17):
        image = rng.integers(0, 200, (2, 8, 9, channels)).astype(dtype)
        check(name, image, channel_axis=-1, **ORDERED[name])


@pytest.mark.parametrize("dtype", PIXELS)
@pytest.mark.parametrize("out_dtype", PIXELS)
def test_types_of_results(isa, dtype, out_dtype):
    image = np.random.default_rng(4).integers(0, 256, (11, 23)).astype(dtype)
    for name in ("dilate", "median", "rank"):
        check(name, image, out_dtype=out_dtype, **ORDERED[name])
    check("box", image, size=(4, 3), out_dtype=out_dtype if out_dtype[0] != "f" else "uint8")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_box_of_integers_is_exact(isa, dtype, size):
    """The whole range, even windows whose means are ties, sums beyond what float32 holds."""
    for seed, shape in enumerate(SHAPES):
        image = anything(np.random.default_rng(seed), shape, dtype)
        border = list(BORDERS)[seed % len(BORDERS)]
        check("box", image, size=size, border=border, cval=7)
        check("box", image, size=size, border=border, normalize=False, out_dtype="float64")
        check("box", image, size=size, border=border, cval=7, out_dtype="float16")


def test_means_of_every_sum_of_every_area(isa):
    """All 16-bit sums, divided by a multiplication: ties go to the even number."""
    for area in range(1, 258):
        # From one window to the next a pixel leaves, and one more than it enters: sums rise by 1.
        column = (np.arange(256 * area)[:, None] // area).astype(np.uint8)
        sums = np.arange(255 * area + 1)
        expected = np.rint(sums / area)
        means = filters.box(column, (area, 1), border="valid", threads=1)[:, 0]
        assert_array_equal(means, expected, f"{area} rows")
        means = filters.box(column.T.copy(), (1, area), border="valid", threads=1)[0]
        assert_array_equal(means, expected, f"{area} columns")


def sums_of(image, size, anchor, border):
    """The sum of each rectangle of (H, W, C) integers, by sums from the corner on."""
    pads = [(a, k - a) for a, k in zip(anchor, size, strict=True)]  # and a first row and column
    pads = [(before + 1, after - 1) for before, after in pads]
    fill = {"constant_values": 255} if border == "constant" else {}
    sums = np.pad(image.astype(np.int64), (*pads, (0, 0)), border, **fill).cumsum(0).cumsum(1)
    down = sums[size[0] :] - sums[: -size[0]]
    return down[:, size[1] :] - down[:, : -size[1]]


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_what_is_outside_of_16_bits(isa, threads, dtype):
    """Whatever the constant is: a pixel, too small or too large for one, no integer."""
    rng, limits = np.random.default_rng(16), np.iinfo(dtype)
    image = rng.choice([limits.min, limits.min + 1, -1, 0, 1, limits.max - 1, limits.max], (17, 93))
    image = image.astype(dtype)
    for cval in (limits.min, limits.max, limits.min - 1, limits.max + 1, 0, -1, 3, 2.5, 1e6):
        options = {"border": "constant", "cval": cval}
        for name, arguments in (
            ("median", {"size": 3}), ("median", {"size": 5}), ("rank", {"size": (4, 3), "rank": 2}),
            ("median", {"size": 15}), ("dilate", {"footprint": 3}), ("erode", {"footprint": CROSS}),
            ("dilate", {"footprint": (12, 4)}), ("closing", {"footprint": CROSS}),
            ("erode", {"structure": DOME}),
        ):  # fmt: skip
            check(name, image, threads, **arguments, **options)


def saturated(exact, dtype):
    """Numbers in the dtype: where it holds integers rounded, half to even, within its range."""
    if dtype.kind == "f":
        return exact.astype(dtype)
    return np.rint(exact).clip(0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(
    "size",
    [(3, 3), (16, 16), (257, 1), (1, 257), (1, 258), (2, 129), (17, 17), (31, 31), (40, 21),
     (2, 257), (90, 10), (129, 127), (60, 258)],
)  # fmt: skip
def test_box_of_uint8_at_the_limits(isa, size):
    """Sums of 16 and of 32 bits, of rows of 16 bits and of more, in any number of channels."""
    rng = np.random.default_rng(size)
    area = size[0] * size[1]
    for seed, channels in enumerate((1, 2, 3, 4, 5, 8, 13, 17)):
        shape = ((40, 150), (1, 1), (3, 300), (270, 4))[seed % 4]
        image = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (*shape, channels))
        image[: seed * 5] = 255
        anchor = tuple(int(rng.integers(k)) for k in size)
        border = list(BORDERS)[seed % len(BORDERS)]
        sums = sums_of(image, size, anchor, border)
        options = {"border": border, "cval": 255, "anchor": anchor, "channel_axis": -1}
        for threads in (1, 2, 3):
            for out_dtype in ("uint8", "uint16", "int16", "float32"):
                out = poisoned(image.shape, out_dtype)
                options |= {"out_dtype": out_dtype, "out": out, "threads": threads}
                filters.box(image, size, **options)
                assert_array_equal(out, saturated(sums / area, out.dtype))
                filters.box(image, size, normalize=False, **options)
                assert_array_equal(out, saturated(sums, out.dtype))


def test_moving_windows_hold_what_windows_hold(isa):
    """However far a window has moved, and wherever its block began, its sum is its own."""
    image = np.random.default_rng(14).integers(0, 256, (3000, 5, 1), np.uint8)
    for size in ((7, 3), (40, 30)):
        expected = np.rint(sums_of(image, size, (0, 0), "wrap") / (size[0] * size[1]))
        for threads in (1, 2, 3):
            means = filters.box(
                image, size, border="wrap", anchor=(0, 0), channel_axis=-1, threads=threads
            )
            assert_array_equal(means, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_box_of_floats(isa, dtype, size):
    image = np.random.default_rng(5).standard_normal((23, 70)).astype(dtype)
    terms = size[0] * size[1]
    eps = np.finfo(dtype if dtype == "float64" else "float32").eps
    sums = reference.box(abs(image), size)
    assert_close(filters.box(image, size), reference.box(image, size), (terms + 2) * eps * sums)


@pytest.mark.parametrize("size", [(3, 3), (2, 9), (12, 4), (17, 17)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_no_number_stays_inside_its_windows(isa, dtype, size):
    image = np.ones((40, 90), dtype)
    image[13, 31], image[29, 77], image[20, 8] = nan, inf, -inf
    for name in ("box", "maximum", "minimum", "median"):
        result = getattr(filters, name)(image, size)
        assert_array_equal(result, getattr(reference, name)(image, size).astype(dtype), name)
        assert np.isnan(result).sum() == size[0] * size[1]


@pytest.mark.parametrize("name", ["box", "maximum", "minimum"])
def test_what_is_no_number_beside_a_strip(isa, name):
    """What a step reads past its own numbers counts too: strips begin every few vectors."""
    for width, channels in itertools.product((6, 7, 9, 12), (1, 3)):
        for column in range(58, 76):
            image = np.zeros((3, 100, channels), np.float32)
            image[1, column, -1] = nan
            result = getattr(filters, name)(image, (3, width), channel_axis=-1)
            expected = getattr(reference, name)(image, (3, width), channel_axis=-1)
            assert_array_equal(result, expected, f"{width}, {column}")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 9])
def test_box_of_pixels(isa, channels):
    """Sums of three pixels, of those a vector further on, and of what is left."""
    image = np.random.default_rng(6).integers(-99, 99, (19, 61, channels)).astype(np.float32)
    for width in (5, 6, 7, 8, 9, 10, 11, 13):
        check("box", image, size=(3, width), channel_axis=-1, normalize=False)


@pytest.mark.parametrize("dtype", PIXELS)
def test_windows_of_one_column_read_no_more_than_the_image(isa, dtype):
    for name, place in itertools.product(("maximum", "minimum", "median"), ("start", "end")):
        image = guarded(anything(np.random.default_rng(7), (3, 1024), dtype), place)
        check(name, image, size=(3, 1))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_wide_lines(isa, dtype, border):
    """Lines that are read in the image itself, but for their ends; odd numbers of rows."""
    rng = np.random.default_rng(12)
    for shape, axis in (((11, 700), None), ((2, 9, 133, 5), -1), ((7, 2, 300), -1)):
        image = rng.integers(0, 256, shape).astype(dtype)  # sums are exact
        for name, options in (
            ("median", {"size": 3}), ("median", {"size": 5}), ("dilate", {"footprint": (5, 4)}),
            ("erode", {"footprint": 3}), ("maximum", {"size": (1, 9)}), ("box", {"size": (3, 7)}),
            *(("filter2d", {"kernel": rng.integers(-9, 9, size)})
              for size in ((3, 3), (5, 5), (2, 8), (4, 3), (7, 1), (6, 17))),
            ("sep_filter2d", {"kernel_y": np.array([1, 2, 3]), "kernel_x": np.array([2, -1])}),
        ):  # fmt: skip
            for threads in (1, 3):
                check(name, image, threads, border=border, cval=7, channel_axis=axis, **options)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dtype", PIXELS)
def test_medians_of_zeros_and_ones(isa, dtype, size):
    """A network of comparisons that sorts these columns and finds these medians finds all (the 0-1
    principle: Knuth, The Art of Computer Programming 3, 5.3.4, theorem Z)."""
    ones = np.array(list(itertools.product(range(size + 1), repeat=size)))  # of each column
    windows = (np.arange(size)[:, None] >= size - ones[:, None]).astype(dtype)
    columns = np.array(list(itertools.product(range(2), repeat=size)))[:, :, None]
    windows = np.concatenate([windows, np.repeat(columns, size, axis=2).astype(dtype)])
    expected = windows.sum((1, 2)) > size**2 // 2
    result = filters.median(windows, size, border="valid", threads=1)
    assert_array_equal(result[:, 0, 0], expected)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_medians_near_what_is_no_number(isa, dtype, size):
    """A NaN in any place of a wide line, and beside it, infinities and zeros of both signs."""
    rng = np.random.default_rng(13)
    for at in (0, 1, 5, 79, 150, 198, 199):
        image = rng.choice([-1.5, -0.0, 0.0, 2.5, inf, -inf], (9, 200)).astype(dtype)
        image[at % 9, at] = nan
        expected = reference.median(image, size).astype(dtype)
        assert_array_equal(filters.median(image, size, threads=1), expected)
        column = image[:, at : at + 1].copy()
        expected = reference.median(column, size).astype(dtype)
        assert_array_equal(filters.median(column, size), expected)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_medians_of_positive_numbers_but_one(isa, dtype, size):
    """Numbers without a sign are compared in another way, until one turns out to have one."""
    rng, tiny = np.random.default_rng(14), -(2.0**-99)
    some = rng.choice([0, 0.5, 1, 3, inf], (5, 131)).astype(dtype)
    for axis, shape in ((None, (5, 131)), (-1, (1, 131, 5))):
        for odd in (-0.0, -1, -inf, nan, -nan):
            for at in (*range(0, 655, 7), 650, 651, 652, 653, 654):
                image = some.copy()
                image.flat[at] = odd
                image = image.reshape(shape)
                result = filters.median(image, size, channel_axis=axis, threads=1)
                image[np.signbit(image) & (image == 0)] = tiny  # float32: -0 is below 0
                expected = reference.median(image, size, channel_axis=axis)
                assert_array_equal(result, np.where(expected == tiny, 0, expected).astype(dtype))
                if dtype == "float32":
                    zero = result == 0
                    assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number_changes_no_bits_elsewhere(isa, dtype):
    """Not even the signs of zeros of other windows."""
    image = np.random.default_rng(15).choice([-1, -0.0, 0, 1], (30, 300)).astype(dtype)
    spoilt = image.copy()
    spoilt[28, 290] = nan
    for name, size in (
        ("median", 3), ("median", 5), ("median", (3, 4)), ("median", 7), ("median", 21),
        ("maximum", 3), ("minimum", 21), ("box", 9), ("box", 21),
    ):  # fmt: skip
        result, other = (getattr(filters, name)(x, size, threads=1) for x in (image, spoilt))
        seen = np.isnan(reference.maximum(spoilt, size))
        assert np.isnan(other[seen]).all() and seen.any()
        assert result[~seen].tobytes() == other[~seen].tobytes(), name


@pytest.mark.parametrize("border", SCIPY_BORDERS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_as_scipy(border, dtype):
    image = np.random.default_rng(6).integers(0, 200, (19, 31)).astype(dtype)
    theirs = image.astype("float32") if dtype == "float16" else image  # which SciPy does not take
    mode = SCIPY_BORDERS[border]
    for size in ((3, 3), (5, 4), (9, 11)):
        pairs = {
            "median": ndimage.median_filter, "maximum": ndimage.maximum_filter,
            "minimum": ndimage.minimum_filter,
        }  # fmt: skip
        for name, function in pairs.items():
            ours = getattr(filters, name)(image, size, border=border)
            assert_array_equal(ours, function(theirs, size, mode=mode))
        ours = filters.percentile(image, 35, size, border=border)
        assert_array_equal(ours, ndimage.percentile_filter(theirs, 35, size, mode=mode))
        if size[1] % 2 and size[0] % 2:
            ours = filters.opening(image, size, border=border)
            assert_array_equal(ours, ndimage.grey_opening(theirs, size, mode=mode))
    element = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1]])
    assert_array_equal(
        filters.dilate(image, element, border=border),
        ndimage.grey_dilation(theirs, footprint=element[::-1, ::-1], mode=mode),
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (17, 17), (40, 3)])
@pytest.mark.parametrize("dtype", PIXELS)
def test_deviations_of_bright_images(isa, threads, dtype, size):
    """Little differs from the mean; sums of squares are exact, in float32 below 2**24 / 255**2."""
    rng = np.random.default_rng(41)
    image = (250 + rng.integers(0, 6, (2, 23, 41, 2))).astype(dtype)
    options = {"channel_axis": -1, "border": ("symmetric", "wrap")}
    with _config.use_isa("scalar"):
        plain = filters.local_mean_std(image, size, threads=1, **options)
    for _ in range(2):  # planned, and as the last one
        results = filters.local_mean_std(image, size, threads=threads, **options)
        assert_same_bits(results, plain)
    assert {y.dtype.name for y in results} == {"float64" if dtype == "float64" else "float32"}
    rtol = 4 * np.finfo(results[0].dtype).eps
    near = image.astype(np.float64) - 250
    sums = reference.local_mean_std(near, size, **options)
    assert_allclose(results[0], sums[0] + 250, rtol)
    assert_allclose(results[1], sums[1], max(rtol, 1e-13), atol=1e-7)


def test_local_mean_std():
    rng = np.random.default_rng(7)
    for dtype in PIXELS:
        image = (rng.standard_normal((2, 9, 13, 2)) * 9 + 100).astype(dtype)
        for options in ({"channel_axis": -1}, {"border": "zeros", "cval": 9}, {"border": "valid"}):
            results = filters.local_mean_std(image, (3, 2), threads=2, **options)
            expected = reference.local_mean_std(image, (3, 2), **options)
            for result, each in zip(results, expected, strict=True):
                assert result.dtype == (np.float64 if dtype == "float64" else np.float32)
                assert_allclose(result, each, rtol=1e-6, atol=2e-6)
    image = rng.random((40, 50)).astype(np.float32)
    far = image.copy()
    far[0, 0] = -3e38  # changes what is near it alone
    near = filters.local_mean_std(image, 5)
    for each, other in zip(near, filters.local_mean_std(far, 5), strict=True):
        assert_array_equal(each[3:, 3:], other[3:, 3:])
    step = np.where(np.arange(60) < 30, image[:1, :1], 1e8)[None] + rng.random((9, 60))
    left = filters.local_mean_std(step, 5)[1][..., :27]
    assert_allclose(left, reference.local_mean_std(step[..., :30], 5)[1][..., :27], rtol=1e-9)
    assert np.isnan(filters.local_mean_std(np.full((4, 4), 1e200), 3)[1]).all()


@pytest.mark.parametrize("border", ["reflect", "symmetric", "edge", "wrap", "constant", "valid"])
@pytest.mark.parametrize("footprint", [3, (2, 3), (5, 1), CROSS])
@pytest.mark.parametrize("name", ["dilate", "erode"])
def test_iterations(name, footprint, border):
    rng = np.random.default_rng(11)
    for shape in ((23, 19), (1, 2), (3, 4)):
        if border == "valid" and shape != (23, 19):
            continue
        for dtype, anchor in itertools.product(("uint8", "float16", "float32"), (None, (0, 0))):
            image = (rng.random(shape) * 200).astype(dtype)
            options = {"border": border, "cval": 77, "anchor": anchor}
            for iterations in (1, 2, 3):
                result = getattr(filters, name)(image, footprint, iterations=iterations, **options)
                expected = getattr(reference, name)(
                    image, footprint, iterations=iterations, **options
                )
                assert result.dtype == dtype
                assert_array_equal(result, expected)


def test_iterations_round_what_is_outside():
    """As the images between are, whose type may hold less than the result's."""
    image, options = np.full((7, 7), 200, np.uint8), {"iterations": 2, "border": "constant"}
    result = filters.dilate(image, 3, cval=300, out_dtype="uint16", **options)
    assert result[3].tolist() == [300, 255, 200, 200, 200, 255, 300]
    for name, dtype, out_dtype, cval in (
        ("dilate", "uint8", "float32", 200.7), ("erode", "uint8", "int16", -5),
        ("erode", "uint8", "float64", 0.5), ("dilate", "uint8", "uint8", 300),
        ("dilate", "int16", "uint16", 4e4), ("dilate", "float32", "float64", 0.1),
    ):  # fmt: skip
        result, expected = (
            getattr(module, name)(image.astype(dtype), cval=cval, out_dtype=out_dtype, **options)
            for module in (filters, reference)
        )
        assert_array_equal(result, expected.astype(out_dtype))


PICKED = [
    ("median", (5,)), ("rank", (2,)), ("percentile", (30,)), ("minimum", ()), ("maximum", ()),
    ("dilate", ()), ("erode", (CROSS,)), ("opening", ()), ("closing", ()), ("top_hat", ()),
    ("morphological_gradient", ()), ("black_hat", ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), PICKED)
def test_bool_images(name, arguments):
    function = getattr(filters, name)
    image = np.random.default_rng(12).random((20, 30)) < 0.5
    for each in (image, image[::2, ::-1]):
        expected = function(each.astype(np.uint8), *arguments, border="constant", cval=1)
        result = function(each, *arguments, border="constant", cval=True)
        assert result.dtype == bool
        assert_array_equal(result.view(np.uint8), expected)
        options = {"border": "zeros", "cval": True, "out_dtype": "uint8"}
        assert_array_equal(function(each, *arguments, **options), expected)
        for border in ("constant", "wrap"):
            expected = getattr(reference, name)(each, *arguments, border=border, cval=1)
            assert expected.dtype == bool
            assert_array_equal(function(each, *arguments, border=border, cval=1), expected)
    out = np.zeros((20, 30), bool)
    assert function(image, *arguments, out=out, out_dtype="bool") is out
    assert_array_equal(function(image.tolist(), *arguments), out)
    counts = function(image, *arguments, out_dtype="float32")
    assert counts.dtype == "float32"
    assert_array_equal(counts, out)
    for options, message in (
        ({"cval": 2}, "cval is 2, expected 0 or 1 for a bool image"),
        ({"out": out.view(np.uint8)}, "out has dtype uint8, expected bool"),
        ({"out": out[1:]}, r"out has shape \(19, 30\), expected \(20, 30\)"),
        ({"out": 1}, "out is a int"),
        ({"out_dtype": "int64"}, "out_dtype is int64, expected bool, uint8, "),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{name}: {message}"):
            function(image, *arguments, **options)
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'sigma'"):
        function(image, *arguments, sigma=1)


def test_what_is_no_bool_image():
    with pytest.raises(TypeError, match=r"box: image has dtype bool, .*, np\.uint8\)$"):
        filters.box(np.ones((3, 3), bool), 3)
    with pytest.raises(TypeError, match=r"median: image is a masked array"):
        filters.median(np.ma.ones((3, 3), bool))
    with pytest.raises(ValueError, match=r"dilate: structure has heights, expected none"):
        filters.dilate(np.ones((3, 3), bool), structure=CROSS)


def test_iterations_by_hand():
    image = np.array([[0, 0, 0, 9, 0, 0, 0]], np.uint8)
    assert filters.dilate(image, (1, 3), iterations=2).tolist() == [[0, 9, 9, 9, 9, 9, 0]]
    dome = {"structure": np.array([[0, 1, 0]]), "iterations": 300}
    assert filters.dilate(image, **dome)[0, :4].tolist() == [255] * 4  # saturated
    assert filters.dilate(image, **{**dome, "iterations": 2}).tolist() == [[2, 9, 10, 11, 10, 9, 2]]
    out = np.empty((1, 7), np.int16)
    assert filters.erode(image, (1, 2), iterations=3, out_dtype=out.dtype, out=out) is out
    for iterations, kind in ((0, ValueError), (1.0, TypeError), (2**15, ValueError)):
        with pytest.raises(kind, match=r"erode: .*iterations"):
            filters.erode(image, iterations=iterations)


def test_expectations_worked_by_hand():
    assert filters.box(np.array([[1, 2, 4]], np.uint8), (1, 2), border="valid").tolist() == [[2, 3]]
    assert filters.box(np.array([[1, 2, 4]], np.uint8), (1, 2), border="valid", normalize=False,
                       out_dtype="int16").tolist() == [[3, 6]]  # fmt: skip
    row = np.array([[0, 1, 2, 3, 255]], np.uint8)
    assert filters.box(row, (1, 2), border="valid").tolist() == [[0, 2, 2, 129]]  # 0.5, 1.5, 2.5
    assert filters.box(row, (1, 2), border="constant", cval=255).tolist() == [[128, 0, 2, 2, 129]]
    assert filters.box(row, (1, 5), border="valid").tolist() == [[52]]  # 52.2
    wide = np.full((20, 20), 255, np.uint8)  # of 400 pixels, 102000
    for kind, sums in (("uint8", 255), ("int16", 32767), ("uint16", 65535), ("float32", 102e3)):
        result = filters.box(wide, 20, border="valid", normalize=False, out_dtype=kind)
        assert result.tolist() == [[sums]]
    ends = np.array([[0, 2**15, 2**15 - 1, 2**16 - 1]], np.uint16)
    assert filters.dilate(ends, (1, 3)).tolist() == [[32768, 32768, 65535, 65535]]
    assert filters.median(ends, (1, 3), border="valid").tolist() == [[32767, 32768]]
    signed = ends.view(np.int16)  # 0, -32768, 32767, -1
    assert filters.dilate(signed, (1, 3)).tolist() == [[0, 32767, 32767, 32767]]
    assert filters.median(signed, (1, 3), border="valid").tolist() == [[0, -1]]
    assert filters.erode(signed, (1, 2), border="constant", cval=-7).tolist() == [
        [-7, -32768, -32768, -1]
    ]
    image = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.int16)
    assert filters.dilate(image, CROSS, border="constant").tolist() == [
        [4, 5, 6], [7, 8, 9], [8, 9, 9],
    ]  # fmt: skip
    assert filters.erode(image, structure=CROSS, border="valid").tolist() == [[1]]
    assert filters.median(image, border="valid").tolist() == [[5]]
    assert filters.median(image, border="constant")[0].tolist() == [0, 2, 0]
    assert filters.rank(image, 7, border="valid").tolist() == [[8]]
    assert filters.morphological_gradient(image, (1, 3)).tolist() == [[1, 2, 1]] * 3
    wide = np.array([[-30000, 30000]], np.int16)
    assert filters.morphological_gradient(wide).tolist() == [[32767, 32767]]  # saturated


def test_medians_of_every_order_of_zeros_and_ones(isa):
    """A network that sorts all zeros and ones sorts everything: all 512 of 3x3, many of 5x5."""
    every = (np.arange(512)[:, None, None] >> np.arange(9).reshape(3, 3)) & 1
    expected = (every.sum((1, 2)) > 4).astype(int)
    share = np.linspace(0.3, 0.7, 3000)[:, None, None]
    some = np.random.default_rng(8).random((3000, 5, 5)) < share
    for dtype in PIXELS:
        result = filters.median(every.astype(dtype), border="valid")
        assert_array_equal(result[:, 0, 0], expected)
        result = filters.median(some.astype(dtype), 5, border="valid")
        assert_array_equal(result[:, 0, 0], some.sum((1, 2)) > 12)


@pytest.mark.parametrize("size", [(1, 2), (1, 11), (11, 1), (2, 5), (5, 2), (4, 3), (3, 4), (2, 6)])
def test_every_rank_of_every_order_of_zeros_and_ones(isa, size):
    """So networks of any shape sort everything, and histograms do, too."""
    pixels = size[0] * size[1]
    every = (np.arange(2**pixels)[:, None, None] >> np.arange(pixels).reshape(size)) & 1
    for rank in range(pixels):
        expected = every.sum((1, 2)) >= pixels - rank
        for dtype in ("uint8", "float32", "float64"):
            result = filters.rank(every.astype(dtype), rank, size, border="valid")
            assert_array_equal(result[:, 0, 0], expected)


def test_medians_of_large_windows_worked_by_hand():
    """The middle of a window of a ramp is its centre; of an even number the upper one is taken."""
    for dtype in PIXELS:
        ramp = np.arange(60, dtype=dtype)[None].repeat(50, 0)
        assert_array_equal(filters.median(ramp, 31, border="valid"), ramp[:20, 15:45])
        assert_array_equal(filters.median(ramp.T, 31, border="valid"), ramp[:20, 15:45].T)
        assert_array_equal(filters.median(ramp, (1, 40), border="valid"), ramp[:, 20:41])
        assert_array_equal(filters.percentile(ramp, 10, (1, 40), border="valid"), ramp[:, 4:25])
        assert_array_equal(filters.rank(ramp, 41, (40, 20), border="valid"), ramp[:11, 1:42])
        assert_array_equal(filters.median(ramp, (9, 7), border="constant")[0, :3], [0, 0, 0])


# What is put in order: any pixels, few that differ, none, and such as are in order already.
IMAGES = {
    "any": lambda rng, shape, dtype: anything(rng, shape, dtype),
    "few": lambda rng, shape, dtype: rng.integers(0, 3, shape).astype(dtype),
    "equal": lambda rng, shape, dtype: np.full(shape, 7, dtype),
    "rising": lambda rng, shape, dtype: np.arange(np.prod(shape)).reshape(shape).astype(dtype),
    "falling": lambda rng, shape, dtype: -np.arange(np.prod(shape)).reshape(shape).astype(dtype),
}


@pytest.mark.parametrize(
    "size", [(6, 6), (7, 7), (10, 9), (8, 11), (12, 12), (13, 40), (41, 14), (31, 31), (2, 41)]
)
@pytest.mark.parametrize("dtype", PIXELS)
def test_ranks_of_every_size(isa, dtype, size):
    rng = np.random.default_rng(size)
    pixels = size[0] * size[1]
    for seed, (kind, make) in enumerate(IMAGES.items()):
        shape = ((1, 5), (33, 50), (45, 21), (9, 9), (2, 12, 34))[seed]
        image = make(rng, shape, dtype)
        border = list(BORDERS)[seed % len(BORDERS)]
        check("median", image, size=size, border=border, cval=3)
        rank, anchor = int(rng.integers(pixels)), tuple(int(rng.integers(k)) for k in size)
        check("rank", image, rank=rank, size=size, anchor=anchor, threads=2, border=border)
        if kind == "any":
            check("median", make(rng, (45, 50), dtype), size=size, border="valid")


@pytest.mark.parametrize(("side", "memory"), [(1, 2**20), (20, 2**20), (128, 1), (128, 20_000)])
def test_edges_of_tiles(isa, monkeypatch, side, memory):
    """However the image is cut into parts that are sorted, the bits of the result are the same."""
    rng = np.random.default_rng(12)
    calls = [
        (image, size, border)
        for image in (rng.standard_normal((2, 37, 41)).astype(np.float32),
                      rng.integers(-9, 9, (50, 23)).astype(np.int16),
                      np.where(rng.random((30, 31)) < 0.1, nan, rng.random((30, 31))))
        for size, border in (((11, 13), "reflect"), ((1, 30), "wrap"), ((40, 3), "symmetric"),
                             ((21, 20), "constant"))
    ]  # fmt: skip
    expected = [filters.median(image, size, border=border) for image, size, border in calls]
    none = dict.fromkeys((8, 16, 32, 64), 0)
    change_plans(monkeypatch, NETWORK_PIXELS=none, RANK_SIDE=side, RANK_BYTES=memory)
    for threads in (1, 2, 3):
        clear_plans()
        for (image, size, border), each in zip(calls, expected, strict=True):
            result = filters.median(image, size, border=border, threads=threads)
            assert_same_bits(result, each, f"{size}, {border}")
    clear_plans()


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (7, 7), (9, 11), (12, 31), (31, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_order_of_numbers_that_are_not_finite(isa, dtype, size):
    """Infinities are in order, zeros of either sign equal, and a NaN of any bits gives NaN."""
    rng = np.random.default_rng(13)
    image = rng.choice([-inf, -1e-40, -0.0, 0.0, 1e-40, 1, inf], (40, 47)).astype(dtype)
    for rank in (1, size[0] * size[1] // 2, -2):
        check("rank", image, rank=rank, size=size)
        for value in (nan, -nan):
            wild = image.copy()
            wild[(3, 20, 20, 39), (46, 9, 10, 0)] = value
            for border in ("edge", "constant"):
                check("rank", wild, rank=rank, size=size, border=border)


@pytest.mark.parametrize("channels", [1, 2, 3, 17, 300])
@pytest.mark.parametrize("size", [(3, 4), (7, 7), (13, 12), (2, 40)])
def test_ranks_of_many_channels(isa, size, channels):
    rng = np.random.default_rng(channels)
    for dtype in PIXELS:
        image = anything(rng, (2, 7, 5, channels), dtype)
        check("median", image, size=size, channel_axis=-1, threads=2)


def test_the_algorithm_of_a_rank():
    for rank, algorithm in ((0, "filter_slide"), (8, "filter_slide"), (4, "filter_median"),
                            (3, "filter_network")):  # fmt: skip
        assert _plan.rank_filter((3, 3), rank, 8, 1)[0] == algorithm
    assert _plan.rank_filter((7, 7), 24, 64, 3)[0] == "filter_network"
    assert _plan.rank_filter((7, 7), 24, 64, 10_000)[0] == "filter_rank"
    assert _plan.rank_filter((13, 13), 24, 8, 1)[0] == "filter_rank"
    assert _plan.rank_filter((13, 13), 24, 16, 1)[0] == "filter_network"
    assert _plan.rank_filter((13, 14), 24, 16, 1)[0] == "filter_rank"


@pytest.mark.parametrize("size", [
    (3, 4), (10, 10), (1, 100), (100, 1), (11, 11), (31, 31), (255, 257), (257, 255), (1, 32767),
    (2, 32767), (32767, 1), (32767, 2), (16, 4095), (4095, 16),
])  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_scratch_memory_of_ranks(size, bits):
    """At most 4 MB per thread, whatever the window, the image and the channels."""
    if size[1] > order.MOST_COLUMNS:
        bits = max(bits, 32)
    dtype = {8: "uint8", 16: "uint16", 32: "float32", 64: "float64"}[bits]
    for image in ((4000, 50_000), (50_000, 4000), (100_000, 10), (10, 100_000), (300, 300)):
        rows, cols = _geometry.windows(
            "rank", image, size, (1, 1), tuple((k // 2, k - 1 - k // 2) for k in size), (1, 1)
        )
        for channels in (1, 3, 300):
            algorithm, reduction = _plan.rank_filter(size, 1, bits, channels)
            if algorithm == "filter_rank" and bits == 16:
                continue  # they are ranked in 32
            geometry = _geometry.Filter2d(
                1, channels, 1, rows, cols, ("reflect", "reflect"), dtype, dtype, algorithm, bits,
                1.0, 0.0, 0.0, reduction, 1,
            )  # fmt: skip
            for threads in (1, 2):
                task, _ = _plan.filter2d(geometry, threads)
                assert task.scratch_bytes <= 4 * 2**20, (algorithm, image, channels)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("box", {"size": 0}, "size"),
        ("box", {"size": (3, 40000)}, "size"),
        ("median", {"size": (300, 300)}, "size"),
        ("rank", {"rank": 9}, "rank"),
        ("percentile", {"q": 101}, "q"),
        ("dilate", {"footprint": np.zeros((2, 2))}, "footprint"),
        ("dilate", {"footprint": np.ones((300, 300))}, "footprint"),
        ("erode", {"structure": np.ones(3)}, "structure"),
        ("erode", {"structure": np.full((2, 2), nan)}, "structure"),
        ("erode", {"structure": np.ones((2, 2)), "footprint": CROSS}, "footprint"),
        ("dilate", {"anchor": (3, 0)}, "anchor"),
        ("opening", {"border": "valid"}, "border"),
        ("top_hat", {"border": "valid"}, "border"),
    ],
)
def test_bad_arguments(name, options, word):
    image = np.ones((5, 6), np.uint8)
    out = poisoned(image.shape, image.dtype)
    with pytest.raises(ValueError, match=rf"^{name}: {word}\b.*expected") as caught:
        getattr(filters, name)(image, out=out, **options)
    assert "\n" not in str(caught.value)
    assert_array_equal(out, poisoned(image.shape, image.dtype))


def test_small_calls_that_differ_in_one_thing():
    """Small calls are planned once: what differs in anything but pixels is another call."""
    rng = np.random.default_rng(9)
    image = rng.integers(0, 99, (6, 7)).astype(np.uint8)
    kernel, slope = np.ones((3, 3)), np.tri(3)
    calls = [
        ("dilate", (slope,), {}), ("dilate", (slope[::-1],), {}), ("erode", (slope,), {}),
        ("dilate", (slope,), {"anchor": (0, 0)}), ("dilate", (slope[:2],), {}),
        ("dilate", (slope,), {"structure": kernel}), ("dilate", (), {"structure": slope}),
        ("dilate", (slope,), {"border": "zeros", "cval": 3}), ("opening", (slope,), {}),
        ("dilate", (3,), {}),
        ("filter2d", (kernel,), {}), ("filter2d", (kernel / 2,), {}),
        ("filter2d", (kernel.astype(np.int64),), {}), ("filter2d", (kernel,), {"scale": 0.5}),
        ("filter2d", (kernel,), {"border": "edge"}), ("filter2d", (kernel,), {"delta": 3}),
        ("filter2d", (kernel,), {"border": "zeros", "cval": 3}),
        ("filter2d", (kernel[:2],), {}), ("filter2d", (kernel,), {"out_dtype": "float64"}),
        ("filter2d", (kernel,), {"channel_axis": -1}), ("box", (3,), {}),
        ("box", (3,), {"normalize": False}), ("morphological_gradient", (3,), {}),
        ("opening", (3,), {}), ("closing", (3,), {}), ("median", (3,), {}), ("rank", (3, 3), {}),
        ("rank", (4, 3), {}), ("median", ((3, 1),), {}), ("gaussian", (0,), {}),
        ("gaussian", (0,), {"radius": 2}), ("sobel", (), {}), ("sobel", (0, 1), {}),
        ("sobel", (1, 0), {"ksize": 7}), ("sobel", (1, 0), {"out_dtype": "uint8"}),
    ]  # fmt: skip
    for _ in range(3):  # the second time from memory
        for name, arguments, options in calls:
            for pixels in (image, image[:, ::-1], np.ascontiguousarray(image.T), image[None]):
                if "channel_axis" in options and pixels.ndim < 3:
                    continue
                result = getattr(filters, name)(pixels, *arguments, **options)
                expected = getattr(reference, name)(pixels, *arguments, **options)
                assert_array_equal(result, expected, f"{name} {arguments} {options}")
    with pytest.raises(ValueError, match="threads is 0"):
        filters.filter2d(image, kernel, threads=0)
    with pytest.raises(TypeError, match="out has dtype"):
        filters.filter2d(image, kernel, out=np.empty((6, 7), np.int16))
    same = image.copy()
    filters.filter2d(same, kernel, out=same)
    assert_array_equal(same, reference.filter2d(image, kernel))


@pytest.mark.parametrize("dimensions", [5, 6, 7, 8, 12, 20])
def test_small_images_of_many_dimensions(dimensions):
    image = np.random.default_rng(10).random((1,) * (dimensions - 2) + (4, 5)).astype(np.float32)
    bank = np.ones((2, 3, 3), np.float32)
    for _ in range(2):
        assert_array_equal(filters.median(image), reference.median(image).astype(np.float32))
        assert filters.filter2d(image, bank).shape == (*image.shape[:-2], 2, 4, 5)


def test_a_small_call_that_was_good_makes_no_bad_one_good():
    image, kernel = np.ones((6, 7), np.float32), np.ones((3, 3), np.float32)
    filters.filter2d(image, kernel, threads=1, channel_axis=None)
    with pytest.raises(TypeError, match=r"threads is 1\.0, expected an integer"):
        filters.filter2d(image, kernel, threads=1.0)
    filters.filter2d(image[None], kernel, channel_axis=-1)
    with pytest.raises(TypeError, match=r"channel_axis is -1\.0, expected an integer"):
        filters.filter2d(image[None], kernel, channel_axis=-1.0)
    filters.gaussian(image, (1, 1), truncate=1)
    with pytest.raises(TypeError, match="sigma is True, expected a number"):
        filters.gaussian(image, (True, 1), truncate=1)
    with pytest.raises(TypeError, match="truncate is True, expected a number"):
        filters.gaussian(image, (1, 1), truncate=True)


def test_a_call_worth_sharing_is_planned_for_the_threads_there_are(monkeypatch):
    image = np.random.default_rng(11).random((120, 120)).astype(np.float32)
    kept = _calls._planned_calls
    kept.clear()
    results = []
    for threads in (1, 3, 3):
        monkeypatch.setattr(_threads, "_set", threads)
        results.append(filters.median(image, 31))
        (call,) = kept.values()
        assert call.shared and call.threads == threads
        assert_array_equal(results[-1], results[0])
    kept.clear()
    filters.median(image[:9, :9].copy(), 3)
    (call,) = kept.values()
    assert call.threads == 1 and not call.shared


def test_a_call_whose_result_is_large_is_planned_once(monkeypatch):
    image = np.random.default_rng(12).random((600, 500)).astype(np.float32)
    first = filters.median(image)
    monkeypatch.setattr(_calls, "keep", None)
    assert_array_equal(filters.median(image), first)


def test_box_means_close_to_ties():
    """Sums beyond 2**23: their quotients in float32 may be ties that the means are not."""
    for total, mean in ((13145783, 201), (13211347, 201)):
        image = np.full(141 * 465, total // (141 * 465), np.uint8)
        image[: total - int(image.sum(dtype=np.int64))] += 1
        image = image.reshape(141, 465)
        assert image.sum(dtype=np.int64) == total
        assert filters.box(image, image.shape, border="valid").tolist() == [[mean]]


def test_box_means_close_to_ties_of_float16():
    """14740 / 8463 and 10649 / 8463 are 6e-8 from ties: their quotients in float32 are the ties."""
    for total, mean in ((14740, 1783 / 1024), (10649, 1289 / 1024)):
        image = np.ones(91 * 93, np.uint8)
        image[: total - 91 * 93] = 2
        image = image.reshape(91, 93)
        y = filters.box(image, image.shape, border="valid", out_dtype="float16")
        assert y.tolist() == [[mean]]


def test_differences_are_taken_in_the_type_that_is_asked_for():
    image = np.array([[1e8, 1, 0.1]], np.float32)
    wide = filters.morphological_gradient(image, (1, 3), out_dtype="float64")
    assert_array_equal(wide, reference.morphological_gradient(image, (1, 3), out_dtype="float64"))
    assert np.isnan(filters.top_hat(np.full((3, 3), inf, np.float32))).all()


@pytest.mark.parametrize(
    ("name", "dtype", "channels", "options"),
    [
        ("box", "float32", 1, {"size": (2001, 2001)}),
        ("box", "uint8", 300, {"size": 255}),
        ("median", "uint8", 300, {"size": 255}),
        ("median", "uint8", 3, {"size": (1, 2047)}),
        ("dilate", "uint8", 1, {"footprint": np.eye(3, 4001)}),
        ("sep_filter2d", "uint8", 1, {"kernel_y": np.eye(1, 3001, dtype=int)[0],
                                      "kernel_x": np.ones(1, int)}),
    ],
)  # fmt: skip
def test_scratch_memory(monkeypatch, name, dtype, channels, options):
    """At most 4 MB per thread."""
    sizes = []
    check = filters._image._arrays.check_scratch
    monkeypatch.setattr(
        filters._image._arrays, "check_scratch",
        lambda function, task, threads: (sizes.append(task.scratch_bytes),
                                         check(function, task, threads)),
    )  # fmt: skip
    getattr(filters, name)(np.ones((9, 70, channels), dtype), channel_axis=-1, **options)
    assert max(sizes) <= 4 * 2**20
