"""Optimisers, in PyTorch's names, defaults and formulas.

All parameters lie in one piece of memory, and so do their gradients: a step is a few calls of
NumPy for the whole model, over blocks that the cache holds.
"""

import math
import operator

import numpy as np

from fastconv import _arrays
from fastconv.nn.module import Parameter, checked_number

BLOCK = 2**14  # numbers that a step works on at a time: eight arrays of them fit the L2 cache
_value = operator.attrgetter("value")


class Optimizer:
    """What all optimisers share; `lr` may be set between steps.

    `parameters` are a model's, whose memory it takes over; a number out of its range is refused
    with a TypeError or ValueError.
    """

    states = ()  # names of the arrays like all parameters that it keeps

    def __init__(self, parameters, lr, weight_decay):
        name = type(self).__name__
        self.parameters = list(parameters)
        if not self.parameters or not all(isinstance(p, Parameter) for p in self.parameters):
            raise TypeError(f"{name}: got no parameters, expected model.parameters()")
        checked_number(name, "lr", lr)
        checked_number(name, "weight_decay", weight_decay)
        self.lr, self.weight_decay, self.steps = lr, weight_decay, 0
        self._views = []
        self._gather()
        self._state = {key: np.zeros_like(self._values) for key in self.states}
        self._scratch = [np.empty(min(BLOCK, self._values.size), self._values.dtype)
                         for _ in range(2)]  # fmt: skip

    def _gather(self):
        """Move all parameters into one piece of memory, unless they are there."""
        if self._views and all(map(operator.is_, map(_value, self.parameters), self._views)):
            return
        dtype = self.parameters[0].value.dtype
        if self._views and dtype != self._values.dtype:
            raise TypeError(
                f"{type(self).__name__}: parameters are {dtype} now, expected "
                f"{self._values.dtype}: make the optimiser after model.to"
            )
        size = sum(p.value.size for p in self.parameters)
        self._values, self._grads = np.empty(size, dtype), np.empty(size, dtype)
        self._views, first = [], 0
        for p in self.parameters:
            shape, last = p.value.shape, first + p.value.size
            p.move(*(a[first:last].reshape(shape) for a in (self._values, self._grads)))
            self._views.append(p.value)
            first = last

    def step(self):
        """Change all parameters by their gradients."""
        self._gather()
        self.steps += 1
        for first in range(0, self._values.size, BLOCK):
            block = slice(first, first + BLOCK)
            values, grads = self._values[block], self._grads[block]
            scratch = [each[: values.size] for each in self._scratch]
            self._update(values, grads, *(self._state[key][block] for key in self.states), *scratch)

    def zero_grad(self):
        """Set all gradients to 0: for models that take no part in the next step.

        Where `backward` is called before each step, nothing needs it: it sets gradients, not adds.
        """
        self.gradients().fill(0)

    def gradients(self):
        """Give the gradients of all parameters as one array."""
        self._gather()
        return self._grads

    def set_momentum(self, value):
        """What `OneCycleLR` changes: SGD's momentum, if it has one, and Adam's first beta."""
        if "momentum" in vars(self):
            self.momentum = self.momentum and value
        else:
            self.betas = (value, self.betas[1])

    def state_dict(self):
        """Give copies of what it remembers from step to step."""
        state = {key: array.copy() for key, array in self._state.items()}
        return state | {"steps": np.int64(self.steps)}

    def load_state_dict(self, state):
        """Go on from a `state_dict` of an optimiser of the same kind and model."""
        name = type(self).__name__
        if state.keys() != {*self.states, "steps"}:
            raise ValueError(
                f"{name}: state has {', '.join(sorted(state))}, expected "
                f"{', '.join((*self.states, 'steps'))}"
            )
        for key in self.states:
            if state[key].shape != self._values.shape:
                raise ValueError(
                    f"{name}: {key} has shape {state[key].shape}, expected {self._values.shape}"
                )
            self._state[key][...] = state[key]
        self.steps = int(state["steps"])


class SGD(Optimizer):
    """``v = momentum * v + (1 - dampening) * g; p -= lr * v``.

    g is the gradient plus ``weight_decay * p``, and the first v is g. With `nesterov`, p moves
    by ``g + momentum * v``.

    >>> p = Parameter(np.ones(2))
    >>> p.grad[:] = 1
    >>> SGD([p], lr=0.25).step()
    >>> p.value.tolist()
    [0.75, 0.75]
    """

    def __init__(
        self, parameters, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False
    ):
        checked_number("SGD", "dampening", dampening)
        if not 0 <= _arrays.number("SGD", "momentum", momentum) < 1 or (nesterov and not momentum):
            raise ValueError(
                f"SGD: momentum is {momentum}, expected 0 to 1, and more than 0 with nesterov"
            )
        if nesterov and dampening:
            raise ValueError(f"SGD: dampening is {dampening}, expected 0 with nesterov")
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.states = ("velocity",) if momentum else ()
        super().__init__(parameters, lr, weight_decay)

    def _update(self, p, g, *rest):
        *velocity, change, spare = rest
        if self.weight_decay:
            np.multiply(p, self.weight_decay, out=change)
            g = np.add(change, g, out=change)
        if velocity:
            v = velocity[0]
            np.multiply(v, self.momentum, out=v)
            if self.dampening and self.steps > 1:
                np.add(v, np.multiply(g, 1 - self.dampening, out=spare), out=v)
            else:
                np.add(v, g, out=v)
            if self.nesterov:
                np.multiply(v, self.momentum, out=spare)
                v = np.add(spare, g, out=spare)
            g = v
        np.multiply(g, self.lr, out=spare)
        np.subtract(p, spare, out=p)


class Adam(Optimizer):
    """Steps of about `lr` (arXiv:1412.6980); ``weight_decay * p`` is added to the gradient.

    ``m = b1 * m + (1 - b1) * g; s = b2 * s + (1 - b2) * g**2``, with ``b1, b2 = betas``; after t
    steps ``p -= lr * (m / (1 - b1**t)) / (sqrt(s / (1 - b2**t)) + eps)``.

    >>> p = Parameter(np.ones(2))
    >>> p.grad[:] = 5
    >>> Adam([p], lr=0.25).step()
    >>> p.value.round(6).tolist()
    [0.75, 0.75]
    """

    states = ("mean", "square")
    decoupled = False

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, lr, weight_decay)
        name = type(self).__name__
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{name}: betas is {betas!r}, expected two numbers")
        for beta in betas:
            checked_number(name, "betas", beta, below=1)
        self.betas, self.eps = tuple(betas), checked_number(name, "eps", eps)

    def _update(self, p, g, mean, square, change, spare):
        first, second = self.betas
        if self.weight_decay and self.decoupled:
            np.multiply(p, 1 - self.lr * self.weight_decay, out=p)
        elif self.weight_decay:
            np.multiply(p, self.weight_decay, out=change)
            g = np.add(change, g, out=change)
        np.multiply(g, g, out=spare)
        np.multiply(spare, 1 - second, out=spare)
        np.multiply(square, second, out=square)
        np.add(square, spare, out=square)
        np.multiply(g, 1 - first, out=spare)
        np.multiply(mean, first, out=mean)
        np.add(mean, spare, out=mean)
        np.sqrt(square, out=spare)
        np.multiply(spare, 1 / math.sqrt(1 - second**self.steps), out=spare)
        np.add(spare, self.eps, out=spare)
        np.divide(mean, spare, out=spare)
        np.multiply(spare, self.lr / (1 - first**self.steps), out=spare)
        np.subtract(p, spare, out=p)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters themselves (arXiv:1711.05101).

    >>> p = Parameter(np.ones(2))
    >>> AdamW([p], lr=0.5, weight_decay=0.5).step()  # before that, ``p *= 1 - lr * weight_decay``
    >>> p.value.tolist()
    [0.75, 0.75]
    """

    decoupled = True

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(parameters, lr, betas, eps, weight_decay)
