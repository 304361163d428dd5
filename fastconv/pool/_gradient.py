"""From outputs of a pooling back to its elements: gradients and unpooling."""

import numpy as np

from fastconv import _arrays, _geometry, _plan
from fastconv.pool import _axes
from fastconv.pool._call import FLOATS, NUMBERS, Call, divisor_of, norm_of


def unpool(
    dims, function, x, indices, kernel_size, stride, padding, output_size, layout, out, threads
):
    call = Call(function, x, dims, layout, NUMBERS, out, threads)
    kernel = _geometry.pair(function, "kernel_size", kernel_size, 1, dims)
    stride = kernel if stride is None else _geometry.pair(function, "stride", stride, 1, dims)
    pads = _geometry.padding(function, padding, dims)
    if pads == "same":
        raise ValueError(f"{function}: padding is 'same', expected numbers")
    sums = (0,) * dims if pads == "valid" else map(sum, pads)
    if output_size is None:
        size = tuple(
            (n - 1) * s + k - pad
            for n, k, s, pad in zip(call.size, kernel, stride, sums, strict=True)
        )
    else:
        size = _size_of(call, output_size)
    axes = _plain_axes(size, call.size)
    if min(size) < 1:
        raise ValueError(f"{function}: output_size is {size}, expected at least 1 everywhere")
    indices = _indices(call, indices, axes)
    return call.widened(axes, "pool_scatter", "max", indices, shape=call.shape(size))


def max_backward(dims, function, dy, x, indices, layout, out, threads, *window, output_size=None):
    call, x = _gradient_call(dims, function, dy, x, layout, out, threads)
    size = Call(function, x, dims, layout, FLOATS).size
    outputs = call.size if output_size is None else output_size
    axes = _axes_of(call, size, window, outputs)
    if indices is None:
        geometry = call.geometry(axes, algorithm="pool_max_grad")
        if _plan.is_pool_of_pairs(geometry):
            return call.run(geometry, x.shape, starts=x)
        search = Call(function, x, dims, layout, FLOATS, None, threads)
        _, indices = search.extreme(axes, "max", True)
    else:
        indices = _indices(call, indices, axes)
    geometry = call.geometry(axes, algorithm="pool_scatter", accumulate=True)
    return call.run(geometry, x.shape, indices)


def mean_backward(
    dims, function, dy, input_size, count_include_pad, divisor_override, layout, out, threads,
    *window,
):  # fmt: skip
    divisor = divisor_of(function, divisor_override)
    call = Call(function, dy, dims, layout, FLOATS, out, threads, "dy")
    shape = _shape_of(call, input_size)
    axes = _axes_of(call, call.sizes(shape)[2:], window, None)
    geometry = call.geometry(
        axes, algorithm="pool_spread", count_include_pad=bool(count_include_pad), divisor=divisor
    )
    return call.run(geometry, shape)


def adaptive_mean_backward(dims, function, dy, input_size, layout, out, threads, output_size=None):
    call = Call(function, dy, dims, layout, FLOATS, out, threads, "dy")
    shape = _shape_of(call, input_size)
    outputs = call.size if output_size is None else output_size
    axes = _axes_of(call, call.sizes(shape)[2:], (), outputs)
    return call.run(call.geometry(axes, algorithm="pool_spread"), shape)


def norm_backward(dims, function, dy, x, norm_type, layout, out, threads, *window):
    norm_type = norm_of(function, norm_type)
    call, x = _gradient_call(dims, function, dy, x, layout, None, threads)
    forward = Call(function, x, dims, layout, FLOATS, None, threads)
    axes = _axes_of(call, forward.size, window, None)
    result, finish = _arrays.writable(function, out, x.shape, x.dtype, (x, call.x))
    y = forward.reduce(axes, "sum", divisor=1.0, norm=norm_type)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        call.x = np.where(y == 0, 0, call.x * y ** (1 - norm_type)).astype(x.dtype, copy=False)
        spread = call.run(call.geometry(axes, algorithm="pool_spread", divisor=1.0), x.shape)
        slope = np.sign(x) * np.abs(x) ** (norm_type - 1)
        np.multiply(np.where(x == 0, 0, slope), spread, out=result)
    return finish()


def _gradient_call(dims, function, dy, x, layout, out, threads):
    """dy as a call, and x, which has its dtype, samples and channels."""
    call = Call(function, dy, dims, layout, FLOATS, out, threads, "dy")
    x = _arrays.readable(function, "x", x, FLOATS, _geometry.LAYOUTS[dims][layout])
    if x.dtype != call.dtype:
        raise TypeError(f"{function}: x has dtype {x.dtype}, expected dy's, {call.dtype}")
    _check_samples(call, "x", x.shape)
    return call, x


def _check_samples(call, name, shape):
    n, channels, *_ = call.sizes(shape)
    if (n, channels) != (call.n, call.channels):
        raise ValueError(
            f"{call.function}: {name} has {n} samples of {channels} channels, expected dy's, "
            f"{call.n} of {call.channels}"
        )


def _axes_of(call, size, window, outputs):
    """The axes of the pooling whose outputs dy has; adaptive ones without a window."""
    if window:
        axes = _axes.windows(call.function, size, *window)
    else:
        axes = _axes.adaptive(call.function, size, outputs)
    expected = call.results(axes)
    if call.x.shape != expected:
        raise ValueError(f"{call.function}: dy has shape {call.x.shape}, expected {expected}")
    return axes


def _shape_of(call, input_size):
    """A whole shape, of as many samples and channels as the call's array."""
    sizes = input_size if isinstance(input_size, tuple | list) else ()
    if len(sizes) != call.dims + 2:
        raise ValueError(
            f"{call.function}: input_size is {_arrays.shown(input_size)}, expected the shape of x, "
            f"{_geometry.LAYOUTS[call.dims][call.layout]}"
        )
    shape = tuple(_geometry.integer(call.function, "input_size", each, 0, 2**31) for each in sizes)
    _check_samples(call, "input_size", shape)
    return shape


def _size_of(call, output_size):
    """The size of an unpooled result, from that or from a whole shape."""
    sizes = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,)
    if len(sizes) == call.dims + 2:
        n, channels, *size = call.sizes(sizes)
        if (n, channels) == (call.n, call.channels):
            sizes = size
    if len(sizes) != call.dims:
        raise ValueError(
            f"{call.function}: output_size is {_arrays.shown(output_size)}, expected {call.dims} "
            "integers, or a whole shape with x's samples and channels"
        )
    return tuple(_geometry.integer(call.function, "output_size", each, 1, 2**31) for each in sizes)


def _plain_axes(size, outputs):
    """Axes of so many elements and outputs, for a kernel that knows no windows."""
    return tuple(_geometry.Window(n, 1, 1, 1, 0, 0, o) for n, o in zip(size, outputs, strict=True))


def _indices(call, indices, axes):
    """Indices that are all inside a plane of such axes, or -1."""
    indices = _arrays.readable(call.function, "indices", indices, ("int64",))
    if indices.shape != call.x.shape:
        raise ValueError(
            f"{call.function}: indices has shape {indices.shape}, expected {call.x.shape}"
        )
    elements = int(np.prod([axis.n for axis in axes], dtype=object))
    # As unsigned numbers all bad ones are large: mostly, one look is enough.
    suspect = indices.size and indices.view(np.uint64).max() >= elements
    if suspect and (indices.min() < -1 or indices.max() >= elements):
        raise ValueError(
            f"{call.function}: indices has {indices.min()} to {indices.max()}, expected -1 to "
            f"{elements - 1}"
        )
    return indices
