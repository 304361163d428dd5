"""The bits of a result follow from the values that go in and the arguments, and nothing else."""

import mmap
from functools import cache, partial

import numpy as np
import pytest
from helpers import assert_same_bits, change_plans, clear_plans, guarded
from operations import CALLS, OPERATIONS
from test_arrays import output_of

from fastconv import _config, conv2d, filters, plan_conv2d

WIDTH = 37  # no multiple of any vector

every_call = pytest.mark.parametrize(("name", "dtype"), CALLS)


@cache
def arrays_and_result(name, dtype):
    """On the plainest variant, on one thread."""
    arrays = OPERATIONS[name].arrays(dtype, WIDTH)
    with _config.use_isa("scalar"):
        return arrays, OPERATIONS[name](arrays, threads=1)


@every_call
def test_every_instruction_set_and_number_of_threads(isa, threads, name, dtype):
    arrays, expected = arrays_and_result(name, dtype)
    assert_same_bits(OPERATIONS[name](arrays, threads=threads), expected)


@every_call
def test_tiling(isa, small_blocks, name, dtype):
    arrays, expected = arrays_and_result(name, dtype)
    assert_same_bits(OPERATIONS[name](arrays, threads=2), expected)


@every_call
def test_batch(isa, name, dtype):
    """Samples alone, and as part of a larger batch."""
    arrays, expected = arrays_and_result(name, dtype)
    if "seen" in arrays:
        pytest.skip("a sum over the batch")
    batch = {key: arrays[key] for key in ("x", "dy", "image", "residual") if key in arrays}
    samples = len(next(iter(batch.values())))
    for n in range(samples):
        one = {key: array[n : n + 1] for key, array in batch.items()}
        alone = OPERATIONS[name]({**arrays, **one}, threads=1)
        assert_same_bits(alone, _samples(expected, slice(n, n + 1)))
    more = {key: np.concatenate([a, a[::-1], a]) for key, a in batch.items()}
    many = OPERATIONS[name]({**arrays, **more}, threads=3)
    assert_same_bits(_samples(many, slice(samples)), expected)
    assert_same_bits(_samples(many, slice(2 * samples, None)), expected)


def _samples(result, samples):
    return tuple(y[samples] for y in result) if isinstance(result, tuple) else result[samples]


def at_offset(array, offset):
    """A copy that begins so many elements after a multiple of 64 bytes."""
    memory = np.empty(array.nbytes + 128 + offset * array.itemsize, np.uint8)
    begin = -memory.ctypes.data % 64 + offset * array.itemsize
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert copy.ctypes.data % 64 == offset * array.itemsize % 64
    return copy


@every_call
def test_alignment(isa, name, dtype):
    arrays, expected = arrays_and_result(name, dtype)
    for offset, out_offset in [(0, 0), (0, 1), (1, 0), (3, 2), (5, 7)]:
        moved = {key: at_offset(array, offset) for key, array in arrays.items()}
        out = at_offset(output_of(expected), out_offset)
        out.fill(0)
        assert_same_bits(OPERATIONS[name](moved, out=out, threads=1), expected)


def test_past_the_caches(isa, dtype, threads, monkeypatch):
    """Large results are written past the caches where they are aligned: here small ones are."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 6, 48)).astype(dtype)
    weight = rng.standard_normal((16, 3, 3, 3)).astype(dtype)
    expected = conv2d(x, weight, padding=1)
    change_plans(monkeypatch, STREAM_BYTES=0)
    for offset in (0, 1, 4, 8):
        out = at_offset(expected, offset)
        out.fill(0)
        assert_same_bits(conv2d(x, weight, padding=1, out=out, threads=threads), expected)
    clear_plans()


@pytest.mark.parametrize(
    "shape", [(1, 6, 16), (1, 9, 64), (2, 14, 208), (2, 7, 160, 3), (1, 5, 50)]
)
def test_filters_past_the_caches(isa, shape, threads, tasks, monkeypatch):
    """The same of image filters, whose rows begin anywhere in a cache line; in blocks, too."""
    rng = np.random.default_rng(2)
    image = guarded(rng.standard_normal(shape).astype(np.float32), "end")
    axis = {"channel_axis": -1} if len(shape) == 4 else {}
    calls = [
        *(partial(filters.filter2d, kernel=rng.standard_normal((k, k))) for k in (3, 4, 5, 7, 9)),
        partial(filters.filter2d, kernel=rng.standard_normal((2, 3, 3))),
        partial(filters.gaussian, sigma=1), partial(filters.gaussian, sigma=3, border="wrap"),
        partial(filters.box, size=9), partial(filters.box, size=3, border="constant"),
        partial(filters.dilate, footprint=5),
        filters.sobel, partial(filters.sobel, dx=0, dy=1), filters.laplacian,
    ]  # fmt: skip
    # Medians take numbers for positive ones until one is not.
    positive = np.abs(image)
    wild = positive.copy()
    wild[0, -1, -2:] = np.nan
    medians = [partial(filters.median, size=size) for size in (3, 5)]
    calls = [(call, image) for call in calls + medians]
    calls += [(call, guarded(other, "end")) for call in medians for other in (positive, wild)]
    expected = [call(image, **axis) for call, image in calls]
    for block in (2**19, 2**14):
        change_plans(monkeypatch, STREAM_BYTES=0, BLOCK_BYTES=block)
        for (call, image), result in zip(calls, expected, strict=True):
            for offset in (0, 1, 4, 15):
                out = at_offset(result, offset)
                out.fill(np.nan)
                assert_same_bits(call(image, out=out, threads=threads, **axis), result)
            assert tasks[-1].sizes["stream"]
            out = guarded(result, "start", mmap.PROT_READ | mmap.PROT_WRITE)
            assert_same_bits(call(image, out=out, threads=threads, **axis), result)
    clear_plans()


@pytest.mark.parametrize("size", [3, 5])
def test_medians_past_the_caches_see_nothing_else(isa, size, threads, monkeypatch):
    """Whatever a call before them left in scratch memory, and wherever their rows begin."""
    image = np.random.default_rng(3).random((30, 256), np.float32)
    outside = {"border": "constant", "cval": np.nan}
    expected = filters.median(image, size), filters.median(image, size, **outside)
    change_plans(monkeypatch, STREAM_BYTES=0, BLOCK_BYTES=2**13)
    for offset in range(16):
        filters.median(np.full_like(image, np.nan), size, threads=threads)
        for options, result in zip(({}, outside), expected, strict=True):
            out = at_offset(result, offset)
            out.fill(-1)
            actual = filters.median(image, size, **options, out=out, threads=threads)
            assert_same_bits(actual, result)
    clear_plans()


def test_sums_tell_one_order_from_another():
    """The inputs of these tests would show a sum in another order: this one has other bits."""
    arrays, expected = arrays_and_result("conv2d", "float32")
    turned = plan_conv2d(arrays["weight"][:, ::-1], arrays["bias"], **OPERATIONS["conv2d"].options)
    other = turned(arrays["x"][:, ::-1])
    np.testing.assert_allclose(other, expected, rtol=1e-3, atol=1e-4)
    assert (other != expected).mean() > 0.1
