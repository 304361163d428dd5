"""Causal convolution of streams: pieces have the results of the whole."""

import numpy as np
import pytest
from helpers import integers, to_layout
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastconv import CausalConv1d, conv1d, reference

LAYOUTS = ("NCW", "NWC")


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    st.sampled_from([(1, 1, 1), (1, 5, 3), (4, 1, 1), (2, 3, 2)]), st.integers(1, 5),
    st.integers(1, 4), st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.sampled_from(["float32", "float64"]), st.booleans(),
)  # fmt: skip
def test_pieces_are_the_whole(layout, channels, kernel, dilation, lengths, dtype, in_place):
    groups, c, k = channels
    rng = np.random.default_rng(3)
    x = integers(rng, (2, groups * c, sum(lengths)), float)
    weight = integers(rng, (groups * k, c, kernel), float)
    bias = np.arange(groups * k) - 1.0
    options = {"dilation": dilation, "groups": groups, "activation": "relu"}
    expected = reference.conv1d(x, weight, bias, padding="causal", **options)
    before = (kernel - 1) * dilation
    last = np.concatenate([np.zeros((*x.shape[:2], before)), x], 2)[..., x.shape[2] :]
    stream = CausalConv1d(weight.astype(dtype), bias.astype(dtype), layout=layout, **options)
    results, state, at = [], None, 0
    for length in lengths:
        piece = to_layout(x[..., at : at + length], layout).astype(dtype)
        out = piece if in_place and k == c else None
        y, state = stream(piece, state, out=out)
        assert out is None or y is out
        results.append(y)
        at += length
    y = np.concatenate(results, 1 if layout == "NWC" else 2)
    assert y.dtype == state.dtype == dtype
    assert_array_equal(y, to_layout(expected, layout))
    assert_array_equal(state, to_layout(last, layout))


@pytest.mark.parametrize(("channels", "groups"), [(16, 1), (16, 16), (64, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rounding_is_that_of_the_whole(isa, dtype, layout, channels, groups):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2, channels, 200)).astype(dtype)
    weight = rng.standard_normal((channels, channels // groups, 4)).astype(dtype)
    options = {"groups": groups, "activation": "silu", "layout": layout}
    x_whole = to_layout(x, layout)
    whole = conv1d(x_whole, weight, padding="causal", algorithm="direct", **options)
    stream, state, results = CausalConv1d(weight, **options), None, []
    for piece in np.split(x, [1, 2, 5, 60, 61], 2):
        y, state = stream(to_layout(piece, layout), state)
        results.append(y)
    assert_array_equal(np.concatenate(results, 1 if layout == "NWC" else 2), whole)


def test_worked_by_hand():
    # ONNX's CausalConvWithState: state 1 2, input 3 4, kernel 1 10 100.
    stream = CausalConv1d(np.array([[[1.0, 10, 100]]]), np.array([0.5]))
    y, state = stream(np.array([[[3.0, 4]]]), np.array([[[1.0, 2]]]))
    assert y.tolist() == [[[321.5, 432.5]]]
    assert state.tolist() == [[[3, 4]]]
    y, state = stream(np.array([[[5.0]]]))
    assert y.tolist() == [[[500.5]]]
    assert state.tolist() == [[[0, 5]]]
    y, state = CausalConv1d(np.array([[[2.0]]]))(np.array([[[5.0]]]), np.zeros((1, 1, 0)))
    assert y.tolist() == [[[10]]]
    assert state.shape == (1, 1, 0)


def test_errors():
    stream = CausalConv1d(np.ones((3, 2, 3)), dilation=2)
    x, out = np.ones((1, 2, 5)), np.full((1, 3, 5), 7.0)
    with pytest.raises(ValueError, match=r"CausalConv1d: state has shape \(1, 2, 2\), expected "):
        stream(x, np.ones((1, 2, 2)), out=out)
    with pytest.raises(TypeError, match="CausalConv1d: state has dtype float32, expected weight's"):
        stream(x, np.ones((1, 2, 4), np.float32), out=out)
    with pytest.raises(ValueError, match="CausalConv1d: weight expects 2 input channels"):
        stream(np.ones((1, 3, 5)), out=out)
    with pytest.raises(ValueError, match="CausalConv1d: out has shape"):
        stream(x, out=out[..., 1:])
    with pytest.raises(ValueError, match="CausalConv1d: layout is 'NCHW', expected one of"):
        CausalConv1d(np.ones((3, 2, 3)), layout="NCHW")
    assert (out == 7).all()
    assert repr(stream).startswith("CausalConv1d(2 -> 3 channels, kernel 3, ")
