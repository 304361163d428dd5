"""What comes between convolutions: normalisation, dropout, other shapes."""

import math

import numpy as np

from fastconv import _geometry, _gradient
from fastconv.nn.module import Module, Parameter, checked_number, checked_seed


class BatchNorm2d(Module):
    """Each channel minus its mean, over the root of its variance, times weight, plus bias.

    In training mean and variance are the batch's; ``running_mean`` and ``running_var``, which
    are used after training, move towards them by `momentum` (arXiv:1502.03167), or are the means of
    all batches if that is None. Without `affine` there are no weight and bias; without
    `track_running_stats` the batch's statistics serve after training, too.

    >>> BatchNorm2d(1)(np.float32([[[[1, 3]]]])).round(3).tolist()
    [[[[-1.0, 1.0]]]]
    """

    arguments = ("num_features", "eps", "momentum", "affine", "track_running_stats")

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        super().__init__()
        name = "BatchNorm2d"
        self.num_features = _geometry.integer(name, "num_features", num_features, 1)
        self.eps = checked_number(name, "eps", eps)
        if momentum is not None:
            checked_number(name, "momentum", momentum)
        self.momentum = momentum
        self.affine, self.track_running_stats = bool(affine), bool(track_running_stats)
        if affine:
            for key in ("weight", "bias"):
                self._params[key] = Parameter(np.empty(num_features, np.float32))
        if track_running_stats:
            for key in ("running_mean", "running_var"):
                self._statistics[key] = np.empty(num_features, np.float32)
            self._statistics["num_batches_tracked"] = np.zeros((), np.int64)
        self._initialize(None)

    def _initialize(self, random):
        for key, array in (
            *((key, each.value) for key, each in self._params.items()), *self._statistics.items()
        ):  # fmt: skip
            array[...] = key in ("weight", "running_var")

    def output_shape(self, shape):
        if len(shape) != 4 or shape[1] != self.num_features:
            self._refuse(shape, f"(N, {self.num_features}, H, W)")
        return shape

    def _forward(self, x, threads):
        self.output_shape(x.shape)
        running = self._statistics.get("running_mean", x)
        if running.dtype != x.dtype:
            raise TypeError(
                f"{self._label()}: x has dtype {x.dtype}, expected running_mean's, {running.dtype}"
            )
        count = x.size // self.num_features
        if self.training and count < 2:
            self._refuse(x.shape, "more than one value per channel in training")
        y, normal = (self._buffer(key, x.shape, x.dtype) for key in ("y", "normal"))
        self._of_batch = self.training or not self._statistics
        if self._of_batch:
            mean = self._channel_sums(x, threads) / count
            np.subtract(x, mean[:, None, None], out=normal)
            np.multiply(normal, normal, out=y)
            var = self._channel_sums(y, threads) / count
            if self.training and self._statistics:
                self._follow(mean, var * (count / (count - 1)))
        else:
            mean, var = (self._statistics[f"running_{each}"] for each in ("mean", "var"))
            np.subtract(x, mean[:, None, None], out=normal)
        self._scale = 1 / np.sqrt(var + x.dtype.type(self.eps))
        np.multiply(normal, self._scale[:, None, None], out=normal)
        if not self.affine:
            return normal
        np.multiply(normal, self._params["weight"].value[:, None, None], out=y)
        return np.add(y, self._params["bias"].value[:, None, None], out=y)

    def _follow(self, mean, var):
        # New arrays: a step that fails goes back to the old ones.
        old, batches = self._statistics, np.asarray(self._statistics["num_batches_tracked"] + 1)
        part = mean.dtype.type(1 / batches if self.momentum is None else self.momentum)
        self._statistics = {
            "running_mean": old["running_mean"] + part * (mean - old["running_mean"]),
            "running_var": old["running_var"] + part * (var - old["running_var"]),
            "num_batches_tracked": batches,
        }

    def _backward(self, dy, threads, input_gradient):
        normal, products = self._views["normal"], self._pool.take(dy.shape, dy.dtype)
        np.multiply(dy, normal, out=products)
        sums = self._channel_sums(products, threads), self._channel_sums(dy, threads)
        for each, total in zip(self._params.values(), sums, strict=False):
            each.grad[...] = total
        if not input_gradient:
            return None
        dx, scale = products, self._scale
        if self.affine:
            scale = self._params["weight"].value * scale
        if self._of_batch:
            count = dy.dtype.type(dy.size // self.num_features)
            np.multiply(normal, (sums[0] / count)[:, None, None], out=dx)
            np.add(dx, (sums[1] / count)[:, None, None], out=dx)
            dy = np.subtract(dy, dx, out=dx)
        return np.multiply(dy, scale[:, None, None], out=dx)

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


class Flatten(Module):
    """Axes `start_dim` to `end_dim` as one: (N, C, H, W) as (N, C * H * W).

    >>> Flatten().output_shape((5, 8, 4, 4))
    (5, 128)
    """

    arguments = ("start_dim", "end_dim")

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim = _geometry.integer("Flatten", "start_dim", start_dim, -64)
        self.end_dim = _geometry.integer("Flatten", "end_dim", end_dim, -64)

    def output_shape(self, shape):
        n = len(shape)
        first, last = (d + n if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < n:
            self._refuse(shape, f"axes {self.start_dim} to {self.end_dim}")
        return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

    def _forward(self, x, threads):
        return x.reshape(self.output_shape(x.shape))

    def _backward(self, dy, threads, input_gradient):
        return dy.reshape(self._x.shape)


class Dropout(Module):
    """In training, a zero with probability `p`; what is left is divided by ``1 - p``.

    >>> sorted(set(Dropout(0.5)(np.ones(99)).tolist()))
    [0.0, 2.0]
    """

    arguments = ("p",)

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        self.p = checked_number("Dropout", "p", p, below=1)
        self.seed()

    def seed(self, seed=None):
        """Begin the random numbers anew."""
        self._random = np.random.default_rng(checked_seed("Dropout", seed))

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
