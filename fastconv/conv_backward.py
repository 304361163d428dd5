"""Gradients of convolutions, in the names of PyTorch's convolution_backward."""

from fastconv import _arrays, _geometry, _gradient, _plan, _threads
from fastconv._conv_plan import DTYPES, PLANS
from fastconv.conv_transpose import turned, turned_shape

__all__ = [
    "conv1d_backward",
    "conv2d_backward",
    "conv3d_backward",
    "conv_transpose1d_backward",
    "conv_transpose2d_backward",
    "conv_transpose3d_backward",
]

RESULTS = ("dx", "dweight", "dbias")


def conv1d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    output_mask=(True, True, True),
    padding_mode="zeros",
    layout="NCW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv1d`.

    The formulas are those of `conv2d_backward`, over one axis.

    Parameters
    ----------
    dy : (N, K, OW) array, or (N, OW, K) with ``layout="NWC"``
        Of the shape of conv1d's result, before an activation; of weight's dtype.
    x : (N, C, W) array, float32 or float64, or (N, W, C) with ``layout="NWC"``
        Without dweight only its shape counts.
    weight : (K, C // groups, kw) array of x's dtype
        Without dx only its shape counts.
    stride, padding, dilation, groups, padding_mode, layout
        As in `conv1d`.
    output_mask, algorithm, out, threads
        As in `conv2d_backward`.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.array([[[1.0, 2, 3]]]), np.array([[[1.0, 10]]])
    >>> conv1d_backward(np.array([[[1.0, 2]]]), x, weight)
    (array([[[ 1., 12., 20.]]]), array([[[5., 8.]]]), array([3.]))
    """
    return _backward(
        1, "conv1d_backward", dy, x, weight, stride, padding, dilation, groups, output_mask,
        padding_mode, layout, algorithm, out, threads,
    )  # fmt: skip


def conv2d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    output_mask=(True, True, True),
    padding_mode="zeros",
    layout="NCHW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv2d`.

    With dy the gradient by the result, summed over all indices on the right alone:
    ``dpadded[n, c, p * stride + i * dilation, q * stride + j * dilation] +=
    weight[k, c, i, j] * dy[n, k, p, q]``, folded back onto x as padding_mode copied it from there;
    ``dweight[k, c, i, j] = dy[n, k, p, q]
    * padded[n, c, p * stride + i * dilation, q * stride + j * dilation]``;
    ``dbias[k] = dy[n, k, p, q]`` (Dumoulin and Visin, arXiv:1603.07285, section 4).

    Parameters
    ----------
    dy : (N, K, OH, OW) array, or (N, OH, OW, K) with ``layout="NHWC"``
        Of the shape of conv2d's result, before an activation; of weight's dtype.
    x : (N, C, H, W) array, float32 or float64, or (N, H, W, C) with ``layout="NHWC"``
        Without dweight only its shape counts.
    weight : (K, C // groups, kh, kw) array of x's dtype
        Without dx only its shape counts.
    stride, padding, dilation, groups, padding_mode, layout
        As in `conv2d`.
    output_mask : three of bool
        Which of the results to compute; the others are None.
    algorithm : "auto" or "direct"
        As in `conv2d`, for dx. dweight of 3x3 kernels at stride 1, of 16 channels or more in and
        out and some 2,000 pixels, takes Winograd's transforms under "auto", too: its rms error is
        at most twice that of a plain sum over all pixels.
    out : three of (array of that result's shape and dtype, or None)
        Receive the results; they may overlap the inputs, but not each other.
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    dweight and dbias sum over the batch; but for that, bits depend on neither threads, batch size
    nor processor.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> weight = np.array([[[[1, 2], [3, 4]]]], np.float32)
    >>> dx, dweight, dbias = conv2d_backward(np.ones((1, 1, 2, 2), np.float32), x, weight)
    >>> dx[0, 0]
    array([[ 1.,  3.,  2.],
           [ 4., 10.,  6.],
           [ 3.,  7.,  4.]], dtype=float32)
    >>> dweight[0, 0], dbias
    (array([[ 8., 12.],
           [20., 24.]], dtype=float32), array([4.], dtype=float32))
    """
    return _backward(
        2, "conv2d_backward", dy, x, weight, stride, padding, dilation, groups, output_mask,
        padding_mode, layout, algorithm, out, threads,
    )  # fmt: skip


def conv3d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    output_mask=(True, True, True),
    padding_mode="zeros",
    layout="NCDHW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv3d`.

    The formulas are those of `conv2d_backward`, over three axes.

    Parameters
    ----------
    dy : (N, K, OD, OH, OW) array, or (N, OD, OH, OW, K) with ``layout="NDHWC"``
        Of the shape of conv3d's result, before an activation; of weight's dtype.
    x : (N, C, D, H, W) array, float32 or float64, or (N, D, H, W, C) with ``layout="NDHWC"``
        Without dweight only its shape counts.
    weight : (K, C // groups, kd, kh, kw) array of x's dtype
        Without dx only its shape counts.
    stride, padding, dilation, groups, padding_mode, layout
        As in `conv3d`.
    output_mask, algorithm, out, threads
        As in `conv2d_backward`.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 1, 3, 2, 2)), np.ones((1, 1, 2, 2, 2))
    >>> dx, dweight, dbias = conv3d_backward(np.ones((1, 1, 2, 1, 1)), x, weight)
    >>> dx[0, 0, :, 0, 0], dweight.sum(), dbias
    (array([1., 2., 1.]), np.float64(16.0), array([2.]))
    """
    return _backward(
        3, "conv3d_backward", dy, x, weight, stride, padding, dilation, groups, output_mask,
        padding_mode, layout, algorithm, out, threads,
    )  # fmt: skip


def conv_transpose1d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    output_mask=(True, True, True),
    layout="NCW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv_transpose1d`.

    The formulas are those of `conv_transpose2d_backward`, over one axis.

    Parameters
    ----------
    dy : (N, K, OW) array, or (N, OW, K) with ``layout="NWC"``
        Of the shape of conv_transpose1d's result, before an activation; of weight's dtype.
    x, weight, stride, padding, output_padding, groups, dilation, layout
        As in `conv_transpose1d`.
    output_mask, algorithm, out, threads
        As in `conv2d_backward`.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 1, 2)), np.array([[[1.0, 10]]])
    >>> conv_transpose1d_backward(np.array([[[1.0, 2, 3]]]), x, weight)
    (array([[[21., 32.]]]), array([[[3., 5.]]]), array([6.]))
    """
    return _transpose_backward(
        1, "conv_transpose1d_backward", dy, x, weight, stride, padding, output_padding, groups,
        dilation, output_mask, layout, algorithm, out, threads,
    )  # fmt: skip


def conv_transpose2d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    output_mask=(True, True, True),
    layout="NCHW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv_transpose2d`.

    ``dx = conv2d(dy, weight, None, stride, padding, dilation, groups)``; dweight is this conv2d's,
    x its result's gradient; ``dbias[k]`` is the sum of dy[:, k].

    Parameters
    ----------
    dy : (N, K, OH, OW) array, or (N, OH, OW, K) with ``layout="NHWC"``
        Of the shape of conv_transpose2d's result, before an activation; of weight's dtype.
    x, weight, stride, padding, output_padding, groups, dilation, layout
        As in `conv_transpose2d`.
    output_mask, algorithm, out, threads
        As in `conv2d_backward`.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 1, 2, 2)), np.arange(4.0).reshape(1, 1, 2, 2)
    >>> dx, dweight, dbias = conv_transpose2d_backward(np.ones((1, 1, 3, 3)), x, weight)
    >>> dx[0, 0], dweight[0, 0], dbias
    (array([[6., 6.],
           [6., 6.]]), array([[4., 4.],
           [4., 4.]]), array([9.]))
    """
    return _transpose_backward(
        2, "conv_transpose2d_backward", dy, x, weight, stride, padding, output_padding, groups,
        dilation, output_mask, layout, algorithm, out, threads,
    )  # fmt: skip


def conv_transpose3d_backward(
    dy,
    x,
    weight,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    *,
    output_mask=(True, True, True),
    layout="NCDHW",
    algorithm="auto",
    out=(None, None, None),
    threads=None,
):
    """Give the gradients of a loss by the input, the weights and the bias of `conv_transpose3d`.

    The formulas are those of `conv_transpose2d_backward`, over three axes.

    Parameters
    ----------
    dy : (N, K, OD, OH, OW) array, or (N, OD, OH, OW, K) with ``layout="NDHWC"``
        Of the shape of conv_transpose3d's result, before an activation; of weight's dtype.
    x, weight, stride, padding, output_padding, groups, dilation, layout
        As in `conv_transpose3d`.
    output_mask, algorithm, out, threads
        As in `conv2d_backward`.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of x, weight and (K,), or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.ones((1, 1, 2, 1, 1)), np.ones((1, 1, 2, 1, 1))
    >>> dy = np.array([1.0, 2, 3]).reshape(1, 1, 3, 1, 1)
    >>> dx, dweight, dbias = conv_transpose3d_backward(dy, x, weight)
    >>> dx.ravel(), dweight.ravel(), dbias
    (array([3., 5.]), array([3., 5.]), array([6.]))
    """
    return _transpose_backward(
        3, "conv_transpose3d_backward", dy, x, weight, stride, padding, output_padding, groups,
        dilation, output_mask, layout, algorithm, out, threads,
    )  # fmt: skip


def _backward(
    dims, function, dy, x, weight, stride, padding, dilation, groups, output_mask,
    padding_mode, layout, algorithm, out, threads,
):  # fmt: skip
    plan = PLANS[dims](
        function, weight, None, stride, padding, dilation, groups,
        padding_mode, None, layout, algorithm,
    )  # fmt: skip
    x, geometry, _, threads = plan._checked_call(x, threads, None)
    dy = _image(function, "dy", dy, geometry.shape, x.dtype, plan.batch)
    weight = plan._weight
    shapes = (x.shape, weight.shape, weight.shape[:1])
    results = _results(function, output_mask, out, shapes, (dy, x, weight))
    dx, dweight, dbias = (result for result, _ in results)
    _check_by_weight(function, geometry, dy, dweight, threads, algorithm)
    if dx is not None and dx.size:
        if dy.size:
            _gradient.by_input(function, geometry, dy, weight, dx, threads, algorithm)
        else:
            dx.fill(0)
    _by_parameters(function, geometry, x, dy, dweight, dbias, threads, algorithm)
    return tuple(finish() for _, finish in results)


def _transpose_backward(
    dims, function, dy, x, weight, stride, padding, output_padding, groups, dilation,
    output_mask, layout, algorithm, out, threads,
):  # fmt: skip
    x, plan, geometry = turned(
        dims, function, x, weight, stride, padding, output_padding, groups, dilation, layout,
        algorithm,
    )  # fmt: skip
    if threads is not None:
        threads = _threads.checked(function, "threads", threads)
    channels = geometry.groups * geometry.channels
    dy = _image(function, "dy", dy, turned_shape(geometry), x.dtype, plan.batch)
    weight = plan._weight
    results = _results(
        function, output_mask, out, (x.shape, weight.shape, (channels,)), (dy, x, weight)
    )
    dx, dweight, dbias = (result for result, _ in results)
    _check_by_weight(function, geometry, dy, dweight, threads, algorithm)
    if dx is not None and dx.size:
        if dy.size:
            task, shared = plan.planned(geometry, threads)
            plan.compute(task, dy, None, dx, shared)
        else:
            dx.fill(0)
    _by_parameters(function, geometry, dy, x, dweight, None, threads, algorithm)
    depth, rows, cols = (window._replace(o=window.n) for window in geometry.axes)
    of_dy = _geometry.deep(geometry, depth, k=geometry.channels, rows=rows, cols=cols)
    _by_parameters(function, of_dy, x, dy, None, dbias, threads, algorithm)
    return tuple(finish() for _, finish in results)


def _image(function, name, value, shape, dtype, batch):
    """An array of images that must have this shape and dtype."""
    value = _arrays.readable(function, name, value, DTYPES, batch)
    if value.shape != shape:
        raise ValueError(
            f"{function}: {name} has shape {value.shape}, expected the result's, {shape}"
        )
    if value.dtype != dtype:
        raise TypeError(f"{function}: {name} has dtype {value.dtype}, expected x's, {dtype}")
    return value


def _results(function, output_mask, out, shapes, inputs):
    """(array, finish) of every result; None is not asked for."""
    mask, out = (
        _geometry.triple(function, name, value)
        for name, value in (("output_mask", output_mask), ("out", out))
    )
    for name, asked, array in zip(RESULTS, mask, out, strict=True):
        if array is not None and not asked:
            raise ValueError(f"{function}: out has an array for {name}, expected None")
    _arrays.check_apart(function, out)
    return [
        _arrays.writable(function, array, shape, inputs[0].dtype, inputs)
        if asked
        else (None, lambda: None)
        for shape, asked, array in zip(shapes, mask, out, strict=True)
    ]


def _check_by_weight(function, geometry, dy, dweight, threads, algorithm):
    """Refuse dweight's scratch memory before dx is written."""
    if dweight is None or not dy.size:
        return
    task, _, shared = _plan.weight_gradient(geometry, algorithm != "direct", threads)
    _arrays.check_scratch(function, task, shared)
    if task.algorithm == _plan.WINOGRAD_WEIGHT_GRADIENT:  # direct sums may have to be taken instead
        _check_by_weight(function, geometry, dy, dweight, threads, "direct")


def _by_parameters(function, geometry, x, dy, dweight, dbias, threads, algorithm):
    """Sums over the batch, which may be empty."""
    for result in (dweight, dbias):
        if result is not None and result.size and not dy.size:
            result.fill(0)
    if not dy.size:
        return
    if dweight is not None:
        _gradient.by_weight(geometry, x, dy, dweight, threads, algorithm)
    if dbias is not None:
        _gradient.by_bias(geometry, dy, dbias, threads)
