"""Winograd: within its bounds on layers of real networks, and nowhere else to be seen."""

from functools import cache

import numpy as np
import pytest
from helpers import FLOATS, assert_same_bits, integers, to_layout
from numpy.testing import assert_array_equal

import fastconv
from fastconv import conv2d, plan_conv2d, reference

nan, inf = np.nan, np.inf

# (input channels, output channels, rows, columns, groups, stride), the largest images cropped; of
# kernels that are not 3x3 their rows and columns.
NETWORKS = {
    "ResNet-50 conv2": (64, 64, 28, 56, 1, 1),
    "ResNet-50 conv3": (128, 128, 28, 28, 1, 1),
    "VGG-16 conv3_1": (128, 256, 14, 28, 1, 1),
    "VGG-16 conv4_3": (512, 64, 14, 28, 1, 1),
    "ResNet-50 conv5": (512, 128, 7, 7, 1, 1),
    "ResNeXt-50 conv2, wider": (256, 256, 28, 28, 4, 1),
    "the fewest channels": (48, 48, 28, 56, 1, 1),
    "one part more": (49, 65, 28, 28, 1, 1),
    "U-Net, the last": (64, 16, 24, 80, 1, 1),
    "a small network's second": (16, 32, 28, 28, 1, 1),
    "a small network's third": (32, 64, 14, 14, 1, 1),
    "too few channels for 4x4": (94, 64, 27, 40, 2, 1),
    "ResNet-50 conv3, stride 2": (128, 128, 56, 56, 1, 2),
    "ResNet-18 conv3, stride 2": (64, 128, 56, 56, 1, 2),
    "the fewest channels, stride 2": (32, 96, 64, 112, 1, 2),
    "one part more, stride 2": (98, 96, 31, 55, 1, 2),
    "series of 3": (64, 64, 1, 500, 1, 1, 1, 3),
    "series of 3, the fewest channels": (24, 96, 1, 400, 1, 1, 1, 3),
    "series of 3, many channels": (160, 64, 1, 400, 1, 1, 1, 3),
    "series of 4, few channels": (40, 64, 1, 400, 1, 1, 1, 4),
    "series of 4": (64, 48, 1, 500, 1, 1, 1, 4),
    "series of 5, few channels": (48, 64, 1, 400, 1, 1, 1, 5),
    "series of 5": (64, 64, 1, 500, 1, 1, 1, 5),
    "series of 6": (64, 64, 1, 500, 1, 1, 1, 6),
    "series of 7": (64, 64, 1, 500, 1, 1, 1, 7),
    "series of 7, one part more": (97, 33, 1, 500, 1, 1, 1, 7),
    "Inception 1x7": (128, 192, 17, 17, 1, 1, 1, 7),
}
# Images as networks see them: normalised, after a ReLU, pixels from 0 to 1, far from 0.
IMAGES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "rectified": lambda rng, shape: np.maximum(rng.standard_normal(shape), 0),
    "pixels": lambda rng, shape: rng.random(shape),
    "offset": lambda rng, shape: 100 + rng.standard_normal(shape),
}


def layer(name, images, dtype):
    c, k, h, w, groups, stride, *kernel = NETWORKS[name]
    kh, kw = kernel or (3, 3)
    rng = np.random.default_rng(len(name))
    x = IMAGES[images](rng, (1, c, h, w)).astype(dtype)
    weight = rng.standard_normal((k, c // groups, kh, kw)) * np.sqrt(2 / (kh * kw * c))
    weight = weight.astype(dtype)
    options = {"padding": (kh // 2, kw // 2), "groups": groups, "stride": stride}
    return x, weight, rng.standard_normal(k).astype(dtype), options


@pytest.mark.parametrize(
    ("dtype", "images"), [*(("float32", images) for images in IMAGES), ("float64", "normal")]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_errors_are_near_those_of_direct_sums(tasks, dtype, name, images):
    """Root mean square within 2 times, largest within 4 times. (Bits are equal on every ISA.)"""
    x, weight, _, options = layer(name, images, dtype)
    exact = reference.conv2d(x, weight, **options)  # a bias would add to direct's errors
    errors = {
        algorithm: conv2d(x, weight, algorithm=algorithm, **options) - exact
        for algorithm in ("auto", "direct")
    }
    assert [task.algorithm.split("_")[0] for task in tasks] == ["winograd", "direct"]
    rms, largest = (
        [measure(errors[algorithm]) for algorithm in ("auto", "direct")]
        for measure in (lambda e: np.sqrt(np.mean(e**2)), lambda e: np.max(abs(e)))
    )
    assert rms[0] <= 2 * rms[1]
    assert largest[0] <= 4 * largest[1]


# (samples, groups, channels, kernels per group, rows, columns, padding, more), ragged on purpose.
RAGGED = [
    (1, 1, 48, 16, 24, 16, ((1, 1), (1, 1)), {}),
    (2, 1, 51, 31, 22, 21, ((0, 0), (0, 0)), {"activation": "relu"}),
    (1, 2, 48, 33, 25, 23, ((2, 0), (0, 2)), {"padding_mode": "wrap"}),
    (1, 1, 49, 18, 9, 70, ((1, 2), (3, 1)), {"padding_mode": "reflect"}),
    (1, 1, 65, 17, 97, 5, ((0, 3), (5, 0)), {"padding_mode": ("edge", "symmetric")}),
    (1, 1, 53, 100, 23, 26, "same", {"padding_mode": "symmetric"}),
    (3, 1, 50, 64, 27, 27, ((1, 1), (1, 1)), {"padding_mode": ("zeros", "edge")}),
    (1, 3, 48, 19, 3, 130, ((40, 1), (1, 1)), {"padding_mode": "reflect"}),
    # Few channels, and images that do not fill tiles of 4x4: tiles of 3x3.
    (5, 1, 40, 61, 9, 6, ((1, 1), (1, 1)), {}),
    (2, 2, 45, 83, 9, 6, ((2, 0), (0, 3)), {"padding_mode": "wrap", "activation": "relu"}),
    (3, 1, 17, 40, 13, 22, ((1, 1), (1, 1)), {"padding_mode": "reflect"}),
    (1, 2, 16, 33, 25, 11, ((0, 2), (3, 0)), {"padding_mode": ("edge", "zeros")}),
    # Smaller ones: tiles of 2x2.
    (4, 1, 40, 70, 4, 2, ((1, 1), (1, 1)), {"padding_mode": "edge"}),
    (3, 1, 63, 121, 9, 3, ((0, 0), (2, 1)), {"padding_mode": ("zeros", "reflect")}),
    # Stride 2.
    (1, 1, 97, 96, 31, 55, ((1, 1), (1, 1)), {"stride": 2}),
    (2, 2, 96, 113, 30, 54, ((1, 0), (0, 1)), {"stride": 2, "padding_mode": "reflect"}),
    (3, 1, 100, 99, 33, 54, ((0, 1), (1, 2)), {"stride": 2, "activation": "relu"}),
    # Kernels of a row, of images and series.
    (2, 1, 50, 47, 3, 61, ((0, 0), (1, 1)), {"kernel": (1, 3)}),
    (3, 2, 48, 65, 1, 200, ((2, 0), (0, 3)), {"kernel": (1, 4), "padding_mode": "wrap"}),
    (1, 1, 40, 66, 5, 33, ((0, 1), (2, 2)), {"kernel": (1, 4), "activation": "relu"}),
    (2, 1, 49, 70, 7, 9, ((0, 0), (4, 0)), {"kernel": (1, 5), "padding_mode": "reflect"}),
    (2, 1, 161, 40, 1, 85, ((0, 0), (1, 1)), {"kernel": (1, 3)}),
    (3, 1, 67, 35, 1, 301, ((0, 0), (2, 2)), {"kernel": (1, 5), "padding_mode": "symmetric"}),
    (1, 2, 64, 66, 4, 50, ((0, 0), (0, 7)), {"kernel": (1, 6), "padding_mode": "edge"}),
    (5, 1, 65, 66, 2, 33, ((1, 1), (3, 3)), {"kernel": (1, 7), "activation": "relu"}),
]
ALGORITHMS = ["winograd_4x4"] * 8 + ["winograd_3x3"] * 4 + ["winograd_2x2"] * 2
ALGORITHMS += ["winograd_stride_2"] * 3 + ["winograd_row_6"] * 4 + ["winograd_row_8"] * 4
# (channels in, out, rows, columns, stride, kernel) of a small layer for each of them.
SMALL = {
    "winograd_4x4": (48, 20, 23, 15, 1, (3, 3)),
    "winograd_3x3": (17, 40, 8, 11, 1, (3, 3)),
    "winograd_2x2": (40, 70, 4, 2, 1, (3, 3)),
    "winograd_stride_2": (96, 96, 31, 55, 2, (3, 3)),
    "winograd_row_6": (48, 33, 3, 41, 1, (1, 3)),
    "winograd_row_8": (64, 40, 2, 47, 1, (1, 7)),
}


@cache
def integer_layer(number):
    n, groups, c, k, h, w, padding, more = RAGGED[number]
    rng = np.random.default_rng(number)
    x = integers(rng, (n, groups * c, h, w), np.float64)
    options = {"padding": padding, "groups": groups, **more}
    kernel = options.pop("kernel", (3, 3))
    weight, bias = integers(rng, (groups * k, c, *kernel), float), integers(rng, groups * k, float)
    return x, weight, bias, options, reference.conv2d(x, weight, bias, **options)


def check_integers(number, dtype, threads, layout):
    """Errors are far below a half: rounded, the results are exact."""
    x, weight, bias, options, expected = integer_layer(number)
    x, weight, bias = (each.astype(dtype) for each in (x, weight, bias))
    x, expected = to_layout(x, layout), to_layout(expected, layout)
    options = {**options, "layout": layout}
    out = np.full(expected.shape, nan, dtype)
    conv2d(x, weight, bias, out=out, threads=threads, **options)
    assert np.max(abs(out - expected)) < 0.05
    assert_array_equal(np.rint(out), expected)
    conv2d(x, weight, bias, out=out, threads=threads, algorithm="direct", **options)
    assert_array_equal(out, expected)


@pytest.mark.parametrize("number", range(len(RAGGED)))
def test_ragged_sizes(isa, dtype, layout, number, tasks):
    check_integers(number, dtype, 1 + number % 3, layout)
    assert tasks[0].algorithm == ALGORITHMS[number]


@pytest.mark.parametrize("number", range(len(RAGGED)))
def test_blocks(isa, small_blocks, layout, number):
    check_integers(number, FLOATS[number % 2], 1 + number % 3, layout)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("channels", "taps", "algorithm"), [
    (48, 3, "winograd_row_6"), (64, 7, "winograd_row_8"),
])  # fmt: skip
def test_series_and_slices_take_rows(isa, dtype, tasks, last, channels, taps, algorithm):
    """In one dimension, and in three where a kernel is one row of some slices; with residuals, one
    by one the same bits, and a NaN in one sample. Errors of integers are far below a half."""
    rng = np.random.default_rng(8)
    for kernel, sizes, convolution, layouts in (
        ((taps,), (85,), fastconv.conv1d, ("NCW", "NWC")),
        ((3, 1, taps), (4, 2, 45), fastconv.conv3d, ("NCDHW", "NDHWC")),
    ):
        convolve = getattr(reference, convolution.__name__)
        x = integers(rng, (2, channels, *sizes), dtype)
        weight = integers(rng, (40, channels, *kernel), dtype)
        options = {"padding": tuple(n // 2 for n in kernel), "padding_mode": "reflect"}
        expected = convolve(x.astype(float), weight.astype(float), **options)
        more = rng.integers(-9, 9, expected.shape).astype(dtype)
        x[1, 3, ..., 40] = nan
        expected[1] = convolve(x[1:].astype(float), weight.astype(float), **options)[0]
        if last:
            x, expected, more = (
                np.ascontiguousarray(np.moveaxis(each, 1, -1)) for each in (x, expected, more)
            )
        options |= {"layout": layouts[last]}
        y = convolution(x, weight, residual=more, threads=2, **options)
        assert tasks[-1].algorithm == algorithm
        assert_array_equal(np.rint(y), expected + more)
        one = convolution(x[:1], weight, residual=more[:1], threads=1, **options)
        assert_same_bits(y[:1], one)


@pytest.mark.parametrize(("channels", "taps", "algorithm"), [
    (48, 4, "winograd_row_6"), (64, 5, "winograd_row_8"),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["zeros", "wrap"])
def test_gradients_of_series_take_rows(isa, dtype, tasks, mode, channels, taps, algorithm):
    rng = np.random.default_rng(9)
    x = integers(rng, (2, 64, 90), dtype)
    weight = integers(rng, (channels, 64, taps), dtype)
    options = {"padding": 2, "padding_mode": mode}
    dy = integers(rng, (2, channels, 90 + 5 - taps), dtype)
    dx, _, _ = fastconv.conv1d_backward(dy, x, weight, output_mask=(True, False, False), **options)
    assert algorithm in [task.algorithm for task in tasks]
    wide = (each.astype(float) for each in (dy, x, weight))
    assert_array_equal(np.rint(dx), reference.conv1d_backward(*wide, **options)[0])


def test_a_plan_of_small_and_large_images(isa, dtype):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((16, 48, 3, 3)).astype(dtype)
    plan = plan_conv2d(weight)
    for size in (9, 40, 9, 41):
        x = rng.standard_normal((1, 48, size, size)).astype(dtype)
        assert_same_bits(plan(x), conv2d(x, weight))


@pytest.mark.parametrize("value", [nan, -inf])
@pytest.mark.parametrize("algorithm", SMALL)
def test_not_a_number_reaches_its_windows_only(isa, dtype, layout, tasks, algorithm, value):
    """From every place of an image whose tiles are ragged, in one channel or another. (The image of
    stride 2 is larger: from some places of every tile.)"""
    c, k, h, w, stride, (kh, kw) = SMALL[algorithm]
    options = {"padding": (kh // 2, kw // 2), "stride": stride}
    rng = np.random.default_rng(2)
    one = rng.standard_normal((1, c, h, w)).astype(dtype)
    weight = abs(rng.standard_normal((k, c, kh, kw))).astype(dtype)  # infinities keep their sign
    places = np.arange(0, h * w, 53 if stride == 2 else 1)
    x = np.repeat(one, len(places), 0)
    x[np.arange(len(places)), places % c, places // w, places % w] = value
    finite = reference.conv2d(one, weight, **options)
    y = conv2d(to_layout(x, layout), weight, layout=layout, **options)
    assert tasks[-1].algorithm == algorithm
    y = np.moveaxis(y, -1, 1) if layout == "NHWC" else y
    rows, cols = np.arange(0, h, stride)[:, None], np.arange(0, w, stride)
    i = places[:, None, None]
    reached = (abs(rows - i // w) <= kh // 2) & (abs(cols - i % w) <= kw // 2)
    expected = np.where(reached[:, None], value, finite)
    bound = (c * kh * kw + 2) * np.finfo(dtype).eps * reference.conv2d(abs(one), weight, **options)
    assert_array_equal(np.where(np.isfinite(y), 0, y), np.where(np.isfinite(expected), 0, expected))
    error = abs(np.where(np.isfinite(y), y, 0) - np.where(np.isfinite(expected), expected, 0))
    assert np.all(error <= bound)


@pytest.mark.parametrize("algorithm", SMALL)
def test_repair(isa, layout, tasks, algorithm):
    """Of several groups, behind every border, with bias and activation."""
    c, k, h, w, stride, kernel = SMALL[algorithm]
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2, 2 * c, h, w)).astype(np.float32)
    weight = rng.standard_normal((2 * k, c, *kernel)).astype(np.float32)
    bias = rng.standard_normal(2 * k).astype(np.float32)
    x[1, 3, 0, 0], x[0, c + 5, h - 1, w - 1], x[1, c + 1, h // 2, 1] = nan, inf, nan
    x = to_layout(x, layout)
    options = {
        "padding": ((2, 0), (0, 2)), "padding_mode": ("wrap", "reflect"), "groups": 2,
        "stride": stride, "activation": "relu", "layout": layout,
    }  # fmt: skip
    y, plain = (conv2d(x, weight, bias, algorithm=a, **options) for a in ("auto", "direct"))
    assert [tasks[0].algorithm, tasks[1].algorithm[:6]] == [algorithm, "direct"]
    finite = np.isfinite(plain)
    assert 0 < finite.sum() < plain.size
    assert_array_equal(np.where(finite, 0, y), np.where(finite, 0, plain))
    assert np.max(abs(y[finite] - plain[finite])) < 1e-3


@pytest.mark.parametrize("value", [1e6, nan])
@pytest.mark.parametrize(("size", "stride", "mode"), [
    (40, 2, "zeros"), (61, 1, "wrap"), (61, 1, "reflect"), (61, 1, "symmetric"),
])
def test_pixels_that_no_output_sees_change_none(isa, layout, tasks, size, stride, mode, value):
    """Tiles at the end hang over: what they would see there does not count."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1, 128, size, size)).astype(np.float32)
    weight = rng.standard_normal((128, 128, 3, 3)).astype(np.float32)
    options = {"stride": stride, "padding_mode": mode, "layout": layout}
    options["padding"] = 0 if stride == 2 else ((1, 1), (1, 1))
    plain = conv2d(to_layout(x, layout), weight, **options)
    # What tiles would see beyond the last output: at stride 2 the image's end; where a border
    # repeats the image, pixels some way from the ones that the border itself shows.
    hidden = np.zeros(size, bool)
    if stride == 2:
        hidden[-1] = True
    elif mode == "wrap":
        hidden[1:4] = True
    else:
        hidden[-5:-2] = True
    x[:, :, hidden], x[:, :, :, hidden] = value, value
    y = conv2d(to_layout(x, layout), weight, **options)
    # The last output, in a tile that hangs over.
    last = (0, -1, -1) if layout == "NHWC" else (0, slice(None), -1, -1)
    assert_array_equal(y[last], plain[last])
    assert tasks[-1].algorithm == ("winograd_4x4" if stride == 1 else "winograd_stride_2")


@pytest.mark.parametrize("value", [nan, inf])
def test_not_a_number_in_a_weight_reaches_its_kernel_only(isa, dtype, value, tasks):
    """Such weights are not given to Winograd, as others of this layer are."""
    rng = np.random.default_rng(3)
    x = integers(rng, (1, 48, 40, 40), dtype)
    weight = integers(rng, (17, 48, 3, 3), dtype)
    conv2d(x, weight)
    assert tasks[-1].algorithm == "winograd_4x4"
    weight[5, 7, 1, 2] = value
    expected = reference.conv2d(x, weight)
    assert_array_equal(np.rint(conv2d(x, weight)), expected)
    assert tasks[-1].algorithm.startswith("direct")


@pytest.mark.parametrize("algorithm", [
    "winograd_4x4", "winograd_3x3", "winograd_stride_2", "winograd_row_8",
])  # fmt: skip
@pytest.mark.parametrize(("image", "kernel"), [
    (3e38, 1e-3), (3e35, 1), (2e34, 100), (7e32, 3e3), (1e20, 1e16), (1e17, 1e19), (1e-19, 1e-19),
    (1e-38, 1), (1, 1e-38), (1e-38, 1e35),
])  # fmt: skip
def test_numbers_near_the_ends_of_the_range(isa, tasks, image, kernel, algorithm):
    """The transforms overflow nowhere that the sums themselves do not."""
    c, stride = 17 if algorithm == "winograd_3x3" else 48, 1 + (algorithm == "winograd_stride_2")
    rng = np.random.default_rng(4)
    shape = (3, 3)
    if algorithm == "winograd_row_8":
        c, shape = 64, (1, 7)
    x = (rng.uniform(-1, 1, (1, c, 41, 65)) * image).astype(np.float32)
    weight = (rng.uniform(-1, 1, (64, c, *shape)) * kernel).astype(np.float32)
    size = reference.conv2d(abs(x), abs(weight), stride=stride)
    assert size.max() < np.finfo(np.float32).max
    error = conv2d(x, weight, stride=stride) - reference.conv2d(x, weight, stride=stride)
    if kernel < 1e10:  # the transforms of larger ones could overflow
        assert tasks[0].algorithm == algorithm
    assert np.all(abs(error) <= (weight[0].size + 2) * np.finfo(np.float32).eps * size)


@pytest.mark.parametrize("size", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("algorithm", SMALL)
def test_sums_near_the_largest_number(isa, layout, tasks, algorithm, size):
    """Where every output fits, none overflows in between, wherever it stands in its tile."""
    c, k, h, w, stride, (kh, kw) = SMALL[algorithm]
    options = {"padding": (kh // 2, kw // 2), "stride": stride}
    rng = np.random.default_rng(5)
    x = abs(rng.standard_normal((1, c, h, w)))
    weight = abs(rng.standard_normal((k, c, kh, kw)))
    most = reference.conv2d(x, weight, **options).max()
    x = (x * (size * np.finfo(np.float32).max / most)).astype(np.float32)
    weight = weight.astype(np.float32)
    y = conv2d(to_layout(x, layout), weight, layout=layout, **options)
    assert tasks[-1].algorithm == algorithm
    exact = to_layout(reference.conv2d(x.astype(float), weight.astype(float), **options), layout)
    assert np.all(abs(y - exact) <= (kh * kw * c + 2) * np.finfo(np.float32).eps * exact)
