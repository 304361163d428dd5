"""Image filters against the reference: exactly on integers, within the stated bound on floats."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from helpers import BORDERS, LANES, PIXELS, anything, integers, poisoned, rounded
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import ndimage
from test_reference import IMAGE, KERNEL, SAME, SCIPY_BORDERS

from fastconv import filters, reference
from fastconv.filters import filter2d, gaussian, sep_filter2d, sobel

nan, inf = np.nan, np.inf

BORDER_CHOICES = [*BORDERS, ("reflect", "constant"), ("wrap", "edge"), "valid"]
SIZES = [(3, 3), (1, 1), (5, 5), (1, 3), (2, 2), (4, 3), (3, 1), (7, 2), (1, 8), (9, 1), (11, 11)]
# Exact in every float: results need no tolerance.
SCALES = [(1, 0), (0.5, 0), (0.25, -3), (2, 7.5), (-1, 100), (0.0625, 0.5)]
CHANNELS = [None, 1, 3, None, 2, 4, None, 5, 17]


class Case(NamedTuple):
    """A call that rounds once at most, and its result."""

    image: np.ndarray
    kernels: list
    options: dict
    expected: np.ndarray

    def check(self, threads=1):
        """Compare every element, on an output that was poisoned."""
        function = filter2d if len(self.kernels) == 1 else sep_filter2d
        out = poisoned(self.expected.shape, self.expected.dtype)
        assert function(self.image, *self.kernels, out=out, threads=threads, **self.options) is out
        shapes = [self.image.shape, *(kernel.shape for kernel in self.kernels)]
        message = f"{function.__name__} of {shapes}, {self.options}, {threads=}"
        assert_array_equal(out, self.expected, message)


def case(seed, dtype, shape, size, channels=None, separable=False, whole=True, **options):
    """A case of integers: of the whole range with an integer kernel, else small ones."""
    rng = np.random.default_rng(seed)
    image = anything(rng, shape, dtype) if whole else integers(rng, shape, dtype, 99)
    if whole and image.dtype.kind == "f":
        image = np.rint(99 * image)
    if options.get("border") == "valid":  # shape is then the result's
        image = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, k - 1) for k in size], "wrap")
    if channels is not None:
        image = np.stack([np.roll(image, i, -1) for i in range(channels)], -1)
    sizes = [size[:1], size[1:]] if separable else [size]
    kernels = [integers(rng, each, "int8" if whole else "float32", 5) for each in sizes]
    options["channel_axis"] = None if channels is None else -1
    function = reference.sep_filter2d if separable else reference.filter2d
    expected = function(image, *kernels, **options)
    return Case(image, kernels, options, rounded(expected, options["out_dtype"]))


@cache
def sweep(dtype, border):
    """A case for each width, everything else changing along with it."""
    cases = []
    for width in range(1, 2 * LANES["float32"] + 2):
        i = 100 * PIXELS.index(dtype) + 33 * BORDER_CHOICES.index(border) + width
        scale, delta = SCALES[i % len(SCALES)]
        size = SIZES[i % len(SIZES)]
        cases.append(case(
            i, dtype, [(), (2,), (1, 2)][i % 3] + (1 + i % 7, width), size, CHANNELS[i % 9],
            i % 5 == 1, i % 7 > 2, border=border, cval=i % 11 - 5, scale=scale, delta=delta,
            anchor=None if i % 4 else (size[0] - 1, 0), out_dtype=PIXELS[i // 3 % len(PIXELS)],
        ))  # fmt: skip
    return cases


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize("dtype", PIXELS)
def test_every_width(isa, dtype, border):
    for width, each in enumerate(sweep(dtype, border), 1):
        each.check(1 + width % 3)


@pytest.mark.parametrize("border", BORDERS)
def test_blocks(isa, small_blocks, border):
    """Strips of few columns: many lie at neither end of a row."""
    for i, dtype in enumerate(PIXELS):
        for separable in (False, True):
            each = case(
                i, dtype, (9, 150), SIZES[i], CHANNELS[i + 1], separable, border=border, cval=2,
                out_dtype=dtype,
            )  # fmt: skip
            each.check(1 + i % 3)


@pytest.mark.parametrize(("shape", "size", "channels"), [
    ((3, 9000), (3, 3), None), ((2, 700), (2, 5), 7), ((4, 70), (70, 1), 100),
])
@pytest.mark.parametrize("separable", [False, True])
def test_blocks_of_an_ordinary_size(isa, shape, size, channels, separable):
    case(1, "uint8", shape, size, channels, separable, out_dtype="uint8").check(2)


@pytest.mark.parametrize("channels", [*range(1, 10), 15, 16, 17, 31, 32, 33, 64, 65, 100, 257, 300])
def test_every_count_of_channels(isa, channels):
    for dtype in ("uint8", "float16", "float32", "float64"):
        for separable in (False, True):
            case(channels, dtype, (4, 6), (3, 3), channels, separable, out_dtype=dtype).check()


@pytest.mark.parametrize("lead", [(), (3,), (2, 0), (2, 3)], ids=str)
@pytest.mark.parametrize("kernels", [1, 5])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_banks(isa, lead, kernels, channels):
    """A bank adds an axis before the rows, each entry of which is the image under one kernel."""
    rng = np.random.default_rng(1)
    bank = integers(rng, (kernels, 4, 3), np.int16)
    shape = (*lead, 6, 40) + (() if channels is None else (channels,))
    image = anything(rng, shape, np.uint8)
    options = {"channel_axis": None if channels is None else -1, "out_dtype": np.int16}
    y = filter2d(image, bank, **options)
    axis = len(lead)
    assert y.shape == (*shape[:axis], kernels, *shape[axis:])
    for m in range(kernels):
        assert_array_equal(y.take(m, axis), reference.filter2d(image, bank[m], **options))


def bound(image, kernels, scale, delta, border, dtype):
    """(n + 2) * eps * sum|w * x| for n terms, scaled, delta one of them."""
    size = reference.sep_filter2d if len(kernels) == 2 else reference.filter2d
    absolute = [abs(kernel) for kernel in kernels]
    total = size(abs(image.astype(np.float64)), *absolute, border=border)
    terms = np.prod([kernel.size for kernel in kernels]) + 1
    return (terms + 2) * np.finfo(dtype).eps * (abs(scale) * total + abs(delta))


def assert_close(y, exact, tolerance):
    """Within the tolerance of the exact result; of its rounding, where y is of less than floats."""
    if y.dtype == np.float16:
        lowest, highest = (rounded(exact + each, y.dtype) for each in (-tolerance, tolerance))
        assert np.all((lowest <= y) & (y <= highest))
        return
    if y.dtype.kind != "f":
        info = np.iinfo(y.dtype)
        exact, tolerance = np.clip(exact, info.min, info.max), tolerance + 0.5
    worst = np.argmax(abs(y - exact) - tolerance)
    assert np.all(abs(y - exact) <= tolerance), (y.flat[worst], exact.flat[worst])


@pytest.mark.parametrize("border", BORDER_CHOICES[3:], ids=str)
@pytest.mark.parametrize("out_dtype", PIXELS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_float_kernels_are_within_the_bound(isa, dtype, out_dtype, border):
    rng = np.random.default_rng(2)
    image = anything(rng, (14, 45), dtype) * np.array(50 if dtype[0] == "f" else 1, dtype)
    scale, delta = 0.3, -11.7
    computed = np.float64 if "float64" in (dtype, out_dtype) else np.float32
    for function, *kernels in (
        (filter2d, rng.standard_normal((5, 4))),
        (sep_filter2d, rng.standard_normal(7), rng.standard_normal(3)),
    ):
        options = {"scale": scale, "delta": delta, "border": border}
        exact = getattr(reference, function.__name__)(
            image.astype(np.float64), *kernels, **options
        )
        y = function(image, *kernels, out_dtype=out_dtype, **options)
        assert y.dtype == out_dtype
        tolerance = bound(image, kernels, scale, delta, border, computed)
        if out_dtype == "float32":  # rounded once more
            tolerance += np.finfo(np.float32).eps * abs(exact)
        assert_close(y, exact, tolerance)


@pytest.mark.parametrize("border", SCIPY_BORDERS)
@pytest.mark.parametrize("size", [(3, 3), (2, 5), (9, 8)])
def test_as_scipy(isa, dtype, border, size):
    rng = np.random.default_rng(3)
    image, kernel = anything(rng, (6, 19), dtype), anything(rng, size, dtype)
    mode = {"mode": SCIPY_BORDERS[border], "output": np.float64}
    tolerance = bound(image, [kernel], 1, 0, border, dtype)
    assert_close(filter2d(image, kernel, border=border), ndimage.correlate(image, kernel, **mode),
                 tolerance)
    assert_close(
        gaussian(image, (1.2, 0.7), border=border),
        ndimage.gaussian_filter(image, (1.2, 0.7), **mode),
        13 * 7 * np.finfo(dtype).eps * ndimage.gaussian_filter(abs(image), (1.2, 0.7), **mode),
    )


def test_worked_example(isa):
    for dtype in PIXELS:
        image = np.array(IMAGE, dtype)
        assert filter2d(image, KERNEL, border="zeros").tolist() == SAME
        valid = [row[1:4] for row in SAME[1:4]]
        assert filter2d(image, KERNEL, border="valid").tolist() == valid


@pytest.mark.parametrize(("taps", "anchor", "expected"), [
    ([1, 1], None, [1, 11, 110, 1100]),  # an even kernel sits at its later middle element
    ([1, 1, 1, 1], None, [11, 111, 1111, 1110]),
    ([1, 1], (0, 0), [11, 110, 1100, 1000]),
    ([1, 2, 3], None, [32, 321, 3210, 2100]),  # not flipped
    ([1, 2, 3], (0, 2), [3, 32, 321, 3210]),
])
def test_anchor(isa, taps, anchor, expected):
    image = np.array([[1, 10, 100, 1000]], np.int16)
    assert filter2d(image, [taps], border="zeros", anchor=anchor).tolist() == [expected]
    assert sep_filter2d(image, [1], taps, border="zeros", anchor=anchor).tolist() == [expected]
    upright = {"border": "zeros", "anchor": anchor and anchor[::-1]}
    assert filter2d(image.T, np.transpose([taps]), **upright).ravel().tolist() == expected


@pytest.mark.parametrize(("names", "expected"), [
    (("constant", "zeros"), [9901, 9012, 123, 1239, 2399]),
    (("edge", "nearest", "replicate"), [1, 12, 123, 1233, 2333]),
    (("reflect", "mirror", "reflect101"), [2101, 1012, 123, 1232, 2321]),
    (("symmetric", "grid-mirror"), [1001, 12, 123, 1233, 2332]),
    (("wrap", "circular", "grid-wrap"), [2301, 3012, 123, 1230, 2301]),
])
def test_borders(isa, names, expected):
    """The kernel writes down the four pixels that it sees of 0 1 2 3."""
    image, kernel = np.arange(4, dtype=np.int16)[None], np.array([[1000, 100, 10, 1]])
    for name in names:
        y = filter2d(np.pad(image, 0), kernel, border=name, cval=9, out_dtype=np.float64)
        assert y.tolist() == [expected[:4]]
        y = filter2d(image.T.copy(), kernel.T, border=name, cval=9, anchor=(1, 0))
        assert y.ravel().tolist() == expected[1:]


@pytest.mark.parametrize(("arguments", "expected"), [
    ({"kernel": [[1]], "scale": 0.5}, [0, 2, 2, 128]),
    ({"kernel": [[-1]], "scale": 0.5}, [0, 0, 0, 0]),
    ({"kernel": [[2]], "delta": -3}, [0, 3, 7, 255]),
    ({"kernel": [[-200]], "out_dtype": np.int16}, [-200, -600, -1000, -32768]),
    ({"kernel": [[-1]], "scale": 0.5, "out_dtype": np.int16}, [0, -2, -2, -128]),
    ({"kernel": [[300]], "out_dtype": np.uint16}, [300, 900, 1500, 65535]),
    ({"kernel": [[-300.0]], "out_dtype": np.uint16}, [0, 0, 0, 0]),
    ({"kernel": [[0.5]], "out_dtype": np.float32}, [0.5, 1.5, 2.5, 127.5]),
    ({"kernel": [[1e9]]}, [255, 255, 255, 255]),
    ({"kernel": [[1e9]], "out_dtype": np.int16, "scale": -1}, [-32768] * 4),
])
def test_half_to_even_then_saturated(isa, arguments, expected):
    y = filter2d(np.array([[1, 3, 5, 255]], np.uint8), **arguments)
    assert y.tolist() == [expected]
    assert y.dtype == arguments.get("out_dtype", np.uint8)


def test_integers_are_not_rounded_between_two_passes(isa):
    image = np.array([[1, 3, 5, 255]], np.uint8)
    assert_array_equal(sep_filter2d(image, [0.5], [0.5], scale=4), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("separable", [False, True])
def test_integer_sums_are_exact(isa, dtype, separable):
    """Far beyond what a float32 counts, one unit still counts."""
    info = np.iinfo(dtype)
    image = np.full((40, 40), info.max, dtype)
    image[20, 20] -= 1
    kernels = [np.full(31, 997)] * 2 if separable else [np.full((31, 31), 997**2)]
    total = info.max * 31**2 * 997**2
    function = sep_filter2d if separable else filter2d
    y = function(image, *kernels, border="valid", out_dtype=np.float64)
    assert_array_equal(y, np.full((10, 10), total - 997**2))  # every window holds the darker pixel
    y = function(image, *kernels, border="valid", delta=-total, scale=2**-10, out_dtype=np.float64)
    assert_array_equal(y, (total - 997**2) / 1024 - total)


def test_scale_and_delta_are_not_rounded_before_the_result(isa):
    """delta + scale * sum as float64 computes it is what is rounded."""
    image = np.array([[95, 190, 12, 60000]], np.uint16)
    assert filter2d(image, [[1]], scale=0.3).tolist() == [[28, 57, 4, 18000]]  # 28.5, 57, 3.6
    y = filter2d(image, [[200]], delta=-11_999_990.5, out_dtype=np.int16)
    assert y.tolist() == [[-32768, -32768, -32768, 10]]  # 9.5


def test_not_a_number(isa, dtype):
    image = np.array([[nan, inf, -inf, 300.0, 1, 2]], dtype)
    assert filter2d(image, [[1]], out_dtype=np.uint8).tolist() == [[0, 255, 0, 255, 1, 2]]
    assert filter2d(image, [[1]], out_dtype=np.int16).tolist() == [[0, 32767, -32768, 300, 1, 2]]


@pytest.mark.parametrize("separable", [False, True])
def test_not_a_number_reaches_its_windows_only(isa, dtype, separable):
    rng = np.random.default_rng(4)
    image = integers(rng, (9, 70), dtype)
    image.flat[::67] = np.resize([nan, inf, -inf], len(image.flat[::67]))
    kernels = [integers(rng, n, np.int16) for n in ((3, 4) if separable else ((3, 4),))]
    name = "sep_filter2d" if separable else "filter2d"
    expected = getattr(reference, name)(image, *kernels)
    assert 0 < np.isnan(expected).mean() < 1
    assert_array_equal(getattr(filters, name)(image, *kernels), expected)


@pytest.mark.parametrize("dtype", PIXELS)
@pytest.mark.parametrize(("sigma", "options"), [
    (1, {}),
    (0, {}),
    ((0.5, 2.5), {"border": "wrap"}),
    (np.float32(3), {"truncate": 1.3, "border": "edge"}),
    ((0, 0.3), {"truncate": 10}),
    (1.5, {"radius": 2}),
    (0, {"radius": 3, "border": "symmetric"}),
    ((9, 1e-3), {"radius": (0, 4)}),
    (20, {"border": ("constant", "reflect"), "cval": 7}),
])
def test_gaussian(isa, dtype, sigma, options):
    image = anything(np.random.default_rng(5), (7, 21), dtype)
    exact = reference.gaussian(image.astype(np.float64), sigma, **options)
    size = reference.gaussian(abs(image.astype(np.float64)), sigma, **options)
    eps = np.finfo(np.float64 if dtype == "float64" else np.float32).eps
    assert_close(gaussian(image, sigma, **options), exact, (161 + 161 + 2) * eps * size)


@pytest.mark.parametrize("sigma", [1e-200, 5e-324])
def test_gaussian_of_next_to_nothing(sigma):
    image = anything(np.random.default_rng(6), (7, 21), np.uint8)
    assert_array_equal(gaussian(image, sigma, radius=2), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize(("name", "options"), [
    ("sobel", {}),
    ("sobel", {"dx": 0, "dy": 1, "scale": 0.25, "delta": 8, "border": "wrap"}),
    ("sobel", {"dx": 1, "dy": 1, "ksize": 5, "out_dtype": np.uint8}),
    ("sobel", {"dx": 2, "dy": 0, "ksize": 7, "out_dtype": np.float64}),
    ("laplacian", {}),
    ("laplacian", {"ksize": 3, "scale": -0.5, "delta": 1, "border": "edge"}),
    ("laplacian", {"border": "constant", "cval": 100, "out_dtype": np.uint16}),
])
def test_derivatives(isa, dtype, name, options):
    image = anything(np.random.default_rng(6), (2, 7, 37), dtype)
    expected = getattr(reference, name)(image, **options)
    y = getattr(filters, name)(image, **options)
    default = {"uint8": np.int16}.get(dtype, np.float32)
    assert y.dtype == options.get("out_dtype", default)
    assert_array_equal(y, expected.astype(y.dtype))


def test_derivatives_of_floats_are_floats(isa, dtype):
    image = integers(np.random.default_rng(7), (6, 20), dtype)
    for name in ("sobel", "laplacian"):
        y = getattr(filters, name)(image)
        assert y.dtype == dtype
        assert_array_equal(y, getattr(reference, name)(image))


@pytest.mark.parametrize("ksize", range(3, 32, 2))
def test_sobel_of_every_size(isa, ksize):
    """Of a step, scaled so that all sizes stay small."""
    image = np.zeros((40, 40), np.uint8)
    image[:, 20:] = 1
    scale = 2.0 ** (16 - 2 * ksize)
    expected = reference.sobel(image.astype(np.float64), ksize=ksize, scale=scale)
    y = sobel(image, ksize=ksize, scale=scale, out_dtype=np.float64)
    # The weights' sizes add up to 2 ** (2 * ksize - 2) at most.
    assert_close(y, expected, (ksize**2 + 2) * np.finfo(np.float64).eps * 2**14)
    assert_array_equal(np.argmax(y, 1) // 2, 9)  # the slope is at the step


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("ksize", [15, 17, 19])
def test_sobel_of_integers_is_exact(isa, dtype, ksize):
    image = anything(np.random.default_rng(8), (30, 31), dtype)
    for order in ((1, 0), (0, 2), (3, 5)):
        expected = reference.sobel(image, *order, ksize=ksize)
        y = sobel(image, *order, ksize=ksize, out_dtype=np.float64)
        assert_array_equal(y, expected)
        assert_array_equal(sobel(image, *order, ksize=ksize), expected.astype(np.float32))


@pytest.mark.parametrize(("shape", "size", "options"), [
    ((0, 5, 6), (3, 3), {}),
    ((1, 1), (1, 1), {}),
    ((1, 1), (7, 6), {"border": "reflect"}),
    ((2, 1), (9, 9), {"border": ("symmetric", "wrap")}),
    ((5, 4, 0), (3, 3), {"channel_axis": -1}),
    ((3, 3), (3, 3), {"border": "valid"}),
])
def test_smallest(isa, shape, size, options):
    image, kernel = np.ones(shape, np.uint8), np.ones(size, np.int16)
    expected = reference.filter2d(image, kernel, **options)
    y = filter2d(image, kernel, **options)
    assert y.shape == expected.shape
    assert_array_equal(y, expected)


OUTSIDE = [
    ("filter2d", (np.arange(9).reshape(3, 3),)), ("filter2d", (np.ones((25, 25)) / 9,)),
    ("filter2d", (np.ones((5, 1)),)), ("filter2d", (np.zeros((1, 5)),)),
    ("sep_filter2d", ([1, 2, 1], np.ones(11))), ("gaussian", (2,)), ("box", (3,)), ("box", (17,)),
    ("median", (3,)), ("median", (7,)), ("median", (15,)), ("rank", (3, 5)), ("maximum", (3,)),
    ("minimum", (11,)), ("dilate", (np.eye(3),)), ("opening", ()), ("top_hat", ()), ("sobel", ()),
    ("laplacian", ()), ("harris", ()), ("local_mean_std", (5,)),
]  # fmt: skip


@pytest.mark.parametrize("channel_axis", [None, -1])
@pytest.mark.parametrize("cval", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "arguments"), OUTSIDE)
def test_outside_is_not_finite(isa, name, arguments, cval, channel_axis):
    """It reaches the outputs whose window holds it, and those alone."""
    options = {"border": "constant", "cval": cval, "channel_axis": channel_axis}
    for dtype in ("float16", "float32", "float64"):
        shape = (41, 37) if channel_axis is None else (31, 33, 3)
        image = np.random.default_rng(3).standard_normal(shape).astype(dtype)
        y = getattr(filters, name)(image, *arguments, threads=2, **options)
        with np.errstate(all="ignore"):
            expected = getattr(reference, name)(image, *arguments, **options)
        if name == "local_mean_std":
            y, expected = np.stack(y), np.stack(expected)
        finite = np.isfinite(expected)
        assert_array_equal(np.isfinite(y), finite)
        assert_array_equal(np.isnan(y), np.isnan(expected))
        assert np.allclose(y[finite], expected[finite], rtol=2e-3, atol=2e-3 * len(image))


def test_outside_of_integers_is_finite():
    for cval in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^median: cval is (nan|inf), expected a finite numb"):
            filters.median(np.ones((3, 3), np.uint8), cval=cval)


@pytest.mark.parametrize(("dtype", "exact"), [
    ("bool", "uint8"), ("int8", "int16"), ("uint32", "float64"), ("int32", "float64"),
    ("int64", "float64"), ("complex64", None),
])  # fmt: skip
def test_what_to_convert_to(dtype, exact):
    with pytest.raises(TypeError, match=f"^filter2d: image has dtype {dtype}, ") as caught:
        filter2d(np.ones((3, 3), dtype), np.ones((3, 3)))
    hint = f"; convert it first, for example np.asarray(image, np.{exact})"
    assert str(caught.value).endswith(hint if exact else ", float64")


def test_errors_show_shapes_of_arrays():
    image, mistaken = np.ones((5, 6)), np.ones((40, 50))
    for name in ("border", "cval", "anchor", "stride", "scale", "channel_axis", "algorithm",
                 "out_dtype", "threads"):  # fmt: skip
        with pytest.raises((TypeError, ValueError)) as caught:
            filter2d(image, np.ones((3, 3)), **{name: mistaken})
        assert f"filter2d: {name} is an array of shape (40, 50), expected" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"border is \(1, an array of shape \(40, 50\), 2\), exp"):
        filter2d(image, np.ones((3, 3)), border=(1, mistaken, 2))


def test_errors_about_borders_and_anchors():
    image, kernel = np.ones((5, 6)), np.ones((3, 3))
    with pytest.raises(ValueError, match=r"^filter2d: border is 'bord', expected .*, 'valid'$"):
        filter2d(image, kernel, border="bord")
    for call in (lambda **o: filters.opening(image, **o),
                 lambda **o: filters.gaussian(image, 3, method="recursive", **o)):  # fmt: skip
        with pytest.raises(ValueError, match=r"border is 'bord', expected .*, 'grid-wrap'$"):
            call(border="bord")
    for function in (filters.median, filters.erode, filters.box):
        with pytest.raises(ValueError, match=r"anchor is \(-1, -1\), expected None \(the centre\)"):
            function(image, 3, anchor=-1)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "float16", "float32", "longdouble"])
def test_kernels_of_any_real_dtype(isa, dtype):
    image, kernel = np.arange(20, dtype=np.uint8).reshape(4, 5), np.eye(3, dtype=dtype)
    assert_array_equal(filter2d(image, kernel), reference.filter2d(image, np.eye(3, dtype=int)))
    assert_array_equal(filter2d(image, kernel), filter2d(image, kernel.tolist()))


@st.composite
def cases(draw):
    name = st.sampled_from(BORDERS)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    scale, delta = draw(st.sampled_from(SCALES))
    return case(
        draw(st.integers(0, 2**32)),
        draw(st.sampled_from(PIXELS)),
        (*lead, draw(st.integers(1, 12)), draw(st.integers(1, 40))),
        size,
        draw(st.none() | st.integers(1, 6)),
        draw(st.booleans()),
        draw(st.booleans()),
        border=draw(name | st.tuples(name, name) | st.just("valid")),
        cval=draw(st.integers(-9, 9)),
        anchor=draw(st.none() | st.tuples(*[st.integers(0, k - 1) for k in size])),
        scale=scale,
        delta=delta,
        out_dtype=draw(st.sampled_from(PIXELS)),
    )


@given(cases(), st.integers(1, 4))
def test_anything(isa, each, threads):
    each.check(threads)
