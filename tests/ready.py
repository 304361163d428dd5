"""Calls that are ready and calls that are not, for the tests that compare them.

A call is made ready, by calls of the same geometry, and then compared with one that nothing was
kept for: a new plan, or `conv2d` after the kept calls were cleared.
"""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import anything, assert_same_bits, clear_plans

from fastconv import conv2d, plan_conv2d

# Shapes of x and weight, and options: small calls by every way through the core.
LAYERS = {
    "pixels": ((2, 3, 6, 17), (5, 3, 3, 3), {"padding": 1}),
    "channels": ((1, 3, 6, 5), (17, 3, 3, 2), {"stride": 2, "padding": 1}),
    "product": ((2, 5, 4, 4), (5, 5, 1, 1), {}),
    "NHWC": ((2, 5, 6, 4), (4, 2, 3, 3), {"groups": 2, "padding": 1, "layout": "NHWC"}),
    "depthwise": ((2, 4, 9, 9), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "depthwise NHWC": ((2, 6, 5, 9), (9, 1, 3, 3), {"groups": 9, "layout": "NHWC"}),
    "border": ((1, 2, 5, 6), (3, 2, 2, 3), {"padding": 3, "padding_mode": "reflect"}),
}
WINOGRAD = ((1, 48, 20, 20), (16, 48, 3, 3), {"padding": 1})
LARGE = ((1, 32, 64, 64), (32, 32, 5, 5), {"padding": 2, "algorithm": "direct"})


class Layer(NamedTuple):
    x: np.ndarray
    weight: np.ndarray
    options: dict


def layer(shapes, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return Layer(*(anything(rng, shape, dtype) for shape in shapes[:2]), shapes[2])


def call_plain(layer):
    """What calls conv2d with the layer's weights; nothing is kept for it."""
    clear_plans()

    def call(x, out=None, weight=layer.weight, **more):
        return conv2d(x, weight, **{**layer.options, **more}, out=out)

    return call


def new_plan(layer):
    return plan_conv2d(layer.weight, **layer.options)


WAYS = {"conv2d": call_plain, "plan": new_plan}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def ready(way, layer):
    """A call that went through twice: the very first one may still have chosen the variant."""
    call = way(layer)
    call(layer.x)
    call(layer.x)
    return call


def outcome(call, *args, **options):
    """The result, or the error and what it says."""
    try:
        return call(*args, **options)
    except Exception as error:
        return type(error), str(error)


def assert_same_outcome(actual, expected, err_msg=""):
    if isinstance(expected, np.ndarray):
        assert isinstance(actual, np.ndarray), (err_msg, actual)
        assert type(actual) is type(expected), err_msg
        assert_same_bits(np.asarray(actual), np.asarray(expected), err_msg)
    else:
        assert actual == expected, err_msg
