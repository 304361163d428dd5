"""Derivatives of a convolution by its input, weights and bias, of arrays that were checked."""

import math
from functools import lru_cache

import numpy as np

from fastconv import _arrays, _geometry, _plan
from fastconv._conv_plan import PLANS


def by_input(
    function, geometry, dy, weight, result, threads, algorithm, bias=None, activation=None
):  # fmt: skip
    """The derivative by the input of a convolution of this geometry, plus bias, activated."""
    InputGradient(function, geometry, algorithm, bias, activation)(weight, dy, result, threads)


class InputGradient:
    """The derivative by the input of convolutions of a geometry, plus bias, activated.

    A convolution of dy with the kernels turned around: of its own, smaller ones for each phase of a
    stride. What a border copied from an element comes back to it.
    """

    def __init__(self, function, geometry, algorithm, bias=None, activation=None):
        self._function, self._geometry = function, geometry
        self._size, self._in_place, each = _phases(geometry)
        self._phases = [
            _SlicesGradient(function, geometry, slices, algorithm, bias, activation)
            for slices in each
        ]

    def __call__(self, weight, dy, result, threads):
        """Write it into result."""
        g, phases, in_place = self._geometry, self._phases, self._in_place
        if in_place and len(phases) == 1:
            phases[0](weight, dy, result, threads)
            return
        axis = 1 if g.layout == "NHWC" else 2
        shape = (*result.shape[:axis], self._size, *result.shape[axis + 1 :])
        if not in_place:
            _arrays.check_memory(self._function, "the padded slices", shape, dy.dtype)
        frame = result if in_place else np.empty(shape, dy.dtype)
        for i, phase in enumerate(phases):
            every = (*[slice(None)] * axis, slice(i, None, len(phases)))
            part = np.empty(frame[every].shape, dy.dtype)
            phase(weight, dy, part, threads)
            frame[every] = part
        if not in_place:
            _fold_slices(g, np.moveaxis(frame, axis, 0), np.moveaxis(result, axis, 0))


def _fold_slices(g, frame, result):
    """Its own place comes first, then places around it in order, as in a fold of rows."""
    depth, before = g.depth, g.depth.before
    result[...] = frame[before : before + depth.n]
    sources = np.pad(np.arange(depth.n), (before, depth.after), g.border_d)
    for i in (*range(before), *range(before + depth.n, len(frame))):
        result[sources[i]] += frame[i]


@lru_cache(_plan.CACHED_PLANS)
def _phases(g):
    """How many slices of the padded input count, if they are the result's, and their phases."""
    depth = g.depth
    first, size = _frame(depth, g.border_d)
    phases = (_SlicesPhases(g, phase) for phase in _geometry.phases(depth, first, size))
    return size, (first, size) == (depth.before, depth.n), tuple(phases)


class _SlicesPhases:
    """What follows from a geometry alone: the phases of the rows and columns of some slices."""

    def __init__(self, g, slices):
        frame = [_frame(window, border) for window, border in zip(g[4:6], g.border, strict=True)]
        rows, cols = (
            _geometry.phases(window, *each) for window, each in zip(g[4:6], frame, strict=True)
        )
        pairs = [(row, col) for row in rows for col in cols]
        self.taps = [(slices.taps, row.taps, col.taps) for row, col in pairs]
        self.windows = [(slices.window, row.window, col.window) for row, col in pairs]
        # Phases that are alike, as where kernel and stride are, are channels of one convolution.
        self.joined = g.groups == 1 and g.layout == "NCHW" and len(set(self.windows)) == 1
        if self.joined:
            self.windows = self.windows[:1]
        self.in_place = len(pairs) == 1 and frame == [(w.before, w.n) for w in g[4:6]]
        if self.in_place:
            return  # nothing is put together
        # Of a sample, slices are planes: of more channels in NCHW, of more samples in NHWC.
        self.count, channels = slices.window.o, g.groups * g.channels
        self.planes = 1 if g.layout == "NCHW" else self.count  # samples for each sample
        in_frame = [
            _in_frame(window, len(phases), *each)
            for window, phases, each in zip(g[4:6], (rows, cols), frame, strict=True)
        ]
        self.fold = g._replace(
            groups=1, c=self.count * channels // self.planes, depth=_geometry.POINT,
            rows=in_frame[0], cols=in_frame[1],
        )  # fmt: skip
        self.room = self.count * channels * math.prod(-(-w.o // w.stride) for w in in_frame)


class _SlicesGradient:
    """The same for the slices of one phase, which are the whole result."""

    def __init__(self, function, geometry, phases, algorithm, bias, activation):
        self._function, self._geometry, self._phases = function, geometry, phases
        if phases.joined and bias is not None:
            bias = np.tile(bias, len(phases.taps))
        self._options = bias, activation, algorithm
        self._weight = self._views = None
        self._layers = []

    def _load(self, weight):
        """Turn the weights: those of each convolution are joined from views of them."""
        g, phases = self._geometry, self._phases
        if weight is not self._weight:
            views = [_turned(g, weight, taps) for taps in phases.taps]
            self._views = [views] if phases.joined else [[each] for each in views]
            self._weight = weight
        weights = [_joined(g, views) for views in self._views]
        if not self._layers:
            self._layers = [
                _layer(self._function, g, *each, *self._options)
                for each in zip(weights, phases.windows, strict=True)
            ]
        else:
            for (plan, _), joined in zip(self._layers, weights, strict=True):
                plan.load(joined)

    def __call__(self, weight, dy, result, threads):
        self._load(weight)
        if self._phases.in_place:
            _compute(*self._layers[0], dy, result, threads)
        else:
            self._in_frames(dy, result, threads)
        for plan, _ in self._layers:
            plan.unload()

    def _in_frames(self, dy, result, threads):
        g, phases = self._geometry, self._phases
        room, frame = phases.room, len(phases.taps) * phases.room
        samples = min(g.samples, _plan.frame_samples(frame * dy.itemsize, threads))
        samples = 1 if phases.joined else samples  # whose channels are in the order of phases
        shape = (samples, len(phases.taps), room)
        _arrays.check_memory(self._function, "a frame of phases", shape, dy.dtype)
        size = math.prod(shape) * dy.itemsize
        buffer = _arrays.take_buffer(size)
        memory = buffer[:size].view(dy.dtype)
        for first in range(0, g.samples, samples):
            part = slice(first, min(first + samples, g.samples))
            n = part.stop - part.start
            for i, (plan, layer) in enumerate(self._layers):
                layer = layer._replace(n=n * phases.count)
                phase = memory[i * n * room :][: math.prod(layer.shape)].reshape(layer.shape)
                _compute(plan, layer, dy[part], phase, threads)
            task, shared = _plan.fold(phases.fold._replace(n=n * phases.planes), threads)
            task(shared, memory, None, result[part])
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


def _turned(g, weight, taps):
    """The weights of a phase by groups, a view; a single zero for a channel that sees no tap."""
    kernel = [window.k for window in g.axes]
    turned = weight.reshape(g.groups, g.k, g.channels, *kernel)[(..., *taps)].swapaxes(1, 2)
    return turned if turned.size else np.zeros((*turned.shape[:3], 1, 1, 1), weight.dtype)


def _joined(g, views):
    """The weights of one convolution: of one phase, or of some that are its channels."""
    groups, channels, k, *kernel = views[0].shape
    joined = np.empty((groups, len(views) * channels, k, *kernel), views[0].dtype)
    np.concatenate(views, 1, out=joined)
    return joined.reshape(-1, k, *kernel[3 - g.dims :])


def _layer(function, g, weight, windows, bias, activation, algorithm):
    """The convolution for one phase: its weights and its geometry."""
    last = g.layout == "NHWC"
    layout = tuple(_geometry.LAYOUTS[g.dims])[last]
    activation = _geometry.activation(function, activation, weight.dtype)
    plan = PLANS[g.dims].plain(function, weight, bias, g.groups, activation, layout, algorithm)
    depth, rows, cols = windows
    geometry = g._replace(
        n=g.samples * depth.o, c=g.k * depth.k, k=len(weight) // g.groups, depth=depth, rows=rows,
        cols=cols, border=("constant", "constant"), border_d="constant",
        activation=activation,
    )  # fmt: skip
    return plan, geometry


def _compute(plan, geometry, dy, result, threads):
    if 0 in [window.k for window in geometry.axes]:
        channels = len(plan._weight[0]) * geometry.groups
        pixel = _geometry.images(geometry.layout, 1, channels, *(1,) * geometry.dims)
        result[...] = plan(np.zeros(pixel, dy.dtype))
        return
    task, threads = plan.planned(geometry, threads)
    plan.compute(task, dy, None, result, threads)


def by_weight(geometry, x, dy, result, threads, algorithm):
    """The derivative by the weights; public calls refuse its memory before they write anything."""
    g = geometry
    task, parts, shared = _plan.weight_gradient(g, algorithm != "direct", threads)
    by_slices = (len(result), g.depth.k, g.channels, *result.shape[-2:])
    total = result if g.depth.k == 1 else np.empty(by_slices, result.dtype)
    sums = total if parts == 1 else _arrays.take_buffer(parts * total.nbytes)
    task(shared, x, dy, sums)
    if parts > 1:
        first, second, *others = sums[: parts * total.nbytes].view(total.dtype).reshape(
            parts, *total.shape
        )
        np.add(first, second, out=total)
        for each in others:
            np.add(total, each, out=total)
        _arrays.give_buffer(sums)
    if total is not result:
        result[...] = total.swapaxes(1, 2)
    if task.algorithm == _plan.WINOGRAD_WEIGHT_GRADIENT and not np.isfinite(result).all():
        # The transforms take what is not finite, or overflows, to taps that do not see it.
        by_weight(g, x, dy, result, threads, "direct")


def by_bias(geometry, dy, result, threads):
    """The derivative by the bias."""
    task, threads = _plan.bias_gradient(geometry, threads)
    task(threads, None, dy, result)
