"""Activations: alone, or applied by the convolution before them in the same pass."""

import math
from functools import lru_cache

import numpy as np

from fastconv import _geometry, _plan
from fastconv.conv import conv2d
from fastconv.nn.module import Module, checked_number
from fastconv.pool._axes import Pool
from fastconv.pool._call import run

TANH_SCALE = math.sqrt(2 / math.pi)
LINE = 1024  # numbers of a sample that are worth a unit of their own


def apply(activation, x, y, threads):
    """Write one of conv2d's activations of x into y."""
    # A 1x1 convolution of one image of one channel applies what every other one does.
    line = (1, 1, 1, -1)
    one = np.ones((1, 1, 1, 1), x.dtype)
    conv2d(x.reshape(line), one, activation=activation, out=y.reshape(line), threads=threads)


class Activation(Module):
    """A function of each element.

    `fused` is what conv2d calls it. Where `from_output` is true, the derivative follows from the
    result alone, so that a convolution may apply it in training, too.
    """

    fused = None
    from_output = True

    def _forward(self, x, threads):
        y = self._buffer("y", x.shape, x.dtype)
        self._compute(x, y, threads)
        return y

    def adopt(self, y, layer):
        """Take a result that the layer before has made."""
        self._x, self._y, self._layer = None, y, layer

    def _compute(self, x, y, threads):
        apply(self.fused, x, y, threads)

    def _backward(self, dy, threads, input_gradient, out=None):
        if not input_gradient:
            return None
        out = self._pool.take(dy.shape, dy.dtype) if out is None else out
        self._differentiate(dy, out, threads)
        return out

    def _differentiate(self, dy, out, threads):
        self.by_output(dy, self._y, out, threads)

    def by_output(self, dy, y, out, threads):
        """Write dy times the derivative where the result is y; out may be dy."""
        raise NotImplementedError


class ReLU(Activation):
    """``max(x, 0)``; `inplace`, here and elsewhere, is PyTorch's and changes nothing.

    >>> ReLU()(np.array([-1.0, 2])).tolist()
    [0.0, 2.0]
    """

    fused = "relu"

    def __init__(self, inplace=False):
        super().__init__()

    def _compute(self, x, y, threads):
        np.maximum(x, 0, out=y)

    def by_output(self, dy, y, out, threads):
        # Threads share planes: samples, unless those are short.
        planes = len(dy) if dy.ndim and dy[0].size >= LINE else 1
        run(_single_pixels(planes, dy.size // planes, dy.itemsize), dy, out, y, threads)


@lru_cache(_plan.CACHED_PLANS)
def _single_pixels(planes, pixels, size):
    """The gradient of maxima above zero of single pixels, which is a ReLU's."""
    line = _geometry.POINT._replace(n=pixels, o=pixels)
    return Pool(
        planes, 1, (_geometry.POINT, _geometry.POINT, line), 8 * size, f"float{8 * size}",
        "pool_max_grad", positive=True,
    )  # fmt: skip


class LeakyReLU(Activation):
    """``x if x > 0 else negative_slope * x``; the slope is not negative.

    >>> LeakyReLU(0.25)(np.array([-1.0, 2])).tolist()
    [-0.25, 2.0]
    """

    arguments = ("negative_slope",)

    def __init__(self, negative_slope=0.01, inplace=False):
        super().__init__()
        self.negative_slope = float(checked_number("LeakyReLU", "negative_slope", negative_slope))

    @property
    def fused(self):
        return ("leaky_relu", self.negative_slope)

    def by_output(self, dy, y, out, threads):
        mask = self._buffer("mask", dy.shape, np.dtype(bool))
        slopes = self._buffer("slopes", dy.shape, dy.dtype)
        np.less_equal(y, 0, out=mask)
        np.multiply(mask, dy.dtype.type(self.negative_slope), out=slopes)
        np.logical_not(mask, out=mask)
        np.add(slopes, mask, out=slopes)
        np.multiply(dy, slopes, out=out)


class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``.

    >>> Sigmoid()(np.array([0.0, 2])).round(3).tolist()
    [0.5, 0.881]
    """

    fused = "sigmoid"

    def by_output(self, dy, y, out, threads):
        slopes = self._buffer("slopes", dy.shape, dy.dtype)
        np.subtract(1, y, out=slopes)
        np.multiply(slopes, y, out=slopes)
        np.multiply(dy, slopes, out=out)


class Tanh(Activation):
    """``tanh(x)``.

    >>> Tanh()(np.array([0.0, 2])).round(3).tolist()
    [0.0, 0.964]
    """

    fused = "tanh"

    def by_output(self, dy, y, out, threads):
        slopes = self._buffer("slopes", dy.shape, dy.dtype)
        np.multiply(y, y, out=slopes)
        np.subtract(1, slopes, out=slopes)
        np.multiply(dy, slopes, out=out)


class _Gated(Activation):
    """x times a gate: SiLU and GELU. y / x is the gate again, but where x is zero: a half."""

    from_output = False

    def _differentiate(self, dy, out, threads):
        if self._x is None:  # fused: what the layer adds up is wanted after all
            self._x = self._layer._forward(self._layer._x, threads)
        gate = self._buffer("gate", dy.shape, dy.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(self._y, self._x, out=gate)
        gate[self._x == 0] = 0.5
        np.multiply(self._slopes(gate), dy, out=out)


class SiLU(_Gated):
    """``x * sigmoid(x)`` (arXiv:1702.03118).

    >>> SiLU()(np.array([0.0, 2])).round(3).tolist()
    [0.0, 1.762]
    """

    fused = "silu"

    def __init__(self, inplace=False):
        super().__init__()

    def _slopes(self, gate):
        slopes = self._buffer("slopes", gate.shape, gate.dtype)
        np.subtract(1, gate, out=slopes)
        np.multiply(slopes, self._y, out=slopes)
        return np.add(slopes, gate, out=slopes)


class GELU(_Gated):
    """``x * (1 + erf(x / sqrt(2))) / 2`` (arXiv:1606.08415).

    With ``approximate="tanh"``, erf becomes a tanh of ``sqrt(2 / pi) * (x + 0.044715 * x**3)``.

    >>> GELU()(np.array([0.0, 2])).round(3).tolist()
    [0.0, 1.954]
    """

    arguments = ("approximate",)

    def __init__(self, approximate="none"):
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate is {approximate!r}, expected 'none' or 'tanh'")
        self.approximate = approximate
        self.fused = "gelu" if approximate == "none" else None

    def _compute(self, x, y, threads):
        if self.fused:
            return super()._compute(x, y, threads)
        inner = self._buffer("slopes", x.shape, x.dtype)
        with np.errstate(over="ignore"):  # an infinity has the tangent of large numbers
            np.multiply(x, x, out=inner)
            np.multiply(inner, 0.044715 * TANH_SCALE, out=inner)
            np.add(inner, TANH_SCALE, out=inner)
            np.multiply(inner, x, out=inner)
        apply("tanh", inner, y, threads)
        np.add(y, 1, out=y)
        np.multiply(y, x, out=y)
        np.multiply(y, 0.5, out=y)

    def _slopes(self, gate):
        slopes = self._buffer("slopes", gate.shape, gate.dtype)
        np.multiply(self._x, self._x, out=slopes)
        if not self.fused:  # tanh' is 1 - tanh**2, which is 4 * gate * (1 - gate)
            rest = self._buffer("rest", gate.shape, gate.dtype)
            np.multiply(slopes, 6 * 0.044715 * TANH_SCALE, out=slopes)
            np.add(slopes, 2 * TANH_SCALE, out=slopes)
            for factor in (self._x, gate, np.subtract(1, gate, out=rest)):
                np.multiply(slopes, factor, out=slopes)
            return np.add(slopes, gate, out=slopes)
        np.multiply(slopes, -0.5, out=slopes)
        np.exp(slopes, out=slopes)
        np.multiply(slopes, self._x, out=slopes)
        np.multiply(slopes, 1 / math.sqrt(2 * math.pi), out=slopes)
        return np.add(slopes, gate, out=slopes)


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` over axis `dim`. (`cross_entropy` wants the scores before it.)

    >>> Softmax()(np.array([[0.0, 2]])).round(3).tolist()
    [[0.119, 0.881]]
    """

    arguments = ("dim",)

    def __init__(self, dim=1):
        super().__init__()
        self.dim = _geometry.integer("Softmax", "dim", dim, -64)

    def output_shape(self, shape):
        if not -len(shape) <= self.dim < len(shape):
            self._refuse(shape, f"an axis {self.dim}")
        return shape

    def _forward(self, x, threads):
        self.output_shape(x.shape)
        y = self._buffer("y", x.shape, x.dtype)
        np.subtract(x, x.max(self.dim, keepdims=True), out=y)
        np.exp(y, out=y)
        np.divide(y, y.sum(self.dim, keepdims=True), out=y)
        return y

    def _backward(self, dy, threads, input_gradient):
        if not input_gradient:
            return None
        dx = self._pool.take(dy.shape, dy.dtype)
        np.multiply(dy, self._y, out=dx)
        total = dx.sum(self.dim, keepdims=True)
        np.subtract(dy, total, out=dx)
        return np.multiply(dx, self._y, out=dx)
