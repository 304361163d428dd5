"""Kernels of many rows: Winograd's F(6, 6) down the columns beside direct sums."""

import numpy as np
import pytest
from helpers import BORDERS, assert_same_bits, poisoned
from numpy.testing import assert_array_equal

from fastconv import _plan, filters, reference

nan, inf = np.nan, np.inf
SIZES = [(20, 30), (30, 20), (22, 40), (31, 31), (63, 21)]


def errors(image, kernel, **options):
    """Of the default algorithm and of direct sums, in float32, against float64."""
    exact = reference.filter2d(image.astype(np.float64), kernel.astype(np.float64), **options)
    fast = filters.filter2d(image, kernel, **options)
    direct = filters.filter2d(image, kernel, algorithm="direct", **options)
    assert not np.array_equal(fast, direct)
    return abs(fast - exact), abs(direct - exact)


def test_which_kernels_are_large():
    def algorithm(size, stride=(1, 1), kernels=1, pixel=4, may_round=True, in_place=False):
        return _plan.dense_filter(size, stride, kernels, pixel, may_round, in_place)

    assert algorithm((20, 30)) == algorithm((31, 31)) == "filter_winograd"
    assert algorithm((19, 40)) == algorithm((24, 24)) == algorithm((3, 255)) == "filter2d"
    assert algorithm((31, 31), may_round=False) == "filter2d"
    assert algorithm((31, 31), pixel=4 * 300) == algorithm((20, 8000)) == "filter2d"
    assert algorithm((63, 63), pixel=4 * 300) == "filter2d"
    assert algorithm((7, 300), pixel=4 * 300, in_place=True) == "filter2d"
    assert algorithm((31, 31), kernels=2**10) == algorithm((31, 31), (2, 1)) == "filter2d"
    assert algorithm((5, 3), in_place=True) == algorithm((7, 7), in_place=True) == "filter_rolling"
    assert algorithm((5, 5)) == algorithm((3, 3), in_place=True) == "filter2d"


@pytest.mark.parametrize("size", SIZES)
def test_errors_beside_those_of_direct_sums(isa, size):
    rows, cols = size
    for seed in range(3):
        rng = np.random.default_rng(seed)
        image = rng.standard_normal((90, 150)).astype(np.float32)
        bell = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(cols + 2)[1:-1])
        for pixels, kernel in (
            (image, rng.standard_normal(size)), (abs(image), bell / bell.sum()),
            (255 * rng.random(image.shape), rng.standard_normal(size)),
            (np.cumsum(image, 0), bell - bell.mean()),
            (image, rng.standard_normal(size) * (rng.random(size) < 0.5)),
        ):  # fmt: skip
            fast, direct = errors(pixels.astype(np.float32), kernel.astype(np.float32))
            assert np.sqrt((fast**2).mean()) <= 2 * np.sqrt((direct**2).mean())
            assert fast.max() <= 4 * direct.max()
        for kernel in (bell, np.ones(size), np.tri(*size)):  # smooth ones of noise
            fast, direct = errors(image, kernel.astype(np.float32))
            assert np.sqrt((fast**2).mean()) <= 3 * np.sqrt((direct**2).mean())
            assert fast.max() <= 6 * direct.max()


@pytest.mark.parametrize("border", [*BORDERS, ("wrap", "constant"), "valid"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_shape(isa, dtype, border):
    """Small whole numbers, whose transforms are exact to a part of the last place of any sum."""
    rng = np.random.default_rng(1)
    for seed, (shape, size, axis) in enumerate((
        ((1, 1), (20, 30), None), ((3, 40), (101, 6), None), ((2, 33, 129), (20, 30), None),
        ((21, 17, 3), (97, 7), -1), ((2, 9, 5, 17), (20, 31), -1), ((5, 300), (40, 16), None),
    )):  # fmt: skip
        if border == "valid":
            shape = list(shape)
            at = len(shape) - 2 - (axis is not None)
            shape[at : at + 2] = shape[at] + size[0] - 1, shape[at + 1] + size[1] - 1
        image = rng.integers(-9, 10, shape).astype(dtype)
        kernel = rng.integers(-9, 10, size).astype(dtype)
        options = {"border": border, "cval": 5, "channel_axis": axis, "scale": 0.5, "delta": 3}
        options["anchor"] = (seed % size[0], size[1] - 1)
        expected = reference.filter2d(image, kernel, **options)
        out = poisoned(expected.shape, dtype)
        filters.filter2d(image, kernel, out=out, threads=1 + seed % 3, **options)
        assert abs(out - expected).max() < 0.02
        whole = filters.filter2d(image, kernel, out_dtype="int16", **options)
        assert abs(whole - np.rint(expected)).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_integers_stay_exact(dtype):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (40, 50)).astype(dtype)
    kernel = rng.integers(-9, 10, (21, 15))
    expected = reference.filter2d(image, kernel, scale=2**-9)
    assert_array_equal(filters.filter2d(image, kernel, scale=2**-9), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_reaches_its_windows_alone(isa, dtype):
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal((22, 30)).astype(dtype)
    for at, value in (((0, 0), nan), ((37, 80), inf), ((20, 131), -inf), ((59, 5), nan)):
        image = rng.standard_normal((60, 140)).astype(dtype)
        plain = filters.filter2d(image, kernel)
        image[at] = value
        fast = filters.filter2d(image, kernel)
        direct = filters.filter2d(image, kernel, algorithm="direct")
        finite = np.isfinite(direct)
        assert_array_equal(np.isfinite(fast), finite)
        assert_same_bits(fast[~finite], direct[~finite])
        tile = np.abs(fast - plain)[finite]  # those that share a tile are summed directly
        assert tile.max() <= 1e-4 * np.abs(plain).max()


def test_kernels_of_few_weights_are_summed_directly():
    image = np.random.default_rng(5).standard_normal((60, 70)).astype(np.float32)
    at = np.arange(31) - 15
    for kernel in (np.eye(31), np.pad([[1.0]], 15), np.exp(-(at**2 + at[:, None] ** 2) / 8)):
        kernel = kernel.astype(np.float32)
        direct = filters.filter2d(image, kernel, algorithm="direct")
        assert_same_bits(filters.filter2d(image, kernel), direct)


def test_sums_that_overflow_in_between(isa):
    image = np.full((20, 40), 1e37, np.float32)
    image[::2] *= -1
    kernel = np.ones((22, 30), np.float32)
    direct = filters.filter2d(image, kernel, algorithm="direct")
    fast = filters.filter2d(image, kernel)
    assert_array_equal(np.isfinite(fast), np.isfinite(direct))


def test_bits_of_a_bank_of_threads_and_of_samples(isa):
    rng = np.random.default_rng(4)
    images = rng.standard_normal((3, 45, 70)).astype(np.float32)
    bank = rng.standard_normal((4, 23, 27)).astype(np.float32)
    whole = filters.filter2d(images, bank, threads=1)
    for threads in (2, 3):
        assert_same_bits(filters.filter2d(images, bank, threads=threads), whole)
    for i, image in enumerate(images):
        for m, kernel in enumerate(bank):
            assert_same_bits(filters.filter2d(image, kernel), whole[i, m])


def test_an_algorithm_that_there_is_not():
    image, kernel = np.ones((20, 20), np.float32), np.ones((21, 30))
    with pytest.raises(ValueError, match="filter2d: algorithm is 'fft', expected one of 'auto', "):
        filters.filter2d(image, kernel, algorithm="fft")
