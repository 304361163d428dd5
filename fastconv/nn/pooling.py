"""Poolings as layers, in PyTorch's names and defaults."""

import numpy as np

from fastconv import _plan
from fastconv.nn.activations import ReLU
from fastconv.nn.module import FLOATS, Module
from fastconv.pool import (
    _axes,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.pool._call import Call, run


class _Pooling(Module):
    """A pooling of (N, C, H, W)."""

    _last = None  # the shape whose result's is known

    def output_shape(self, shape):
        if len(shape) != 4:
            self._refuse(shape, "(N, C, H, W)")
        x = np.zeros((1, 1, *shape[2:]), np.float32)
        try:
            return *shape[:2], *self._pool_of(x, None, None).shape[2:]
        except ValueError as error:
            reason = str(error).partition(": ")[2]
            raise ValueError(f"{self._label()}: {reason}") from None

    def _result(self, x):
        if self._last != x.shape:
            self._result_shape, self._last = self.output_shape(x.shape), x.shape
        return self._buffer("y", self._result_shape, x.dtype)


class MaxPool2d(_Pooling):
    """The greatest element of each window, as `max_pool2d`.

    >>> MaxPool2d(2).output_shape((1, 8, 32, 32))
    (1, 8, 16, 16)
    """

    arguments = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        super().__init__()
        if return_indices:
            raise ValueError(
                f"MaxPool2d: return_indices is {return_indices!r}, "
                "expected False: max_pool2d gives them"
            )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode
        self._known = None, None

    def _pool_of(self, x, out, threads):
        return max_pool2d(x, *self.config().values(), out=out, threads=threads)

    def _forward(self, x, threads):
        y = self._result(x)
        run(self._geometries(x)[0], x, y, None, threads)
        return y

    def derives(self, activation):
        """Does the gradient take in that of this activation before it?"""
        pairs = self._geometries(self._x)[1]
        return isinstance(activation, ReLU) and _plan.is_pool_of_pairs(pairs)

    def _backward(self, dy, threads, input_gradient, positive=False):
        if not input_gradient:
            return None
        x = self._x
        pairs = self._geometries(x)[1 + positive]
        dx = self._pool.take(x.shape, dy.dtype)
        if not _plan.is_pool_of_pairs(pairs):
            return max_pool2d_backward(dy, x, *self.config().values(), out=dx, threads=threads)
        run(pairs, dy, dx, x, threads)
        return dx

    def _geometries(self, x):
        """Of the pooling, and of its gradient, after a ReLU, too, if its windows are pairs.

        Known for the last x.
        """
        key = x.shape, x.dtype
        if self._known[0] != key:
            label = self._label()
            call = Call(label, x, 2, "NCHW", FLOATS)
            axes = _axes.windows(label, call.size, *self.config().values())
            pairs = call.geometry(axes, algorithm="pool_max_grad")
            known = call.geometry(axes, pooling="max"), pairs, pairs._replace(positive=True)
            self._known = key, known
        return self._known[1]


class _Means(_Pooling):
    """A pooling whose gradient follows from the shape of its input alone."""

    def _forward(self, x, threads):
        return self._pool_of(x, self._result(x), threads)

    def _backward(self, dy, threads, input_gradient):
        if not input_gradient:
            return None
        return self._gradient(dy, self._pool.take(self._x.shape, dy.dtype), threads)


class AvgPool2d(_Means):
    """The mean of each window, as `avg_pool2d`.

    >>> AvgPool2d(3, stride=2, padding=1).output_shape((1, 8, 32, 32))
    (1, 8, 16, 16)
    """

    arguments = (
        "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    )  # fmt: skip

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    ):  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def _pool_of(self, x, out, threads):
        return avg_pool2d(x, *self.config().values(), out=out, threads=threads)

    def _gradient(self, dy, dx, threads):
        return avg_pool2d_backward(
            dy, self._x.shape, *self.config().values(), out=dx, threads=threads
        )


class AdaptiveAvgPool2d(_Means):
    """The means of windows that cover the image, `output_size` of them.

    >>> AdaptiveAvgPool2d((2, 3)).output_shape((1, 8, 32, 32))
    (1, 8, 2, 3)
    """

    arguments = ("output_size",)

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def _pool_of(self, x, out, threads):
        return adaptive_avg_pool2d(x, self.output_size, out=out, threads=threads)

    def _gradient(self, dy, dx, threads):
        return adaptive_avg_pool2d_backward(dy, self._x.shape, out=dx, threads=threads)
