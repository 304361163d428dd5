"""Activations and the residual: limits by hand, values by the reference, and fused as if apart."""

import numpy as np
import pytest
from helpers import assert_same_bits, change_plans, poisoned, to_layout
from numpy.testing import assert_array_equal

from fastconv import _geometry, conv2d, plan_conv2d, reference

nan, inf = np.nan, np.inf

ACTIVATIONS = [*_geometry.ACTIVATIONS, ("leaky_relu", -1.5), ("leaky_relu", 0.3), ("clip", -0.4, 2)]
names = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)


def apply(x, activation):
    """The activation of every element, as that of a 1x1 convolution with 1."""
    one = np.ones((1, 1, 1, 1), x.dtype)
    return conv2d(x.reshape(1, 1, 1, -1), one, activation=activation).reshape(x.shape)


@pytest.mark.parametrize(("activation", "x", "expected"), [
    (None, [-inf, -1, 0, 1, inf], [-inf, -1, 0, 1, inf]),
    ("relu", [-inf, -1, 0, 1, inf], [0, 0, 0, 1, inf]),
    ("relu6", [-inf, -1, 0, 5, 6, 7, inf], [0, 0, 0, 5, 6, 6, 6]),
    ("leaky_relu", [-inf, -100, 0, 3, inf], [-inf, -1, 0, 3, inf]),
    (("leaky_relu", 0.25), [-inf, -4, 0, 3, inf], [-inf, -1, 0, 3, inf]),
    (("clip", -2, 0.5), [-inf, -3, -1, 0, 0.25, 1, inf], [-2, -2, -1, 0, 0.25, 0.5, 0.5]),
    (("clip", 1, 1), [-inf, 0, 2], [1, 1, 1]),
    ("sigmoid", [-inf, -1000, 0, 40, 1000, inf], [0, 0, 0.5, 1, 1, 1]),
    ("tanh", [-inf, -1000, -40, 0, 40, inf], [-1, -1, -1, 0, 1, 1]),
    ("silu", [-inf, -1000, 0, 40, 1e38, inf], [-0.0, -0.0, 0, 40, 1e38, inf]),
    ("gelu", [-inf, -1000, -40, 0, 40, 1e38, inf], [-0.0, -0.0, -0.0, 0, 40, 1e38, inf]),
    ("hard_swish", [-inf, -3, -1.5, 0, 1.5, 3, 1e38, inf],
     [-0.0, -0.0, -0.375, 0, 1.125, 3, 1e38, inf]),
])  # fmt: skip
def test_limits_and_values_by_hand(isa, dtype, activation, x, expected):
    assert_same_bits(apply(np.array(x, dtype), activation) + 0, np.array(expected, dtype) + 0)
    exact = reference.activate(np.array(x, dtype), activation)
    np.testing.assert_allclose(exact, np.array(expected, dtype), 1e-15, 1e-30)


@pytest.mark.parametrize("activation", ["silu", "gelu", "hard_swish"])
def test_the_limit_has_the_sign_of_the_formula(isa, dtype, activation):
    x = np.array([-inf, -1e30, -900], dtype)
    assert np.all(np.signbit(apply(x, activation)))
    assert np.all(np.signbit(reference.activate(x, activation)))


@names
def test_not_a_number_stays(isa, dtype, activation):
    x = np.full(3 * 16 + 1, nan, dtype)
    assert np.all(np.isnan(apply(x, activation)))
    assert np.all(np.isnan(reference.activate(x, activation)))


@names
def test_values(isa, dtype, activation):
    """Within 5 units in the last place, from the least numbers to the largest."""
    rng = np.random.default_rng(1)
    limits = np.finfo(dtype)
    powers = rng.uniform(np.log2(limits.smallest_subnormal), limits.maxexp - 1, 4001)
    x = np.concatenate([
        np.linspace(-20, 20, 4001), np.linspace(-900, 0, 3001), rng.standard_normal(4001),
        rng.choice([-1, 1], powers.size) * 2**powers,
    ]).astype(dtype)  # fmt: skip
    with np.errstate(over="raise", invalid="raise"):
        y = apply(x, activation)
    expected = reference.activate(x, activation)
    in_range = abs(expected) <= limits.max
    error = np.where(in_range, abs(y - np.where(in_range, expected, 0)), 0)
    # The reference itself multiplies denormal numbers by up to 900, and rounds x / sqrt(2).
    double = np.finfo(float)
    least = 3 * limits.smallest_subnormal + 900 * double.smallest_subnormal
    rounded = double.eps * np.clip(x.astype(float), -40, 40) ** 2 if activation == "gelu" else 0
    assert np.all(error <= (5 * limits.eps + rounded) * abs(expected) + least)
    assert_array_equal(y[~in_range], expected[~in_range].astype(dtype))


@pytest.mark.parametrize(("spelling", "meaning"), [
    ("relu6", ("clip", 0, 6)), ("leaky_relu", ("leaky_relu", 0.01)),
    (["leaky_relu", np.float32(0.5)], ("leaky_relu", 0.5)), (["clip", 0, 1], ("clip", 0.0, 1.0)),
])  # fmt: skip
def test_spellings(spelling, meaning):
    x = np.linspace(-8, 8, 99)
    assert_same_bits(apply(x, spelling), apply(x, meaning))


# A layer for each algorithm: shapes of x (NCHW) and weight, and what else it takes.
LAYERS = {
    "direct_pixel": ((2, 7, 6, 97), (11, 7, 3, 2), {}),
    "direct_channel": ((2, 7, 6, 9), (11, 7, 3, 2), {"layout": "NHWC"}),
    "depthwise_rows": ((2, 7, 6, 23), (7, 1, 3, 3), {"groups": 7, "padding": 1}),
    "depthwise_plane": ((2, 7, 6, 23), (7, 1, 3, 3), {"groups": 7}),
    "depthwise": ((2, 19, 6, 9), (19, 1, 3, 3), {"layout": "NHWC", "groups": 19}),
    "winograd_4x4": ((2, 49, 25, 27), (18, 49, 3, 3), {"padding": 1}),
    "winograd_4x4 NHWC": ((2, 49, 13, 27), (18, 49, 3, 3), {"padding": 1, "layout": "NHWC"}),
    "winograd_3x3": ((2, 32, 7, 6), (40, 32, 3, 3), {"padding": 1}),
    "winograd_3x3 NHWC": ((2, 32, 7, 6), (40, 32, 3, 3), {"padding": 1, "layout": "NHWC"}),
    "winograd_2x2": ((2, 40, 6, 6), (70, 40, 3, 3), {}),
    "winograd_stride_2": ((2, 96, 31, 55), (96, 96, 3, 3), {"padding": 1, "stride": 2}),
}


def arrays_of(algorithm, dtype):
    """x, with a NaN and an infinity in it, weight, bias, options, and the plain result."""
    shape, kernels, options = LAYERS[algorithm]
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(dtype)
    x[0, 3, 2, 4], x[1, 2, 5, 1] = nan, inf
    x = to_layout(x, options.get("layout", "NCHW"))
    weight = rng.standard_normal(kernels).astype(dtype)
    bias = rng.standard_normal(len(weight)).astype(dtype)
    return x, weight, bias, options, conv2d(x, weight, bias, **options)


@pytest.mark.parametrize("algorithm", LAYERS)
def test_fused_as_if_apart(isa, dtype, small_blocks, tasks, algorithm):
    """Whatever the blocks, each output is finished once."""
    x, weight, bias, options, plain = arrays_of(algorithm, dtype)
    residual = np.random.default_rng(3).standard_normal(plain.shape).astype(dtype)
    for number, activation in enumerate(ACTIVATIONS):
        more = {"activation": activation, "threads": 1 + number % 3, **options}
        for added in (None, residual):
            out = poisoned(plain.shape, dtype)
            conv2d(x, weight, bias, residual=added, out=out, **more)
            expected = apply(plain if added is None else plain + added, activation)
            assert_array_equal(out, expected, f"{activation}")
    of_apply = "depthwise_plane"
    assert {task.algorithm for task in tasks} == {algorithm.split()[0], of_apply}


@pytest.mark.parametrize("algorithm", LAYERS)
def test_against_the_reference(dtype, algorithm):
    x, weight, bias, options, plain = arrays_of(algorithm, dtype)
    residual = np.random.default_rng(4).standard_normal(plain.shape).astype(dtype)
    options = {**options, "activation": "silu", "residual": residual}
    y, expected = conv2d(x, weight, bias, **options), reference.conv2d(x, weight, bias, **options)
    np.testing.assert_allclose(y, expected, 0, 2000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("algorithm", LAYERS)
def test_the_result_may_replace_the_residual(isa, dtype, algorithm):
    x, weight, bias, options, plain = arrays_of(algorithm, dtype)
    plan = plan_conv2d(weight, bias, activation="relu", **options)
    expected = apply(plain + plain[::-1], "relu")
    residual = plain[::-1].copy()
    assert plan(x, residual, 2, residual) is residual
    assert_array_equal(residual, expected)
    assert_array_equal(plan(x), apply(plain, "relu"))  # the plan goes on without one


@pytest.mark.parametrize("options", [
    {"activation": "gelu"}, {"activation": "relu", "residual": 1}, {"residual": 1},
])  # fmt: skip
def test_large_results_stay_in_the_caches_until_they_are_finished(tasks, monkeypatch, options):
    change_plans(monkeypatch, STREAM_BYTES=0)
    x, weight = np.ones((1, 3, 6, 48), np.float32), np.ones((16, 3, 3, 3), np.float32)
    plain = conv2d(x, weight, padding=1)
    assert tasks[-1].sizes["stream"]
    residual = np.full_like(plain, 1) if "residual" in options else None
    y = conv2d(x, weight, padding=1, **{**options, "residual": residual})
    assert not tasks[-1].sizes["stream"]
    added = plain if residual is None else plain + residual
    assert_array_equal(y, apply(added, options.get("activation")))


def test_an_empty_residual():
    residual = np.ones((0, 2, 3, 4))
    y = conv2d(np.ones((0, 1, 3, 4)), np.ones((2, 1, 1, 1)), residual=residual, activation="tanh")
    assert y.shape == residual.shape
