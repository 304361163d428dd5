"""Convolution of 8-bit integers into exact sums, and those to 8 bits again: ONNX's operators."""

import math

import numpy as np

from fastconv import _arrays, _core, _geometry, _plan
from fastconv._conv_plan import ConvPlan

__all__ = ["conv_integer", "conv_quantized", "plan_conv_quantized"]

BYTES = ("uint8", "int8")
RESULTS = (*BYTES, "float32")


def conv_integer(
    x,
    weight,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    x_zero_point=0,
    weight_zero_point=0,
    layout=None,
    out=None,
    threads=None,
):
    """Cross-correlate batches of 8-bit integers with K kernels, exactly: ONNX's ConvInteger.

    ``y[n, k, p, q] = sum over c, i, j of (weight[k, c, i, j] - weight_zero_point[k]) *
    (padded[n, c, p * stride + i * dilation, q * stride + j * dilation] - x_zero_point)``, where
    padding holds x_zero_point. So along one axis or three, by the dimensions of weight.

    Parameters
    ----------
    x : (N, C, W), (N, C, H, W) or (N, C, D, H, W) array, uint8 or int8
        The channels are last with ``layout="NHWC"`` (or "NWC", "NDHWC").
    weight : (K, C // groups, kh, kw) array, uint8 or int8, or one of an axis less or more
        Kernels, in both layouts.
    stride, padding, dilation, groups
        As in `conv2d`, of zeros around the image.
    x_zero_point : int
        What stands for zero in x.
    weight_zero_point : int or (K,) array of integers
    layout : str, optional
        The channels are first by default.
    out : array of the result's shape, int32, optional
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (N, K, OH, OW) array, or (N, OH, OW, K), int32

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, or a sum might leave 32 bits, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[2, 3, 4], [5, 6, 7], [8, 9, 10]]]], np.uint8)
    >>> conv_integer(x, np.ones((1, 1, 2, 2), np.uint8), x_zero_point=1)[0, 0]
    array([[12, 16],
           [24, 28]], dtype=int32)
    """
    return QuantizedPlan(
        "conv_integer", weight, None, stride, padding, dilation, groups, 1.0, x_zero_point, 1.0,
        weight_zero_point, 1.0, 0, "int32", layout, results=("int32",),
    )(x, out, threads)  # fmt: skip


def conv_quantized(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    x_scale=1.0,
    x_zero_point=0,
    weight_scale=1.0,
    weight_zero_point=0,
    y_scale=1.0,
    y_zero_point=0,
    dtype="uint8",
    layout=None,
    out=None,
    threads=None,
):
    """Cross-correlate quantised batches, of 8-bit integers, with K kernels: ONNX's QLinearConv.

    ``y = round((conv_integer(x, weight) + bias) * (x_scale * weight_scale[k] / y_scale)) +
    y_zero_point``, in float32, rounded half to even and then saturated to the dtype; float32
    results are the products themselves.

    Parameters
    ----------
    x, weight, stride, padding, dilation, groups, x_zero_point, weight_zero_point
        As in `conv_integer`.
    bias : (K,) array, int32, optional
        In units of x_scale * weight_scale.
    x_scale, y_scale : float
    weight_scale : float or (K,) array of floats
        What a step of an integer is worth; positive.
    y_zero_point : int
        What stands for zero in an 8-bit result.
    dtype : "uint8", "int8" or "float32"
        Of the result.
    layout, out, threads
        As in `conv_integer`; out has this dtype.

    Returns
    -------
    (N, K, OH, OW) array, or (N, OH, OW, K), of the dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, or a sum might leave 32 bits, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[1, 2, 3, 200]]], np.uint8)
    >>> weight = np.array([[[1, 2]]], np.int8)
    >>> conv_quantized(x, weight, x_scale=0.5, y_zero_point=10)
    array([[[ 12,  14, 212]]], dtype=uint8)
    """
    return QuantizedPlan(
        "conv_quantized", weight, bias, stride, padding, dilation, groups, x_scale, x_zero_point,
        weight_scale, weight_zero_point, y_scale, y_zero_point, dtype, layout,
    )(x, out, threads)  # fmt: skip


def plan_conv_quantized(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    x_scale=1.0,
    x_zero_point=0,
    weight_scale=1.0,
    weight_zero_point=0,
    y_scale=1.0,
    y_zero_point=0,
    dtype="uint8",
    layout=None,
):
    """Prepare a `conv_quantized` to call many times: weights are packed once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, x_scale, x_zero_point, weight_scale, \
weight_zero_point, y_scale, y_zero_point, layout
        As in `conv_quantized`.
    dtype : "uint8", "int8", "float32" or "int32"
        Of the result; "int32" are the sums themselves, as `conv_integer` gives them, plus bias.

    Returns
    -------
    QuantizedPlan
        Call it as ``plan(x, out=None, threads=None)`` for any batch and size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv_quantized(np.ones((4, 3, 3, 3), np.int8), padding=1, dtype="float32")
    >>> plan(np.ones((2, 3, 32, 32), np.uint8)).shape
    (2, 4, 32, 32)
    """
    return QuantizedPlan(
        "plan_conv_quantized", weight, bias, stride, padding, dilation, groups, x_scale,
        x_zero_point, weight_scale, weight_zero_point, y_scale, y_zero_point, dtype, layout,
        copy=True, results=(*RESULTS, "int32"),
    )  # fmt: skip


class QuantizedPlan(ConvPlan):
    """A convolution of 8-bit integers with its weights; made by `plan_conv_quantized`."""

    _dtypes = BYTES

    def __init__(
        self, function, weight, bias, stride, padding, dilation, groups, x_scale, x_zero_point,
        weight_scale, weight_zero_point, y_scale, y_zero_point, dtype, layout, copy=False,
        results=RESULTS,
    ):  # fmt: skip
        weight = _arrays.readable(function, "weight", weight, BYTES)
        if weight.ndim - 2 not in _geometry.LAYOUTS:
            raise ValueError(
                f"{function}: weight has shape {weight.shape}, expected (K, C // groups, kw), "
                "(K, C // groups, kh, kw) or (K, C // groups, kd, kh, kw)"
            )
        self._dims = weight.ndim - 2
        if layout is None:
            layout = next(iter(_geometry.LAYOUTS[self._dims]))
        super().__init__(
            function, weight, None, stride, padding, dilation, groups, "zeros", None, layout,
            "direct", copy,
        )  # fmt: skip
        dtype = np.dtype(dtype).name if isinstance(dtype, type | np.dtype) else dtype
        self._dtype = np.dtype(_geometry.choice(function, "dtype", dtype, results))
        self._x_zero = _geometry.integer(function, "x_zero_point", x_zero_point, -128, 255)
        self._zeros = self._of_channels("weight_zero_point", weight_zero_point, "iu").astype(int)
        _check_range(function, "weight_zero_point", self._zeros, weight.dtype)
        self._zero = 0
        if self._dtype.name in BYTES:
            info = np.iinfo(self._dtype)
            self._zero = _geometry.integer(
                function, "y_zero_point", y_zero_point, info.min, info.max
            )
            self._activation = "clip", info.min - self._zero, info.max - self._zero
        scales = [
            _arrays.number(function, name, value)
            for name, value in (("x_scale", x_scale), ("y_scale", y_scale))
        ]
        with np.errstate(all="ignore"):
            x_scale, y_scale = np.float32(scales)
            of_weights = self._of_channels("weight_scale", weight_scale, "f").astype(np.float32)
            self._scales = x_scale * of_weights / y_scale
        for name, values in (
            ("x_scale", x_scale), ("y_scale", y_scale), ("weight_scale", of_weights),
            ("x_scale * weight_scale / y_scale", self._scales),
        ):  # fmt: skip
            values = np.atleast_1d(values)
            wrong = values[~((values > 0) & np.isfinite(values))]
            if wrong.size:
                raise ValueError(
                    f"{function}: {name} is {wrong[0]}, expected a positive number of float32"
                )
        added = np.zeros(len(weight), np.int64)
        if bias is not None:
            added[:] = self.checked_bias(bias, len(weight), ("int32",))
        self._added = added
        # Of each output channel, the sum of weights, and of them without signs; 16 bits hold each.
        rows = weight.reshape(len(weight), math.prod(weight.shape[1:]))
        centred = np.subtract(rows, self._zeros[:, None], dtype=np.int16)
        self._weight_sums = centred.sum(1, dtype=np.int64)
        self._magnitudes = np.abs(centred, out=centred).sum(1, dtype=np.int64)
        # As they are stored, with a sign.
        self._stored_zeros = self._zeros - (128 if weight.dtype == np.uint8 else 0)

    def __call__(self, x, out=None, threads=None):
        """Convolve a batch of the plan's layout; as `conv_quantized`."""
        result = self._ready_result(x, out, threads)
        if result is not None:
            return result
        function = self._function
        x, geometry, _, threads = self._checked_call(x, threads, None)
        _check_range(function, "x_zero_point", self._x_zero, x.dtype)
        self._check_sums(x.dtype)
        result, finish = _arrays.writable(
            function, out, geometry.shape, self._dtype, (x, self._weight)
        )
        if result.size:
            _arrays.check_memory(function, "the input under a kernel", geometry.seen, x.dtype)
            geometry, planes = self._joined(geometry)
            task, threads = _plan.conv_integer(geometry, self._stored(x.dtype, planes), threads)
            _arrays.check_scratch(function, task, threads)
            packed, channels = self._packed_for(task, x.dtype, geometry.groups, planes)
            task(threads, x, None, result, packed, channels)
            seconds = _plan.conv_integer_seconds(geometry, planes)
            self._keep(task, threads, seconds, x, result, packed, channels)
        return finish()

    def _joined(self, geometry):
        """The geometry as it is computed, and whether its channels are planes for themselves."""
        # What zero points of weights are times is the sum of one group.
        apart = self._stored_zeros.any()
        joined, planes = (1, False) if apart else _plan.joined_groups(geometry)
        return geometry._replace(
            groups=geometry.groups // joined, c=geometry.c * joined, k=geometry.k * joined
        ), planes

    def check_dtype(self, name, array):
        """Any goes with any other."""

    def _of_channels(self, name, value, kinds):
        """A number, or one for each output channel, as an array of these."""
        array = _arrays.as_array(self._function, name, value)
        if array.dtype.kind not in kinds + "iu":
            raise TypeError(
                f"{self._function}: {name} has dtype {array.dtype}, expected "
                + ("floats" if "f" in kinds else "integers")
            )
        channels = len(self._weight)
        if array.shape not in ((), (1,), (channels,)):
            raise ValueError(
                f"{self._function}: {name} has shape {array.shape}, expected a number or "
                f"({channels},), one for each output channel"
            )
        return np.broadcast_to(array, channels)

    def _check_sums(self, dtype):
        """Refuse what might leave 32 bits."""
        info = np.iinfo(dtype)
        largest = max(info.max - self._x_zero, self._x_zero - info.min)
        sums = largest * self._magnitudes + np.abs(self._added)
        if sums.max(initial=0) >= 2**31:
            raise ValueError(
                f"{self._function}: a sum of these weights may be {sums.max()}, expected less than "
                "2**31"
            )

    def _stored(self, dtype, planes):
        """How numbers are stored, in x, between and in the result (see conv_integer.h)."""
        return _plan.Stored(
            flip=dtype == np.int8, x_zero=self._x_zero & 255,
            weights_zero=bool(self._stored_zeros.any()), zero=self._zero,
            result=_core.SUM_RESULTS[self._dtype.name], planes=planes,
        )  # fmt: skip

    def _packed_for(self, task, dtype, groups, planes):
        """The weights as the task reads them, and the numbers of its output channels."""
        key = task.algorithm, dtype, groups, planes
        if key not in self._packed:
            weights = self._packed_weights(task.algorithm, groups, planes)
            self._packed[key] = weights, self._channels(dtype, groups)
        return self._packed[key]

    def _stored_weights(self):
        """The weights with a sign, (K, C // groups, kd, kh, kw)."""
        stored = self._weight.view(np.int8)
        if self._weight.dtype == np.uint8:
            stored = stored ^ np.int8(-128)
        k, c, *kernel = stored.shape
        return stored.reshape(k, c, *(1, 1, *kernel)[-3:])

    def _packed_weights(self, algorithm, groups, planes):
        each = _plan.INTEGER_TERMS[algorithm]
        stored = self._stored_weights()
        k, c, slices, rows, cols = stored.shape
        if groups < self._groups and not planes:  # 0 for the input of the other groups
            joined = self._groups // groups
            apart = np.zeros((k, joined, *stored.shape[1:]), np.int8)
            apart[np.arange(k), np.arange(k) * self._groups // k % joined] = stored
            stored = apart.reshape(k, joined * c, slices, rows, cols)
        # Terms by tap row, tap column, and all channels of a slice, then of the next; those that
        # are neighbours in memory are a run.
        runs = rows if (1, *self._dilation)[-1] == 1 else rows * cols
        stored = stored.transpose(0, 3, 4, 2, 1).reshape(groups, k // groups, runs, -1)
        words, channels = -(-stored.shape[3] // each), _padded(stored.shape[1])
        packed = np.zeros(
            (groups, channels, runs, words * each), np.int8 if each == 4 else np.int16
        )
        packed[:, : stored.shape[1], :, : stored.shape[3]] = stored
        width = _core.INTEGER_CHANNELS
        packed = packed.view(np.int32).reshape(groups, channels // width, width, runs * words)
        return np.ascontiguousarray(packed.swapaxes(2, 3))

    def _channels(self, dtype, groups):
        """Of each output channel the numbers that fastconv.h names."""
        k = len(self._weight) // groups
        x_zero = self._x_zero + (128 if dtype == np.int8 else 0)
        # Sums of stored weights less the zero points of as many terms: of plain ones.
        added = self._added - x_zero * self._weight_sums
        # What is summed lies together: where it does not, NumPy takes ten times as long.
        by_rows = np.ascontiguousarray(self._stored_weights().transpose(0, 3, 2, 4, 1))
        on_padding = x_zero * by_rows.reshape(*by_rows.shape[:2], -1).sum(2, np.int64)
        rows = added, self._stored_zeros, self._scales.view(np.int32), *on_padding.T
        channels = np.zeros((len(rows), groups, _padded(k)), np.int32)
        for row, values in zip(channels, rows, strict=True):
            row[:, :k] = values.astype(np.int32).reshape(groups, k)
        return channels


def _padded(channels):
    """Output channels of a group as they are packed."""
    return -(-channels // _core.INTEGER_CHANNELS) * _core.INTEGER_CHANNELS


def _check_range(function, name, values, dtype):
    info = np.iinfo(dtype)
    least, most = np.min(values, initial=info.max), np.max(values, initial=info.min)
    if least < info.min or most > info.max:
        wrong = least if least < info.min else most
        raise ValueError(f"{function}: {name} is {wrong}, expected what {np.dtype(dtype)} can hold")
