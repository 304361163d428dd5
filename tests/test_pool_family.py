"""Poolings of one, two and three axes and their gradients: the reference, PyTorch, by hand."""

import tracemalloc

import numpy as np
import pytest
from helpers import assert_same_bits, integers, poisoned
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastconv as fc
from fastconv import reference

nan, inf = np.nan, np.inf
LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}
DTYPES = ("float32", "float64", "uint8", "int16", "uint16")
axes = pytest.mark.parametrize("dims", [1, 2, 3])


def named(name, dims):
    """(function, reference) of a name with {} for the number of axes."""
    name = name.format(dims)
    return getattr(fc, name), getattr(reference, name)


def geometry(rng, dims):
    """A random size and the options of a window that fits it."""
    size = tuple(map(int, rng.integers(5, {1: 70, 2: 14, 3: 8}[dims], dims)))
    numbers = lambda most: tuple(map(int, rng.integers(1, most + 1, dims)))  # noqa: E731
    pads = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (dims, 2)))
    return size, {
        "kernel_size": numbers(3), "stride": numbers(4), "dilation": numbers(2),
        "padding": "same" if rng.random() < 0.15 else pads, "ceil_mode": rng.random() < 0.4,
    }  # fmt: skip


def volumes(rng, size, dtype, layout):
    """Small integers, many of them equal, as two samples of some channels."""
    if layout.endswith("C"):
        return integers(rng, (2, *size, int(rng.integers(2, 20))), dtype)
    return integers(rng, (2, 3, *size), dtype)


def check(name, dims, *arrays, rtol=1e-6, **options):
    """Compare a function with its reference; give its result."""
    function, defined = named(name, dims)
    expected = defined(*arrays, **options)
    y = function(*arrays, threads=2, **options)
    for a, b in zip(*((each if isinstance(y, tuple) else (each,)) for each in (y, expected)),
                    strict=True):  # fmt: skip
        assert a.dtype == (np.int64 if a.dtype == np.int64 else arrays[0].dtype)
        assert_allclose(a, b, rtol, 1e-6 * (rtol > 0), err_msg=f"{name} {dims} {options}")
    return y


@axes
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_windows(isa, dims, dtype, last):
    rng, layout = np.random.default_rng([dims, last]), LAYOUTS[dims][last]
    for i in range(25):
        size, window = geometry(rng, dims)
        x = volumes(rng, size, dtype, layout)
        for name in ("max_pool{}d", "min_pool{}d"):
            check(name, dims, x, layout=layout, rtol=0, **window)
            check(name, dims, x, layout=layout, return_indices=True, rtol=0, **window)
        check("avg_pool{}d", dims, x, layout=layout, count_include_pad=bool(i % 2),
              divisor_override=(None, None, 3)[i % 3], **window)  # fmt: skip
        if dims == 2:
            check("median_pool{}d", 2, x, layout=layout, rtol=0, **window)
        if x.dtype.kind == "f":
            check("lp_pool{}d", dims, x, (1, 2, 3, 2.5)[i % 4], layout=layout, **window)


@axes
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_of_results(isa, dims, dtype, last):
    rng, layout = np.random.default_rng([dims, last]), LAYOUTS[dims][last]
    for i in range(20):
        size, _ = geometry(rng, dims)
        x, more = volumes(rng, size, dtype, layout), {"layout": layout, "rtol": 0}
        outputs = tuple(map(int, rng.integers(1, 9, dims)))
        outputs = outputs if i % 3 else (None, *outputs[1:])
        check("adaptive_avg_pool{}d", dims, x, outputs, layout=layout)
        for indices in (False, True):
            check("adaptive_max_pool{}d", dims, x, outputs, indices, **more)
        check("global_avg_pool", dims, x, layout=layout)
        check("global_max_pool", dims, x, **more)
        if dims > 1:
            check("fractional_max_pool{}d", dims, x, (2, 3, 2)[-dims:],
                  output_ratio=(0.5, 0.6, 0.4)[-dims:], seed=i, return_indices=bool(i % 2),
                  **more)  # fmt: skip
        y, places = named("max_pool{}d", dims)[0](x, 2, return_indices=True, layout=layout)
        check("max_unpool{}d", dims, y, places, 2, output_size=size, **more)


@axes
@pytest.mark.parametrize("last", [0, 1])
def test_gradients(isa, dtype, dims, last):
    rng, layout = np.random.default_rng([dims, last]), LAYOUTS[dims][last]
    for i in range(15):
        size, window = geometry(rng, dims)
        x = volumes(rng, size, dtype, layout)
        more = {"layout": layout, "rtol": 1e-5 if dtype == "float32" else 1e-12}
        y, places = named("max_pool{}d", dims)[0](x, return_indices=True, layout=layout, **window)
        dy = integers(rng, y.shape, dtype)
        check("max_pool{}d_backward", dims, dy, x, **window, **more)
        check("max_pool{}d_backward", dims, dy, x, indices=places, **window, **more)
        check("avg_pool{}d_backward", dims, dy, x.shape, count_include_pad=True, **window, **more)
        check("avg_pool{}d_backward", dims, dy, x.shape, divisor_override=3, **window, **more)
        check("lp_pool{}d_backward", dims, dy, x, (1, 2, 3)[i % 3], **window, **more)
        outputs = tuple(map(int, rng.integers(1, 9, dims)))
        y = named("adaptive_avg_pool{}d", dims)[0](x, outputs, layout=layout)
        dy = integers(rng, y.shape, dtype)
        check("adaptive_avg_pool{}d_backward", dims, dy, x.shape, **more)
        check("adaptive_max_pool{}d_backward", dims, dy, x, **more)
        dy = fc.global_avg_pool(dy, layout=layout)
        check("global_avg_pool_backward", dims, dy, x.shape, **more)
        check("global_max_pool_backward", dims, dy, x, **more)


@axes
def test_adjoints(dims):
    """<pool(v), dy> = <v, backward(dy)> of what is linear, and slopes of what is not."""
    rng = np.random.default_rng(dims)
    for i in range(10):
        size, window = geometry(rng, dims)
        x, v = rng.standard_normal((2, 2, 3, *size))
        average, _ = named("avg_pool{}d", dims)
        y = average(v, **window)
        dy = rng.standard_normal(y.shape)
        dx = named("avg_pool{}d_backward", dims)[0](dy, v.shape, **window)
        assert_allclose((y * dy).sum(), (v * dx).sum(), 1e-12, 1e-12)
        y = named("adaptive_avg_pool{}d", dims)[0](v, 3)
        dy = rng.standard_normal(y.shape)
        dx = named("adaptive_avg_pool{}d_backward", dims)[0](dy, v.shape)
        assert_allclose((y * dy).sum(), (v * dx).sum(), 1e-12, 1e-12)
        for name, before in (("max_pool{}d", ()), ("lp_pool{}d", ((2, 3, 2.5)[i % 3],))):
            function, backward = (named(name + end, dims)[0] for end in ("", "_backward"))
            dy = rng.standard_normal(function(x, *before, **window).shape)
            dx, step = backward(dy, x, *before, **window), 1e-6
            up, down = (function(x + s * v, *before, **window) for s in (step, -step))
            finite = np.isfinite(up)
            slope = (np.where(finite, up - np.where(finite, down, 0), 0) * dy).sum() / (2 * step)
            assert_allclose(slope, (v * dx).sum(), 1e-5, 1e-5)


@axes
def test_pytorch(dims):
    torch = pytest.importorskip("torch")
    functional, rng = torch.nn.functional, np.random.default_rng(dims)
    for i in range(30):
        size, window = geometry(rng, dims)
        window["padding"] = tuple(int(rng.integers(0, k // 2 + 1)) for k in window["kernel_size"])
        x = rng.standard_normal((2, 3, *size))
        if i % 3 == 0:
            x.flat[:: 7 + i] = nan
        t = torch.from_numpy(x).requires_grad_()

        def same(ours, theirs, rtol=1e-12):
            assert_allclose(ours, theirs.detach().numpy(), rtol, 1e-12, strict=True)

        def gradient(y, dy):
            return torch.autograd.grad(y, t, torch.from_numpy(dy))[0]  # noqa: B023

        y, places = named("max_pool{}d", dims)[0](x, return_indices=True, **window)
        theirs = getattr(functional, f"max_pool{dims}d")(t, return_indices=True, **window)
        same(y, theirs[0], 0)
        same(places, theirs[1], 0)
        dy = rng.standard_normal(y.shape)
        same(named("max_pool{}d_backward", dims)[0](dy, x, **window), gradient(theirs[0], dy))
        del window["dilation"]
        average = {**window, "count_include_pad": bool(i % 2)}
        y = named("avg_pool{}d", dims)[0](x, **average)
        theirs = getattr(functional, f"avg_pool{dims}d")(t, **average)
        same(y, theirs)
        dy = rng.standard_normal(y.shape)
        dx = named("avg_pool{}d_backward", dims)[0](dy, x.shape, **average)
        same(dx, gradient(theirs, dy))
        outputs = tuple(map(int, rng.integers(1, 9, dims)))
        y, places = named("adaptive_max_pool{}d", dims)[0](x, outputs, True)
        theirs = getattr(functional, f"adaptive_max_pool{dims}d")(t, outputs, True)
        same(y, theirs[0], 0)
        same(places, theirs[1], 0)
        theirs = getattr(functional, f"adaptive_avg_pool{dims}d")(t, outputs)
        same(named("adaptive_avg_pool{}d", dims)[0](x, outputs), theirs)
        if i % 3 and dims > 1:  # PyTorch's lp_pool1d takes no tuple
            del window["padding"]
            window["ceil_mode"] = False
            theirs = getattr(functional, f"lp_pool{dims}d")(t, 2.0, **window)
            y = named("lp_pool{}d", dims)[0](x, 2, **window)
            same(y, theirs)
            dy = rng.standard_normal(y.shape)
            dx = named("lp_pool{}d_backward", dims)[0](dy, x, 2, **window)
            same(dx, gradient(theirs, dy), 1e-10)


def test_pytorchs_fractional_windows_and_unpooling():
    torch = pytest.importorskip("torch")
    functional, rng = torch.nn.functional, np.random.default_rng(3)
    for dtype in ("float32", "float64"):
        for _ in range(20):
            x = rng.standard_normal((2, 3, *rng.integers(9, 40, 2))).astype(dtype)
            samples = rng.random((2, 3, 2)).astype(dtype)
            theirs = functional.fractional_max_pool2d(
                torch.from_numpy(x), (2, 3), (5, 6), return_indices=True,
                _random_samples=torch.from_numpy(samples),
            )  # fmt: skip
            ours = fc.fractional_max_pool2d(x, (2, 3), (5, 6), None, True, samples)
            for a, b in zip(ours, theirs, strict=True):
                assert_array_equal(a, b.numpy())
            volumes = x[:, :, None] * rng.standard_normal((1, 1, 8, 1, 1)).astype(dtype)
            samples = rng.random((2, 3, 3)).astype(dtype)
            theirs = functional.fractional_max_pool3d(
                torch.from_numpy(volumes), (3, 2, 3), (4, 5, 6), return_indices=True,
                _random_samples=torch.from_numpy(samples),
            )  # fmt: skip
            ours = fc.fractional_max_pool3d(volumes, (3, 2, 3), (4, 5, 6), None, True, samples)
            for a, b in zip(ours, theirs, strict=True):
                assert_array_equal(a, b.numpy())
            y, places = fc.max_pool2d(x, 3, 2, 1, return_indices=True)
            theirs = functional.max_unpool2d(
                *map(torch.from_numpy, (y, places)), 3, 2, 1, x.shape[2:]
            )
            assert_array_equal(fc.max_unpool2d(y, places, 3, 2, 1, x.shape), theirs.numpy())


@pytest.mark.parametrize("height", [2, 3, 7])
@pytest.mark.parametrize("values", [(), (np.inf, -np.inf, -0.0), (np.nan, np.inf, -np.inf, -0.0)])
def test_gradient_of_maxima_of_pairs(isa, dtype, threads, height, values):
    """2x2 windows have a kernel of their own: the first of equals, the last NaN, no -0."""
    rng = np.random.default_rng(height)
    for width in (*range(2, 36), 66, 67):
        x = rng.integers(-1, 2, (2, 3, height, width)).astype(dtype)
        for value in values:
            x[rng.random(x.shape) < 0.1] = value
        x[1, 2, -1, -1], x[0, 1, 0, 0] = np.nan, np.inf  # planes that have one alone
        y, indices = fc.max_pool2d(x, 2, return_indices=True)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dy[:, 0] = -0.0
        expected = fc.max_pool2d_backward(dy, x, 2, indices=indices)
        result = fc.max_pool2d_backward(dy, x, 2, threads=threads, out=poisoned(x.shape, dtype))
        assert_same_bits(result, expected)
        assert_same_bits(fc.max_pool2d_backward(dy, x, 2, out=x), expected)


@axes
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pytorchs_other_arguments_and_gradients(dims, dtype):
    """The divisor, adaptive gradients, dilated gradients, channels last; in either type."""
    torch = pytest.importorskip("torch")
    functional, rng = torch.nn.functional, np.random.default_rng([dims, 7])
    rtol = 1e-5 if dtype == "float32" else 1e-12
    for i in range(20):
        size, window = geometry(rng, dims)
        window["padding"] = tuple(int(rng.integers(0, k // 2 + 1)) for k in window["kernel_size"])
        x = rng.standard_normal((2, 3, *size)).astype(dtype)
        t = torch.from_numpy(x).requires_grad_()

        def same(ours, theirs):
            assert_allclose(ours, theirs.detach().numpy(), rtol, rtol, strict=True)

        def gradient(y, dy):
            return torch.autograd.grad(y, t, torch.from_numpy(dy))[0]  # noqa: B023

        def last(array):
            return np.ascontiguousarray(np.moveaxis(array, 1, -1))

        layout = LAYOUTS[dims][1]
        theirs = getattr(functional, f"max_pool{dims}d")(t, **window)
        y = named("max_pool{}d", dims)[0](last(x), layout=layout, **window)
        same(np.moveaxis(y, -1, 1), theirs)
        dy = rng.standard_normal(theirs.shape).astype(dtype)
        backward = named("max_pool{}d_backward", dims)[0]
        dx = backward(last(dy), last(x), layout=layout, **window)
        same(np.moveaxis(dx, -1, 1), gradient(theirs, dy))
        del window["dilation"]
        if dims > 1:
            more = {**window, "divisor_override": 2 + i % 3, "count_include_pad": bool(i % 2)}
            theirs = getattr(functional, f"avg_pool{dims}d")(t, **more)
            same(named("avg_pool{}d", dims)[0](x, **more), theirs)
            dy = rng.standard_normal(theirs.shape).astype(dtype)
            same(named("avg_pool{}d_backward", dims)[0](dy, x.shape, **more), gradient(theirs, dy))
        outputs = tuple(map(int, rng.integers(1, 9, dims)))
        theirs = getattr(functional, f"adaptive_avg_pool{dims}d")(t, outputs)
        dy = rng.standard_normal(theirs.shape).astype(dtype)
        backward = named("adaptive_avg_pool{}d_backward", dims)[0]
        same(backward(dy, x.shape), gradient(theirs, dy))
        theirs = getattr(functional, f"adaptive_max_pool{dims}d")(t, outputs)
        backward = named("adaptive_max_pool{}d_backward", dims)[0]
        same(backward(dy, x), gradient(theirs, dy))
        same(fc.global_max_pool(x), torch.amax(t, tuple(range(2, dims + 2)), keepdim=True))


def test_indices_beside_what_is_not_finite(isa):
    """Vectors that hold a NaN or an infinity, beside those that do not."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 3, 9, 75)).astype(np.float32)
    for value in (nan, inf, -inf):
        x.flat[rng.integers(0, x.size, 40)] = value
        for layout in LAYOUTS[2]:
            for name in ("max_pool{}d", "min_pool{}d"):
                for step in (1, 2, 3):
                    check(name, 2, x, kernel_size=3, stride=step, padding=1, layout=layout, rtol=0,
                          return_indices=True)  # fmt: skip


def test_small_poolings_are_planned_once():
    x = np.random.default_rng(6).standard_normal((1, 2, 6, 8)).astype(np.float32)
    for _ in range(3):
        for size in (2, (2, 2), 3):
            check("max_pool{}d", 2, x, kernel_size=size, rtol=0)
            check("avg_pool{}d", 2, x, kernel_size=size)
    out = np.empty((1, 2, 3, 4), np.float32)
    for array in (x, x[..., ::-1]):
        for _ in range(2):
            assert fc.max_pool2d(array, 2, out=out) is out
            assert_array_equal(out, reference.max_pool2d(array, 2))
    with pytest.raises(TypeError, match=r"kernel_size is 2\.0, expected an integer"):
        fc.max_pool2d(x, 2.0)
    with pytest.raises(ValueError, match="out has shape"):
        fc.max_pool2d(x, 2, out=np.empty((1, 2, 3, 3), np.float32))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_fractional_poolings_copy_nothing(layout):
    x = np.ones((2, 64, 64, 64), np.float32)
    fc.fractional_max_pool2d(x, 2, 32, layout=layout)
    tracemalloc.start()
    try:
        y = fc.fractional_max_pool2d(x, 2, 32, layout=layout)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * y.nbytes
    finally:
        tracemalloc.stop()


def test_by_hand():
    x = np.array([[[3.0, -1, 2, nan, 0, 7]]])
    assert_array_equal(fc.max_pool1d(x, 2), [[[3, nan, 7]]])
    assert_array_equal(fc.min_pool1d(x, 2, 1), [[[-1, -1, nan, nan, 0]]])
    assert_array_equal(fc.min_pool1d(x, 2, return_indices=True)[1], [[[1, 3, 4]]])
    assert_array_equal(fc.avg_pool1d(np.array([[[1, 2, 4]]], np.uint8), 2, 1), [[[2, 3]]])
    assert_array_equal(fc.avg_pool1d(np.array([[[-1, -2, -3]]], np.int16), 2, 1), [[[-2, -2]]])
    assert_array_equal(
        fc.avg_pool1d(np.array([[[200, 100]]], np.uint8), 2, divisor_override=0.5), [[[255]]]
    )
    assert_array_equal(fc.lp_pool1d(np.array([[[1.0, -2, 2]]]), 1, 3), [[[5]]])
    assert_array_equal(fc.max_pool3d(np.arange(27.0).reshape(1, 1, 3, 3, 3), 2, 1).ravel(),
                       [13, 14, 16, 17, 22, 23, 25, 26])  # fmt: skip
    assert_array_equal(fc.median_pool2d(np.array([[[[5.0, 1, 9, 3]]]]), (1, 4)), [[[[3]]]])
    assert_array_equal(fc.median_pool2d(np.array([[[[5.0, nan]]]]), 1), [[[[5, nan]]]])
    for pool, nothing in ((fc.max_pool1d, -inf), (fc.min_pool1d, inf)):
        assert_array_equal(pool(np.ones((1, 1, 1)), 1, 1, 1), [[[nothing, 1, nothing]]])
    limits = np.iinfo(np.int16)
    one = np.ones((1, 1, 1), np.int16)
    assert_array_equal(fc.max_pool1d(one, 1, 1, 1), [[[limits.min, 1, limits.min]]])
    assert_array_equal(fc.min_pool1d(one, 1, 1, 1, return_indices=True)[0].ravel(),
                       [limits.max, 1, limits.max])  # fmt: skip


def test_overlapping_maxima_add_their_gradients():
    x, dy = np.array([[[0.0, 5, 1, 2]]]), np.array([[[1.0, 10, 100]]])
    assert_array_equal(fc.max_pool1d_backward(dy, x, 2, 1), [[[0, 11, 0, 100]]])
    y = np.array([[[7.0, 8, 9]]])
    assert_array_equal(fc.max_unpool1d(y, np.array([[[1, 1, -1]]]), 2, 1), [[[0, 8, 0, 0]]])


@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(DTYPES))
def test_bits_over_threads(seed, dims, dtype):
    rng = np.random.default_rng(seed)
    size, window = geometry(rng, dims)
    last = bool(rng.integers(2))
    more = {"layout": LAYOUTS[dims][last], **window}
    shape = (2, *size, 5) if last else (2, 5, *size)
    x = (50 * rng.standard_normal(shape)).astype(dtype)
    for name in ("max_pool{}d", "min_pool{}d", "avg_pool{}d"):
        function, _ = named(name, dims)
        assert_same_bits(function(x, threads=3, **more), function(x, threads=1, **more))
    if x.dtype.kind == "f":
        backward, _ = named("avg_pool{}d_backward", dims)
        dy = named("avg_pool{}d", dims)[0](x, **more)
        calls = (backward(dy, x.shape, threads=threads, **more) for threads in (3, 1))
        assert_same_bits(*calls)


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: fc.max_pool1d(x, 2), "max_pool1d: x has shape (1, 2, 5, 6), expected (N, C, W)"),
    (lambda x: fc.max_pool1d(x[0], 9), "max_pool1d: the kernel covers 9 columns but x has 6"),
    (lambda x: fc.avg_pool3d(x[None], (1, 2)), "avg_pool3d: kernel_size is (1, 2), expected an"),
    (lambda x: fc.avg_pool3d(x[None], 1, padding=(1, 2)), "avg_pool3d: padding is (1, 2), expect"),
    (lambda x: fc.lp_pool2d(x, 0, 2), "lp_pool2d: norm_type is 0.0, expected more than 0"),
    (lambda x: fc.median_pool2d(x, 33), "median_pool2d: the kernel covers 33 rows but x has 5"),
    (lambda x: fc.median_pool2d(x, 33, 1, 16), "kernel_size has 1089 elements, expected at most"),
    (lambda x: fc.adaptive_avg_pool2d(x, 0), "output_size is 0, expected at least 1"),
    (lambda x: fc.adaptive_max_pool2d(x, (1, 2, 3)), "output_size is (1, 2, 3), expected an int"),
    (lambda x: fc.global_avg_pool(x[0, 0]), "global_avg_pool: x has 2 dimensions, expected 3, 4"),
    (lambda x: fc.fractional_max_pool2d(x, 2), "output_size is None and output_ratio is None, ex"),
    (lambda x: fc.fractional_max_pool2d(x, 2, 5), "x has 5 rows, expected at least 6, kernel_siz"),
    (lambda x: fc.fractional_max_pool2d(x, 2, output_ratio=0.1),
     "output_ratio is 0.1, expected what leaves one of 5 rows"),
    (lambda x: fc.fractional_max_pool2d(x, 2, 2, seed=-1),
     "fractional_max_pool2d: seed is -1, expected what default_rng takes"),
    (lambda x: fc.fractional_max_pool3d(x[None], 2, output_ratio=(0.5, 0.5)),
     "output_ratio is (0.5, 0.5), expected a number between 0 and 1 or a triple of them"),
    (lambda x: fc.fractional_max_pool2d(x, 2, 2, random_samples=np.ones((1, 2, 2))),
     "random_samples has 1.0, expected numbers from 0 on and below 1"),
    (lambda x: fc.max_unpool2d(x, np.zeros((1, 2, 5, 5), int), 2), "indices has shape (1, 2, 5, 5"),
    (lambda x: fc.max_unpool2d(x, np.full(x.shape, 120), 2), "has 120 to 120, expected -1 to 119"),
    (lambda x: fc.max_pool2d_backward(x, x, 2), "dy has shape (1, 2, 5, 6), expected (1, 2, 2, 3)"),
    (lambda x: fc.avg_pool2d_backward(x, (1, 2, 9), 2), "input_size is (1, 2, 9), expected the sh"),
    (lambda x: fc.avg_pool2d_backward(x, (3, 2, 9, 9), 2), "input_size has 3 samples of 2 channe"),
])  # fmt: skip
def test_messages(call, message):
    with pytest.raises(ValueError) as caught:
        call(np.ones((1, 2, 5, 6)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
