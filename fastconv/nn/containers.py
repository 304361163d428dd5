"""Models of layers: one after the other, and around a shortcut."""

import numpy as np

from fastconv.nn.activations import Activation
from fastconv.nn.convolution import ConvTranspose2d, _Convolving
from fastconv.nn.module import Module
from fastconv.nn.pooling import MaxPool2d


class Sequential(Module):
    """Layers, one after the other.

    An activation after a convolution or a linear layer is computed in its pass; where a maximum
    pooling follows, it is derived at the maxima alone. ``model[0]`` is a layer.

    >>> from fastconv import nn
    >>> model = Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    >>> model.output_shape((5, 1, 4, 4))
    (5, 2)
    """

    def __init__(self, *layers):
        super().__init__()
        for layer in layers:
            if not isinstance(layer, Module):
                raise TypeError(f"{type(self).__name__}: got {layer!r}, expected layers")
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError(f"{type(self).__name__}: a layer is there twice, expected new ones")
        self.layers = list(layers)
        self._rename("")

    def _rename(self, name):
        self.name = name
        for key, child in self.children().items():
            path = f"{name}.{key}" if name else key
            child._rename(path) if isinstance(child, Sequential) else setattr(child, "name", path)

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, index):
        return self.layers[index]

    def __repr__(self):
        inside = ", ".join(map(repr, self.layers))
        return f"{type(self).__name__}({inside})"

    def children(self):
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def config(self):
        from fastconv.nn.serialization import described

        return {"layers": [described(layer) for layer in self.layers]}

    def output_shape(self, shape):
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    def _summarize(self, shape, rows, totals):
        for layer in self.layers:
            shape = layer._summarize(shape, rows, totals)
        return shape

    def _fuses(self, i):
        """Does layer i apply the activation that follows?"""
        layer, following = self.layers[i : i + 2] if i + 1 < len(self.layers) else (None, None)
        return (
            isinstance(following, Activation)
            and isinstance(layer, _Convolving | ConvTranspose2d)
            and following.fused is not None
            and (following.from_output or not self.training)
        )

    def _forward(self, x, threads):
        layers, i = self.layers, 0
        while i < len(layers):
            if self._fuses(i):
                x = layers[i]._run(x, threads, layers[i + 1].fused)
                layers[i + 1].adopt(x, layers[i])
                i += 1
            else:
                x = layers[i]._run(x, threads)
            i += 1
        return x

    def _backward(self, dy, threads, input_gradient):
        layers, given, i = self.layers, dy, len(self.layers) - 1
        for layer in layers:  # each may be another model's, too
            layer._pool = self._pool
        first = 0 if input_gradient else self._first_with_parameters()
        while i >= first:
            wanted = input_gradient or i > first
            layer, before = layers[i], layers[i - 1] if i > first else None
            own = not np.may_share_memory(dy, given)
            if isinstance(layer, Activation):
                dx = layer._derive(dy, threads, wanted, dy if own else None)
            elif (
                isinstance(layer, MaxPool2d) and isinstance(before, Activation)
                and before.from_output
            ):  # fmt: skip
                # The activation's result at a maximum is the maximum.
                inner, positive = dy, layer.derives(before)
                if not positive:
                    inner = dy if own else self._pool.take(dy.shape, dy.dtype)
                    before.by_output(dy, layer._y, inner, threads)
                dx = layer._derive(inner, threads, True, positive)
                i -= 1
                if inner is not dy:
                    self._pool.give_back(inner)
            else:
                dx = layer._derive(dy, threads, wanted)
            if own and (dx is None or not np.may_share_memory(dx, dy)):
                self._pool.give_back(dy)
            dy, i = dx, i - 1
        return dy if input_gradient else None

    def _first_with_parameters(self):
        return next((i for i, layer in enumerate(self.layers) if layer.parameters()), len(self))


class Residual(Sequential):
    """``x + f(x)``, f being the layers, one after the other (arXiv:1512.03385).

    >>> from fastconv import nn
    >>> Residual(nn.ReLU())(np.array([-1.0, 2])).tolist()
    [-1.0, 4.0]
    """

    def output_shape(self, shape):
        result = super().output_shape(shape)
        if tuple(result) != tuple(shape):
            raise ValueError(
                f"{self._label()}: its layers give {tuple(result)}, expected the shape of x, "
                f"{tuple(shape)}"
            )
        return result

    def _forward(self, x, threads):
        inner = super()._forward(x, threads)
        if inner.shape != x.shape:
            self.output_shape(x.shape)
        return np.add(x, inner, out=self._buffer("y", x.shape, x.dtype))

    def _backward(self, dy, threads, input_gradient):
        dx = super()._backward(dy, threads, input_gradient)
        if not input_gradient:
            return None
        if np.may_share_memory(dx, dy):  # no layer made a gradient of its own
            dx = self._pool.take(dy.shape, dy.dtype)
            return np.add(dy, dy, out=dx)
        return np.add(dx, dy, out=dx)
