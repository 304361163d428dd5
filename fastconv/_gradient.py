"""Derivatives of a convolution by its input, weights and bias, of arrays that were checked."""

import math

import numpy as np

from fastconv import _arrays, _geometry, _plan
from fastconv.conv import Conv2dPlan


def by_input(
    function, geometry, dy, weight, result, threads, algorithm, bias=None, activation=None
):  # fmt: skip
    """The derivative by the input of a convolution of this geometry, plus bias, activated.

    A convolution of dy with the kernels turned around: of its own, smaller ones for each phase of a
    stride. What a border copied from an element comes back to it.
    """
    g = geometry
    frame = [_frame(window, border) for window, border in zip(g[4:6], g.border, strict=True)]
    rows, cols = (
        _geometry.phases(window, *each) for window, each in zip(g[4:6], frame, strict=True)
    )
    pairs = [(row, col) for row in rows for col in cols]
    weights, phases = [_turned(g, weight, *pair) for pair in pairs], len(pairs)
    windows = [(row.window, col.window) for row, col in pairs]
    # Phases that are alike, as where kernel and stride are, are channels of one convolution.
    joined = g.groups == 1 and g.layout == "NCHW" and len(set(windows)) == 1
    if joined:
        weights, windows = [np.concatenate(weights)], windows[:1]
        bias = bias if bias is None else np.tile(bias, phases)
    layers = [
        _layer(function, g, *each, bias, activation, algorithm)
        for each in zip(weights, windows, strict=True)
    ]
    fold = g._replace(
        groups=1, c=g.groups * g.c,
        rows=_in_frame(g.rows, len(rows), *frame[0]), cols=_in_frame(g.cols, len(cols), *frame[1]),
    )  # fmt: skip
    if phases == 1 and frame == [(window.before, window.n) for window in g[4:6]]:
        _compute(*layers[0], dy, result, threads)
        layers[0][0].give_back()
        return
    room = fold.c * math.prod(-(-w.o // w.stride) for w in (fold.rows, fold.cols))
    samples = min(g.n, _plan.frame_samples(room * phases * dy.itemsize, threads))
    samples = 1 if joined else samples  # whose channels are in the order of phases
    shape = (samples, phases, room)
    _arrays.check_memory(function, "a frame of phases", shape, dy.dtype)
    size = math.prod(shape) * dy.itemsize
    buffer = _arrays.take_buffer(size)
    memory = buffer[:size].view(dy.dtype)
    for first in range(0, g.n, samples):
        part = slice(first, min(first + samples, g.n))
        n = part.stop - part.start
        for i, (plan, layer) in enumerate(layers):
            layer = layer._replace(n=n)
            phase = memory[i * n * room :][: math.prod(layer.shape)].reshape(layer.shape)
            _compute(plan, layer, dy[part], phase, threads)
        task, shared = _plan.fold(fold._replace(n=n), threads)
        task.gradient(_arrays.as_bytes(memory), None, _arrays.as_bytes(result[part]), shared)
    _arrays.give_buffer(buffer)


def _frame(window, border):
    """The first element, and how many, of the padded input whose derivatives count."""
    if border == "constant":
        return window.before, window.n
    return 0, window.before + window.n + window.after


def _in_frame(window, phases, first, size):
    """How an image stands in its frame of phases, as a window for the fold."""
    before = window.before - first
    return window._replace(stride=phases, before=before, o=size)


def _turned(g, weight, row, col):
    """The weights of a phase; a single zero for each pair of channels if it sees no tap."""
    turned = weight.reshape(g.groups, g.k, g.c, g.rows.k, g.cols.k)[..., row.taps, col.taps]
    turned = turned.swapaxes(1, 2).reshape(g.groups * g.c, g.k, *turned.shape[3:])
    return turned if turned.size else np.zeros((*turned.shape[:2], 1, 1), weight.dtype)


def _layer(function, g, weight, windows, bias, activation, algorithm):
    """The convolution for one phase: its weights and its geometry."""
    plan = Conv2dPlan(
        function, weight, bias, 1, 0, 1, g.groups, "zeros", activation, g.layout, algorithm
    )
    rows, cols = windows
    geometry = g._replace(
        c=g.k, k=len(weight) // g.groups, rows=rows, cols=cols, border=("constant", "constant"),
        activation=plan._activation,
    )  # fmt: skip
    return plan, geometry


def _compute(plan, geometry, dy, result, threads):
    if 0 in (geometry.rows.k, geometry.cols.k):
        channels = geometry.groups * geometry.c
        pixel = np.zeros(_geometry.images(geometry.layout, 1, channels, 1, 1), dy.dtype)
        result[...] = plan(pixel)
        return
    task, threads = plan.planned(geometry, threads)
    plan.compute(task, dy, None, result, threads)


def by_weight(function, geometry, x, dy, result, threads):
    """The derivative by the weights."""
    task, parts, threads = _plan.weight_gradient(geometry, threads)
    _arrays.check_scratch(function, task, threads)
    sums = np.empty((parts, *result.shape), result.dtype) if parts > 1 else result[None]
    task.gradient(_arrays.as_bytes(x), _arrays.as_bytes(dy), _arrays.as_bytes(sums), threads)
    if parts > 1:
        np.add(sums[0], sums[1], out=result)
        for each in sums[2:]:
            np.add(result, each, out=result)


def by_bias(geometry, dy, result, threads):
    """The derivative by the bias."""
    task, threads = _plan.bias_gradient(geometry, threads)
    task.gradient(None, _arrays.as_bytes(dy), _arrays.as_bytes(result), threads)
