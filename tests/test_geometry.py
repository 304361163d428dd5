"""Sizes of results, and what bad input gets: one line that says what to change, and no harm."""

import inspect
import json
import os
import re
import signal
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from helpers import poisoned, run_python
from hypothesis import given
from hypothesis import strategies as st

from fastconv import (
    _geometry,
    avg_pool2d,
    conv2d,
    conv2d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    explain_plan,
    filters,
    max_pool2d,
    plan_conv2d,
)  # fmt: skip
from fastconv.filters import filter2d

X, WEIGHT, BIAS = np.ones((1, 4, 5, 6)), np.ones((2, 4, 3, 3)), np.ones(2)
RESIDUAL = np.ones((1, 2, 3, 4))
IMAGE = np.ones((5, 6), np.uint8)
FLOAT_IMAGE = np.ones((5, 6))


def call_plan(x, out=None, threads=None, residual=None):
    return plan_conv2d(WEIGHT, BIAS)(x, out, threads, residual)


def call_backward(x, weight, out=None, threads=None, **more):
    return conv2d_backward(x=x, weight=weight, out=(out, None, None), threads=threads, **more)[0]


def call_transposed_backward(x, weight, out=None, threads=None, **more):
    return conv_transpose2d_backward(
        x=x, weight=weight, out=(out, None, None), threads=threads, **more
    )[0]


class Good(NamedTuple):
    """A call that works, to be spoiled argument by argument."""

    function: Callable
    arguments: dict  # the array arguments
    more: dict
    out: np.ndarray | None
    prefix: str  # what its errors begin with


def good(function, out, more=None, prefix=None, **arrays):
    return Good(function, arrays, more or {}, out, prefix or function.__name__)


GOOD = [
    good(
        conv2d, poisoned((1, 2, 3, 4), float), x=X, weight=WEIGHT, bias=BIAS, residual=RESIDUAL
    ),
    good(explain_plan, None, x=X, weight=WEIGHT, bias=BIAS, residual=RESIDUAL),
    good(plan_conv2d, None, weight=WEIGHT, bias=BIAS),
    good(call_plan, poisoned((1, 2, 3, 4), float), None, "plan_conv2d", x=X, residual=RESIDUAL),
    good(
        call_backward, poisoned((1, 4, 5, 6), float), None, "conv2d_backward",
        dy=RESIDUAL, x=X, weight=WEIGHT,
    ),
    good(
        conv_transpose2d, poisoned((1, 3, 7, 8), float), x=X, weight=np.ones((4, 3, 3, 3)),
        bias=np.ones(3),
    ),
    good(
        call_transposed_backward, poisoned((1, 4, 5, 6), float), None,
        "conv_transpose2d_backward",
        dy=np.ones((1, 3, 7, 8)), x=X, weight=np.ones((4, 3, 3, 3)),
    ),
    good(max_pool2d, poisoned((1, 4, 2, 3), float), {"kernel_size": 2}, x=X),
    good(avg_pool2d, poisoned((1, 4, 2, 3), float), {"kernel_size": 2}, x=X),
    good(filter2d, poisoned((5, 6), np.uint8), image=IMAGE, kernel=np.ones((3, 3))),
    good(
        filters.sep_filter2d, poisoned((5, 6), np.uint8),
        image=IMAGE, kernel_y=np.ones(3), kernel_x=np.ones(5),
    ),
    good(filters.gaussian, poisoned((5, 6), np.uint8), {"sigma": 1}, image=IMAGE),
    good(filters.sobel, poisoned((5, 6), np.int16), image=IMAGE),
    good(filters.laplacian, poisoned((5, 6), np.int16), image=IMAGE),
    good(filters.box, poisoned((5, 6), np.uint8), {"size": 3}, image=IMAGE),
    good(filters.local_mean_std, None, {"size": 3}, image=IMAGE),
    *(
        good(function, poisoned((5, 6), np.uint8), image=IMAGE)
        for function in (
            filters.dilate, filters.erode, filters.opening, filters.closing, filters.top_hat,
            filters.black_hat, filters.morphological_gradient, filters.median, filters.minimum,
            filters.maximum,
        )
    ),
    good(filters.percentile, poisoned((5, 6), np.uint8), {"q": 40}, image=IMAGE),
    good(filters.rank, poisoned((5, 6), np.uint8), {"rank": 2}, image=IMAGE),
    good(filters.scharr, poisoned((5, 6), np.int16), image=IMAGE),
    good(filters.prewitt, poisoned((5, 6), np.int16), image=IMAGE),
    good(filters.roberts, poisoned((5, 6), np.int16), image=IMAGE),
    good(
        filters.laplacian_of_gaussian, poisoned((5, 6), float), {"sigma": 1}, image=FLOAT_IMAGE
    ),
    good(
        filters.difference_of_gaussians, poisoned((5, 6), float), {"low_sigma": 1},
        image=FLOAT_IMAGE,
    ),
    good(filters.gradient, poisoned((5, 6), float), {"outputs": "dx"}, image=FLOAT_IMAGE),
    good(filters.harris, poisoned((5, 6), float), image=FLOAT_IMAGE),
    good(filters.shi_tomasi, poisoned((5, 6), float), image=FLOAT_IMAGE),
]  # fmt: skip
GOOD = {each.function.__name__: each for each in GOOD}
WITH_OUT = [name for name, each in GOOD.items() if each.out is not None]
LAYERS = [name for name, each in GOOD.items() if "x" in each.arguments]
FILTERS = [name for name, each in GOOD.items() if "image" in each.arguments]
# Of image filters: they have no other results.
FLOAT_RESULTS = ("gradient", "harris", "local_mean_std", "shi_tomasi")


def spoil(name, error, **bad):
    """The message of the error that a good call with some arguments replaced must raise.

    It is one line, begins with the function, names one of the replaced arguments and says what
    was expected. The output, poisoned before, is as it was.
    """
    call = GOOD[name]
    out = {} if call.out is None or "out" in bad else {"out": call.out.copy()}
    with pytest.raises(error) as caught:
        call.function(**{**call.arguments, **call.more, **out, **bad})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{call.prefix}: "), message
    assert any(re.search(rf"\b{argument}\b", message) for argument in bad), message
    assert "expect" in message or "no array" in message
    assert all(each.tobytes() == call.out.tobytes() for each in out.values())
    return message


@pytest.mark.parametrize("name", WITH_OUT)
def test_the_good_calls_are_good(name):
    call = GOOD[name]
    out = call.out.copy()
    assert call.function(**call.arguments, **call.more, out=out) is out
    assert out.tobytes() != call.out.tobytes()


class OnGPU:
    """What arrays of CuPy and Numba look like from outside."""

    __cuda_array_interface__ = ()


# What no function takes for an array, made from one that it takes; and a word of the message.
NOT_NUMBERS = {
    "None": (lambda array: None, "None"),
    "object": (lambda array: array.astype(object), "object"),
    "masked": (lambda array: np.ma.masked_array(array, mask=True), "masked"),
    "complex": (lambda array: array.astype(complex), "complex128"),
    "strings": (lambda array: array.astype(str), "<U"),
    "times": (lambda array: array.astype("datetime64[s]"), "datetime64"),
    "structured": (lambda array: np.zeros(array.shape, "f4, f4"), "f4"),
    "GPU": (lambda array: OnGPU(), "main memory"),
    "ragged": (lambda array: [[1.0, 2.0], [3.0]], "inhomogeneous"),
    "dict": (lambda array: {"a": 1}, "object"),
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, key) for name in GOOD for key in GOOD[name].arguments]
)
@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_not_an_array_of_numbers(name, argument, kind):
    if argument in ("bias", "residual") and kind == "None":
        pytest.skip("None says that there is none")
    make, word = NOT_NUMBERS[kind]
    assert word in spoil(name, TypeError, **{argument: make(GOOD[name].arguments[argument])})


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "longdouble"])
def test_dtypes_that_layers_do_not_take(name, dtype):
    message = spoil(name, TypeError, x=X.astype(dtype))
    assert f"x has dtype {np.dtype(dtype)}, expected float32, float64" in message


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint64", "longdouble"])
def test_dtypes_that_filters_do_not_take(name, dtype):
    expected = "uint8, uint16, int16, float16, float32, float64"
    dtypes = getattr(GOOD[name].function, "dtypes", ())  # bool, too, where pixels are picked
    if dtype not in dtypes:
        message = spoil(name, TypeError, image=IMAGE.astype(dtype))
        taken = ", ".join(dtypes) or expected
        assert f"image has dtype {np.dtype(dtype)}, expected {taken}" in message
    if "out_dtype" in inspect.signature(GOOD[name].function).parameters:
        expected = "float16, float32, float64" if name in FLOAT_RESULTS else expected
        message = spoil(name, TypeError, out_dtype=dtype)
        assert f"out_dtype is {np.dtype(dtype)}, expected {expected}" in message


@pytest.mark.parametrize("name", WITH_OUT)
def test_outputs_that_do_not_fit(name):
    fit = GOOD[name].out
    read_only = fit.copy()
    read_only.setflags(write=False)
    for out, error, message in (
        (fit.tolist(), TypeError, "out is a list, expected a NumPy array"),
        (fit.astype(np.float32), TypeError, f"out has dtype float32, expected {fit.dtype}"),
        (fit.astype(object), TypeError, f"out has dtype object, expected {fit.dtype}"),
        (fit[..., 1:].copy(), ValueError, f"expected {fit.shape}"),
        (fit[None].copy(), ValueError, f"expected {fit.shape}"),
        (np.broadcast_to(fit.flat[0], (2**40, 1)), ValueError, f"out has shape ({2**40}, 1)"),
        (read_only, ValueError, "out is read-only, expected a writeable array"),
        (np.lib.stride_tricks.as_strided(fit.copy(), strides=[0] * fit.ndim), ValueError,
         "out has elements that share memory, expected distinct ones"),
        (np.ma.masked_array(fit.copy(), mask=True), TypeError, "out is a masked array"),
    ):  # fmt: skip
        before = out.tobytes() if isinstance(out, np.ndarray) and out.size < 2**40 else None
        assert message in spoil(name, error, out=out)
        assert before is None or out.tobytes() == before


@pytest.mark.parametrize(("name", "bad", "message"), [
    ("conv2d", {"x": X[:, :3]}, "weight expects 4 input channels (groups=1) but x has 3"),
    ("conv2d", {"groups": 2}, "weight expects 8 input channels (groups=2) but x has 4"),
    ("conv2d", {"groups": 3}, "weight has 2 output channels, expected a multiple of groups=3"),
    ("conv2d", {"layout": "NHWC", "x": X}, "expects 4 input channels (groups=1) but x has 6"),
    ("conv2d", {"x": X[0]}, "x has shape (4, 5, 6), expected (N, C, H, W)"),
    ("conv2d", {"x": X[..., :2, :]}, "the kernel covers 3 rows but x has 2"),
    ("conv2d", {"x": X[..., :2]}, "the kernel covers 3 columns but x has 2"),
    ("conv2d", {"x": X[..., :0]}, "x has 0 columns, expected at least 1"),
    ("conv2d", {"x": X, "dilation": (2, 4), "padding": 1}, "kernel covers 9 columns but x has 8"),
    ("conv2d", {"weight": WEIGHT[0]}, "(4, 3, 3), expected (K, C // groups, kh, kw)"),
    ("conv2d", {"weight": WEIGHT[:, :, :0]}, "weight has shape (2, 4, 0, 3), expected"),
    ("conv2d", {"weight": WEIGHT[:, :0]}, "weight has shape (2, 0, 3, 3), expected"),
    ("conv2d", {"weight": WEIGHT[:1], "bias": BIAS}, "bias has shape (2,), expected (1,)"),
    ("conv2d", {"bias": BIAS[:, None]}, "bias has shape (2, 1), expected (K,)"),
    ("conv2d", {"residual": RESIDUAL[0]}, "residual has shape (2, 3, 4), expected (N, C, H, W)"),
    ("conv2d", {"residual": RESIDUAL[:, :1]}, "(1, 1, 3, 4), expected the result's, (1, 2, 3, 4)"),
    ("conv2d", {"residual": RESIDUAL, "stride": 2}, "expected the result's, (1, 2, 2, 2)"),
    ("conv2d", {"activation": "Tanh"}, "'gelu', ('leaky_relu', slope), ('clip', low, high)"),
    ("conv2d", {"activation": ("clip", 2, 1)}, "is ('clip', 2, 1), expected low <= high"),
    ("conv2d", {"activation": ("clip", np.nan, 1)}, "activation's low is nan, expected a finite"),
    ("call_plan", {"residual": RESIDUAL[..., 1:]}, "residual has shape (1, 2, 3, 3), expected"),
    ("call_plan", {"x": X[:, :3]}, "weight expects 4 input channels (groups=1) but x has 3"),
    ("explain_plan", {"x": X[0]}, "x has shape (4, 5, 6), expected (N, C, H, W)"),
    ("explain_plan", {"x": X[..., :2]}, "the kernel covers 3 columns but x has 2"),
    ("explain_plan", {"bias": BIAS[:1]}, "bias has shape (1,), expected (2,)"),
    ("explain_plan", {"residual": RESIDUAL, "stride": 2}, "expected the result's, (1, 2, 2, 2)"),
    ("max_pool2d", {"x": X[0]}, "x has shape (4, 5, 6), expected (N, C, H, W)"),
    ("max_pool2d", {"x": X, "kernel_size": (6, 1)}, "the kernel covers 6 rows but x has 5"),
    ("avg_pool2d", {"x": X, "kernel_size": 3, "dilation": 3}, "kernel covers 7 rows but x has 5"),
    ("filter2d", {"image": IMAGE[0]}, "image has shape (6,), expected (..., H, W)"),
    ("filter2d", {"channel_axis": -1, "image": IMAGE}, "expected (..., H, W, C)"),
    ("filter2d", {"image": IMAGE[:0]}, "image has (0, 6) pixels, expected at least (1, 1)"),
    ("filter2d", {"kernel": np.ones(3)}, "kernel has shape (3,), expected (kh, kw)"),
    ("filter2d", {"kernel": np.ones((0, 3))}, "kernel has shape (0, 3), expected (kh, kw)"),
    ("filter2d", {"kernel": np.ones((0, 3, 3))}, "kernel has shape (0, 3, 3), expected (kh, kw)"),
    ("filter2d", {"kernel": np.ones((1, 1, 3, 3))}, "kernel has shape (1, 1, 3, 3), expected"),
    ("filter2d", {"kernel": [[1, np.nan]]}, "kernel holds a NaN"),
    ("filter2d", {"kernel": [[2**62]]}, "expected less than 9.01e+15 for exact integers; "
     "convert the image to floats first"),
    ("sobel", {"border": "constant", "cval": 1e18, "image": IMAGE.astype("uint16")},
     "cval is 1e+18, so the kernel's sums may reach 8e+18, expected less than 9.01e+15"),
    ("filter2d", {"kernel": np.ones((6, 1)), "border": "valid"}, "kernel covers 6 rows but image"),
    ("sep_filter2d", {"kernel_y": np.ones((3, 1))}, "kernel_y has shape (3, 1), expected (k,)"),
    ("sep_filter2d", {"kernel_x": []}, "kernel_x has shape (0,), expected (k,)"),
    ("gaussian", {"sigma": (0, 1), "order": 1}, "sigma is 0.0, expected more for a derivative"),
    ("gaussian", {"sigma": 1e-200, "order": (2, 0)}, "expected more for a derivative of order 2"),
    ("gaussian", {"method": "recursive", "order": (0, 1)},
     'order is (0, 1), expected 0 with method="recursive"'),
    ("gaussian", {"method": "recursive", "truncate": 3},
     'truncate is 3, expected none with method="recursive"'),
    ("gaussian", {"method": "recursive", "radius": 3},
     'radius is 3, expected none with method="recursive"'),
    ("gaussian", {"method": "recursive", "border": "valid"},
     "border is 'valid', expected any other with method=\"recursive\""),
    ("gaussian", {"method": "recursive", "sigma": (1, 1001)},
     'sigma is (1, 1001), expected at most 1000 with method="recursive"'),
    ("scharr", {"dx": 1, "dy": 1}, "dx=1, dy=1, expected one of them 1 and the other 0"),
    ("laplacian_of_gaussian", {"sigma": (1, 0)}, "sigma is 0.0, expected more for a derivative"),
    ("difference_of_gaussians", {"high_sigma": (2, 0.5)}, "expected at least low_sigma, 1"),
    ("gradient", {"outputs": ("dx", "dx")}, "expected one or several different ones of 'dx', 'dy'"),
    ("gradient", {"outputs": ("dx", "dy"), "out": [None]}, "out has 1 arrays, expected 2"),
    ("gradient", {"outputs": ("dx", "dy"), "out": (FLOAT_IMAGE, FLOAT_IMAGE[:, ::-1])},
     "out has arrays that share memory, expected distinct ones"),
    ("gradient", {"image": FLOAT_IMAGE[:2], "border": "valid"}, "kernel covers 3 rows but image"),
    ("box", {"border": ("valid", "edge")}, "border is ('valid', 'edge'), expected 'valid' alone"),
    ("box", {"border": "constant", "cval": -(10**400)}, "expected a finite number"),
    ("median", {"image": IMAGE, "size": 50, "border": "valid"},
     "median: the kernel covers 50 rows but image has 5, expected at least as many"),
    ("harris", {"border": "valid", "image": FLOAT_IMAGE}, "kernel covers 11 rows but image has 5"),
    ("harris", {"ksize": 11}, "ksize is 11, expected an odd number from 3 to 9"),
])  # fmt: skip
def test_messages(name, bad, message):
    """What is legal follows from several arguments; the message says which and how they differ."""
    assert message in spoil(name, ValueError, **bad)


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, each) for name in ("conv2d", "explain_plan", "call_plan")
     for each in GOOD[name].arguments
     if each != "weight"],
)
def test_layers_compute_in_one_dtype(name, argument):
    bad = GOOD[name].arguments[argument].astype(np.float32)
    message = spoil(name, TypeError, **{argument: bad})
    assert f"{argument} has dtype float32, expected weight's, float64" in message


# What is wrong with arguments that many functions take.
COUNTS = [
    (0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (np.nan, TypeError),
]
PAIRS = [
    *COUNTS, ((1, 0), ValueError), ((1, 2, 3), ValueError), ([], ValueError),
    ((1, 1.5), TypeError), ([[1, 2], [3, 4]], TypeError), ([[1, 2], [3]], (TypeError, ValueError)),
    (np.ones((3, 3)), (TypeError, ValueError)), (2**70, ValueError), ({1: 2}, TypeError),
]
NAMES = [
    ("nothing", ValueError), ("", ValueError), (3, (TypeError, ValueError)),
    (np.eye(3), (TypeError, ValueError)),
]
BORDERS = [
    *NAMES, ("Reflect", ValueError), (None, (TypeError, ValueError)), (("reflect",), ValueError),
    (("wrap", "none"), ValueError), (("wrap",) * 3, ValueError), (("valid", "wrap"), ValueError),
    (("wrap", None), (TypeError, ValueError)),
]
NUMBERS = [
    (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError), (1j, TypeError),
    (np.eye(3), (TypeError, ValueError)), (10**400, ValueError),
]
BAD = {
    "threads": [*COUNTS, ((1, 1), TypeError), (2**40, ValueError)],
    "stride": PAIRS,
    "dilation": [*PAIRS, (None, TypeError)],
    "kernel_size": [*PAIRS, (None, TypeError)],
    "groups": [*COUNTS, (None, TypeError), ((1, 1), TypeError), (3, ValueError)],
    "padding": [
        (-1, ValueError), ((0, -1), ValueError), (((0, 0), (0, -1)), ValueError), (0.5, TypeError),
        (None, TypeError), ("full", ValueError), ((1, 2, 3), ValueError), ("", ValueError),
        (((1, 2), (3,)), (TypeError, ValueError)), (((1, 2, 3), (4, 5, 6)), ValueError),
        ([[[1]]], ValueError), (2**70, ValueError),
    ],
    "padding_mode": [*BORDERS, ("valid", ValueError)],
    "border": BORDERS,
    "layout": [*NAMES, (None, (TypeError, ValueError)), ("nchw", ValueError)],
    "activation": [
        *NAMES, ("ReLU", ValueError), ("clip", ValueError), ((), ValueError), ([], ValueError),
        (("relu", 1), ValueError), (("leaky_relu",), ValueError), (("clip", 0), ValueError),
        (("clip", 0, 1, 2), ValueError), (("clip", 1, 0), ValueError), ((3, 0, 1), ValueError),
        (("clip", 0, np.inf), ValueError), (("leaky_relu", np.nan), ValueError),
        (("leaky_relu", "1"), TypeError), (("clip", None, 1), TypeError),
        (("leaky_relu", 10**400), ValueError), ((["clip"], 0, 1), ValueError), ({1: 2}, ValueError),
    ],
    "algorithm": [*NAMES, (None, (TypeError, ValueError))],
    "method": [*NAMES, (None, ValueError), ("Recursive", ValueError)],
    "cval": NUMBERS[2:],
    "scale": [*NUMBERS, (None, TypeError)],
    "delta": [*NUMBERS, (None, TypeError)],
    "truncate": [*NUMBERS, (None, TypeError), (-1, ValueError)],
    "divisor_override": [*NUMBERS, (0, ValueError)],
    "sigma": [
        *NUMBERS, (None, TypeError), (-1, ValueError), ((1, 2, 3), ValueError), ((), ValueError),
        ((1, np.nan), ValueError), (1e6, ValueError), (1e308, ValueError),
        ([[1], [2, 3]], (TypeError, ValueError)),
    ],
    "radius": [
        (-1, ValueError), (1.5, TypeError), ((1, 2, 3), ValueError), (2**20, ValueError),
        ((0, 2**40), ValueError), ("1", TypeError),
    ],
    "anchor": [
        (-1, ValueError), ((3, 0), ValueError), ((0, 5), ValueError), (1.5, TypeError),
        ((1, 2, 3), ValueError), ("1", TypeError), ([[1, 2], [3]], (TypeError, ValueError)),
    ],
    "channel_axis": [(each, (TypeError, ValueError)) for each in (0, 1.5, "last", 7, [1])],
    "out_dtype": [(each, TypeError) for each in ("nothing", 3, (1, 2), np.eye(3))],
    "ksize": [
        (each, (TypeError, ValueError)) for each in (0, 2, -3, 33, 1.5, "3", [3], None, 2**70)
    ],
    "order": [
        *COUNTS[1:], (None, TypeError), (4, ValueError), ((0, 4), ValueError), ((), ValueError),
        ((1, 1, 1), ValueError), ((0, 1.5), TypeError),
    ],
    "diagonal": [*COUNTS[1:], (None, TypeError), (2, ValueError), ((0, 1), TypeError)],
    "k": [*NUMBERS, (None, TypeError)],
    "operator": [*NAMES, (None, ValueError), ("laplacian", ValueError)],
    "outputs": [
        *NAMES, (None, ValueError), ((), ValueError), (("dx", "dz"), ValueError),
        (("dy", "dy"), ValueError), (("dx", 3), ValueError), ({"dx"}, ValueError),
    ],
    "dx": [(-1, ValueError), (3, ValueError), (0, ValueError), (1.5, TypeError), (None, TypeError)],
    "dy": [(-1, ValueError), (3, ValueError), (1.5, TypeError), (None, TypeError)],
}  # fmt: skip


BAD["low_sigma"] = BAD["sigma"]
BAD["high_sigma"] = [each for each in BAD["sigma"] if each[0] is not None]


@pytest.mark.parametrize(("name", "argument", "value", "error"), [
    pytest.param(name, argument, *each, id=f"{name}-{argument}={each[0]!r}".replace("\n", ""))
    for name, call in GOOD.items()
    for argument in inspect.signature(call.function).parameters
    for each in BAD.get(argument, ())
])
def test_one_bad_argument(name, argument, value, error):
    spoil(name, error, **{argument: value})


@pytest.mark.parametrize(("argument", "value"), [
    ("kernel", [[1e300]]), ("scale", 1e300), ("delta", -1e300), ("cval", 1e39),
])
def test_numbers_that_float32_does_not_hold(argument, value):
    bad = {"image": IMAGE.astype(np.float32), "border": "constant", "out": None, argument: value}
    assert "float32" in spoil("filter2d", ValueError, **bad)


def test_parameters_that_float32_does_not_hold():
    weight = WEIGHT.astype(np.float32)
    bad = {"bias": None, "weight": weight, "activation": ("clip", -1e39, 0)}
    assert "expected what float32 can hold" in spoil("conv2d", ValueError, **bad)


def wide(dtype, *shape):
    """An array of any shape that takes no memory."""
    return np.broadcast_to(np.ones((), dtype), shape)


# Sizes that no machine has: the argument that the error names (a pattern), or the result, or both
# where either will do.
HUGE, ONE, DOT = 2**40, np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 1, 1), np.float32)
CROSS = np.ones((1, 1, 3, 3), np.float32)
ABSURD = {
    "conv2d x": (lambda: conv2d(wide("f4", 1, 1, HUGE, 1), DOT), "x"),
    "conv2d x of (2**40, 1)": (lambda: conv2d(wide("f4", HUGE, 1), DOT), "x"),
    "conv2d batch": (lambda: conv2d(wide("f4", HUGE, 1, 1, 1), DOT), "x"),
    "conv2d empty batch": (lambda: conv2d(wide("f4", 0, 1, HUGE, 1), DOT).shape, [0, 1, HUGE, 1]),
    "conv2d weight": (lambda: conv2d(ONE, wide("f4", HUGE, 1, 1, 1)), "weight"),
    "conv2d weight rows": (lambda: conv2d(ONE, wide("f4", 1, 1, HUGE, 1)), "weight"),
    "conv2d bias": (lambda: conv2d(ONE, DOT, wide("f4", HUGE)), "bias"),
    "conv2d padding": (lambda: conv2d(ONE, DOT, padding=HUGE), "padding|result"),
    "conv2d padding and stride": (
        lambda: conv2d(ONE, DOT, stride=HUGE, padding=HUGE).tolist(),
        "padding|stride", [[[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]],
    ),
    "conv2d stride": (lambda: conv2d(ONE, DOT, stride=HUGE).tolist(), [[[[1]]]]),
    "conv2d largest stride": (lambda: conv2d(ONE, DOT, stride=2**62 - 1).tolist(), [[[[1]]]]),
    "conv2d NHWC stride": (
        lambda: conv2d(ONE.reshape(1, 8, 8, 1), DOT, stride=HUGE, layout="NHWC").tolist(),
        [[[[1]]]],
    ),
    "conv2d same stride": (
        lambda: conv2d(ONE, CROSS, stride=2**61, padding="same").tolist(), [[[[9]]]]
    ),
    "conv2d dilation": (lambda: conv2d(ONE, CROSS, dilation=HUGE), "kernel"),
    "conv2d dilation and padding": (
        lambda: conv2d(ONE, CROSS, dilation=HUGE, padding=HUGE).tolist(),
        "dilation|padding", ONE.tolist(),
    ),
    "conv2d same dilation": (
        lambda: conv2d(ONE, CROSS, dilation=2**61, padding="same").tolist(),
        "dilation|padding", ONE.tolist(),
    ),
    # Copied with 4 channels these take 2**64 bytes and 64 more.
    "conv2d dilation and channels": (
        lambda: conv2d(
            np.ones((1, 1, 1, 4), np.float32), np.ones((16, 4, 2, 2), np.float32), layout="NHWC",
            dilation=(2**29 + 2**15, 2**31 - 2**17 + 3),
            padding=((0, 2**29 + 2**15), (0, 2**31 - 2**17 + 3)),
        ),
        "input",
    ),
    "conv2d groups": (lambda: conv2d(ONE, DOT, groups=HUGE), "groups"),
    "conv2d out": (lambda: conv2d(ONE, DOT, out=wide("f4", HUGE, 1)), "out"),
    "explain_plan x": (
        lambda: explain_plan(wide("f4", 1, 1, HUGE, 1), DOT).split(":")[0].split()[-1],
        "depthwise_plane",
    ),
    "explain_plan batch": (lambda: explain_plan(wide("f4", 2**50, 1, 1, 1), DOT), "x"),
    "explain_plan weight": (lambda: explain_plan(ONE, wide("f4", 2**50, 1, 1, 1)), "weight"),
    "explain_plan padding": (lambda: explain_plan(ONE, DOT, padding=2**28), "padding|result"),
    "explain_plan result": (
        lambda: explain_plan(wide("f4", 2**30, 1, 1, 1), wide("f4", 2**30, 1, 1, 1)), "result"
    ),
    "explain_plan same dilation": (
        lambda: explain_plan(ONE, CROSS, dilation=2**29, padding="same"), "padding"
    ),
    "max_pool2d x": (lambda: max_pool2d(wide("u1", 1, 1, HUGE, 1), 1), "x"),
    "max_pool2d kernel_size": (lambda: max_pool2d(ONE, HUGE), "kernel"),
    "max_pool2d stride": (lambda: max_pool2d(ONE, 1, 2**62 - 1).tolist(), [[[[1]]]]),
    "max_pool2d padded kernel_size": (
        lambda: max_pool2d(ONE, HUGE, padding=((0, HUGE), (0, HUGE))), "kernel"
    ),
    "avg_pool2d ceil_mode": (
        lambda: avg_pool2d(ONE, 2, 2**62 - 1, ceil_mode=True).tolist(), [[[[1]]]]
    ),
    "avg_pool2d dilation": (lambda: avg_pool2d(ONE, 3, dilation=2**61), "kernel"),
    "filter2d image": (lambda: filter2d(wide("f4", HUGE, 1), np.eye(3)), "image"),
    "filter2d images": (lambda: filter2d(wide("f4", HUGE, 1, 1), np.eye(3)), "image"),
    "filter2d channels": (
        lambda: filter2d(wide("u1", 1, 1, HUGE), np.eye(3), channel_axis=-1), "image"
    ),
    "filter2d kernel": (lambda: filter2d(IMAGE, wide("f4", HUGE, 1)), "kernel"),
    "filter2d bank": (lambda: filter2d(IMAGE, wide("f4", HUGE, 1, 1)), "kernel"),
    "filter2d integer bank": (lambda: filter2d(IMAGE, wide("i1", HUGE, 1, 1)), "kernel"),
    "filter2d integer kernel": (lambda: filter2d(IMAGE, wide("i1", 30000, 30000)), "kernel"),
    "filter2d out": (lambda: filter2d(IMAGE, np.eye(3), out=wide("u1", HUGE, 1)), "out"),
    "sep_filter2d kernel_x": (
        lambda: filters.sep_filter2d(IMAGE, [1], wide("f4", HUGE)), "kernel_x"
    ),
}  # fmt: skip


def try_absurd():
    """Make each call in a child of its own, for five seconds, and print what came of them."""
    outcomes = {}
    for name, (call, *_) in ABSURD.items():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            try:
                outcome = {"result": call()}
            except Exception as error:
                outcome = {"error": type(error).__name__, "message": str(error)}
            os.write(writer, json.dumps(outcome).encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as file:
            text = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcomes[name] = json.loads(text) if text else {"exit status": status}
    print(json.dumps(outcomes))


@pytest.fixture(scope="module")
def outcomes():
    if not hasattr(os, "fork"):
        pytest.skip("needs a fork for each call")
    return json.loads(run_python("import test_geometry; test_geometry.try_absurd()", 300))


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sizes(outcomes, name):
    outcome, expected = outcomes[name], ABSURD[name][1:]
    if outcome.get("error") in ("ValueError", "MemoryError") and isinstance(expected[0], str):
        assert re.match(rf"{name.split()[0]}: .*\b({expected[0]})\b", outcome["message"]), outcome
        assert "\n" not in outcome["message"]
    else:
        assert outcome == {"result": expected[-1]}


@given(
    n=st.integers(1, 40), k=st.integers(1, 9), stride=st.integers(1, 9), dilation=st.integers(1, 5),
    pads=st.tuples(st.integers(0, 20), st.integers(0, 20)), ceil_mode=st.booleans(),
)  # fmt: skip
def test_sizes_by_counting(n, k, stride, dilation, pads, ceil_mode):
    """Slide the window along until it ends outside."""
    before, after = pads
    outputs, end = 0, dilation * (k - 1) + 1
    while end <= n + before + after:
        outputs, end = outputs + 1, end + stride
    arguments = ("pool", (n, n), (k, k), (stride, stride), (pads, pads), (dilation, dilation))
    if outputs == 0:
        padding = rf" \({n} and {sum(pads)} of padding\)" if sum(pads) else ""
        message = rf"^pool: the kernel covers \d+ rows but x has {n + sum(pads)}{padding}, expected"
        with pytest.raises(ValueError, match=message):
            _geometry.windows(*arguments, ceil_mode)
        return
    if ceil_mode:
        outputs += end - stride < n + before + after  # what is left gets a window too
        outputs -= (outputs - 1) * stride >= n + before  # but one less begins after the data
    # One output has no stride, and one tap no dilation.
    stride, dilation = stride if outputs > 1 else 1, dilation if k > 1 else 1
    expected = _geometry.Window(n, k, stride, dilation, before, after, outputs)
    assert _geometry.windows(*arguments, ceil_mode) == (expected, expected)


@pytest.mark.parametrize(("n", "k", "stride", "dilation", "before", "after", "outputs"), [
    (7, 3, 1, 1, 1, 1, 7),
    (7, 4, 1, 1, 1, 2, 7),
    (7, 3, 2, 1, 1, 1, 4),
    (8, 3, 2, 1, 0, 1, 4),
    (8, 1, 3, 1, 0, 0, 3),
    (8, 2, 5, 1, 0, 0, 2),
    (1, 5, 2, 3, 6, 6, 1),
])
def test_same_gives_a_stride_of_outputs(n, k, stride, dilation, before, after, outputs):
    rows, _ = _geometry.windows(
        "conv2d", (n, n), (k, k), (stride, stride), "same", (dilation, dilation)
    )
    assert (rows.before, rows.after, rows.o) == (before, after, outputs)


@pytest.mark.parametrize("name", GOOD)
def test_true_is_no_number(name):
    call = GOOD[name]
    parameters = inspect.signature(call.function).parameters
    values = {key: parameter.default for key, parameter in parameters.items()} | call.more
    numbers = {key for key, value in values.items() if type(value) in (int, float)}
    for key in numbers | {"threads"} & values.keys():
        assert f"{key} is True, expected a" in spoil(name, TypeError, **{key: True})
    if "size" in numbers:
        assert "size is True" in spoil(name, TypeError, size=(True, 3))


def test_what_else_an_argument_may_be():
    footprint = "expected a (kh, kw) array, an integer or a pair"
    assert spoil("erode", TypeError, footprint="3").endswith(f"footprint is '3', {footprint}")
    assert spoil("erode", ValueError, footprint=(1, 2, 3)).endswith(footprint)
    assert "(2, 2, 2)" in spoil("erode", ValueError, footprint=np.ones((2, 2, 2)))
    assert spoil("median", TypeError, size=1.5).endswith("1.5, expected an integer or a pair")
    assert spoil("gaussian", TypeError, sigma="3").endswith("'3', expected a number or a pair")
    assert spoil("gaussian", TypeError, sigma=(1, "3")).endswith("'3', expected a number")


def test_cval_of_a_bool_image_may_be_bool():
    image = np.zeros((3, 3), bool)
    assert filters.dilate(image, border="constant", cval=True).sum() == 8
    assert filters.dilate(image, border="constant", cval=np.True_).sum() == 8
