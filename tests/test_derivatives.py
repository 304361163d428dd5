"""Derivatives, blobs and corners against the reference: exactly where every sum is exact, else
within bounds that follow from how they are computed.

Every term of a sum goes through at most as many roundings as there are terms, after those of its
weight: (terms + 2) * eps * sum|w * x|, and a little more for each step that comes before or after.
"""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from helpers import (
    BORDERS,
    PIXELS,
    anything,
    assert_same_bits,
    change_plans,
    clear_plans,
    integers,
    poisoned,
    rounded,
)
from numpy.testing import assert_array_equal
from scipy import ndimage
from skimage import feature
from skimage import filters as skimage_filters
from test_filters import BORDER_CHOICES, assert_close
from test_reference import SCIPY_BORDERS

from fastconv import _geometry, filters, reference
from fastconv.filters import (
    _blocks,
    difference_of_gaussians,
    gaussian,
    gradient,
    laplacian_of_gaussian,
    prewitt,
    roberts,
    scharr,
    sobel,
)  # fmt: skip

nan, inf = np.nan, np.inf

# Ours and the reference's polynomials differ by this many eps of the sum of their terms' sizes;
# SciPy's weights also by their exponent, which is up to 8 and rounded in another place.
POLYNOMIALS, EXPONENTS = 10, 24
# hypot and arctan2 are within 4 units in the last place, each at most an eps of the value.
LIBRARY = 4
ALL = ("dx", "dy", "magnitude", "angle")


def eps_of(image, out_dtype=None):
    """Of the floats that are computed in."""
    floats = "float64" if "float64" in (image.dtype, out_dtype) else "float32"
    return np.finfo(floats).eps


def floats_of(dtype):
    """The type of slopes by default: the image's own, or float32."""
    return dtype if dtype[0] == "f" else "float32"


def absolute_weights(sigma, order=(0, 0), truncate=4.0, radius=None):
    """A Gaussian times the sizes of its polynomial's terms: at least the sizes of the weights."""
    kernels = []
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    for weights, s, n in zip(
        reference.filters._gaussians(sigma, truncate, 0, radius), sigmas, order, strict=True
    ):
        u = abs(np.arange(len(weights)) - len(weights) // 2) / (s or 1)
        kernels.append(weights * (1, u, u**2 + 1, u**3 + 3 * u)[n] / (s or 1) ** n)
    return kernels


def gaussian_bound(image, kernels, eps, more=0, **options):
    """Of a sum of products with these weights, or smaller ones."""
    total = reference.sep_filter2d(abs(image.astype(np.float64)), *kernels, **options)
    return (sum(map(len, kernels)) + 2 + POLYNOMIALS + more) * eps * total


# Exact sums.

OPERATORS = [
    *product((scharr, prewitt), ({}, {"dx": 0, "dy": 1})),
    *product((roberts,), ({}, {"diagonal": 1})),
]


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize("dtype", PIXELS)
def test_operators(isa, dtype, border):
    image = anything(np.random.default_rng(1), (2, 7, 19, 3), dtype)
    image = np.rint(99 * image) if dtype[0] == "f" else image
    for i, (function, arguments) in enumerate(OPERATORS):
        options = {"border": border, "cval": 3, "channel_axis": -1 if i % 2 else None}
        options |= {"scale": 0.25, "delta": 2.5} if i > 2 else {}
        expected = getattr(reference, function.__name__)(image, **arguments, **options)
        y = function(image, **arguments, **options)
        assert y.dtype == {"uint8": "int16"}.get(dtype, floats_of(dtype))
        assert_array_equal(y, rounded(expected, y.dtype))


@pytest.mark.parametrize("operator", ["sobel", "scharr", "prewitt"])
@pytest.mark.parametrize("dtype", PIXELS)
def test_gradient(isa, dtype, operator):
    rng = np.random.default_rng(2)
    for i, border in enumerate(BORDER_CHOICES):
        image = anything(rng, (2, 7, 19, 3), dtype)
        image = np.rint(99 * image) if dtype[0] == "f" else image
        options = {"border": border, "cval": -3, "channel_axis": -1 if i % 2 else None}
        results = gradient(image, operator, **options)
        expected = reference.gradient(image, operator, **options)
        assert [y.dtype for y in results] == [floats_of(dtype)] * 4
        for y, exact in zip(results[:2], expected[:2], strict=True):
            assert_array_equal(y, rounded(exact, y.dtype))
        for y, exact in zip(results[2:], expected[2:], strict=True):
            assert_close(y, exact, LIBRARY * eps_of(image) * abs(exact))


def test_the_slopes_of_gradient_are_those_of_the_operators(isa, dtype):
    """Also of rows and columns that whole tiles store where they belong, and of what is left."""
    image = anything(np.random.default_rng(3), (11, 213), dtype)
    for function in (sobel, scharr, prewitt):
        dx, dy = gradient(image, function.__name__, outputs=("dx", "dy"))
        assert_same_bits(dx, function(image, 1, 0))
        assert_same_bits(dy, function(image, 0, 1))
        exact = reference.gradient(image, function.__name__)
        assert_close(dx, exact[0], 8 * eps_of(image) * 32 * abs(image).max())
        assert_close(dy, exact[1], 8 * eps_of(image) * 32 * abs(image).max())


def test_a_flat_image_has_no_slope(isa, dtype):
    """Not even a small one, of any direction: 0.1 + 0.1 + 0.1 is rounded."""
    image = np.full((7, 150), 0.1, dtype)
    for function in (sobel, scharr, prewitt):
        for slope in (function(image, 1, 0), function(image, 0, 1)):
            assert_same_bits(slope, np.zeros_like(image))
        for result in gradient(image, function.__name__):
            assert_same_bits(result, np.zeros_like(image))
    rows = np.repeat(np.linspace(0.1, 0.9, 7, dtype=dtype)[:, None], 9, 1)
    assert not sobel(rows).any()
    assert not sobel(rows.T, 0, 1).any()


def test_outputs_of_gradient():
    """Each as it is among all, in the order that was asked for."""
    image = anything(np.random.default_rng(4), (2, 6, 30), np.float32)
    whole = dict(zip(ALL, gradient(image), strict=True))
    for names in (["dx"], ["angle", "dx"], ["magnitude"], ["dy", "magnitude", "dx"], ALL[::-1]):
        out = tuple(poisoned(image.shape, "float32") for _ in names)
        given = [None, *out[1:]]
        results = gradient(image, outputs=names, out=given)
        assert isinstance(results, tuple)
        assert all(y is each for y, each in zip(results[1:], out[1:], strict=True))
        assert_same_bits(results, tuple(whole[name] for name in names))
    for name in ALL:
        out = poisoned(image.shape, "float32")
        assert gradient(image, outputs=name, out=out) is out
        assert_same_bits(out, whole[name])


def test_an_angle_is_more_than_minus_pi():
    """Zeros of either sign in the image do not make -pi of pi, or pi of 0."""
    for zero in (0.0, -0.0):
        image = np.array([[zero, -2, zero]] * 3)
        image[2] = [-0.0, 0.0, -0.0]
        for operator in ("sobel", "scharr", "prewitt"):
            dx, dy, angle = gradient(image, operator, outputs=("dx", "dy", "angle"))
            assert np.all(angle[(dy == 0) & (dx < 0)] == np.pi)
            assert np.all(angle[(dy == 0) & (dx >= 0)] == 0)


def test_lengths_and_angles_are_rounded_well(isa, dtype):
    """Within 3 units in the last place, of slopes of all sizes."""
    rng = np.random.default_rng(31)
    image = rng.standard_normal((90, 211)) * np.exp2(rng.integers(-20, 20, (90, 211)))
    far = 2.0 ** (90 if dtype == "float32" else 900)
    for scale in (1, far, 1 / far):
        results = gradient((image / scale).astype(dtype), "prewitt")
        dx, dy = (y.astype(np.longdouble) for y in results[:2])
        for y, exact in zip(results[2:], (np.hypot(dx, dy), np.arctan2(dy, dx)), strict=True):
            unit = np.spacing(abs(exact).astype(dtype)).astype(np.longdouble)
            assert (abs(y - exact) <= 3 * unit).all()


def test_lengths_and_angles_of_what_is_not_finite(isa, dtype):
    """Corners of a window make both slopes infinite, its sides one of them; the other is a NaN."""
    for i, j in np.ndindex(3, 3):
        for value in (inf, -inf, nan):
            image = np.zeros((3, 3), dtype)
            image[i, j] = value
            results = [y.item() for y in gradient(image, border="valid")]
            dx, dy = results[:2]
            infinite = not np.isnan(value)
            assert np.isinf([dx, dy]).tolist() == [infinite and j != 1, infinite and i != 1]
            np.testing.assert_allclose(results[2:], (np.hypot(dx, dy), np.arctan2(dy, dx)), 1e-6)


def test_planned_calls_of_gradient():
    """The second call of the same arguments takes another way: the same results, and errors."""
    image = anything(np.random.default_rng(32), (9, 30), np.float32)
    for _ in range(2):
        both = gradient(image, outputs=("angle", "dx"))
        assert_same_bits(both, gradient(image)[::-3])
        assert_same_bits((gradient(image, outputs="dx"),), both[1:])
        out = [poisoned(image.shape, "float32"), None]
        results = gradient(image, outputs=["angle", "dx"], out=out)
        assert isinstance(results, tuple) and results[0] is out[0]
        assert_same_bits(results, both)
        with pytest.raises(ValueError, match="share memory"):
            gradient(image, outputs=("angle", "dx"), out=(out[0], out[0]))
        over = image.copy()
        assert_same_bits(gradient(over, outputs=("angle", "dx"), out=(None, over)), both)
        with pytest.raises(TypeError, match="has dtype float64"):
            gradient(image, outputs=("angle", "dx"), out=(None, np.ones((9, 30))))


# Sums that are rounded.

GAUSSIANS = [
    (1, (1, 0), {}),
    ((0.5, 1.5), (0, 1), {"border": "wrap"}),
    (0.8, (2, 2), {"border": "edge", "channel_axis": -1}),
    ((1.3, 0.7), (3, 2), {"truncate": 3, "border": "constant", "cval": 40}),
    ((0, 2), (0, 3), {"radius": (0, 5), "border": ("symmetric", "reflect")}),
    ((6, 0.4), (1, 1), {"border": "reflect"}),
    (0.7, (3, 0), {"border": "valid", "channel_axis": -1}),
]


@pytest.mark.parametrize(("sigma", "order", "options"), GAUSSIANS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_gaussian_derivatives(isa, dtype, sigma, order, options):
    image = anything(np.random.default_rng(5), (2, 9, 15, 3), dtype)
    y = gaussian(image, sigma, order=order, **options)
    assert y.dtype == floats_of(dtype)
    plain = {key: each for key, each in options.items() if key not in ("truncate", "radius")}
    kernels = absolute_weights(
        sigma, order, options.get("truncate", 4.0), options.get("radius")
    )
    tolerance = gaussian_bound(image, kernels, eps_of(image), **plain)
    exact = reference.gaussian(image.astype(np.float64), sigma, order=order, **options)
    assert_close(y, exact, tolerance)


def test_order_of_gaussian():
    image = anything(np.random.default_rng(6), (9, 15), np.uint8)
    assert_same_bits(gaussian(image, 1.1, order=2), gaussian(image, 1.1, order=(2, 2)))
    assert_same_bits(gaussian(image, 1.1, order=(0, 0)), gaussian(image, 1.1))
    assert gaussian(image, 1.1, order=1, out_dtype=np.uint8).dtype == np.uint8
    with_order = gaussian(image, 1.1, order=(1, 0), out_dtype="float64")
    turned = gaussian(np.ascontiguousarray(image.T), 1.1, order=(0, 1), out_dtype="float64")
    assert_close(with_order, turned.T, gaussian_bound(
        image, absolute_weights(1.1, (1, 0)), np.finfo("float64").eps
    ))


@pytest.mark.parametrize("sigma", [1e-200, 5e-324, 1e308])
def test_gaussian_derivatives_of_extreme_widths(sigma):
    image = anything(np.random.default_rng(7), (7, 21), np.float64)
    assert not gaussian(image, sigma, radius=2, order=(1, 0)).any()


def blob_bound(name, image, out_dtype=None, **options):
    """Both passes, and one rounding of their sum."""
    eps = eps_of(image, out_dtype)
    truncate = options.pop("truncate", 4.0)
    if name == "laplacian_of_gaussian":
        sigma = options.pop("sigma")
        kernels = [absolute_weights(sigma, order, truncate) for order in ((2, 0), (0, 2))]
    else:
        low, high = options.pop("low_sigma"), options.pop("high_sigma", None)
        high = tuple(np.multiply(1.6, low) * np.ones(2)) if high is None else high
        kernels = [absolute_weights(sigma, truncate=truncate) for sigma in (low, high)]
        shape = [max(map(len, pair)) for pair in zip(*kernels, strict=True)]
        kernels = [
            [np.pad(k, (n - len(k)) // 2) for k, n in zip(pair, shape, strict=True)]
            for pair in kernels
        ]
    return sum(gaussian_bound(image, pair, eps, 1, **options) for pair in kernels)


BLOBS = [
    ("laplacian_of_gaussian", {"sigma": 0.9}),
    ("laplacian_of_gaussian", {"sigma": (2.5, 0.6), "truncate": 2, "out_dtype": "int16"}),
    ("difference_of_gaussians", {"low_sigma": 0.7}),
    ("difference_of_gaussians", {"low_sigma": (0, 1), "high_sigma": (0.4, 1)}),
    ("difference_of_gaussians", {"low_sigma": 0.5, "truncate": 3, "out_dtype": "uint8"}),
    ("difference_of_gaussians", {"low_sigma": 0.5, "high_sigma": 0.9, "out_dtype": "float64"}),
]


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize(("name", "options"), BLOBS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_blobs(isa, dtype, name, options, border):
    image = anything(np.random.default_rng(8), (2, 13, 15, 3), dtype) * np.array(
        9 if dtype[0] == "f" else 1, dtype
    )
    options = {**options, "border": border, "cval": 7, "channel_axis": -1}
    y = getattr(filters, name)(image, **options)
    assert y.dtype == options.get("out_dtype", floats_of(dtype))
    unrounded = {**options, "out_dtype": np.float64}
    exact = getattr(reference, name)(image.astype(np.float64), **unrounded)
    assert_close(y, exact, blob_bound(name, image, **options))


def corner_bound(name, image, sigma=1.0, ksize=3, k=0.04, border="reflect", cval=0, **options):
    """How far the means of the products may be off, and the response because of them."""
    eps = eps_of(image, options.get("out_dtype"))
    window = reference.filters._gaussians(sigma, 4.0)
    image = np.moveaxis(abs(image.astype(np.float64)), -1, -3)
    if border != "valid":
        margins = [(len(kernel) // 2 + ksize // 2,) * 2 for kernel in window]
        image = reference.pad(image, margins, border, abs(cval))
    across, along = (abs(reference.filters._derivative(order, ksize)) for order in (0, 1))
    dx, dy = (
        reference.sep_filter2d(image, *pair, border="valid")
        for pair in ((across, along), (along, across))
    )
    xx, xy, yy = (
        np.moveaxis(reference.sep_filter2d(each, *window, border="valid"), -3, -1)
        for each in (dx * dx, dx * dy, dy * dy)
    )
    # A slope is off by 2 * ksize + 2 eps, a product by twice as many and one, a mean by its own.
    n = 2 * (2 * ksize + 2) + 1 + sum(map(len, window)) + 2
    if name == "harris":  # of each product once more as many, and what the formula rounds
        return (2 * n + 8) * eps * (xx * yy + xy**2 + k * (xx + yy) ** 2)
    # An eigenvalue is off by at most the norm of what the matrix is off.
    return (n + LIBRARY + 3) * eps * (xx + yy + 2 * xy)


CORNERS = [
    ("harris", {}),
    ("harris", {"sigma": (0.4, 1.3), "k": 0.06, "ksize": 5}),
    ("harris", {"sigma": 0.3, "ksize": 9, "out_dtype": "float64"}),
    ("shi_tomasi", {}),
    ("shi_tomasi", {"sigma": (0, 0.7), "ksize": 7}),
]


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize(("name", "options"), CORNERS)
@pytest.mark.parametrize("dtype", PIXELS)
def test_corners(isa, dtype, name, options, border):
    options = {**options, "border": border, "cval": 7}
    image = anything(np.random.default_rng(9), (2, 13, 17, 3), dtype)
    y = getattr(filters, name)(image, channel_axis=-1, **options)
    # float16 has no room for fourth powers
    usual = "float32" if dtype == "float16" else floats_of(dtype)
    assert y.dtype == options.get("out_dtype", usual)
    exact = getattr(reference, name)(image, channel_axis=-1, **options)
    assert_close(y, exact, corner_bound(name, image, **options))
    for channel in range(3):
        alone = getattr(filters, name)(image[..., channel], **options)
        assert_same_bits(alone, y[..., channel])


@pytest.mark.parametrize("name", ["harris", "shi_tomasi"])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_the_largest_responses_are_finite(name, dtype):
    """Rows and columns of the darkest and the brightest, under the largest kernel."""
    info = np.iinfo(dtype)
    image = np.where(np.add.outer(np.arange(30), np.arange(30)) // 15 % 2, info.max, info.min)
    y = getattr(filters, name)(image.astype(dtype), ksize=9)
    assert np.isfinite(y).all()
    assert abs(y).max() > 1e16
    half = (image // 2**8).astype(np.float16)
    assert_same_bits(getattr(filters, name)(half), getattr(filters, name)(half.astype("float32")))


# Worked out by hand.

# A vertical step of 9 whose last row is 2 lower.
STEP = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 7, 7]], np.uint8)
DOT = np.pad(np.array([[1.0]]), 2)
# A Gaussian of sigma 1 that ends at 1: exp(-1 / 2) beside 1, over their sum.
SIDE, PEAK = (np.array([np.exp(-0.5), 1]) / (1 + 2 * np.exp(-0.5))).tolist()


@pytest.mark.parametrize(("function", "arguments", "expected"), [
    (scharr, {}, [[144, 144], [3 * 9 + 10 * 9 + 3 * 7] * 2]),
    (scharr, {"dx": 0, "dy": 1}, [[0, 0], [3 * -2, 10 * -2 + 3 * -2]]),
    (prewitt, {}, [[27, 27], [9 + 9 + 7] * 2]),
    (prewitt, {"dx": 0, "dy": 1}, [[0, 0], [-2, -2 + -2]]),
    (roberts, {}, [[0, 9, 0], [0, 9, 0], [0, 7, 7 - 9]]),
    (roberts, {"diagonal": 1}, [[0, -9, 0], [0, -9, 0], [0, -9, 7 - 9]]),
])
def test_operators_by_hand(isa, function, arguments, expected):
    assert function(STEP, border="valid", **arguments).tolist() == expected
    assert getattr(reference, function.__name__)(STEP, border="valid", **arguments).tolist() == (
        expected
    )


def test_gaussian_derivatives_by_hand(isa):
    """Of a row under a Gaussian of sigma 1: from -1 to 1, then of order 3 from -2 to 2."""
    row, slope = np.array([[0.0, 0, 1, 0, 0]]), np.array([[1.0, 2, 3]])
    for module in (filters, reference):
        first = module.gaussian(row, (0, 1), order=(0, 1), radius=(0, 1))
        np.testing.assert_allclose(first, [[0, SIDE, 0, -SIDE, 0]], rtol=1e-15)
        second = module.gaussian(row, (0, 1), order=(0, 2), radius=(0, 1))
        np.testing.assert_allclose(second, [[0, 0, -PEAK, 0, 0]], rtol=1e-15)
        up = module.gaussian(slope, (0, 1), order=(0, 1), radius=(0, 1), border="valid")
        np.testing.assert_allclose(up, [[2 * SIDE]], rtol=1e-15)
        third = module.gaussian(row, (0, 1), order=(0, 3), radius=(0, 2), border="zeros")
        one, two = np.exp(-0.5), np.exp(-2.0)
        beside, beyond = np.array([(1 - 3) * one, (8 - 6) * two]) / (1 + 2 * one + 2 * two)
        np.testing.assert_allclose(third, [[beyond, beside, 0, -beside, -beyond]], rtol=1e-15)


def test_blobs_by_hand(isa):
    """Of a dot: the kernels themselves."""
    beside, corner = -PEAK * SIDE, 0
    expected = [[corner, beside, corner], [beside, -2 * PEAK**2, beside], [corner, beside, corner]]
    wide = np.exp(-0.5 / 1.2**2)
    wide_side, wide_peak = np.array([wide, 1]) / (1 + 2 * wide)
    for module in (filters, reference):
        y = module.laplacian_of_gaussian(DOT, 1, truncate=1)
        np.testing.assert_allclose(y[1:4, 1:4], expected, rtol=1e-15)
        assert np.count_nonzero(y) == 5
        y = module.difference_of_gaussians(DOT, 1, (1, 1.2), truncate=1, border="zeros")
        for i, weight in enumerate((SIDE, PEAK, SIDE), 1):
            differences = np.array([SIDE - wide_side, PEAK - wide_peak, SIDE - wide_side])
            np.testing.assert_allclose(y[i, 1:4], weight * differences, rtol=1e-14)
        assert np.count_nonzero(y) == 9


def test_gradient_by_hand(isa):
    """Slopes of 3 and 4 for each pixel: sobel gives 8 times as much, scharr 32, prewitt 6."""
    slope = np.add.outer(4 * np.arange(3), 3 * np.arange(3)).astype(np.uint8)
    for operator, size in (("sobel", 8), ("scharr", 32), ("prewitt", 6)):
        for module in (filters, reference):
            results = module.gradient(slope, operator, border="valid")
            assert [y.item() for y in results[:3]] == [3 * size, 4 * size, 5 * size]
            assert abs(results[3].item() - 0.92729522) < 3e-7
    angles = gradient(np.rot90(slope, 2).copy(), outputs="angle", border="valid")
    assert abs(angles.item() - (0.92729522 - np.pi)) < 3e-7


def test_corners_by_hand(isa):
    """Around a dot dx is [1, 0, -1], [2, 0, -2], [1, 0, -1], dy the same turned.

    Sigma 0.5 ends at 2, where the slopes do: the mean of dx * dx is 4 corners and twice 4 sides,
    that of dx * dy is 0.
    """
    peak, side = np.array([1, np.exp(-2)]) / (1 + 2 * np.exp(-2) + 2 * np.exp(-8))
    mean = 4 * side**2 + 8 * side * peak
    for module in (filters, reference):
        y = module.shi_tomasi(DOT, 0.5)
        assert abs(y[2, 2] - mean) < 1e-15
        y = module.harris(DOT, 0.5, 0.05)
        assert abs(y[2, 2] - (mean**2 - 0.05 * (2 * mean) ** 2)) < 1e-15
        # With no window to take a mean under, only the edges count.
        y = module.harris(STEP.astype(np.float64), 0, 0.04, border="valid")
        np.testing.assert_allclose(y[0], [-0.04 * 36**4] * 2, rtol=1e-15)


# As others have it.


@pytest.mark.parametrize("border", SCIPY_BORDERS)
def test_as_scipy(isa, dtype, border):
    rng = np.random.default_rng(10)
    image, whole = anything(rng, (9, 19), dtype), integers(rng, (9, 19), dtype, 99)
    mode = {"mode": SCIPY_BORDERS[border], "output": np.float64}
    for function in (sobel, prewitt):
        theirs = getattr(ndimage, function.__name__)
        assert_array_equal(function(whole, border=border), theirs(whole, -1, **mode))
        assert_array_equal(function(whole, 0, 1, border=border), theirs(whole, 0, **mode))
    eps = np.finfo(dtype).eps
    for sigma, order in product((1.2, (0.7, 2)), ((0, 1), (1, 0), (2, 3), (3, 2), (1, 1))):
        expected = ndimage.gaussian_filter(image, sigma, order, **mode)
        bound = gaussian_bound(
            image, absolute_weights(sigma, order), eps, EXPONENTS, border=border
        )
        assert_close(gaussian(image, sigma, order=order, border=border), expected, bound)
    bound = sum(
        gaussian_bound(image, absolute_weights(1.1, order), eps, EXPONENTS + 1, border=border)
        for order in ((0, 2), (2, 0))
    )
    expected = ndimage.gaussian_laplace(image, 1.1, **mode)
    assert_close(laplacian_of_gaussian(image, 1.1, border=border), expected, bound)


def test_as_scikit_image(isa):
    """Where its border, zeros around each of its passes, is not seen."""
    image = anything(np.random.default_rng(11), (21, 30), np.float64)
    for diagonal, theirs in enumerate(
        (skimage_filters.roberts_pos_diag, skimage_filters.roberts_neg_diag)
    ):
        assert_array_equal(roberts(image, diagonal, border="symmetric"), theirs(image))
    for high in (None, 2.5):
        expected = skimage_filters.difference_of_gaussians(image, 0.9, high, mode="mirror")
        kernels = [absolute_weights(sigma) for sigma in (0.9, high or 1.6 * 0.9)]
        eps = np.finfo(np.float64).eps
        bound = sum(gaussian_bound(image, pair, eps, EXPONENTS + 1) for pair in kernels)
        assert_close(difference_of_gaussians(image, 0.9, high), expected, bound)
    inside = (slice(5, -5), slice(5, -5))  # 1 for the slopes, 4 for the window
    for name, theirs in (
        ("harris", feature.corner_harris(image, "k", 0.06, sigma=1)),
        ("shi_tomasi", feature.corner_shi_tomasi(image, 1)),
    ):
        options = {"k": 0.06} if name == "harris" else {}
        y = getattr(filters, name)(image, **options)
        # The same bound holds for both.
        bound = 2 * corner_bound(name, image[..., None], **options)[..., 0]
        assert_close(y[inside], theirs[inside], bound[inside])


# Blocks.

# (name, options) of a call of every function of several steps; the first two are those in blocks.
SEVERAL = [
    ("laplacian_of_gaussian", {"sigma": (0.5, 0.8)}),
    ("difference_of_gaussians", {"low_sigma": (0, 0.5), "out_dtype": "int16"}),
    ("gradient", {"outputs": "angle"}),
    ("gradient", {}),
    ("harris", {}),
    ("shi_tomasi", {"sigma": (0.3, 1.5)}),
]


@pytest.fixture
def blocks(monkeypatch):
    """Every block of the test's calls; they are so small that images of 50 columns have many."""
    parts, made = _blocks._parts, []

    def recorded(*arguments):
        made.extend(parts(*arguments))
        return made

    monkeypatch.setattr(_blocks, "TEMPORARY_BYTES", 9_000)
    monkeypatch.setattr(_blocks, "_parts", recorded)
    return made


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize(("name", "options"), SEVERAL[:2])
@pytest.mark.parametrize(
    ("dtype", "channels"), [("uint8", 1), ("float16", 1), ("float32", 2), ("float64", 1)]
)
def test_blocks(isa, threads, request, dtype, channels, name, options, border):
    """The same bits as of whole images, also over the image itself."""
    options = {**options, "border": border, "cval": 0.3, "channel_axis": -1}
    image = anything(np.random.default_rng(12), (2, 43, 50, channels), dtype)
    expected = getattr(filters, name)(image, threads=1, **options)
    blocks = request.getfixturevalue("blocks")
    assert_same_bits(getattr(filters, name)(image, threads=threads, **options), expected)
    assert len(blocks) > 2 * 2
    blocks.clear()
    if dtype == expected.dtype and border != "valid":
        out = image.copy()
        assert getattr(filters, name)(out, out=out, threads=threads, **options) is out
        assert_same_bits(out, expected)


@pytest.mark.parametrize("border", BORDER_CHOICES, ids=str)
@pytest.mark.parametrize(("name", "options"), SEVERAL[2:])
@pytest.mark.parametrize(
    ("dtype", "channels"), [("uint8", 1), ("float16", 1), ("float32", 2), ("float64", 1)]
)
def test_blocks_of_the_kernels(isa, monkeypatch, dtype, channels, name, options, border):
    """The same, of those that are one pass."""
    options = {**options, "border": border, "cval": 0.3, "channel_axis": -1}
    image = anything(np.random.default_rng(12), (2, 43, 90, channels), dtype)
    expected = getattr(filters, name)(image, threads=1, **options)
    change_plans(monkeypatch, BLOCK_BYTES=5000, LINE_BYTES=5000)
    assert_same_bits(getattr(filters, name)(image, threads=2, **options), expected)
    if name != "gradient" and dtype == expected.dtype and border != "valid":
        out = image.copy()
        assert getattr(filters, name)(out, out=out, threads=2, **options) is out
        assert_same_bits(out, expected)
    clear_plans()


@pytest.mark.parametrize(("rows", "cols", "k", "area"), [
    (1, 1, 1, 1), (7, 5, 3, 0), (40, 3, 3, 100), (3, 900, 5, 300), (100, 100, 41, 500),
    (9, 9, 1, 3),
])
def test_every_result_is_in_one_block(rows, cols, k, area):
    windows = [_geometry.Window(n, k, 1, 1, k // 2, k // 2, n) for n in (rows, cols)]
    size = _blocks._strip_size(*windows, area)
    count = np.zeros((5, rows, cols), int)
    for part in _blocks._parts((*count.shape, 1), size):
        count[part] += 1
    assert_array_equal(count, 1)
    # Blocks keep to the area, unless they would mostly be margin.
    height = size[1] + k - 1
    assert min(height, rows) * cols <= area or height <= 5 * k


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("out_dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), [
    *((name, options) for name, options in SEVERAL if "outputs" not in options),
    *(("gradient", {"outputs": name}) for name in ALL),
    ("laplacian_of_gaussian", {"sigma": 2}), ("harris", {"sigma": 5}),
])
def test_temporary_memory(name, options, out_dtype, channels):
    """Beyond the results a call takes what it says, of an image that is much larger."""
    image = np.zeros((1200, 1500 // channels, channels), np.uint16)
    options = {**options, "channel_axis": -1, "out_dtype": out_dtype}
    tracemalloc.start()
    try:
        results = getattr(filters, name)(image, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(y.nbytes for y in (results if isinstance(results, tuple) else (results,)))
    assert peak - size <= _blocks.TEMPORARY_BYTES + 2**16


def test_threads(threads):
    """Of images that are shared among threads."""
    image = anything(np.random.default_rng(13), (600, 700), np.float32)
    for name, options in SEVERAL:
        function = getattr(filters, name)
        assert_same_bits(function(image, threads=threads, **options), function(image, **options))


# Small, empty, not a number.


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 1), (3, 2), (4, 5)])
def test_images_smaller_than_the_kernel(isa, shape, border):
    image = anything(np.random.default_rng(14), shape, np.float64)[..., None]
    options = {"border": border, "cval": 2, "channel_axis": -1}
    for name, more in (*BLOBS, *CORNERS):
        y = getattr(filters, name)(image, **more, **options)
        bound = corner_bound if (name, more) in CORNERS else blob_bound
        exact = getattr(reference, name)(image, **{**more, "out_dtype": np.float64}, **options)
        assert_close(y, exact, bound(name, image, **more, **{**options}))
    for function in (scharr, prewitt, roberts):
        whole = np.rint(9 * image)
        expected = getattr(reference, function.__name__)(whole, **options)
        assert_array_equal(function(whole, **options), expected)
    assert_array_equal(
        gradient(whole, outputs=("dx", "dy"), **options), reference.gradient(whole, **options)[:2]
    )


@pytest.mark.parametrize("shape", [(0, 5, 6), (3, 0, 5, 6)])
def test_no_images(shape):
    image = np.zeros(shape, np.uint8)
    for name, options in SEVERAL:
        results = getattr(filters, name)(image, **options)
        for y in results if isinstance(results, tuple) else (results,):
            assert y.shape == shape


def test_the_reach_of_what_is_not_a_number(isa, dtype):
    """Only those results whose window holds it; nothing warns."""
    image = np.ones((25, 31), dtype)
    image[12, 15] = nan
    for name, options, above, beside in (
        ("laplacian_of_gaussian", {"sigma": (0.5, 1)}, 2, 4),
        ("difference_of_gaussians", {"low_sigma": (0, 0.3), "high_sigma": (0, 1)}, 0, 4),
        *(("gradient", {"outputs": name}, 1, 1) for name in ("dx", "dy", "magnitude")),
        ("harris", {"sigma": (0.5, 1)}, 3, 5),
        ("shi_tomasi", {"sigma": (0.5, 1)}, 3, 5),
    ):
        expected = np.zeros(image.shape, bool)
        expected[12 - above : 13 + above, 15 - beside : 16 + beside] = True
        assert_array_equal(np.isnan(getattr(filters, name)(image, **options)), expected, name)
    image[12, 15] = inf
    for name, options in SEVERAL:
        getattr(filters, name)(image, **options)


def test_differences_that_overflow_in_a_row_that_has_no_weight(isa):
    image = np.zeros((9, 40), np.float32)
    image[4, [10, 12]] = -3e38, 3e38
    for dtype in (np.float32, np.float64):
        assert_array_equal(filters.sobel(image.astype(dtype), 0, 1)[4], np.zeros(40))


def test_blobs_of_an_infinity_are_two_gaussians(isa, dtype):
    """Which give NaN where their infinities meet, in the reference as well."""
    image = np.zeros((25, 25), dtype)
    image[12, 12] = inf
    assert_array_equal(laplacian_of_gaussian(image[12:13, 8:17], 0.5), [[0, 0, *[nan] * 5, 0, 0]])
    for name, options in BLOBS:
        for border in ("edge", "valid"):
            options = {**options, "border": border, "out_dtype": dtype}
            y = getattr(filters, name)(image, **options)
            expected = getattr(reference, name)(image, **options)
            assert y.shape == expected.shape
            assert_array_equal(y[~np.isfinite(y)], expected[~np.isfinite(y)])
            assert np.isfinite(expected[np.isfinite(y)]).all()


# Bad arguments, beyond those of test_geometry.py.


@pytest.mark.parametrize(("bad", "error", "message"), [
    ({"out": np.ones((5, 6))}, TypeError, "out is an array of shape (5, 6), "),
    ({"out": {"dx": None}}, TypeError, "out is {'dx': None}, expected a tuple or list of 2 arrays"),
    ({"out": ()}, ValueError, "out has 0 arrays, expected 2, one for a result"),
    ({"out": (None, 3)}, TypeError, "out is a int, expected a NumPy array"),
    ({"out": "wrong dtype"}, TypeError, "out has dtype float64, expected float32"),
    ({"out": "wrong shape"}, ValueError, "out has shape (5, 5), expected (5, 6)"),
    ({"threads": 0}, ValueError, "threads is 0"),
    ({"cval": 1e39, "border": "constant"}, ValueError, "cval is 1e+39, expected what float32"),
    ({"outputs": ("dx", "angles")}, ValueError, "outputs is 'angles', expected one of 'dx', 'dy'"),
])
def test_bad_arguments_of_gradient(bad, error, message):
    """The first of two outputs, which fits, stays as it was."""
    first = poisoned((5, 6), "float32")
    second = {"wrong dtype": np.ones((5, 6)), "wrong shape": np.ones((5, 5), "float32")}
    if isinstance(bad.get("out"), str):
        bad = {"out": (first, second[bad["out"]])}
    arguments = {"outputs": ("dx", "angle"), "out": (first, None), **bad}
    with pytest.raises(error) as caught:
        gradient(np.ones((5, 6), np.uint8), **arguments)
    assert str(caught.value).startswith("gradient: ")
    assert message in str(caught.value)
    assert np.isnan(first).all()


@pytest.mark.parametrize(("name", "options"), [
    ("laplacian_of_gaussian", {"sigma": 1e-30}),
    ("harris", {"cval": -1e39, "border": "constant"}),
    ("shi_tomasi", {"out_dtype": "int16"}),
    ("difference_of_gaussians", {"low_sigma": 2, "high_sigma": 1}),
    ("gaussian", {"sigma": 1e-30, "order": 2}),
])
def test_nothing_is_written_for_bad_arguments(name, options):
    out = poisoned((5, 6), "float32")
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: .* expected"):
        getattr(filters, name)(np.ones((5, 6), np.float32), out=out, **options)
    assert np.isnan(out).all()


@pytest.mark.parametrize("name", ["harris", "shi_tomasi"])
def test_scratch_of_corners(tasks, name):
    """Three rings of lines, however wide the window."""
    for width, sigma, most in ((6000, 1, 2**20), (600, 30, 2**22), (6, 500, 2**23)):
        getattr(filters, name)(np.ones((9, width)), sigma=sigma)
        assert tasks[-1].scratch_bytes < most


def test_sobel_of_any_size_holds_its_slopes():
    """A kernel of 7x7 leaves 16 bits: 64 times 10 times 255 at a step."""
    step = np.repeat(np.array([[0, 255]], np.uint8), 20, 1)
    slopes = {ksize: sobel(step, ksize=ksize) for ksize in (3, 5, 7)}
    assert {ksize: y.max() for ksize, y in slopes.items()} == {3: 1020, 5: 12240, 7: 163200}
    assert [y.dtype for y in slopes.values()] == ["int16", "int16", "float32"]
