"""Gradients of convolutions, and transposed convolution: against the reference, as adjoints, by
finite differences, and beside PyTorch where it is installed."""

import numpy as np
import pytest
from helpers import BORDERS, FLOATS, integers, poisoned, to_layout
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from test_memory import LAYERS, MOST_BYTES

from fastconv import (
    _arrays,
    _geometry,
    _plan,
    conv2d,
    conv2d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    nn,
    reference,
)

MODES = [*BORDERS, ("reflect", "wrap"), ("constant", "edge"), ("symmetric", "constant")]
NHWC = {"layout": "NHWC"}


@st.composite
def layers(draw):
    """Small integers for x, weight and dy, in NCHW, and the options of a convolution."""
    groups, c, k = draw(st.sampled_from(
        [(1, 1, 1), (1, 3, 4), (2, 2, 3), (5, 1, 1), (3, 1, 2), (1, 8, 17), (17, 1, 1), (1, 2, 33),
         (1, 33, 3), (18, 2, 3), (1, 1, 16)]
    ))  # fmt: skip
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(2)) for _ in range(2))
    size = [draw(st.integers(1, 12)), draw(st.integers(1, 40))]
    pads = [[draw(st.integers(0, 4)) for _ in range(2)] for _ in range(2)]
    for i, n in enumerate(size):  # what a kernel covers fits
        pads[i][1] += max(0, dilation[i] * (kernel[i] - 1) + 1 - n - sum(pads[i]))
    options = {
        "stride": stride, "dilation": dilation, "groups": groups,
        "padding": draw(st.sampled_from([tuple(map(tuple, pads)), "same"])),
        "padding_mode": draw(st.sampled_from(MODES)),
    }  # fmt: skip
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = integers(rng, (draw(st.integers(1, 3)), groups * c, *size), float)
    weight = integers(rng, (groups * k, c, *kernel), float)
    dy = integers(rng, reference.conv2d(x, weight, **options).shape, float)
    return x, weight, dy, options


@given(layers(), st.sampled_from(FLOATS), st.integers(1, 3))
def test_backward_is_exact_on_integers(isa, layout, case, dtype, threads):
    x, weight, dy, options = case
    expected = reference.conv2d_backward(dy, x, weight, **options)
    x, dy = (to_layout(each, layout).astype(dtype) for each in (x, dy))
    expected = (to_layout(expected[0], layout), *expected[1:])
    out = [poisoned(each.shape, dtype) for each in expected]
    options = {**options, "layout": layout, "algorithm": "direct", "threads": threads}
    results = conv2d_backward(dy, x, weight.astype(dtype), out=out, **options)
    for result, array, each in zip(results, out, expected, strict=True):
        assert result is array
        assert_array_equal(result, each)


@given(layers())
def test_backward_is_the_adjoint(layout, case):
    """<dy, conv2d(x, w)> = <dx, x> = <dw, w>, in float64 to 1e-12."""
    x, weight, dy, options = case
    rng = np.random.default_rng(0)
    x, weight, dy = (rng.standard_normal(each.shape) for each in (x, weight, dy))
    x, dy = to_layout(x, layout), to_layout(dy, layout)
    options = {**options, "layout": layout}
    dx, dweight, dbias = conv2d_backward(dy, x, weight, **options)
    y = conv2d(x, weight, **options)
    scale = np.linalg.norm(dy) * max(np.linalg.norm(y), 1)
    assert abs((dy * y).sum() - (dx * x).sum()) <= 1e-12 * scale
    assert abs((dy * y).sum() - (dweight * weight).sum()) <= 1e-12 * scale
    rest = (0, 2, 3) if layout == "NCHW" else (0, 1, 2)
    assert_allclose(dbias, dy.sum(rest), rtol=1e-12, atol=1e-12)


@given(layers(), st.sampled_from(FLOATS), st.integers(1, 3), st.data())
def test_transposed_is_exact_on_integers(isa, layout, case, dtype, threads, data):
    """The same weights, read as (C, K // groups, kh, kw)."""
    x, weight, dy, options = case
    del options["padding_mode"]
    options["padding"] = data.draw(st.sampled_from([0, "same", ((0, 1), (1, 0))]))
    most = [
        max(s, d) - 1 if k > 1 else s - 1
        for s, d, k in zip(options["stride"], options["dilation"], weight.shape[2:], strict=True)
    ]
    extra = tuple(data.draw(st.integers(0, each)) for each in most)
    if options["padding"] != "same":
        options["output_padding"] = extra
    x = dy
    bias = np.arange(options["groups"] * weight.shape[1]) - 2.0
    expected = reference.conv_transpose2d(x, weight, bias, activation="relu", **options)
    assume(expected.size)
    dy = integers(np.random.default_rng(1), expected.shape, float)
    gradients = reference.conv_transpose2d_backward(dy, x, weight, **options)
    gradients = (to_layout(gradients[0], layout), *gradients[1:])
    x, dy, expected = (to_layout(each, layout) for each in (x, dy, expected))
    x, weight, bias, dy = (each.astype(dtype) for each in (x, weight, bias, dy))
    options |= {"layout": layout, "algorithm": "direct", "threads": threads}
    out = poisoned(expected.shape, dtype)
    conv_transpose2d(x, weight, bias, activation="relu", out=out, **options)
    assert_array_equal(out, expected)
    results = conv_transpose2d_backward(dy, x, weight, **options)
    for result, each in zip(results, gradients, strict=True):
        assert_array_equal(result, each)


def test_worked_by_hand():
    x, weight = np.array([[[[1.0, 2, 3]]]]), np.array([[[[1.0, 10]]]])
    # With a border of one element: 2 | 1 2 3 under (1, 10), twice.
    options = {"padding": ((0, 0), (1, 0)), "padding_mode": "reflect", "stride": 2}
    assert conv2d(x, weight, **options).tolist() == [[[[12, 32]]]]
    dx, dweight, dbias = conv2d_backward(np.array([[[[1.0, 100]]]]), x, weight, **options)
    assert dx.tolist() == [[[[10, 1 + 100, 1000]]]]
    assert dweight.tolist() == [[[[2 + 200, 1 + 300]]]]
    assert dbias.tolist() == [101]


def test_output_padding_below_the_dilation_of_a_single_tap():
    """What a kernel of one element does not show of its dilation still allows it, as in PyTorch."""
    x, weight = np.array([[[[1.0, 2]]]]), np.array([[[[3.0]]]])
    y = conv_transpose2d(x, weight, output_padding=(0, 2), dilation=(1, 3))
    assert_array_equal(y, [[[[3, 6, 0, 0]]]])
    y = conv_transpose2d(x, weight, [1.0], (1, 2), output_padding=(0, 2), dilation=(1, 3))
    assert_array_equal(y, [[[[4, 1, 7, 1, 1]]]])
    dy = np.array([[[[1.0, 10, 100, 1000]]]])
    options = {"output_padding": (0, 2), "dilation": (1, 3)}
    dx, dweight, dbias = conv_transpose2d_backward(dy, x, weight, **options)
    assert_array_equal(dx, [[[[3, 30]]]])
    assert (dweight.item(), dbias.item()) == (21, 1111)


def test_finite_differences():
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((2, 4, 6, 7)), rng.standard_normal((6, 2, 3, 2))
    options = {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "groups": 2, "padding_mode": "wrap"}
    dy = rng.standard_normal(conv2d(x, weight, **options).shape)
    dx, dweight, _ = conv2d_backward(dy, x, weight, **options)
    step = 1e-6
    for array, gradient in ((x, dx), (weight, dweight)):
        for place in rng.integers(array.shape, size=(10, 4)):
            at, values = tuple(place), []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * step
                both = (moved, weight) if array is x else (x, moved)
                values.append((dy * conv2d(*both, **options)).sum())
            slope = (values[0] - values[1]) / (2 * step)
            assert_allclose(slope, gradient[at], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", [
    ((2, 32, 20, 21), (48, 32, 3, 3), {"padding": 1}),
    ((2, 3, 20, 21), (16, 3, 5, 5), {"padding": 2, "stride": 2}),
    ((2, 24, 20, 21), (24, 1, 3, 3), {"padding": 1, "groups": 24}),
    ((2, 12, 9, 11), (6, 6, 2, 3), {"dilation": (3, 2), "groups": 2, "stride": (1, 3)}),
    ((3, 20, 9, 11), (40, 20, 1, 1), {"stride": 2}),
])  # fmt: skip
def test_beside_pytorch(case, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    *shapes, options = case
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    dy = rng.standard_normal(conv2d(x, weight, **options).shape).astype(dtype)
    pairs = [list(np.broadcast_to(options.get(key, default), 2).tolist())
             for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))]  # fmt: skip
    theirs = torch.ops.aten.convolution_backward(
        *map(torch.from_numpy, (dy, x, weight)), [len(weight)], *pairs, False, [0, 0],
        options.get("groups", 1), [True, True, True],
    )  # fmt: skip
    for ours, other in zip(conv2d_backward(dy, x, weight, **options), theirs, strict=True):
        scale = np.abs(other.numpy()).max() * np.finfo(dtype).eps
        assert_allclose(ours, other.numpy(), rtol=0, atol=200 * scale)
    more = dict(options, padding=0)
    ours = conv_transpose2d(dy, weight, **more)
    other = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(dy), torch.from_numpy(weight), None, pairs[0], 0, 0,
        options.get("groups", 1), pairs[2],
    ).numpy()  # fmt: skip
    assert_allclose(ours, other, rtol=0, atol=200 * np.abs(other).max() * np.finfo(dtype).eps)


def test_what_is_not_asked_for():
    x, weight, dy = np.ones((1, 2, 4, 4)), np.ones((3, 2, 2, 2)), np.ones((1, 3, 3, 3))
    every = conv2d_backward(dy, x, weight)
    for mask in np.ndindex(2, 2, 2):
        some = conv2d_backward(dy, x, weight, output_mask=mask)
        for asked, result, each in zip(mask, some, every, strict=True):
            assert_array_equal(result, each) if asked else pytest.fail if result is not None else 0
    bad = {"output_mask": (True, False, True), "out": (None, np.empty((3, 2, 2, 2)), None)}
    with pytest.raises(ValueError, match="out has an array for dweight, expected None"):
        conv2d_backward(dy, x, weight, **bad)
    both = np.empty(45)
    for out in (
        (both[:32].reshape(x.shape), both[21:].reshape(weight.shape), None),
        [None, both[:24].reshape(weight.shape), both[23:26]],
    ):
        with pytest.raises(ValueError, match="out has arrays that share memory, expected distinct"):
            conv2d_backward(dy, x, weight, out=out)
    with pytest.raises(ValueError, match="output_mask is True, expected three"):
        conv2d_backward(dy, x, weight, output_mask=True)
    with pytest.raises(ValueError, match=r"dy has shape \(1, 3, 3, 2\), expected the result's"):
        conv2d_backward(dy[..., 1:], x, weight)
    with pytest.raises(TypeError, match="dy has dtype float32, expected x's, float64"):
        conv2d_backward(dy.astype(np.float32), x, weight)
    with pytest.raises(ValueError, match="output_padding is 2 rows, expected less than"):
        conv_transpose2d(x, np.ones((2, 3, 2, 2)), stride=2, output_padding=2)
    with pytest.raises(ValueError, match="padding cuts 10 rows of 5, expected fewer"):
        conv_transpose2d(x, np.ones((2, 3, 2, 2)), padding=5)


@pytest.mark.parametrize("transposed", [False, True])
def test_refused_memory_leaves_no_result_half_written(monkeypatch, transposed):
    """The scratch memory of dweight is looked at before dx is stored."""
    x, weight, dy = np.ones((1, 64, 32, 32)), np.ones((64, 64, 3, 3)), np.ones((1, 64, 30, 30))
    backward = conv2d_backward
    if transposed:
        x, dy, backward = dy, x, conv_transpose2d_backward
    dx = np.full(x.shape, np.nan)
    monkeypatch.setattr(_arrays, "_physical_memory", lambda: 2**21)
    options = {"out": (dx, None, None), "threads": 8, "algorithm": "direct"}
    with pytest.raises(MemoryError, match="of scratch memory"):
        backward(dy, x, weight, **options)
    assert np.isnan(dx).all()
    backward(dy, x, weight, output_mask=(True, False, False), **options)
    assert not np.isnan(dx).any()


def test_empty_batches(layout):
    x, weight = to_layout(np.ones((0, 2, 4, 4)), layout), np.ones((3, 2, 2, 2))
    dy = to_layout(np.ones((0, 3, 3, 3)), layout)
    dx, dweight, dbias = conv2d_backward(dy, x, weight, layout=layout)
    assert dx.shape == x.shape
    assert_array_equal(dweight, np.zeros((3, 2, 2, 2)))
    assert_array_equal(dbias, np.zeros(3))
    assert conv_transpose2d(dy, weight, layout=layout).shape == x.shape
    dx, dweight, dbias = conv2d_backward(np.ones((1, 0, 3, 3)), np.ones((1, 2, 4, 4)), weight[:0])
    assert_array_equal(dx, np.zeros((1, 2, 4, 4)))
    assert dweight.shape == (0, 2, 2, 2)
    assert dbias.shape == (0,)


def test_long_sums_stay_accurate(layout):
    """Sums over the batch are summed in blocks: errors grow with their number, not with pixels."""
    rng = np.random.default_rng(2)
    x, dy = rng.random((2, 4, 10, 150, 130), np.float32)
    weight = np.zeros((10, 10, 1, 1), np.float32)
    exact = np.einsum("nkij,ncij->kc", dy, x, dtype=np.float64)
    results = conv2d_backward(to_layout(dy, layout), to_layout(x, layout), weight, layout=layout)
    assert_allclose(results[1][:, :, 0, 0], exact, rtol=1e-5)
    assert_allclose(results[2], dy.sum((0, 2, 3), np.float64), rtol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_scratch_memory(layer, layout):
    c, k, h, w, kernel, more = LAYERS[layer]
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = more.get("padding", tuple(each // 2 for each in kernel))
    stride, dilation = (more.get(key, 1) for key in ("stride", "dilation"))
    groups = more.get("groups", 1)
    pads = _geometry.padding("test", padding)
    rows, cols = _geometry.windows("test", (h, w), kernel, (stride,) * 2, pads, (dilation,) * 2)
    geometry = _geometry.Conv2d(
        8, groups, c // groups, k // groups, rows, cols, ("constant",) * 2, (None,), False, layout,
        32,
    )  # fmt: skip
    task, _, _ = _plan.weight_gradient(geometry, False, 1)
    assert task.scratch_bytes <= MOST_BYTES


# Gradients by the weights by Winograd's transforms: samples, groups, channels, kernels per group,
# rows, columns, padding, more.
TRANSFORMED = [
    (6, 1, 16, 33, 21, 26, 1, {}),
    (5, 2, 17, 18, 23, 22, ((2, 0), (0, 3)), {"padding_mode": "edge"}),
    (140, 1, 31, 16, 4, 3, ((1, 1), (2, 0)), {"padding_mode": "wrap"}),
    (1, 1, 50, 70, 38, 130, 0, {}),
]


def transformed(case, layout, draw, dtype):
    n, groups, c, k, h, w, padding, more = case
    pads = _geometry.padding("test", padding)
    rows, cols = (size + sum(each) - 2 for size, each in zip((h, w), pads, strict=True))
    x, dy = draw((n, groups * c, h, w)), draw((n, groups * k, rows, cols))
    weight = np.zeros((groups * k, c, 3, 3), dtype)
    options = {"padding": padding, "groups": groups, "layout": layout, **more}
    options["output_mask"] = (False, True, False)
    return *(to_layout(each.astype(dtype), layout) for each in (dy, x)), weight, options


@pytest.fixture
def weight_tasks(monkeypatch):
    """The algorithms that gradients by the weights were planned for."""
    planned, names = _plan.weight_gradient, []

    def watched(*args):
        names.append(planned(*args)[0].algorithm)
        return planned(*args)

    monkeypatch.setattr(_plan, "weight_gradient", watched)
    return names


@pytest.mark.parametrize("case", TRANSFORMED)
@pytest.mark.parametrize("dtype", FLOATS)
def test_transformed_gradients(isa, layout, weight_tasks, case, dtype):
    """Errors are within twice those of a plain sum over all pixels, or of direct sums."""
    rng = np.random.default_rng(7)
    dy, x, weight, options = transformed(case, layout, rng.standard_normal, dtype)
    result = conv2d_backward(dy, x, weight, **options)[1]
    direct = conv2d_backward(dy, x, weight, algorithm="direct", **options)[1]
    assert weight_tasks[0] == "winograd_weight_grad"
    assert weight_tasks[-1].startswith("weight_grad")
    wide = (each.astype(np.float64) for each in (dy, x, weight))
    exact = conv2d_backward(*wide, algorithm="direct", **options)[1]
    scale, terms = np.sqrt(np.mean(exact**2)), dy.size // len(weight)
    assert_allclose(result, exact, 0, 100 * np.finfo(dtype).eps * scale)
    if dtype == "float32":
        rms, blocks = (np.sqrt(np.mean((each - exact) ** 2)) for each in (result, direct))
        plain = np.finfo(dtype).eps * scale * np.sqrt(terms) / 8
        assert rms <= 2 * max(blocks, plain)
    for threads in (1, 2, 3):
        again = conv2d_backward(dy, x, weight, threads=threads, **options)[1]
        assert_array_equal(again, result)


def test_direct_sums_are_looked_up_where_they_may_be_refused(weight_tasks):
    """They may follow the transforms, so public calls refuse their memory early; layers do not."""
    layer = nn.Conv2d(16, 16, 3, padding=1)
    x = dy = np.ones((2, 16, 32, 32), np.float32)
    layer.forward(x)
    layer.backward(dy, input_gradient=False)
    assert weight_tasks == ["winograd_weight_grad"]
    weight_tasks.clear()
    conv2d_backward(dy, x, layer.weight.value, padding=1, output_mask=(False, True, False))
    assert weight_tasks == ["winograd_weight_grad", "weight_grad", "winograd_weight_grad"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_transformed_gradients_of_what_is_not_finite(layout, value):
    """A corner of x is seen by four taps; what overflows in transforms alone by none."""
    dy, x, weight, options = transformed(
        (6, 1, 16, 16, 21, 26, 1, {}), layout, np.ones, np.float32
    )
    for array, place in ((x, (2, 0, 0)), (dy, (3, 20, 25))):
        n, row, col = place
        spoilt = array.copy()
        spoilt[(n, 5, row, col) if layout == "NCHW" else (n, row, col, 5)] = value
        args = (dy, spoilt, weight) if array is x else (spoilt, x, weight)
        result = conv2d_backward(*args, **options)[1]
        direct = conv2d_backward(*args, algorithm="direct", **options)[1]
        assert_array_equal(np.isfinite(result), np.isfinite(direct))
        if not np.isfinite(value):
            assert_array_equal(result, direct)
            seen = (~np.isfinite(result)).any((0, 1))
            assert seen.sum() == (4 if array is x else 9)  # dy meets padding, too


@pytest.mark.parametrize("c", [16, 64, 200, 340, 341, 1024])
def test_scratch_memory_of_transformed_gradients(c):
    rows, cols = _geometry.windows("test", (300, 300), (3, 3), (1, 1), ((1, 1),) * 2, (1, 1))
    geometry = _geometry.Conv2d(
        8, 1, c, 500, rows, cols, ("constant",) * 2, (None,), False, "NCHW", 32
    )
    task, _, _ = _plan.weight_gradient(geometry, True, 1)
    assert (task.algorithm == "winograd_weight_grad") == (c <= 341)
    assert task.scratch_bytes <= MOST_BYTES


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("groups", [1, 9])
def test_gradients_of_planes_that_are_not_finite(isa, layout, value, padding, groups):
    """A pixel in the last column is seen by the taps of the last column, if nothing is padded."""
    x = np.ones((2, groups, 16, 16), np.float32)
    dy = np.ones((2, 9, 14 + 2 * padding, 14 + 2 * padding), np.float32)
    x[1, groups // 2, 0, 15] = value
    dweight = conv2d_backward(
        to_layout(dy, layout), to_layout(x, layout), np.zeros((9, 1, 3, 3), np.float32),
        padding=padding, groups=groups, layout=layout, output_mask=(False, True, False),
    )[1]  # fmt: skip
    seen = np.zeros((9, 1, 3, 3), bool)
    seen[slice(4, 5) if groups > 1 else slice(9), 0, : 1 + padding, 2 - padding :] = True
    assert_array_equal(~np.isfinite(dweight), seen)


def test_sums_that_overflow_give_no_warning():
    """Each weight's gradient is finite, their sum is not."""
    x, weight = np.full((4, 16, 24, 24), 3e16, np.float32), np.zeros((16, 16, 3, 3), np.float32)
    with np.errstate(all="raise"):
        dweight = conv2d_backward(x, x, weight, padding=1, output_mask=(False, True, False))[1]
    assert np.isfinite(dweight).all()
