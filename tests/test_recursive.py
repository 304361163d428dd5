"""The recursive Gaussian: as its definition, as far from a Gaussian as it says, wherever it is cut.

How far from its definition a result may be, in parts of the image's range: what a recursion has not
seen when it runs in, less than 2.5e-5 on either side of either axis; and rounding.
"""

from itertools import product

import numpy as np
import pytest
from helpers import BORDERS, PIXELS, anything, assert_same_bits, change_plans, clear_plans, poisoned
from numpy.testing import assert_array_equal
from scipy import ndimage
from test_filters import assert_close
from test_reference import SCIPY_BORDERS

from fastconv import _config, _geometry, _plan, reference
from fastconv.filters import gaussian, smoothing

nan, inf = np.nan, np.inf

NOT_SEEN = 1e-4
# Of the image's range: the promise.
CLOSE = 1e-3
SHAPES = [(1, 1), (3, 5), (40, 37), (2, 70, 130), (130, 20)]
# Of every part of a path: no recursion along an axis, less than a pixel, more than the image.
SIGMAS = [(0.5, 0.5), (2, 3.5), (0, 3), (3, 0), (0, 0), (7, 1), (40, 25)]


def recursive(image, sigma, **options):
    return gaussian(image, sigma, method="recursive", **options)


def defined(image, sigma, **options):
    return reference.gaussian(
        image.astype(np.float64), sigma, method="recursive", **{**options, "out_dtype": "float64"}
    )


def tolerance(image, sigma, dtype, cval=0):
    """Of a result in floats of a dtype."""
    pixels = np.append(image.astype(np.float64), cval)
    rounding = (10 + np.max(sigma)) * {"float32": 1e-7, "float64": 2e-16}[dtype]
    return NOT_SEEN * np.ptp(pixels) + rounding * abs(pixels).max()


# As it is defined.


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("border", BORDERS)
def test_every_border_of_both_axes(isa, dtype, border, sigma):
    rng = np.random.default_rng(1)
    for shape, other in zip(SHAPES, BORDERS, strict=True):
        image = rng.random(shape).astype(dtype)
        options = {"border": (border, other), "cval": 0.7}
        out = poisoned(shape, dtype)
        assert recursive(image, sigma, out=out, threads=2, **options) is out
        assert_close(out, defined(image, sigma, **options), tolerance(image, sigma, dtype, 0.7))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17, 40])
def test_channels_and_batches(isa, dtype, channels):
    image = np.random.default_rng(2).random((2, 1, 23, 31, channels)).astype(dtype)
    border = ("wrap", "symmetric")
    y = recursive(image, (3, 5), border=border, channel_axis=-1)
    exact = defined(image, (3, 5), border=border, channel_axis=-1)
    assert_close(y, exact, tolerance(image, 5, dtype))
    for channel in range(channels):
        plane = np.ascontiguousarray(image[..., channel])
        assert_same_bits(y[..., channel], recursive(plane, (3, 5), border=border))


@pytest.mark.parametrize("dtype", PIXELS)
@pytest.mark.parametrize("out_dtype", PIXELS)
def test_types_of_pixels_and_results(isa, dtype, out_dtype):
    image = anything(np.random.default_rng(3), (33, 45), dtype)
    if dtype.startswith("float"):
        image = 100 * image
    y = recursive(image, (1, 4), out_dtype=out_dtype)
    assert y.dtype == out_dtype
    floats = "float64" if "float64" in (dtype, out_dtype) else "float32"
    plain = recursive(image, (1, 4), out_dtype=floats)
    assert_close(plain, defined(image, (1, 4)), tolerance(image, 4, floats))
    if not out_dtype.startswith("float"):  # rounded to even and saturated
        limits = np.iinfo(out_dtype)
        plain = np.clip(np.rint(plain), limits.min, limits.max)
    assert_same_bits(y, plain.astype(out_dtype))
    default = recursive(image, (1, 4))
    assert_same_bits(default, recursive(image, (1, 4), out_dtype=dtype))


def test_by_hand(isa, dtype):
    """A dot gives the sum of the damped oscillations, here worked out for sigma 1."""
    weights = np.array([0.39879895, 0.24206325, 0.05405624, 0.00438699, 0.00018125, -0.00004183])
    row = np.zeros((1, 41), dtype)
    row[0, 20] = 1
    for image, sigma in ((row, (0, 1)), (row.T.copy(), (1, 0))):
        y = recursive(image, sigma).ravel()
        assert_close(y[20:26], weights, 1e-7)
        assert_close(y[15:21], weights[::-1], 1e-7)
        assert_close(y.sum(dtype=np.float64), 1, 1e-6)


def test_no_sigma_is_no_blur(isa, dtype):
    image = np.random.default_rng(4).standard_normal((5, 70)).astype(dtype)
    assert_same_bits(recursive(image, 0), image)
    assert_close(recursive(image, (1e-3, 5e-324)), image, 1e-6)


@pytest.mark.parametrize("sigma", [0.3, 1, 10, 100, 1000])
def test_equal_pixels_stay_equal(isa, dtype, sigma):
    """They begin at rest, and the weights sum to 1."""
    image = np.full((70, 90), 0.3, dtype)
    assert_close(recursive(image, sigma), image, 4 * np.finfo(dtype).eps * 0.3)
    levels = np.repeat(np.arange(256, dtype=np.uint8), 12).reshape(256, 3, 4)
    assert_array_equal(recursive(levels, sigma), levels)


# As far from a Gaussian as it says.


@pytest.mark.parametrize("sigma", [0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 10, 20, 50, 100, 300])
def test_the_error_of_its_weights(sigma):
    """Half of their sum is the largest error of an image of range 1, along one axis."""
    n = int(9 * sigma) + 5
    row = np.zeros((1, 2 * n + 1))
    row[0, n] = 1
    ours, exact = (gaussian(row, (0, sigma), method=each)[0] for each in ("recursive", "kernel"))
    error = ours - exact
    assert abs(error).max() < 6e-4 * exact.max()
    assert abs(error).sum() / 2 < 4.5e-4
    # There is such an image.
    worst = (error > 0).astype(np.float64)[None, ::-1]
    found = gaussian(worst, (0, sigma), method="recursive") - gaussian(worst, (0, sigma))
    assert error[error > 0].sum() - NOT_SEEN < found[0, n] < CLOSE / 2


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 5, 10, (1, 4), (20, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_as_close_to_the_kernel_as_promised(dtype, sigma):
    """On noise, on steps, and on the image that is the worst of all in its middle."""
    rng = np.random.default_rng(5)
    n = [int(7 * each) + 4 for each in (sigma if isinstance(sigma, tuple) else (sigma, sigma))]
    dot = np.zeros([2 * each + 1 for each in n])
    dot[*n] = 1
    worst = gaussian(dot, sigma, method="recursive") > gaussian(dot, sigma)
    step = np.add.outer(np.arange(dot.shape[0]), np.arange(dot.shape[1])) > sum(n)
    for image in (worst[::-1, ::-1], step, rng.random(dot.shape)):
        image = (image * 255).astype(dtype)
        for border in BORDERS:
            ours, exact = (
                gaussian(image, sigma, method=each, border=border, cval=99).astype(np.float64)
                for each in ("recursive", "kernel")
            )
            assert abs(ours - exact).max() <= (1 if dtype == "uint8" else 255 * CLOSE)


@pytest.mark.parametrize("sigma", [0.6, 1, 1.7, 2.5, 4, 8, 15, 30, 60, (2, 9), (0, 12)])
@pytest.mark.parametrize("border", SCIPY_BORDERS)
def test_as_close_to_scipy_as_promised(border, sigma):
    rng = np.random.default_rng(6)
    image = rng.random((90, 70)) + (np.arange(70) > 30)
    mode = {"mode": SCIPY_BORDERS[border], "cval": 1.5}
    error = recursive(image, sigma, border=border, cval=1.5) - ndimage.gaussian_filter(
        image, sigma, **mode
    )
    assert abs(error).max() < CLOSE * np.ptp(image)


@pytest.mark.parametrize("sigma", [10, 100, 300, 1000])
def test_rounding_in_float32(isa, sigma):
    rng = np.random.default_rng(7)
    steps = np.arange(3000) > 1500
    for row in (rng.random(3000), steps, np.linspace(0, 1, 3000), 1000 + rng.random(3000)):
        image = np.asarray(row, np.float32)[None]
        exact = recursive(image, (0, sigma), out_dtype="float64")
        bound = (10 + sigma) * 1e-7 * abs(image).max()
        along = recursive(image, (0, sigma))
        assert_close(along, exact, bound)
        # The same steps; only what fades away does so after others.
        down = recursive(np.ascontiguousarray(image.T), (sigma, 0))
        assert_close(down.T, along, 1e-25)


# Wherever it is cut, whatever is beside it.


@pytest.fixture
def patched(monkeypatch):
    """Set constants of the plan, for calls that are planned anew."""

    def patch(**constants):
        named = {f"RECURSIVE_{name}": value for name, value in constants.items()}
        change_plans(monkeypatch, **named)

    clear_plans()
    yield patch
    clear_plans()


@pytest.mark.parametrize("rows", [1, 5, 16, 40])
def test_blocks_change_no_bit(isa, dtype, threads, patched, rows):
    image = np.random.default_rng(8).standard_normal((2, 150, 37)).astype(dtype)
    options = {"border": ("symmetric", "edge")}
    expected = recursive(image, (9, 2), threads=1, **options)
    patched(ROWS=rows)
    assert_same_bits(recursive(image, (9, 2), threads=threads, **options), expected)


# Constants, shape, sigma, and what must have been cut.
CUTS = {
    "spans": ({"ROWS": 16, "BYTES": 400 * 28}, (150, 100), (4, 2), ["span_rows"]),
    "strips": ({"LINE_BYTES": 2000}, (40, 700), (2, 5), ["block_cols"]),
    "channels": ({"CHANNELS": 3}, (30, 50, 8), (2, 3), ["block_c"]),
    "channels of long rows": ({"LINE_BYTES": 3000}, (30, 300, 4), (2, 16), ["block_c"]),
    "all of them": (
        {"ROWS": 16, "BYTES": 70_000, "LINE_BYTES": 3000, "CHANNELS": 3}, (70, 320, 5), (5, 3),
        ["span_rows", "block_cols", "block_c"],
    ),
    "strips narrow beside what they see": (
        {"ROWS": 16, "BYTES": 100_000, "LINE_BYTES": 2000, "COLUMNS": 1000}, (30, 1500), (2, 60),
        ["block_cols", "span_rows"],
    ),
    "as it is": ({}, (9, 20_000), (1, 3), ["block_cols"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("border", [
    ("reflect", "wrap"), ("constant", "edge"), ("edge", "constant"),
])  # fmt: skip
def test_images_that_are_cut(isa, patched, tasks, name, border):
    constants, shape, sigma, cut = CUTS[name]
    patched(**constants)
    image = np.random.default_rng(9).random(shape).astype(np.float32)
    options = {"border": border, "cval": 0.4, "channel_axis": -1 if len(shape) == 3 else None}
    y = recursive(image, sigma, threads=1, **options)
    sizes = tasks[-1].sizes
    whole = {"span_rows": "h", "block_cols": "w", "block_c": "c"}
    assert [each for each in whole if sizes[each] < sizes[whole[each]]] == [
        each for each in whole if each in cut
    ]
    assert_close(y, defined(image, sigma, **options), tolerance(image, sigma, "float32"))
    for threads in (2, 3, 7):
        assert_same_bits(recursive(image, sigma, threads=threads, **options), y)
    with _config.use_isa("scalar"):
        assert_same_bits(recursive(image, sigma, threads=1, **options), y)


def test_where_recursions_begin_again(patched):
    """All that one side of a cut has not seen of the other weighs less than 2.5e-5."""
    image = np.ones((128, 128))
    image[:, :55] = 0
    rows, columns = image.T.copy(), image
    whole = recursive(columns, (0, 4))
    patched(ROWS=16, BYTES=128 * 8 * (16 + 4 * 2))
    cut = recursive(rows, (4, 0))
    assert 0 < abs(cut.T - whole).max() < 2.5e-5
    patched(LINE_BYTES=100 * 8)
    cut = recursive(columns, (0, 4))
    assert 0 < abs(cut - whole).max() < 2.5e-5


@pytest.mark.parametrize("bits", [32, 64])
def test_scratch_memory(isa, bits):
    """At most 4 MB per thread; nothing is computed."""
    sizes = product(
        (1, 50, 1080, 100_000), (1, 33, 1920, 8193, 16384, 200_000), (1, 3, 16, 17, 1000),
        (0, 0.3, 10, 100, 300, smoothing.LARGEST_RECURSIVE_SIGMA),
    )  # fmt: skip
    for h, w, channels, sigma in sizes:
        reach = int(np.ceil(smoothing.RUN_IN * sigma))
        axes = (_geometry.Window(n, 2 * reach + 1, 1, 1, reach, reach, n) for n in (h, w))
        geometry = _geometry.Filter2d(
            1, channels, 1, *axes, ("reflect", "reflect"), "float32", "float32", "filter_recursive",
            bits, 1.0, 0.0, 0.0,
        )  # fmt: skip
        task, _ = _plan.filter2d(geometry, 1)
        assert 0 < task.scratch_bytes <= 4 * 2**20, (h, w, channels, sigma)


def test_what_is_no_number_stays_in_its_plane(isa, dtype):
    image = np.random.default_rng(10).random((3, 40, 50, 2)).astype(dtype)
    expected = recursive(image, 3, channel_axis=-1)
    image[1, 20, 20, 1] = nan
    y = recursive(image, 3, channel_axis=-1)
    assert np.isnan(y[1, :, :, 1]).all()
    assert_same_bits(y[[0, 2]], expected[[0, 2]])
    assert_same_bits(y[1, :, :, 0], expected[1, :, :, 0])


@pytest.mark.parametrize("sigma", [1, 10, 30])
def test_what_fades_away_is_zero(isa, sigma):
    """Neither subnormal numbers nor what they would never round to zero from."""
    image = np.zeros((4, 5000), np.float32)
    image[:, :7] = 1
    for y in (recursive(image, (0, sigma)), recursive(np.ascontiguousarray(image.T), (sigma, 0)).T):
        assert y[:, 0].all()
        assert not y[:, 3000:].any()
        assert not recursive(image[:, ::-1], (0, sigma))[:, :2000].any()


def test_small_calls_tell_methods_apart():
    image = np.random.default_rng(11).random((9, 9)).astype(np.float32)
    for _ in range(2):
        by_kernel = gaussian(image, 2)
        by_recursion = recursive(image, 2)
        assert_close(by_recursion, defined(image, 2), tolerance(image, 2, "float32"))
        assert (by_kernel != by_recursion).any()
        assert_same_bits(gaussian(image, 2, method="kernel"), by_kernel)
