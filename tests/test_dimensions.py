"""Convolution in one and three dimensions, its gradients and adjoints: against the reference, as
adjoints, worked by hand, and beside PyTorch where it is installed."""

import numpy as np
import pytest
from helpers import BORDERS, FLOATS, assert_same_bits, integers, poisoned, to_layout
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastconv
from fastconv import (
    _conv_plan,
    _geometry,
    _plan,
    conv1d,
    conv2d,
    conv3d,
    conv3d_backward,
    conv_transpose1d,
    conv_transpose3d,
    plan_conv1d,
    plan_conv3d,
    reference,
)

MOST_BYTES = 4 * 2**20


def layouts(dims):
    return tuple(_geometry.LAYOUTS[dims])


def functions(name):
    """(fastconv's, the reference's)."""
    return getattr(fastconv, name), getattr(reference, name)


@st.composite
def layers(draw):
    """Small integers for x, weight and dy, channels first, and the options of a convolution."""
    dims = draw(st.sampled_from([1, 3]))
    groups, c, k = draw(st.sampled_from(
        [(1, 1, 1), (1, 3, 4), (2, 2, 3), (5, 1, 1), (1, 8, 17), (17, 1, 1), (1, 2, 33), (1, 33, 3),
         (1, 17, 20), (18, 2, 3)]
    ))  # fmt: skip
    kernel = [draw(st.integers(1, 3)) for _ in range(dims)]
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(dims)) for _ in range(2))
    size = [draw(st.integers(1, 6)) for _ in range(dims - 1)] + [draw(st.integers(1, 30))]
    pads = [[draw(st.integers(0, 3)) for _ in range(2)] for _ in range(dims)]
    for i, n in enumerate(size):  # what a kernel covers fits
        pads[i][1] += max(0, dilation[i] * (kernel[i] - 1) + 1 - n - sum(pads[i]))
    words = ["same", "causal"] if dims == 1 else ["same"]
    options = {
        "stride": stride, "dilation": dilation, "groups": groups,
        "padding": draw(st.sampled_from([tuple(map(tuple, pads)), *words])),
        "padding_mode": tuple(draw(st.sampled_from(BORDERS)) for _ in range(dims)),
    }  # fmt: skip
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = integers(rng, (draw(st.integers(1, 3)), groups * c, *size), float)
    weight = integers(rng, (groups * k, c, *kernel), float)
    dy = integers(rng, reference.conv2d(x, weight, **options).shape, float)
    return dims, x, weight, dy, options


last = pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])


@last
@given(layers(), st.sampled_from(FLOATS), st.integers(1, 3))
def test_exact_on_integers(isa, last, case, dtype, threads):
    dims, x, weight, dy, options = case
    layout = layouts(dims)[last]
    ours, theirs = functions(f"conv{dims}d")
    bias = np.arange(len(weight)) - 2.0
    expected = theirs(x, weight, bias, residual=dy, activation="relu", **options)
    x, expected, residual = (to_layout(each, layout).astype(dtype) for each in (x, expected, dy))
    out = poisoned(expected.shape, dtype)
    options = {**options, "layout": layout, "algorithm": "direct", "activation": "relu"}
    weight, bias = weight.astype(dtype), bias.astype(dtype)
    assert ours(x, weight, bias, residual=residual, out=out, threads=threads, **options) is out
    assert_array_equal(out, expected)
    plan = getattr(fastconv, f"plan_conv{dims}d")(weight, bias, **options)
    assert_same_bits(plan(x, residual=residual), out)


@last
@given(layers(), st.sampled_from(FLOATS), st.integers(1, 3))
def test_backward_is_exact_on_integers(isa, last, case, dtype, threads):
    dims, x, weight, dy, options = case
    layout = layouts(dims)[last]
    ours, theirs = functions(f"conv{dims}d_backward")
    expected = theirs(dy, x, weight, **options)
    expected = (to_layout(expected[0], layout), *expected[1:])
    x, dy = (to_layout(each, layout).astype(dtype) for each in (x, dy))
    out = [poisoned(each.shape, dtype) for each in expected]
    options = {**options, "layout": layout, "algorithm": "direct", "threads": threads}
    results = ours(dy, x, weight.astype(dtype), out=out, **options)
    for result, array, each in zip(results, out, expected, strict=True):
        assert result is array
        assert_array_equal(result, each)


@last
@given(layers())
def test_backward_is_the_adjoint(last, case):
    """<dy, conv(x, w)> = <dx, x> = <dw, w>, in float64 to 1e-12."""
    dims, x, weight, dy, options = case
    options = {**options, "layout": layouts(dims)[last]}
    rng = np.random.default_rng(0)
    x, weight, dy = (rng.standard_normal(each.shape) for each in (x, weight, dy))
    x, dy = (to_layout(each, options["layout"]) for each in (x, dy))
    dx, dweight, dbias = functions(f"conv{dims}d_backward")[0](dy, x, weight, **options)
    y = functions(f"conv{dims}d")[0](x, weight, **options)
    scale = np.linalg.norm(dy) * max(np.linalg.norm(y), 1)
    assert abs((dy * y).sum() - (dx * x).sum()) <= 1e-12 * scale
    assert abs((dy * y).sum() - (dweight * weight).sum()) <= 1e-12 * scale
    channel = dy.ndim - 1 if last else 1
    rest = tuple(axis for axis in range(dy.ndim) if axis != channel)
    assert_allclose(dbias, dy.sum(rest), rtol=1e-12, atol=1e-12)


@last
@given(layers(), st.sampled_from(FLOATS), st.integers(1, 3), st.data())
def test_transposed_is_exact_on_integers(isa, last, case, dtype, threads, data):
    """The same weights, read as (C, K // groups, ...)."""
    dims, _, weight, x, options = case
    layout = layouts(dims)[last]
    del options["padding_mode"]
    some = st.sampled_from([0, "same", ((0, 1),) * dims])
    options["padding"] = data.draw(some)
    if options["padding"] != "same":
        most = zip(options["stride"], options["dilation"], weight.shape[2:], strict=True)
        options["output_padding"] = tuple(
            data.draw(st.integers(0, max(s, d if k > 1 else 1) - 1)) for s, d, k in most
        )
    bias = np.arange(options["groups"] * weight.shape[1]) - 2.0
    ours, theirs = functions(f"conv_transpose{dims}d")
    expected = theirs(x, weight, bias, activation="relu", **options)
    assume(expected.size)
    dy = integers(np.random.default_rng(1), expected.shape, float)
    backward, definition = functions(f"conv_transpose{dims}d_backward")
    gradients = definition(dy, x, weight, **options)
    gradients = (to_layout(gradients[0], layout), *gradients[1:])
    x, dy, expected = (to_layout(each, layout) for each in (x, dy, expected))
    x, weight, bias, dy = (each.astype(dtype) for each in (x, weight, bias, dy))
    options |= {"layout": layout, "algorithm": "direct", "threads": threads}
    out = poisoned(expected.shape, dtype)
    ours(x, weight, bias, activation="relu", out=out, **options)
    assert_array_equal(out, expected)
    for result, each in zip(backward(dy, x, weight, **options), gradients, strict=True):
        assert_array_equal(result, each)


def test_worked_by_hand():
    x, weight = np.array([[[1.0, 2, 3, 4]]]), np.array([[[1.0, 10]]])
    assert conv1d(x, weight).tolist() == [[[21, 32, 43]]]
    assert conv1d(x, weight, padding="causal").tolist() == [[[10, 21, 32, 43]]]
    assert conv1d(x, weight, padding="causal", dilation=2).tolist() == [[[10, 20, 31, 42]]]
    assert conv1d(x, weight, padding="causal", stride=3).tolist() == [[[10, 43]]]
    assert conv1d(x, weight, padding="same").tolist() == [[[21, 32, 43, 4]]]
    assert conv1d(x, weight, stride=(2,), padding=((1, 0),)).tolist() == [[[10, 32]]]
    assert conv_transpose1d(x, weight, stride=2).tolist() == [[[1, 10, 2, 20, 3, 30, 4, 40]]]
    # Slices 1 | 2 | 3 of one pixel under (1, 10, 100): a border of one slice on either side.
    x = np.array([1.0, 2, 3]).reshape(1, 1, 3, 1, 1)
    weight = np.array([1.0, 10, 100]).reshape(1, 1, 3, 1, 1)
    for mode, sums in {
        "zeros": [210, 321, 32], "edge": [211, 321, 332], "reflect": [212, 321, 232],
        "symmetric": [211, 321, 332], "wrap": [213, 321, 132],
    }.items():  # fmt: skip
        y = conv3d(x, weight, padding=(1, 0, 0), padding_mode=(mode, "zeros", "zeros"))
        assert y.ravel().tolist() == sums
    dy = np.array([1.0, 0, 0]).reshape(1, 1, 3, 1, 1)
    options = {"padding": (1, 0, 0), "padding_mode": ("wrap", "zeros", "zeros")}
    dx, dweight, dbias = conv3d_backward(dy, x, weight, **options)
    assert dx.ravel().tolist() == [10, 100, 1]
    assert dweight.ravel().tolist() == [3, 1, 2]
    assert dbias.tolist() == [1]
    assert conv_transpose3d(x, weight).ravel().tolist() == [1, 12, 123, 230, 300]


def test_one_dimension_is_one_row_of_two(dtype):
    rng = np.random.default_rng(1)
    x, weight = (rng.standard_normal(s).astype(dtype) for s in ((3, 8, 300), (20, 8, 5)))
    y = conv2d(x[:, :, None], weight[:, :, None], padding=(0, 2), dilation=(1, 2))
    assert_same_bits(conv1d(x, weight, padding=2, dilation=2), y[:, :, 0])


@last
@pytest.mark.parametrize(("stride", "c", "k"), [(1, 17, 18), (2, 50, 128)])
def test_winograd_in_three_dimensions(isa, dtype, last, stride, c, k):
    """Within its bounds; a NaN reaches what it reaches in direct sums."""
    if stride == 2 and (isa == "scalar" or dtype == "float64"):
        pytest.skip("the smallest such layer takes long; see test_bits.py")
    rng = np.random.default_rng(4)
    layout = layouts(3)[last]
    x = rng.standard_normal((1, c, 3 - stride + 1, 28 * stride, 31 * stride))
    weight = rng.standard_normal((k, c, 3, 3, 3)) / 20
    options = {"padding": 1, "stride": (1, stride, stride), "layout": layout}
    plan = _conv_plan.Conv3dPlan(
        "test", weight, None, options["stride"], 1, 1, 1, "zeros", None, layout, "auto"
    )
    geometry = plan._geometry(to_layout(x, layout), False)
    assert _plan.winograd_refused(geometry) is None
    x, weight = to_layout(x, layout).astype(dtype), weight.astype(dtype)
    exact = reference.conv3d(x, weight, **options)
    direct, fast = (conv3d(x, weight, algorithm=each, **options) for each in ("direct", "auto"))
    assert not np.array_equal(direct, fast)
    error = np.abs(fast - exact).max()
    assert error <= 4 * max(np.abs(direct - exact).max(), np.finfo(dtype).eps)
    x[(0, 1, 3, 4, 5) if last else (0, 5, 1, 3, 4)] = np.nan
    direct, fast = (conv3d(x, weight, algorithm=each, **options) for each in ("direct", "auto"))
    assert_array_equal(np.isnan(direct), np.isnan(fast))


@pytest.mark.parametrize("case", [
    ((2, 4, 30), (6, 4, 3), {"padding": 1}),
    ((1, 1, 500), (16, 1, 64), {"stride": 16}),
    ((2, 12, 30), (12, 1, 4), {"groups": 12, "dilation": 3}),
    ((2, 17, 6, 14, 15), (18, 17, 3, 3, 3), {"padding": 1}),
    ((2, 3, 8, 14, 15), (8, 3, 3, 5, 5), {"stride": (1, 2, 2), "padding": (1, 2, 2)}),
    ((2, 6, 5, 6, 7), (8, 3, 2, 1, 3), {"groups": 2, "dilation": (2, 1, 2), "stride": (2, 1, 3)}),
])  # fmt: skip
def test_beside_pytorch(case, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    *shapes, options = case
    dims = len(shapes[0]) - 2
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in shapes)

    def assert_close(ours, other):
        scale = np.abs(other).max() * np.finfo(dtype).eps
        assert_allclose(ours, other, rtol=0, atol=200 * scale)

    tensors = tuple(map(torch.from_numpy, (x, weight)))
    forward = getattr(torch.nn.functional, f"conv{dims}d")
    y = functions(f"conv{dims}d")[0](x, weight, **options)
    assert_close(y, forward(*tensors, **options).numpy())
    dy = rng.standard_normal(y.shape).astype(dtype)
    lists = [np.broadcast_to(options.get(key, default), dims).tolist()
             for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))]  # fmt: skip
    theirs = torch.ops.aten.convolution_backward(
        torch.from_numpy(dy), *tensors, [len(weight)], *lists, False, [0] * dims,
        options.get("groups", 1), [True, True, True],
    )  # fmt: skip
    ours = functions(f"conv{dims}d_backward")[0](dy, x, weight, **options)
    for each, other in zip(ours, theirs, strict=True):
        assert_close(each, other.numpy())
    back = getattr(torch.nn.functional, f"conv_transpose{dims}d")
    assert_close(
        functions(f"conv_transpose{dims}d")[0](dy, weight, **options),
        back(torch.from_numpy(dy), tensors[1], **options).numpy(),
    )


X1, W1 = np.ones((1, 2, 5)), np.ones((3, 2, 2))
X3, W3 = np.ones((1, 2, 4, 5, 6)), np.ones((3, 2, 2, 2, 2))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: conv1d(X3, W1), ValueError,
     r"conv1d: x has shape (1, 2, 4, 5, 6), expected (N, C, W)"),
    (lambda: conv1d(X1, W3), ValueError,
     "conv1d: weight has shape (3, 2, 2, 2, 2), expected (K, C // groups, kw)"),
    (lambda: conv1d(X1, W1, stride=(1, 1)), ValueError,
     "conv1d: stride is (1, 1), expected an integer or one of them in a tuple"),
    (lambda: conv1d(X1, W1, padding=(1, 2)), ValueError,
     'conv1d: padding is (1, 2), expected an integer, (columns,), ((left, right),), "same", '
     '"causal" or "valid"'),
    (lambda: conv1d(X1, W1, padding="reflect"), ValueError,
     "conv1d: padding is 'reflect', expected one of 'same', 'causal', 'valid'"),
    (lambda: conv1d(X1, W1, layout="NCHW"), ValueError,
     "conv1d: layout is 'NCHW', expected one of 'NCW', 'NWC'"),
    (lambda: conv1d(np.ones((1, 5, 2)), W1), ValueError,
     "conv1d: weight expects 2 input channels (groups=1) but x has 5; for (N, W, C) pass "
     "layout='NWC'"),
    (lambda: conv1d(X1, np.ones((3, 2, 6))), ValueError,
     "conv1d: the kernel covers 6 columns but x has 5, expected at least as many"),
    (lambda: plan_conv1d(np.ones((3, 2, 0))), ValueError,
     "plan_conv1d: weight has shape (3, 2, 0), expected (K, C // groups, kw) of at least one "
     "channel and column"),
    (lambda: conv3d(X1, W3), ValueError,
     "conv3d: x has shape (1, 2, 5), expected (N, C, D, H, W)"),
    (lambda: conv3d(X3, W3, dilation=(1, 2)), ValueError,
     "conv3d: dilation is (1, 2), expected an integer or a triple"),
    (lambda: conv3d(X3, W3, padding_mode=("wrap", "wrap")), ValueError,
     "conv3d: padding_mode is ('wrap', 'wrap'), expected a name or a triple of names"),
    (lambda: conv3d(X3, W3, padding="causal"), ValueError,
     "conv3d: padding is 'causal', expected one of 'same', 'valid'"),
    (lambda: conv3d(X3, np.ones((3, 2, 5, 1, 1))), ValueError,
     "conv3d: the kernel covers 5 slices but x has 4, expected at least as many"),
    (lambda: conv3d(X3[:, :, :0], W3, padding="same"), ValueError,
     "conv3d: x has 0 slices, expected at least 1"),
    (lambda: plan_conv3d(W3, groups=2), ValueError,
     "plan_conv3d: weight has 3 output channels, expected a multiple of groups=2"),
    (lambda: conv3d_backward(X3, X3, W3), ValueError,
     "conv3d_backward: dy has shape (1, 2, 4, 5, 6), expected the result's, (1, 3, 3, 4, 5)"),
    (lambda: conv_transpose3d(X3, np.ones((2, 3, 2, 2, 2)), output_padding=(1, 0, 0)), ValueError,
     "conv_transpose3d: output_padding is 1 slices, expected less than the stride, 1, or the "
     "dilation, 1"),
    (lambda: conv_transpose1d(X1, W1[:2], padding="causal"), ValueError,
     "conv_transpose1d: padding is 'causal', expected one of 'same', 'valid'"),
    (lambda: conv_transpose1d(X1, W1[:, 0]), ValueError,
     "conv_transpose1d: weight has shape (3, 2), expected (C, K // groups, kw)"),
    (lambda: conv_transpose1d(X1[:, :0], W1[:0]), ValueError,
     "conv_transpose1d: weight has shape (0, 2, 2), expected (C, K // groups, kw) of at least one "
     "channel and column"),
    (lambda: conv_transpose1d(X1, W1, groups=2), ValueError,
     "conv_transpose1d: weight has 3 input channels, expected a multiple of groups=2"),
    (lambda: conv_transpose3d(X3, W3), ValueError,
     "conv_transpose3d: weight expects 3 input channels but x has 2"),
    (lambda: conv_transpose1d(np.ones((1, 5, 3)), W1), ValueError,
     "conv_transpose1d: weight expects 3 input channels but x has 5; for (N, W, C) pass "
     "layout='NWC'"),
    (lambda: conv_transpose1d(X1, W1[:2], np.ones(3)), ValueError,
     "conv_transpose1d: bias has shape (3,), expected (2,) (one per output channel)"),
    (lambda: conv_transpose1d(X1, W1[:2], np.ones(2, np.float32)), TypeError,
     "conv_transpose1d: bias has dtype float32, expected weight's, float64; convert one of them "
     "with .astype"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_plans_say_what_they_are():
    assert repr(plan_conv1d(W1, padding="causal")) == (
        "Conv1dPlan(2 -> 3 channels, kernel 2, stride (1,), padding 'causal', dilation (1,), "
        "groups 1, NCW, float64)"
    )
    assert repr(plan_conv3d(W3, layout="NDHWC")).startswith(
        "Conv3dPlan(2 -> 3 channels, kernel 2x2x2, stride (1, 1, 1), padding ((0, 0), (0, 0), (0, 0"
    )


@last
def test_empty_batches(last):
    for dims, weight in ((1, W1), (3, W3)):
        layout = layouts(dims)[last]
        x = to_layout(np.ones((0, 2, *(4,) * dims)), layout)
        y = functions(f"conv{dims}d")[0](x, weight, layout=layout)
        assert y.shape == to_layout(np.ones((0, 3, *(3,) * dims)), layout).shape
        dx, dweight, dbias = functions(f"conv{dims}d_backward")[0](y, x, weight, layout=layout)
        assert dx.shape == x.shape
        assert_array_equal(dweight, np.zeros(weight.shape))
        assert_array_equal(dbias, np.zeros(3))
        back = functions(f"conv_transpose{dims}d")[0]
        assert back(y, weight, layout=layout).shape == x.shape


@last
@pytest.mark.parametrize(("channels", "size", "kernel", "stride"), [
    ((3, 64), (32, 112, 112), (3, 7, 7), (1, 2, 2)),
    ((64, 64), (16, 56, 56), (3, 3, 3), 1),
    ((512, 512), (4, 7, 7), (3, 3, 3), 1),
    ((1, 32), (128, 128, 128), (5, 5, 5), 2),
    ((1, 64), (160000,), (1024,), 512),
    ((64, 64), (100000,), (7,), 1),
])  # fmt: skip
def test_scratch_memory(isa, last, channels, size, kernel, stride):
    dims, (c, k) = len(size), channels
    weight, layout = np.broadcast_to(np.float32(0), (k, c, *kernel)), layouts(dims)[last]
    x = np.broadcast_to(np.float32(0), to_layout(np.empty((1, c, *size), bool), layout).shape)
    padding = tuple(each // 2 for each in kernel)
    plan = _conv_plan.PLANS[dims](
        "test", weight, None, stride, padding, 1, 1, "zeros", None, layout, "auto"
    )
    geometry = plan._geometry(x, False)
    for algorithm in (False, True)[: 1 + (_plan.winograd_refused(geometry) is None)]:
        assert _plan.conv2d(geometry, algorithm, 1)[0].scratch_bytes <= MOST_BYTES
    assert _plan.weight_gradient(geometry, False, 1)[0].scratch_bytes <= MOST_BYTES
