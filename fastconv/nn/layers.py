"""Layers with parameters, poolings and what changes shapes, in PyTorch's names and defaults."""

import math

import numpy as np

from fastconv import _arrays, _geometry, _gradient, _plan
from fastconv.conv import Conv2dPlan
from fastconv.conv_backward import conv_transpose2d_backward
from fastconv.conv_transpose import conv_transpose2d
from fastconv.nn.module import FLOATS, Module, Parameter
from fastconv.pool import (
    _axes,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.pool._call import Call

# Geometries that a layer remembers: training, the last batch of an epoch, validation and so on.
REMEMBERED = 16


class _Weighted(Module):
    """A layer of weights and perhaps a bias, whose sums have `fan_in` terms."""

    def _allocate(self, weight_shape, outputs, bias, fan_in):
        self._fan_in = fan_in
        self._params["weight"] = Parameter(np.zeros(weight_shape, np.float32))
        if bias:
            self._params["bias"] = Parameter(np.zeros(outputs, np.float32))
        self._initialize(np.random.default_rng())

    @property
    def weight(self):
        """The weights, a Parameter."""
        return self._params["weight"]

    @property
    def bias(self):
        """The bias, a Parameter or None."""
        return self._params.get("bias")

    def config(self):
        return super().config() | {"bias": self.bias is not None}

    def _initialize(self, random):
        # PyTorch's kaiming_uniform_(a=sqrt(5)): between -1 and 1 over the root of the terms.
        limit = 1 / math.sqrt(self._fan_in) if self._fan_in else 0
        for each in self._params.values():
            each.value[...] = random.uniform(-limit, limit, each.value.shape)


class _Convolving(_Weighted):
    """A layer that is conv2d of images that it makes of its input."""

    layout = "NCHW"

    def __init__(self):
        super().__init__()
        self._ready = {}

    def _forward(self, x, threads, activation=None):
        plan, geometry = self._prepared(x.shape, x.dtype, activation)
        # Apart, so that a sum that an activation's derivative asks for later overwrites nothing.
        key = "y" if activation is None else "fused"
        y = self._buffer(key, self._result_shape(x.shape, geometry), x.dtype)
        task, threads = plan.planned(geometry, threads)
        plan.repack()
        plan.compute(task, x, None, y, threads)
        plan.give_back()
        return y

    def _backward(self, dy, threads, input_gradient):
        x, label = self._x, self._label()
        _, geometry = self._prepared(x.shape, x.dtype, None)
        _gradient.by_weight(label, geometry, x, dy, self._kernel(self.weight.grad), threads)
        if self.bias is not None:
            _gradient.by_bias(geometry, dy, self.bias.grad, threads)
        if not input_gradient:
            return None
        dx = self._pool.take(x.shape, x.dtype)
        self._by_input(label, geometry, dy, dx, threads)
        return dx

    def _by_input(self, label, geometry, dy, dx, threads):
        kernel, shape = self._kernel(self.weight.value), self._image_shape(dx.shape)
        dy, dx = dy.reshape(geometry.shape), dx.reshape(shape)
        _gradient.by_input(label, geometry, dy, kernel, dx, threads, "auto")

    def _prepared(self, shape, dtype, activation):
        """The plan of these weights and the geometry of such a batch."""
        weight, bias = self.weight.value, self.bias and self.bias.value
        key = shape, dtype.char, activation
        found = self._ready.get(key)
        if found is None or found[0] is not weight or found[1] is not bias:
            images = np.broadcast_to(np.zeros((), dtype), self._image_shape(shape))
            plan = self._plan(self._label(), weight, bias, activation)
            if len(self._ready) >= REMEMBERED:
                self._ready.clear()
            found = self._ready[key] = weight, bias, plan, plan._geometry(images, False)
        return found[2:]

    def _plan(self, function, weight, bias, activation):
        stride, padding, dilation, groups, padding_mode = self._options()
        return Conv2dPlan(
            function, self._kernel(weight), bias, stride, padding, dilation, groups, padding_mode,
            activation, self.layout, "auto",
        )  # fmt: skip

    def output_shape(self, shape):
        shape = tuple(shape)
        _, geometry = self._prepared(shape, self.weight.value.dtype, None)
        return self._result_shape(shape, geometry)

    def _multiply_adds(self, result):
        return math.prod(result) * self.weight.value[0].size

    def _options(self):
        return 1, 0, 1, 1, "zeros"

    def _kernel(self, weight):
        """The weights as conv2d's."""
        return weight

    def _image_shape(self, shape):
        """The shape as conv2d's of x; refuses what does not fit."""
        raise NotImplementedError

    def _result_shape(self, shape, geometry):
        return geometry.shape


def _check_channels(name, in_channels, out_channels, groups):
    integer = _geometry.integer
    for word, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        if integer(name, word, value, 1) % integer(name, "groups", groups, 1):
            raise ValueError(f"{name}: {word} is {value}, expected a multiple of groups={groups}")


class Conv2d(_Convolving):
    """`conv2d` with weights (out_channels, in_channels // groups, kh, kw).

    Arguments are PyTorch's: `padding` may also be "same", `padding_mode` any of conv2d's.
    """

    arguments = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "padding_mode",
    )  # fmt: skip

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
        bias=True, padding_mode="zeros",
    ):  # fmt: skip
        super().__init__()
        name = type(self).__name__
        _check_channels(name, in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.padding_mode = dilation, padding_mode
        shape = (out_channels, in_channels // groups, *self._size(name))
        self._allocate(shape, out_channels, bias, math.prod(shape[1:]))
        # Options that do not fit are refused here, not by the first batch.
        self._plan(name, self.weight.value, None, None)

    def _size(self, name):
        return _geometry.pair(name, "kernel_size", self.kernel_size, 1)

    def _options(self):
        return self.stride, self.padding, self.dilation, self.groups, self.padding_mode

    def _image_shape(self, shape):
        if len(shape) != 4 or shape[1] != self.in_channels:
            self._refuse(shape, f"(N, {self.in_channels}, H, W)")
        return shape


class Conv1d(Conv2d):
    """Convolution of (N, C, W) with weights (out_channels, in_channels // groups, kw)."""

    def _size(self, name):
        return (_geometry.integer(name, "kernel_size", self.kernel_size, 1),)

    def _options(self):
        # An image of one row.
        padding = self.padding if isinstance(self.padding, str) else (0, self.padding)
        return (1, self.stride), padding, (1, self.dilation), self.groups, self.padding_mode

    def _kernel(self, weight):
        return weight[:, :, None]

    def _image_shape(self, shape):
        if len(shape) != 3 or shape[1] != self.in_channels:
            self._refuse(shape, f"(N, {self.in_channels}, W)")
        return *shape[:2], 1, shape[2]

    def _result_shape(self, shape, geometry):
        n, channels, _, width = geometry.shape
        return n, channels, width


class Linear(_Convolving):
    """``x @ weight.T + bias`` with weights (out_features, in_features).

    A 1x1 convolution whose pixels are the samples: its bits do not depend on how many there are.
    """

    arguments = ("in_features", "out_features")
    layout = "NHWC"

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features = _geometry.integer("Linear", "in_features", in_features, 1)
        self.out_features = _geometry.integer("Linear", "out_features", out_features, 1)
        self._allocate((out_features, in_features), out_features, bias, in_features)

    def _by_input(self, label, geometry, dy, dx, threads):
        # dy @ weight is the gradient by the weights of a layer that takes weight's rows to dy's
        # columns: dy is turned around instead of weight, which is larger.
        columns = geometry.cols._replace(n=self.out_features, o=self.out_features)
        samples = geometry._replace(k=geometry.cols.n, cols=columns)
        turned = self._buffer("turned", (self.out_features, geometry.cols.n), dy.dtype)
        turned[...] = dy.reshape(-1, self.out_features).T
        _gradient.by_weight(label, samples, self.weight.value, turned, dx, threads)

    def _kernel(self, weight):
        return weight[:, :, None, None]

    def _image_shape(self, shape):
        if len(shape) < 2 or shape[-1] != self.in_features:
            self._refuse(shape, f"(N, {self.in_features})")
        return 1, 1, math.prod(shape[:-1]), shape[-1]

    def _result_shape(self, shape, geometry):
        return *shape[:-1], self.out_features


class ConvTranspose2d(_Weighted):
    """`conv_transpose2d` with weights (in_channels, out_channels // groups, kh, kw)."""

    arguments = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding",
        "groups", "dilation",
    )  # fmt: skip

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0,
        groups=1, bias=True, dilation=1,
    ):  # fmt: skip
        super().__init__()
        _check_channels("ConvTranspose2d", in_channels, out_channels, groups)
        size = _geometry.pair("ConvTranspose2d", "kernel_size", kernel_size, 1)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.output_padding, self.dilation = output_padding, dilation
        shape = (in_channels, out_channels // groups, *size)
        # PyTorch counts the terms of the weights' second axis, here as everywhere.
        self._allocate(shape, out_channels, bias, math.prod(shape[1:]))

    def _options(self):
        return self.stride, self.padding, self.output_padding, self.groups, self.dilation

    def _forward(self, x, threads, activation=None):
        key = "y" if activation is None else "fused"
        y = self._buffer(key, self.output_shape(x.shape), x.dtype)
        bias = self.bias and self.bias.value
        conv_transpose2d(
            x, self.weight.value, bias, *self._options(), activation=activation, out=y,
            threads=threads,
        )  # fmt: skip
        return y

    def _backward(self, dy, threads, input_gradient):
        x = self._x
        dx = self._pool.take(x.shape, x.dtype) if input_gradient else None
        dbias = self.bias and self.bias.grad
        conv_transpose2d_backward(
            dy, x, self.weight.value, *self._options(),
            output_mask=(input_gradient, True, dbias is not None),
            out=(dx, self.weight.grad, dbias), threads=threads,
        )  # fmt: skip
        return dx

    def output_shape(self, shape):
        if len(shape) != 4 or shape[1] != self.in_channels:
            self._refuse(shape, f"(N, {self.in_channels}, H, W)")
        label = self._label()
        pair = _geometry.pair
        rows, cols = _geometry.transposed(
            label, shape[2:], self.weight.value.shape[2:], pair(label, "stride", self.stride, 1),
            _geometry.padding(label, self.padding), pair(label, "dilation", self.dilation, 1),
            pair(label, "output_padding", self.output_padding, 0),
        )  # fmt: skip
        return shape[0], self.out_channels, rows.n, cols.n

    def _multiply_adds(self, result):
        return math.prod(result) * self.weight.value[:, 0].size


class BatchNorm2d(Module):
    """Each channel minus its mean, over the root of its variance, times weight, plus bias.

    In training mean and variance are the batch's; ``running_mean`` and ``running_var``, which
    are used after training, move towards them by `momentum` (arXiv:1502.03167).
    """

    arguments = ("num_features", "eps", "momentum")

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.num_features = _geometry.integer("BatchNorm2d", "num_features", num_features, 1)
        self.eps, self.momentum = eps, momentum
        for name, value in (("weight", 1), ("bias", 0)):
            self._params[name] = Parameter(np.full(num_features, value, np.float32))
        self._statistics = {
            "running_mean": np.zeros(num_features, np.float32),
            "running_var": np.ones(num_features, np.float32),
            "num_batches_tracked": np.zeros((), np.int64),
        }

    def _initialize(self, random):
        self._params["weight"].value.fill(1)
        self._params["bias"].value.fill(0)
        self._statistics["running_mean"].fill(0)
        self._statistics["running_var"].fill(1)
        self._statistics["num_batches_tracked"][...] = 0

    def output_shape(self, shape):
        if len(shape) != 4 or shape[1] != self.num_features:
            self._refuse(shape, f"(N, {self.num_features}, H, W)")
        return shape

    def _forward(self, x, threads):
        count = x.size // self.num_features
        if self.training and count < 2:
            self._refuse(x.shape, "more than one value per channel in training")
        y, normal = (self._buffer(key, x.shape, x.dtype) for key in ("y", "normal"))
        self._of_batch = self.training
        if self._of_batch:
            mean = self._channel_sums(x, threads) / count
            np.subtract(x, mean[:, None, None], out=normal)
            np.multiply(normal, normal, out=y)
            var = self._channel_sums(y, threads) / count
            self._follow(mean, var * (count / (count - 1)))
        else:
            mean, var = (self._statistics[f"running_{each}"] for each in ("mean", "var"))
            np.subtract(x, mean[:, None, None], out=normal)
        self._scale = 1 / np.sqrt(var + x.dtype.type(self.eps))
        np.multiply(normal, self._scale[:, None, None], out=normal)
        np.multiply(normal, self._params["weight"].value[:, None, None], out=y)
        return np.add(y, self._params["bias"].value[:, None, None], out=y)

    def _follow(self, mean, var):
        # New arrays: a step that fails goes back to the old ones.
        old, moved = self._statistics, {}
        for name, value in (("running_mean", mean), ("running_var", var)):
            moved[name] = old[name] + value.dtype.type(self.momentum) * (value - old[name])
        key = "num_batches_tracked"
        self._statistics = moved | {key: np.asarray(old[key] + 1)}

    def _backward(self, dy, threads, input_gradient):
        normal, weight, bias = self._views["normal"], *self._params.values()
        products = self._pool.take(dy.shape, dy.dtype)
        np.multiply(dy, normal, out=products)
        weight.grad[...] = self._channel_sums(products, threads)
        bias.grad[...] = self._channel_sums(dy, threads)
        dx = products if input_gradient else None
        if input_gradient:
            scale = (weight.value * self._scale)[:, None, None]
            if self._of_batch:
                count = dy.dtype.type(dy.size // self.num_features)
                np.multiply(normal, (weight.grad / count)[:, None, None], out=dx)
                np.add(dx, (bias.grad / count)[:, None, None], out=dx)
                np.subtract(dy, dx, out=dx)
                np.multiply(dx, scale, out=dx)
            else:
                np.multiply(dy, scale, out=dx)
        return dx

    def _channel_sums(self, x, threads):
        n, channels, h, w = x.shape
        rows, cols = (_geometry.Window(size, 1, 1, 1, 0, 0, size) for size in (h, w))
        geometry = _geometry.Conv2d(
            n, 1, channels, channels, rows, cols, ("constant", "constant"), (None,), False, "NCHW",
            8 * x.itemsize,
        )  # fmt: skip
        sums = np.empty(channels, x.dtype)
        _gradient.by_bias(geometry, x, sums, threads)
        return sums


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
    """The greatest element of each window, as `max_pool2d`."""

    arguments = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode
        self._known = None, None

    def _pool_of(self, x, out, threads):
        return max_pool2d(x, *self.config().values(), out=out, threads=threads)

    def _forward(self, x, threads):
        y, (forward, _) = self._result(x), self._geometries(x)
        self._pooled(forward, x, y, None, threads)
        return y

    def _backward(self, dy, threads, input_gradient):
        if not input_gradient:
            return None
        x, (_, pairs) = self._x, self._geometries(self._x)
        dx = self._pool.take(x.shape, dy.dtype)
        if not _plan.is_pool_of_pairs(pairs):
            return max_pool2d_backward(dy, x, *self.config().values(), out=dx, threads=threads)
        self._pooled(pairs, dy, dx, x, threads)
        return dx

    def _geometries(self, x):
        """Of the pooling, and of its gradient if its windows are pairs; known for the last x."""
        key = x.shape, x.dtype
        if self._known[0] != key:
            label = self._label()
            call = Call(label, x, 2, "NCHW", FLOATS)
            axes = _axes.windows(label, call.size, *self.config().values())
            pairs = call.geometry(axes, algorithm="pool_max_grad")
            self._known = key, (call.geometry(axes, pooling="max"), pairs)
        return self._known[1]

    @staticmethod
    def _pooled(geometry, source, result, pooled, threads):
        # What the functions do, without their checks, which would take longer than small poolings.
        task, threads = _plan.pool(geometry, threads)
        source, result, pooled = map(_arrays.as_bytes, (source, result, pooled))
        task(source, result, None, pooled, threads)


class _Means(_Pooling):
    """A pooling whose gradient follows from the shape of its input alone."""

    def _forward(self, x, threads):
        return self._pool_of(x, self._result(x), threads)

    def _backward(self, dy, threads, input_gradient):
        if not input_gradient:
            return None
        return self._gradient(dy, self._pool.take(self._x.shape, dy.dtype), threads)


class AvgPool2d(_Means):
    """The mean of each window, as `avg_pool2d`."""

    arguments = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
    ):
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def _pool_of(self, x, out, threads):
        return avg_pool2d(x, *self.config().values(), out=out, threads=threads)

    def _gradient(self, dy, dx, threads):
        return avg_pool2d_backward(
            dy, self._x.shape, *self.config().values(), out=dx, threads=threads
        )


class AdaptiveAvgPool2d(_Means):
    """The means of windows that cover the image, `output_size` of them."""

    arguments = ("output_size",)

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def _pool_of(self, x, out, threads):
        return adaptive_avg_pool2d(x, self.output_size, out=out, threads=threads)

    def _gradient(self, dy, dx, threads):
        return adaptive_avg_pool2d_backward(dy, self._x.shape, out=dx, threads=threads)


class Flatten(Module):
    """(N, C, H, W) as (N, C * H * W)."""

    def output_shape(self, shape):
        return shape[0], math.prod(shape[1:])

    def _forward(self, x, threads):
        return x.reshape(self.output_shape(x.shape))

    def _backward(self, dy, threads, input_gradient):
        return dy.reshape(self._x.shape)


class Dropout(Module):
    """In training, a zero with probability `p`; what is left is divided by ``1 - p``."""

    arguments = ("p",)

    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected at least 0 and less than 1")
        self.p = p
        self.seed()

    def seed(self, seed=None):
        """Begin the random numbers anew."""
        self._random = np.random.default_rng(seed)

    def _forward(self, x, threads):
        self._factors = None
        if not self.training or not self.p:
            return x
        y, factors = (self._buffer(key, x.shape, x.dtype) for key in ("y", "factors"))
        self._random.random(dtype=x.dtype, out=factors)
        np.greater_equal(factors, self.p, out=factors)
        np.multiply(factors, x.dtype.type(1 / (1 - self.p)), out=factors)
        self._factors = factors
        return np.multiply(x, factors, out=y)

    def _backward(self, dy, threads, input_gradient):
        if self._factors is None or not input_gradient:
            return dy
        return np.multiply(dy, self._factors, out=self._pool.take(dy.shape, dy.dtype))
