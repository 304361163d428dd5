"""Losses: each gives the mean over the batch and its gradient by the model's results."""

import numpy as np

from fastconv import _arrays
from fastconv._arrays import shown
from fastconv.nn.module import FLOATS


def cross_entropy(logits, labels, label_smoothing=0.0, weight=None):
    """Give the mean of ``-log(softmax(logits)[label])`` and its gradient by logits.

    Parameters
    ----------
    logits : (N, K) array, float32 or float64
        A score for each class, any number.
    labels : (N,) array of integers from 0 to K - 1
    label_smoothing : float
        So much of each label is spread over all classes (arXiv:1512.00567).
    weight : (K,) array or sequence, optional
        How much each class counts, at least 0: the sum of losses times weights (with smoothing
        that of each class) is divided by the sum of the labels' weights, as in PyTorch.

    Returns
    -------
    loss : float
    gradient : array like logits

    Examples
    --------
    >>> import numpy as np
    >>> loss, gradient = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), gradient
    (1.3863, array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    function = "cross_entropy"
    logits = _arrays.readable(function, "logits", logits, FLOATS, "(N, K)")
    labels = checked_labels(function, labels, *logits.shape)
    smoothing = _arrays.number(function, "label_smoothing", label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{function}: label_smoothing is {smoothing}, expected 0 to 1")
    n, classes = logits.shape
    # In float64 whatever the model's type: few numbers, and the loss is compared between epochs.
    scores = logits.astype(np.float64)
    scores -= scores.max(1, keepdims=True)
    gradient = np.exp(scores)
    sums = gradient.sum(1, keepdims=True)
    gradient /= sums
    scores -= np.log(sums)  # now the logarithms of the probabilities
    rows = np.arange(n)
    if smoothing == 0 and weight is None:
        losses = scores[rows, labels]
        gradient[rows, labels] -= 1
    else:
        targets = np.full(scores.shape, smoothing / classes)
        targets[rows, labels] += 1 - smoothing
        if weight is not None:
            weight = _arrays.as_array(function, "weight", weight)
            fits = weight.shape == (classes,) and weight.dtype.kind in "iuf"
            if not (fits and ((weight >= 0) & np.isfinite(weight)).all()):
                raise ValueError(
                    f"{function}: weight is {shown(weight.tolist())}, expected {classes} finite "
                    "numbers of at least 0"
                )
            targets *= weight
            n = weight[labels].sum() or 1  # labels that do not count are no loss
        gradient *= targets.sum(1, keepdims=True)
        gradient -= targets
        wanted = targets != 0  # an impossible class that nobody wants is no loss: not 0 * infinity
        losses = targets[wanted] * scores[wanted]
    gradient /= n
    loss = -losses.sum() / n
    return float(loss) + 0.0, gradient.astype(logits.dtype, copy=False)


def mse(y, target):
    """Give the mean of ``(y - target) ** 2`` over all elements and its gradient by y.

    >>> import numpy as np
    >>> mse(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    (2.0, array([[ 0., -2.]]))
    """
    y, target = _pair("mse", y, target)
    difference = y.astype(np.float64)
    difference -= target
    loss = float(np.square(difference).mean())
    difference *= 2 / y.size
    return loss, difference.astype(y.dtype, copy=False)


def binary_cross_entropy(y, target):
    """Give the mean of ``-target * log(y) - (1 - target) * log(1 - y)`` and its gradient by y.

    y holds probabilities, as after a `Sigmoid`; as in PyTorch a logarithm is at least -100.

    >>> import numpy as np
    >>> loss, gradient = binary_cross_entropy(np.array([[0.5]]), np.array([[1.0]]))
    >>> round(loss, 4), gradient
    (0.6931, array([[-2.]]))
    """
    y, target = _pair("binary_cross_entropy", y, target)
    for name, each in (("y", y), ("target", target)):
        check_probabilities("binary_cross_entropy", name, each)
    p = y.astype(np.float64)
    with np.errstate(divide="ignore"):
        ones, zeros = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    loss = float(-(target * ones + (1 - target) * zeros).mean())
    gradient = (p - target) / np.maximum(p * (1 - p), 1e-12) / y.size
    return loss, gradient.astype(y.dtype, copy=False)


def _pair(function, y, target):
    y = _arrays.readable(function, "y", y, FLOATS)
    if not y.size:
        raise ValueError(f"{function}: y has shape {y.shape}, expected at least one number")
    return y, checked_target(function, "target", target, y.shape)


def checked_target(function, name, target, shape):
    """What results of a shape are compared with, as an array."""
    target = _arrays.as_array(function, name, target)
    if target.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {name} has dtype {target.dtype}, expected numbers")
    if target.shape != shape:
        raise ValueError(
            f"{function}: {name} has shape {target.shape}, expected the result's, {shape}"
        )
    return target


def check_probabilities(function, name, each):
    """Refuse numbers that are less than 0 or more than 1; a NaN shows in the loss."""
    if not (each.min() >= 0 and each.max() <= 1) and np.isfinite(each).all():
        raise ValueError(
            f"{function}: {name} has {each.min()} to {each.max()}, expected probabilities from "
            "0 to 1"
        )


def checked_labels(function, labels, n, classes, name="labels"):
    """Labels of n samples, as an array; refuses others than integers of so many classes."""
    labels = _arrays.as_array(function, name, labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{function}: {name} has dtype {labels.dtype}, expected integers")
    if labels.shape != (n,):
        raise ValueError(f"{function}: {name} has shape {labels.shape}, expected {(n,)}")
    if n == 0:
        raise ValueError(f"{function}: logits has no samples, expected at least one")
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(
            f"{function}: {name} has {shown(int(wrong))}, expected 0 to {classes - 1} "
            f"({classes} classes)"
        )
    return labels
