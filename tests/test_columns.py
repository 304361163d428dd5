"""Patches as columns, and back: by their definition, as adjoints, and beside PyTorch."""

import numpy as np
import pytest
from helpers import integers, poisoned
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastconv import conv2d, fold, reference, unfold


@st.composite
def calls(draw):
    dims = draw(st.integers(1, 3))
    kernel, stride, dilation = (
        tuple(draw(st.integers(1, 3)) for _ in range(dims)) for _ in range(3)
    )
    size = [draw(st.integers(1, 7)) for _ in range(dims)]
    pads = [[draw(st.integers(0, 4)) for _ in range(2)] for _ in range(dims)]
    for i, n in enumerate(size):
        pads[i][1] += max(0, dilation[i] * (kernel[i] - 1) + 1 - n - sum(pads[i]))
    padding = draw(st.sampled_from([tuple(map(tuple, pads)), "same"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = integers(rng, (draw(st.integers(0, 2)), draw(st.integers(1, 3)), *size), float)
    return x, (kernel, dilation, padding, stride)


@given(calls(), st.sampled_from(["float32", "float64"]))
def test_exact(case, dtype):
    x, options = case
    expected = reference.unfold(x, *options)
    out = poisoned(expected.shape, dtype)
    assert unfold(x.astype(dtype), *options, out=out) is out
    assert_array_equal(out, expected)
    columns = integers(np.random.default_rng(1), expected.shape, float)
    expected = reference.fold(columns, x.shape[2:], *options)
    out = poisoned(expected.shape, dtype)
    assert fold(columns.astype(dtype), x.shape[2:], *options, out=out) is out
    assert_array_equal(out, expected)
    assert (expected * x).sum() == (columns * unfold(x, *options)).sum()


def test_worked_by_hand():
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    assert unfold(x, 2).tolist() == [[[0, 1], [1, 2], [3, 4], [4, 5]]]
    assert unfold(x, (1, 2), stride=(1, 2), padding=((0, 0), (1, 0))).tolist() == [
        [[0, 1, 0, 4], [0, 2, 3, 5]]
    ]
    assert fold(unfold(x, 2), (2, 3), 2).tolist() == [[[[0, 2, 2], [3, 8, 5]]]]
    # ONNX's test_col2im_strides.
    columns = [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0],
               [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]  # fmt: skip
    assert fold(np.array([columns], float), 5, 3, stride=2).tolist() == [[[
        [0, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 2, 1, 2, 1], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0]
    ]]]  # fmt: skip


def test_convolution_is_a_product():
    rng = np.random.default_rng(2)
    x, weight = rng.integers(-4, 5, (2, 3, 9, 8)) * 1.0, rng.integers(-4, 5, (5, 3, 3, 2)) * 1.0
    y = weight.reshape(5, -1) @ unfold(x, (3, 2), padding=1, stride=2)
    assert_array_equal(y.ravel(), conv2d(x, weight, padding=1, stride=2).ravel())


def test_beside_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).integers(-9, 9, (2, 3, 10, 11)).astype(np.float32)
    options = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": (2, 1), "stride": (2, 3)}
    theirs = torch.nn.functional.unfold(torch.from_numpy(x), **options)
    assert_array_equal(unfold(x, **options), theirs.numpy())
    back = torch.nn.functional.fold(theirs, (10, 11), **options).numpy()
    assert_array_equal(fold(theirs.numpy(), (10, 11), **options), back)


def test_errors():
    x, out = np.ones((1, 2, 4, 5)), np.full((1, 8, 12), 7.0)
    for call, message in (
        (lambda: unfold(x[0, 0], 2), r"unfold: x has shape \(4, 5\), expected \(N, C, W\)"),
        (lambda: unfold(x, (2, 2, 2), out=out), "unfold: kernel_size is .* or a pair"),
        (lambda: unfold(x, 5, out=out), "unfold: the kernel covers 5 rows but x has 4"),
        (lambda: fold(np.ones((1, 7, 12)), (4, 5), 2, out=out),
         r"fold: x has shape \(1, 7, 12\), expected \(N, a multiple of 4, 12\)"),
        (lambda: fold(np.ones((1, 8, 12)), (1, 2, 3, 4), 2), "fold: output_size has 4 numbers"),
        (lambda: fold(np.ones((1, 8, 12)), (4, 1), 2),
         "fold: the kernel covers 2 columns but output_size has 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    assert (out == 7).all()
