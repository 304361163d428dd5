"""Layers of weights: convolutions, and the linear layer, which is one; in PyTorch's names."""

import math
from functools import cached_property

import numpy as np

from fastconv import _geometry, _gradient
from fastconv.conv import Conv1dPlan, Conv2dPlan
from fastconv.conv_backward import conv_transpose2d_backward
from fastconv.conv_transpose import conv_transpose2d
from fastconv.nn.module import Module, Parameter

# Geometries that a layer remembers: training, the last batch of an epoch, validation and so on.
REMEMBERED = 16


class _Prepared:
    """What a layer remembers of batches of one shape: its plan and geometry, for these weights."""

    def __init__(self, weight, bias, plan, geometry):
        self.weight, self.bias, self.plan, self.geometry = weight, bias, plan, geometry
        self.shape = geometry.shape

    @cached_property
    def by_input(self):
        """The gradient by the input, whose plan is kept, too."""
        return _gradient.InputGradient(self.plan._function, self.geometry, "auto")

    @cached_property
    def turned(self):
        """The geometry of a product whose samples and output channels change places."""
        g = self.geometry
        return g._replace(k=g.cols.n, cols=g.cols._replace(n=g.k, o=g.k))


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
    """A layer that is a convolution of what it makes of its input."""

    plans, layout = Conv2dPlan, "NCHW"

    def __init__(self):
        super().__init__()
        self._ready = {}

    def __getstate__(self):
        """Pickled or copied, it plans its calls anew."""
        return {**self.__dict__, "_ready": {}}

    def _forward(self, x, threads, activation=None):
        prepared = self._prepared(x.shape, x.dtype, activation)
        plan, geometry = prepared.plan, prepared.geometry
        # Apart, so that a sum that an activation's derivative asks for later overwrites nothing.
        key = "y" if activation is None else "fused"
        y = self._buffer(key, self._result_shape(x.shape, prepared.shape), x.dtype)
        plan.repack()
        task, threads = plan.planned(geometry, threads)
        plan.compute(task, x, None, y, threads)
        plan.give_back()
        return y

    def _backward(self, dy, threads, input_gradient):
        x = self._x
        prepared = self._prepared(x.shape, x.dtype, None)
        geometry = prepared.geometry
        _gradient.by_weight(geometry, x, dy, self._kernel(self.weight.grad), threads, "auto")
        if self.bias is not None:
            _gradient.by_bias(geometry, dy, self.bias.grad, threads)
        if not input_gradient:
            return None
        dx = self._pool.take(x.shape, x.dtype)
        self._by_input(prepared, dy, dx, threads)
        return dx

    def _by_input(self, prepared, dy, dx, threads):
        kernel, shape = self._kernel(self.weight.value), self._image_shape(dx.shape)
        prepared.by_input(kernel, dy.reshape(prepared.shape), dx.reshape(shape), threads)

    def _prepared(self, shape, dtype, activation):
        """What such a batch needs, with these weights."""
        weight, bias = self._params["weight"].value, self._params.get("bias")
        bias = bias and bias.value
        key = shape, dtype.char, activation
        found = self._ready.get(key)
        if found is None or found.weight is not weight or found.bias is not bias:
            # Kernels read weights where they are: the plan's have to be these.
            for each in self._params.values():
                each.value = np.ascontiguousarray(each.value)
            weight, bias = self.weight.value, self.bias and self.bias.value
            images = np.broadcast_to(np.zeros((), dtype), self._image_shape(shape))
            plan = self._plan(self._label(), weight, bias, activation)
            if len(self._ready) >= REMEMBERED:
                self._ready.clear()
            found = self._ready[key] = _Prepared(weight, bias, plan, plan._geometry(images, False))
        return found

    def _plan(self, function, weight, bias, activation):
        stride, padding, dilation, groups, padding_mode = self._options()
        return self.plans(
            function, self._kernel(weight), bias, stride, padding, dilation, groups, padding_mode,
            activation, self.layout, "auto",
        )  # fmt: skip

    def output_shape(self, shape):
        shape = tuple(shape)
        prepared = self._prepared(shape, self.weight.value.dtype, None)
        return self._result_shape(shape, prepared.shape)

    def _multiply_adds(self, result):
        return math.prod(result) * self.weight.value[0].size

    def _options(self):
        return 1, 0, 1, 1, "zeros"

    def _kernel(self, weight):
        """The weights as the convolution's."""
        return weight

    def _image_shape(self, shape):
        """The shape as the convolution's of x; refuses what does not fit."""
        raise NotImplementedError

    def _result_shape(self, shape, image_shape):
        """The result's shape for x of a shape, from that of the convolution's."""
        return image_shape


def _check_channels(name, in_channels, out_channels, groups):
    integer = _geometry.integer
    for word, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        if integer(name, word, value, 1) % integer(name, "groups", groups, 1):
            raise ValueError(f"{name}: {word} is {value}, expected a multiple of groups={groups}")


class Conv2d(_Convolving):
    """`conv2d` with weights (out_channels, in_channels // groups, kh, kw).

    Arguments are PyTorch's: `padding` may also be "same", `padding_mode` any of conv2d's.

    >>> Conv2d(3, 8, 3, padding=1).output_shape((1, 3, 32, 32))
    (1, 8, 32, 32)
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
    """Convolution of (N, C, W) with weights (out_channels, in_channels // groups, kw).

    `padding` may also be "causal": no output sees what comes after it.

    >>> Conv1d(3, 8, 5, stride=2).output_shape((1, 3, 32))
    (1, 8, 14)
    """

    plans, layout = Conv1dPlan, "NCW"

    def _size(self, name):
        return (_geometry.integer(name, "kernel_size", self.kernel_size, 1),)

    def _image_shape(self, shape):
        if len(shape) != 3 or shape[1] != self.in_channels:
            self._refuse(shape, f"(N, {self.in_channels}, W)")
        return shape


class Linear(_Convolving):
    """``x @ weight.T + bias`` with weights (out_features, in_features).

    A 1x1 convolution whose pixels are the samples: its bits do not depend on how many there are.

    >>> Linear(64, 10).output_shape((5, 64))  # or (5, ..., 64)
    (5, 10)
    """

    arguments = ("in_features", "out_features")
    layout = "NHWC"

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features = _geometry.integer("Linear", "in_features", in_features, 1)
        self.out_features = _geometry.integer("Linear", "out_features", out_features, 1)
        self._allocate((out_features, in_features), out_features, bias, in_features)

    def _by_input(self, prepared, dy, dx, threads):
        # dy @ weight is the gradient by the weights of a layer that takes weight's rows to dy's
        # columns: dy is turned around instead of weight, which is larger.
        turned = self._buffer("turned", (self.out_features, prepared.geometry.cols.n), dy.dtype)
        turned[...] = dy.reshape(-1, self.out_features).T
        _gradient.by_weight(prepared.turned, self.weight.value, turned, dx, threads, "direct")

    def _kernel(self, weight):
        return weight[:, :, None, None]

    def _image_shape(self, shape):
        if len(shape) < 2 or shape[-1] != self.in_features:
            self._refuse(shape, f"(N, {self.in_features})")
        return 1, 1, math.prod(shape[:-1]), shape[-1]

    def _result_shape(self, shape, image_shape):
        return *shape[:-1], self.out_features


class ConvTranspose2d(_Weighted):
    """`conv_transpose2d` with weights (in_channels, out_channels // groups, kh, kw).

    >>> ConvTranspose2d(8, 3, 2, stride=2).output_shape((1, 8, 16, 16))
    (1, 3, 32, 32)
    """

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
