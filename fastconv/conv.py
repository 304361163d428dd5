"""Convolution as CNNs do it (cross-correlation), in PyTorch's names and order of arguments."""

import numpy as np

from fastconv import _config, _plan
from fastconv._conv_plan import Conv1dPlan, Conv2dPlan, Conv3dPlan

__all__ = ["conv1d", "conv2d", "conv3d", "plan_conv1d", "plan_conv2d", "plan_conv3d"]

# Small calls as they were planned; their weights are packed each time.
_small_calls = {}


def conv1d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of sequences with K kernels: `conv2d` along one axis.

    ``y[n, k, q] = bias[k] + sum over c, j of
    weight[k, c, j] * padded[n, c, q * stride + j * dilation]``.

    Parameters
    ----------
    x : (N, C, W) array, float32 or float64
        Sequences, as of sound or sensors; (N, W, C) with ``layout="NWC"``.
    weight : (K, C // groups, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (int,)
    padding : int, (int,), ((left, right),), "same", "causal" or "valid"
        "same" gives ceil(W / stride) columns, any stride; so does "causal", whose padding is all
        on the left: no output sees what comes after its place (`CausalConv1d` takes sequences
        piece by piece).
    groups, padding_mode, activation, residual, algorithm, out, threads
        As in `conv2d`.
    layout : "NCW" or "NWC"

    Returns
    -------
    (N, K, OW) array, or (N, OW, K) with ``layout="NWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Bits and errors are as of `conv2d`. Kernels of 3 to 7 over many channels may take Winograd's
    transforms: one number much larger than the rest leaves rounding errors in the outputs beside
    those that see it, which ``algorithm="direct"`` does not.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[1, 2, 3, 4]]], np.float32)
    >>> conv1d(x, np.array([[[1, 0, -1]]], np.float32), padding="same")
    array([[[-2., -2., -2.,  3.]]], dtype=float32)
    >>> conv1d(x, np.array([[[1, 0, -1]]], np.float32), padding="causal")
    array([[[-1., -2., -2., -2.]]], dtype=float32)
    """
    return _convolved(
        Conv1dPlan, "conv1d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def conv2d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of images with K kernels (what CNNs call convolution).

    ``y[n, k, p, q] = bias[k] + sum over c, i, j of
    weight[k, c, i, j] * padded[n, c, p * stride + i * dilation, q * stride + j * dilation]``,
    where c runs over the channels of k's group (Dumoulin and Visin, arXiv:1603.07285).

    Parameters
    ----------
    x : (N, C, H, W) array, float32 or float64
        Images; (N, H, W, C) with ``layout="NHWC"``. One image is a batch of one, ``x[None]``; for
        uint8 images see `fastconv.filters`, or convert them.
    weight : (K, C // groups, kh, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (rows, columns)
        Elements from one output, one tap, to the next.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
        "same" gives ceil(H / stride) rows, any stride; the odd element of padding comes last.
    groups : int
        Channels are cut into this many groups that do not mix; C for a depthwise convolution.
    padding_mode : str or (rows, columns)
        What padding holds: "zeros" ("constant"), "edge" ("replicate"), "reflect" (does not repeat
        the edge; SciPy's "mirror"), "symmetric" (repeats it; SciPy's "reflect"), "wrap"
        ("circular"). Padding wider than the image goes on reflecting or wrapping.
    activation : None, str or tuple
        Applied to every element in the same pass, after bias and residual:

        - "relu": max(x, 0)
        - "relu6": min(max(x, 0), 6)
        - "leaky_relu", or ("leaky_relu", slope): x if x > 0 else slope * x; slope is 0.01
        - ("clip", low, high): min(max(x, low), high)
        - "sigmoid": 1 / (1 + exp(-x))
        - "tanh": tanh(x)
        - "silu": x * sigmoid(x)
        - "gelu": x * (1 + erf(x / sqrt(2))) / 2, exact as PyTorch's default (arXiv:1606.08415)
        - "hard_swish": x * min(max(x + 3, 0), 6) / 6 (arXiv:1905.02244)

        Names and defaults are PyTorch's (torch.nn.functional), "clip" is ONNX's. A NaN stays one;
        infinities give the limits.
    residual : array of the result's shape and dtype, optional
        Added before the activation, as in a ResNet's block: relu(conv + bias + residual).
    layout : "NCHW" or "NHWC"
    algorithm : "auto" or "direct"
        "auto" takes Winograd's F(4x4, 3x3) to F(2x2, 3x3), at stride 2 its F(4x4, 2x2) over the
        image's four phases, and for kernels of 1x3 to 1x7 its F(6, 3) to F(2, 7), where it pays
        (dilation 1, from 16 channels on, all but the smallest images; `explain_plan` tells). Where
        up to about half of the inputs are zero, as after a ReLU, its rounding errors have at most
        twice the rms, and four times the maximum, of those of "direct", which sums the terms as
        they are; sparser inputs, in which direct sums round less, raise the ratio (README). They
        are relative to the largest values around: integers are no longer exact, and smooth images
        through difference kernels lose more. A NaN or an infinity reaches the same outputs with
        both.
    out : array of the result's shape and dtype, optional
        Receives the result; it may overlap x and residual, or be one of them.
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (N, K, OH, OW) array, or (N, OH, OW, K) with ``layout="NHWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    The bits of the result depend on neither threads, batch size nor processor. A direct sum of n
    terms is within (n + 2) * eps * sum(abs(w * x)) of the exact one; an activation of it is
    within 5 units in the last place.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> ones = np.ones((1, 1, 3, 3), np.float32)
    >>> conv2d(image, ones, padding="same")[0, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]], dtype=float32)
    >>> conv2d(image, ones, padding="same", residual=-4 * image, activation="relu6")[0, 0]
    array([[6., 6., 4.],
           [6., 6., 6.],
           [0., 5., 0.]], dtype=float32)
    """
    return _convolved(
        Conv2dPlan, "conv2d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def conv3d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCDHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of volumes with K kernels: `conv2d` along three axes.

    ``y[n, k, o, p, q] = bias[k] + sum over r, c, i, j of weight[k, c, r, i, j] * padded[
    n, c, o * stride + r * dilation, p * stride + i * dilation, q * stride + j * dilation]``.

    Parameters
    ----------
    x : (N, C, D, H, W) array, float32 or float64
        Volumes or videos; (N, D, H, W, C) with ``layout="NDHWC"``.
    weight : (K, C // groups, kd, kh, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (slices, rows, columns)
    padding : int, (slices, rows, columns), a pair for each of them, "same" or "valid"
    groups : int
    padding_mode : str or (slices, rows, columns)
    activation, residual, algorithm, out, threads
        As in `conv2d`.
    layout : "NCDHW" or "NDHWC"

    Returns
    -------
    (N, K, OD, OH, OW) array, or (N, OD, OH, OW, K) with ``layout="NDHWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    The slices that an output sees are more channels of a convolution in two dimensions, so
    "auto" takes Winograd's transforms where `conv2d` would; bits and errors are as there.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 2, 2)
    >>> conv3d(x, np.ones((1, 1, 2, 2, 1), np.float32))
    array([[[[[12., 16.]]]]], dtype=float32)
    """
    return _convolved(
        Conv3dPlan, "conv3d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def _convolved(
    make_plan, function, x, weight, bias, stride, padding, dilation, groups,
    padding_mode, activation, residual, layout, algorithm, out, threads,
):  # fmt: skip
    """One call; small ones like an earlier one are not planned again."""
    key = None
    # Exact types: 1.0 is equal to 1, and no stride; a list of borders has no hash.
    if (
        type(x) is type(weight) is np.ndarray
        and type(stride) is type(padding) is type(dilation) is type(groups) is int
        and type(padding_mode) is type(layout) is type(algorithm) is str
        and bias is residual is activation is threads is None
    ):
        key = (
            x.shape, weight.shape, x.dtype.char, stride, padding, dilation, groups,
            padding_mode, layout, algorithm, _config.selected_isa or _config.isa(),
        )  # fmt: skip
        call = _small_calls.get(key)
        if call is not None:
            result = call(x, out, weight)
            if result is not None:
                return result
    plan = make_plan(
        function, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm,
    )  # fmt: skip
    result = plan(x, out, threads, residual)
    plan.give_back()
    if key is not None and (call := plan.small_call()) and call.isa is key[-1]:
        if len(_small_calls) >= _plan.CACHED_PLANS:
            _small_calls.clear()
        _small_calls[key] = call
    return result


def plan_conv1d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCW",
    algorithm="auto",
):
    """Prepare a `conv1d` to call many times: weights are packed once; see `plan_conv2d`.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv1d`.

    Returns
    -------
    Conv1dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv1d(np.ones((4, 3, 3), np.float32), padding=1)
    >>> plan(np.ones((2, 3, 100), np.float32)).shape
    (2, 4, 100)
    """
    return Conv1dPlan(
        "plan_conv1d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip


def plan_conv2d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCHW",
    algorithm="auto",
):
    """Prepare a convolution to call many times: weights are packed once.

    The plan keeps copies of weight and bias and is safe to call from several threads at once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv2d`.

    Returns
    -------
    Conv2dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and image size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv2d(np.ones((4, 3, 3, 3), np.float32), padding=1, activation="relu")
    >>> plan(np.ones((2, 3, 32, 32), np.float32)).shape
    (2, 4, 32, 32)
    """
    return Conv2dPlan(
        "plan_conv2d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip


def plan_conv3d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCDHW",
    algorithm="auto",
):
    """Prepare a `conv3d` to call many times: weights are packed once; see `plan_conv2d`.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv3d`.

    Returns
    -------
    Conv3dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv3d(np.ones((4, 3, 3, 3, 3), np.float32), padding=1)
    >>> plan(np.ones((2, 3, 8, 8, 9), np.float32)).shape
    (2, 4, 8, 8, 9)
    """
    return Conv3dPlan(
        "plan_conv3d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip
