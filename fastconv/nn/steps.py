"""One step of a training, its data, and what a model makes of samples that it has not seen."""

import math

import numpy as np

from fastconv import _arrays
from fastconv.nn import losses
from fastconv.nn.module import Module, dtype_of
from fastconv.nn.optimizers import Optimizer


def train_step(model, optimizer, x, y, loss=losses.cross_entropy, threads=None):
    """Change the model a little, so that its loss on a batch becomes smaller; give that loss.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Of the model's parameters.
    x : (N, ...) array of the model's dtype
    y : array
        What `loss` takes: for `cross_entropy` (N,) integers.
    loss : function
        ``loss(results, y)`` gives the mean and its gradient by the results.
    threads : int, optional

    Returns
    -------
    float
        Before the change.

    Raises
    ------
    FloatingPointError
        When the loss or a gradient is not finite; the message says in which layer that began. The
        parameters and statistics are left as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> model = nn.Linear(2, 2).initialize(seed=0)
    >>> optimizer = nn.SGD(model.parameters(), lr=0.1)
    >>> x, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> first = nn.train_step(model, optimizer, x, labels)
    >>> nn.train_step(model, optimizer, x, labels) < first
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"train_step: model is {_arrays.shown(model)}, expected a Module")
    check_optimizer("train_step", optimizer, model)
    return take_step(model, optimizer, x, y, loss, threads)[0]


def check_optimizer(function, optimizer, model):
    """Refuse what is none, or another model's."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{function}: optimizer is {_arrays.shown(optimizer)}, expected one, as nn.SGD makes"
        )
    if not {*map(id, optimizer.parameters)} <= {*map(id, model.parameters())}:
        raise ValueError(
            f"{function}: optimizer has another model's parameters, expected this one's"
        )


def take_step(model, optimizer, x, y, loss, threads):
    if not model.training:
        model.train()
    statistics = [(module, module._statistics) for module in model.modules()]
    try:
        with np.errstate(all="ignore"):  # what is not finite is told below
            result = model.forward(x, threads)
            value, gradient = loss(result, y)
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"train_step: the loss is {value} at step {optimizer.steps}; "
                    f"{_where_results_end(model, x)}"
                )
            model.backward(gradient, threads, input_gradient=False)
            total = np.add.reduce(optimizer.gradients())
        if not np.isfinite(total) and (place := _where_gradients_end(model)):
            raise FloatingPointError(f"train_step: at step {optimizer.steps} {place}")
    except BaseException:
        for module, before in statistics:
            module._statistics = before
        raise
    with np.errstate(all="ignore"):
        optimizer.step()
    return value, result


def _where_results_end(model, x):
    """The first place, from the input on, that is not finite, in words."""
    if not np.isfinite(x).all():
        return "x is not finite"
    for module in model.leaves():
        for key, p in module._params.items():
            if not np.isfinite(p.value).all():
                return f"{key} of {module._label()} is not finite"
        if module._y is not None and not np.isfinite(module._y).all():
            return f"the result of {module._label()} is the first that is not finite"
    return "the model's results are finite, so y or the loss is not"


def _where_gradients_end(model):
    """The first gradient, from the loss on, that is not finite, in words; None: all are."""
    for module in reversed(model.leaves()):
        for key, p in module._params.items():
            if not np.isfinite(p.grad).all():
                return f"the gradient by {key} of {module._label()} is the first not finite"
    return None


def evaluate(model, x, y, loss=losses.cross_entropy, batch_size=256, threads=None):
    """Give the loss on all samples, and the share of them whose largest result is at y's label."""
    x, y = checked_data("evaluate", model, "x", x, y, loss)
    with np.errstate(all="ignore"):  # a NaN says enough
        result = model.predict(x, batch_size, threads)
        return loss(result, y)[0], right(result, y) / len(x)


def checked_data(function, model, name, x, y, loss):
    """The samples as arrays; refuses what does not fit the model."""
    if not isinstance(model, Module):
        raise TypeError(f"{function}: model is {_arrays.shown(model)}, expected a Module")
    x = _arrays.readable(function, name, x, (dtype_of(model).name, "uint8"))
    labels = "y" if name == "x" else f"{name}'s y"
    y = _arrays.as_array(function, labels, y)
    counts = [len(np.atleast_1d(each)) for each in (x, y)]
    if not counts[0]:
        raise ValueError(f"{function}: {name} has 0 samples, expected at least one")
    if counts[0] != counts[1]:
        raise ValueError(
            f"{function}: {name} has {counts[0]} samples and {labels} {counts[1]}, expected as many"
        )
    if not callable(loss):
        raise TypeError(f"{function}: loss is {_arrays.shown(loss)}, expected a function")
    results, kind = model.output_shape(x.shape), getattr(loss, "func", loss)  # of a partial
    if kind is losses.cross_entropy:
        losses.checked_labels(function, y, counts[0], results[-1], labels)
    elif kind in (losses.mse, losses.binary_cross_entropy):
        losses.checked_target(function, labels, y, results)
        if kind is losses.binary_cross_entropy:
            losses.check_probabilities(function, labels, y)
    return x, y


def right(result, labels):
    """How many samples have their largest result at their label; NaN: there are no labels."""
    if result.ndim != 2 or labels.ndim != 1:
        return math.nan
    return int((result.argmax(1) == labels).sum())
