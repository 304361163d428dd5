"""The reference against values worked out by hand, and against SciPy where SciPy has the same."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from fastconv import reference

nan, inf = np.nan, np.inf

# The worked example: a 5x5 image, a 3x3 kernel, stride 1, zeros outside, then 2x2 max pooling.
# The first output is 1*1 + 0*2 from the row it is on and 0*0 + 1*1 from the row below: 2.
IMAGE = [
    [1, 2, 0, 1, 3],
    [0, 1, 2, 3, 1],
    [2, 1, 0, 1, 2],
    [1, 0, 3, 2, 0],
    [2, 1, 1, 0, 1],
]
KERNEL = [[1, 0, 2], [0, 1, 0], [-1, 0, 1]]
SAME = [
    [2, 4, 2, 0, 0],
    [5, 0, 6, 11, 1],
    [4, 7, 9, 2, 3],
    [4, 1, 5, 6, 1],
    [2, 8, 5, 3, 3],
]
POOLED = [[5, 11], [7, 9]]

SCIPY_BORDERS = {"constant": "constant", "edge": "nearest", "reflect": "mirror",
                 "symmetric": "reflect", "wrap": "wrap"}


def batch(rows):
    return np.array(rows, np.float64)[None, None]


def row(*values):
    return batch([values])


def test_worked_example():
    y = reference.conv2d(batch(IMAGE), batch(KERNEL), padding="same")
    assert_array_equal(y, batch(SAME))
    assert_array_equal(reference.max_pool2d(y, 2), batch(POOLED))


def test_worked_example_as_image_filter():
    image = np.array(IMAGE, np.int16)
    assert_array_equal(reference.filter2d(image, KERNEL, border="zeros"), SAME)
    valid = [line[1:4] for line in SAME[1:4]]
    assert_array_equal(reference.filter2d(image, KERNEL, border="valid"), valid)


@pytest.mark.parametrize(("names", "extended"), [
    (("constant", "zeros"), [9, 9, 9, 1, 2, 3, 9, 9, 9]),
    (("edge", "nearest", "replicate"), [1, 1, 1, 1, 2, 3, 3, 3, 3]),
    (("reflect", "mirror", "reflect101"), [2, 3, 2, 1, 2, 3, 2, 1, 2]),
    (("symmetric", "grid-mirror"), [3, 2, 1, 1, 2, 3, 3, 2, 1]),
    (("wrap", "circular", "grid-wrap"), [1, 2, 3, 1, 2, 3, 1, 2, 3]),
])
def test_borders(names, extended):
    for name in names:
        padded = reference.pad([[1, 2, 3]], ((0, 0), (3, 3)), name, cval=9)
        assert_array_equal(padded, [extended])
        assert_array_equal(reference.pad([[1], [2], [3]], ((3, 3), (0, 0)), name, 9).T, [extended])


@pytest.mark.parametrize(("border", "values", "extended"), [
    ("reflect", [1, 2], [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]),
    ("reflect", [7], [7] * 9),
    ("symmetric", [1, 2], [1, 2, 2, 1, 1, 2, 2, 1, 1, 2]),
    ("wrap", [1, 2], [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]),
])
def test_border_wider_than_image(border, values, extended):
    assert_array_equal(reference.pad([values], ((0, 0), (4, 4)), border), [extended])


def test_border_per_axis():
    padded = reference.pad([[1, 2], [3, 4]], ((1, 1), (1, 1)), ("zeros", "wrap"))
    assert_array_equal(padded, [[0, 0, 0, 0], [2, 1, 2, 1], [4, 3, 4, 3], [0, 0, 0, 0]])


@pytest.mark.parametrize(("arguments", "expected"), [
    ({}, [3, 5, 7]),
    ({"padding": (0, 1)}, [1, 3, 5, 7, 4]),
    ({"padding": ((0, 0), (0, 2))}, [3, 5, 7, 4, 0]),
    ({"padding": "valid", "stride": (1, 2)}, [3, 7]),
    ({"padding": "same"}, [3, 5, 7, 4]),  # the odd zero at the end, as PyTorch and TensorFlow
    ({"padding": "same", "stride": (1, 3)}, [3, 4]),
    ({"padding": "same", "stride": (1, 5)}, [3]),
    ({"dilation": (1, 3)}, [5]),
    ({"padding": (0, 1), "padding_mode": "wrap"}, [5, 3, 5, 7, 5]),
    ({"bias": [-4.0], "activation": "relu"}, [0, 1, 3]),
])
def test_conv2d_of_a_row(arguments, expected):
    assert_array_equal(reference.conv2d(row(1, 2, 3, 4), row(1, 1), **arguments), row(*expected))


def test_conv2d_groups_layout_and_empty_batch():
    x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    weight = np.array([[1.0, 10], [2, 20], [3, 30], [4, 40]]).reshape(4, 2, 1, 1)
    y = reference.conv2d(x, weight, groups=2)
    assert y.ravel().tolist() == [21, 42, 129, 172]
    nhwc = reference.conv2d(x.reshape(1, 1, 1, 4), weight, groups=2, layout="NHWC")
    assert nhwc.shape == (1, 1, 1, 4)
    assert_array_equal(nhwc.ravel(), y.ravel())
    assert reference.conv2d(x[:0], weight, groups=2).shape == (0, 4, 1, 1)


def test_conv2d_not_a_number_reaches_its_windows_only():
    y = reference.conv2d(row(1, nan, 1, 1, inf, 1), row(1, 0, 1), padding=(0, 1))
    assert_array_equal(y, row(nan, nan, nan, inf, nan, inf))


@pytest.mark.parametrize(("arguments", "expected", "indices"), [
    ({}, [3, 9], [1, 5]),
    ({"ceil_mode": True}, [3, 9, 0], [1, 5, 6]),
    ({"stride": 1}, [3, 3, 3, 9, 9], [1, 1, 4, 5, 5]),
    ({"stride": 1, "dilation": 2}, [3, 9, 3], [4, 5, 4]),
    ({"padding": (0, 1)}, [3, 3, 9], [1, 4, 5]),
    ({"padding": ((0, 0), (2, 0))}, [1, 3, 9], [0, 1, 5]),
    ({"padding": "same"}, [3, 3, 9], [1, 4, 5]),
])
def test_max_pool2d_of_a_row(arguments, expected, indices):
    x = row(1, 3, 2, 2, 3, 9, 0)
    y, places = reference.max_pool2d(x, (1, 3), return_indices=True, **arguments)
    assert_array_equal(y, row(*expected))
    assert_array_equal(places, row(*indices))


def test_max_pool2d_of_equals_nan_and_nothing():
    def pool(*values, padding=0):
        results = reference.max_pool2d(row(*values), (1, 2), None, padding, return_indices=True)
        return tuple(result.ravel().tolist() for result in results)

    assert pool(4, 4) == ([4], [0])
    assert pool(-inf, -inf) == ([-inf], [0])
    (value,), places = pool(nan, nan)
    assert np.isnan(value)
    assert places == [1]
    assert np.isnan(pool(nan, 5)[0]).all()
    assert pool(1, 2, padding=((0, 0), (2, 0))) == ([-inf, 2], [-1, 1])


def test_max_pool2d_of_integers():
    x = np.array([[0, 250], [0, 0]], np.uint8).reshape(1, 1, 2, 2)
    y, places = reference.max_pool2d(x, (2, 1), padding=(1, 0), return_indices=True)
    assert y.dtype == np.uint8
    assert y.ravel().tolist() == [0, 250, 0, 0]
    assert places.ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("arguments", "expected"), [
    ({"padding": (0, 1), "ceil_mode": True}, [1 / 3, 2, 4, 2.5]),
    ({"padding": (0, 1), "ceil_mode": True, "count_include_pad": False}, [0.5, 2, 4, 5]),
    ({"padding": (0, 1)}, [1 / 3, 2, 4]),
    ({}, [1, 3]),
    ({"ceil_mode": True}, [1, 3, 4.5]),
    ({"ceil_mode": True, "divisor_override": 2}, [1.5, 4.5, 4.5]),
    ({"dilation": (1, 2)}, [2]),
    ({"padding": ((0, 0), (0, 3)), "stride": (1, 3)}, [1, 4, 0]),
    ({"padding": ((0, 0), (0, 3)), "stride": (1, 3), "count_include_pad": False}, [1, 4, nan]),
    ({"padding": "same", "count_include_pad": False}, [1, 3, 4.5]),
])
def test_avg_pool2d_of_a_row(arguments, expected):
    arguments = {"stride": (1, 2), **arguments}
    y = reference.avg_pool2d(row(0, 1, 2, 3, 4, 5), (1, 3), **arguments)
    assert_allclose(y, row(*expected), rtol=1e-15)


def test_ceil_mode_drops_a_window_that_starts_in_the_padding():
    # Windows would start at -1, 1 and 3, and 3 is past the data.
    x, arguments = row(1, 2, 3), {"kernel_size": (1, 2), "padding": (0, 1), "ceil_mode": True}
    assert_array_equal(reference.max_pool2d(x, **arguments), row(1, 3))
    assert_array_equal(reference.avg_pool2d(x, **arguments), row(0.5, 2.5))


@pytest.mark.parametrize(("taps", "anchor", "expected"), [
    ([1, 1], None, [1, 11, 110, 1100]),  # an even kernel sits at its later middle element
    ([1, 1, 1, 1], None, [11, 111, 1111, 1110]),
    ([1, 1], (0, 0), [11, 110, 1100, 1000]),
    ([1, 2, 3], None, [32, 321, 3210, 2100]),  # not flipped
    ([1, 2, 3], (0, 2), [3, 32, 321, 3210]),
])
def test_filter2d_anchor(taps, anchor, expected):
    y = reference.filter2d([[1, 10, 100, 1000]], [taps], border="zeros", anchor=anchor)
    assert_array_equal(y, [expected])
    y = reference.sep_filter2d([[1, 10, 100, 1000]], [1], taps, border="zeros", anchor=anchor)
    assert_array_equal(y, [expected])


def test_filter2d_integers_round_half_to_even_and_saturate():
    image = np.array([[1, 3, 5, 255]], np.uint8)
    assert reference.filter2d(image, [[1]], scale=0.5).tolist() == [[0, 2, 2, 128]]
    assert reference.filter2d(image, [[-1]], scale=0.5).tolist() == [[0, 0, 0, 0]]
    assert reference.filter2d(image, [[2]], delta=-3).tolist() == [[0, 3, 7, 255]]
    signed = reference.filter2d(image, [[-200]], out_dtype=np.int16)
    assert signed.dtype == np.int16
    assert signed.tolist() == [[-200, -600, -1000, -32768]]
    halves = reference.filter2d(image, [[0.5]], out_dtype=np.float32)
    assert halves.tolist() == [[0.5, 1.5, 2.5, 127.5]]
    assert_array_equal(reference.sep_filter2d(image, [0.5], [0.5], scale=4), image)


def test_filter2d_integers_are_exact_beyond_float64():
    image = np.array([[1, 65535]], np.uint16)
    kernel = np.array([[2**53 + 1, 0, 0]])  # 2**53 + 1 is no float64
    y = reference.filter2d(image, kernel, border="zeros", delta=-(2**53), out_dtype=np.int16)
    assert y.tolist() == [[-32768, 1]]


def test_filter2d_not_a_number():
    image = [[nan, inf, -inf, 300.0]]
    assert reference.filter2d(image, [[1]], out_dtype=np.uint8).tolist() == [[0, 255, 0, 255]]
    y = reference.filter2d(np.array([[1, 2]], np.uint8), [[1, 1, 1]], border="constant", cval=nan)
    assert y.tolist() == [[0, 0]]


def test_filter2d_shapes():
    image, kernel = np.zeros((2, 7, 5, 6)), np.zeros((4, 3, 2))
    assert reference.filter2d(image, kernel[0]).shape == (2, 7, 5, 6)
    assert reference.filter2d(image, kernel).shape == (2, 7, 4, 5, 6)
    assert reference.filter2d(image, kernel, border="valid").shape == (2, 7, 4, 3, 5)
    assert reference.filter2d(image, kernel, channel_axis=-1).shape == (2, 4, 7, 5, 6)
    assert reference.filter2d(image[:0], kernel).shape == (0, 7, 4, 5, 6)
    assert reference.filter2d(np.zeros((2, 2)), kernel[0], border="valid").shape == (0, 1)


def test_filter2d_banks_and_channels_are_separate_images():
    rng = np.random.default_rng(1)
    image, bank = rng.standard_normal((5, 6, 3)), rng.standard_normal((4, 3, 3))
    y = reference.filter2d(image, bank, channel_axis=-1)
    for k in range(4):
        for channel in range(3):
            alone = reference.filter2d(image[..., channel], bank[k])
            assert_array_equal(y[k, ..., channel], alone)


@pytest.mark.parametrize("border", SCIPY_BORDERS)
@pytest.mark.parametrize("size", [(3, 3), (1, 4), (2, 5), (7, 6)])
def test_filters_as_scipy(border, size):
    rng = np.random.default_rng(2)
    image, kernel = rng.standard_normal((5, 4)), rng.standard_normal(size)
    mode = {"mode": SCIPY_BORDERS[border], "cval": 1.5}
    options = {"border": border, "cval": 1.5}
    expected = ndimage.correlate(image, kernel, **mode)
    assert_allclose(reference.filter2d(image, kernel, **options), expected, atol=1e-13)
    kernel_y, kernel_x = kernel[:, 0], kernel[0]
    expected = ndimage.correlate(image, np.outer(kernel_y, kernel_x), **mode)
    y = reference.sep_filter2d(image, kernel_y, kernel_x, **options)
    assert_allclose(y, expected, atol=1e-13)
    expected = ndimage.gaussian_filter(image, (0.8, 1.7), truncate=3, **mode)
    y = reference.gaussian(image, (0.8, 1.7), truncate=3, **options)
    assert_allclose(y, expected, atol=1e-13)


def test_gaussian():
    image = np.pad([[1.0]], 4)
    assert_allclose(reference.gaussian(image, 1, border="wrap").sum(), 1)
    assert np.count_nonzero(reference.gaussian(image, 1, radius=(0, 2))) == 5
    assert_array_equal(reference.gaussian(image, 0), image)


@pytest.mark.parametrize(("arguments", "kernel"), [
    ({}, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    ({"dx": 0, "dy": 1}, [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    ({"dx": 1, "dy": 1}, [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
    ({"dx": 0, "dy": 2}, [[1, 2, 1], [-2, -4, -2], [1, 2, 1]]),
    ({"ksize": 1}, [[-1, 0, 1]]),
    ({"dx": 2, "ksize": 1}, [[1, -2, 1]]),
    ({"ksize": 5}, np.outer([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1])),
    ({"dx": 0, "dy": 2, "ksize": 5}, np.outer([1, 0, -2, 0, 1], [1, 4, 6, 4, 1])),
])
def test_sobel_kernels(arguments, kernel):
    image = np.random.default_rng(3).integers(0, 256, (7, 8), np.uint8)
    expected = reference.filter2d(image, kernel, out_dtype=np.int16)
    assert_array_equal(reference.sobel(image, **arguments), expected)


@pytest.mark.parametrize(("ksize", "kernel"), [
    (1, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    (3, [[2, 0, 2], [0, -8, 0], [2, 0, 2]]),
    (5, [[2, 4, 4, 4, 2], [4, 0, -8, 0, 4], [4, -8, -24, -8, 4], [4, 0, -8, 0, 4],
         [2, 4, 4, 4, 2]]),
])
def test_laplacian_kernels(ksize, kernel):
    image = np.random.default_rng(4).integers(0, 256, (7, 8), np.uint8)
    expected = reference.filter2d(image, kernel, out_dtype=np.int16)
    assert_array_equal(reference.laplacian(image, ksize=ksize), expected)


@pytest.mark.parametrize("derivative", [reference.sobel, reference.laplacian])
def test_derivative_dtypes(derivative):
    assert derivative(np.ones((3, 3), np.uint8)).dtype == np.int16
    assert derivative(np.ones((3, 3), np.uint8), out_dtype=np.uint8).dtype == np.uint8
    for dtype in (np.uint16, np.int16, np.float32, np.float64):
        assert derivative(np.ones((3, 3), dtype)).dtype == np.float64


def test_empty_batches():
    assert reference.max_pool2d(np.ones((0, 2, 4, 4)), 2).shape == (0, 2, 2, 2)
    y, indices = reference.max_pool1d(np.ones((0, 2, 4)), 2, return_indices=True)
    assert y.shape == indices.shape == (0, 2, 2)
    dx, dweight, dbias = reference.conv2d_backward(
        np.ones((0, 1, 2, 2)), np.ones((0, 2, 3, 3)), np.ones((1, 2, 2, 2))
    )
    assert dx.shape == (0, 2, 3, 3)
    assert_array_equal(dweight, np.zeros((1, 2, 2, 2)))
    assert_array_equal(dbias, [0])
