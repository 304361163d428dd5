"""What a convolution or an image filter would be: its plan in words, without computing anything."""

import inspect
import math
from functools import cache

import numpy as np

from fastconv import _arrays, _config, _conv_plan, _core, _plan, conv, filters
from fastconv.filters import _image

# Sizes below a pebibyte: every product of them in the C core fits a 64-bit integer.
MOST_BYTES = 2**50
# Long enough for the clock to rise, and too short to notice.
PEAK_SECONDS = 0.02
PREFIXES = ("", "k", "M", "G", "T", "P")


def explain_plan(*call, **options):
    """Say in words how a convolution or an image filter would be computed, and what limits it.

    ``explain_plan(x, weight, ...)`` is about `conv2d`, ``explain_plan("conv3d", x, weight, ...)``
    about that one or `conv1d`, ``explain_plan("gaussian", image, 3, ...)`` about the function of
    `fastconv.filters` that has this name, or is given in its place. Nothing is computed, and x or
    the image is neither read nor copied. To ask about a shape without the memory for it, pass
    arrays that repeat one number: ``np.broadcast_to(np.float32(0), shape)``.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups : as in `conv2d`
        Of the arrays only shape and dtype matter; but weights that Winograd's transforms might
        overflow with are not given to them, so where these pay the weights are looked at.
    padding_mode, activation, residual, layout, algorithm, threads : as in `conv2d`
        Or all that the filter takes but `out`; its kernels are looked at, the image is not.

    Returns
    -------
    str
        Lines that each begin with what they are about: the call, its algorithm and why, its blocks
        of work (slices under a kernel are more channels), its threads and why, its memory, and the
        least time on one thread for the arithmetic, for the bytes, and for both side by side. The
        last three are floors, not expectations: they rest on this machine's peak of multiply-adds
        on registers, measured in 0.02 s when it is first needed, of which kernels with loads reach
        60 to 95 %, and on a plain assumption of the bytes that one core moves in a second. They do
        not count the packing of the weights, which for a small image of many channels takes longer
        than its convolution. Of a filter also the type that is computed in and why; filters of
        several passes list them one by one, with the blocks that they share. What is compared or
        sorted, not multiplied, is counted as about so many multiply-adds.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, as for the function itself. Memory is no limit below 1 PiB.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.broadcast_to(np.float32(0), (16, 64, 224, 224))
    >>> weight = np.broadcast_to(np.float32(0), (64, 64, 3, 3))
    >>> print(explain_plan(x, weight, padding=1, threads=1))  # doctest: +ELLIPSIS
    call        float32 (16, 64, 224, 224) by (64, 64, 3, 3) gives (16, 64, 224, 224), NCHW, ...
    algorithm   winograd_4x4: a 3x3 kernel on many channels: 36 products do the work ...
    blocks      ... x ... outputs (rows x columns), channels: 64 in, 64 out; ... in all
    threads     1: as the call says
    memory      scratch ... bytes per thread, packed weights ... bytes
    arithmetic  59.2 GFLOP; ...
    bytes       412 MB (input, weights, result once); 16.5 ms at 25 GB/s (assumed; ...
    one thread  at least ..., limited by ...; conv2d packs the weights each time, plan_conv2d once
    >>> image = np.broadcast_to(np.uint8(0), (1080, 1920))
    >>> print(explain_plan("median", image, 5, threads=2))  # doctest: +ELLIPSIS
    call        median of uint8 (1080, 1920) gives uint8 (1080, 1920), ...
    algorithm   filter_median: the median of 3x3 or 5x5: a network of comparisons shares ...
    type        uint8: pixels are compared, not summed
    blocks      ... x ... outputs (rows x columns) of a 5x5 window; ... in all
    threads     2: as the call says
    memory      scratch ... bytes per thread
    arithmetic  about 664 MFLOP; ...
    bytes       4.15 MB (image and result once); 166 us at 25 GB/s (assumed; caches are faster)
    one thread  at least ..., limited by ...
    """
    name = "conv2d"
    if call and (isinstance(call[0], str) or callable(call[0])):
        name, *call = call
        name = getattr(name, "__name__", name)
    return (_explain_conv if name in CONVOLUTIONS else _explain_filter)(name, call, options)


# The arguments of conv2d, for help() and for tools; the name of a function is an `x` of its own.
_SIGNATURE = inspect.signature(conv.conv2d)
explain_plan.__signature__ = _SIGNATURE.replace(
    parameters=[each for each in _SIGNATURE.parameters.values() if each.name != "out"]
)


def _explain_conv(name, call, options):
    """What explain_plan says of a convolution."""
    call = _bound(name, getattr(conv, name), call, options)
    call.apply_defaults()
    a = call.arguments
    x, residual, _, threads = (a.pop(each) for each in ("x", "residual", "out", "threads"))
    return CONVOLUTIONS[name]("explain_plan", **a).answer(x, residual, threads)


def _bound(name, function, call, options):
    """The call of a function by its arguments' names; it has no result to go to."""
    try:
        call = inspect.signature(function).bind(*call, **options)
    except TypeError as error:
        raise TypeError(f"explain_plan: {name} has a call that does not fit: {error}") from None
    if call.arguments.get("out") is not None:
        raise TypeError("explain_plan: out is an array, expected none: nothing is computed")
    return call


class Question:
    """A convolution that is asked about: its arrays are checked, but stay as they are."""

    _read = staticmethod(_arrays.described)

    def answer(self, x, residual, threads):
        """What explain_plan says."""
        x, geometry, _, threads = self._checked_call(x, threads, residual)
        self._check_sizes(geometry)
        lines = {
            "call": f"{x.dtype.name} {x.shape} by {self._weight.shape} gives {geometry.shape}, "
            f"{self._layout}, {_config.isa()}"
        }
        if 0 in geometry.shape:
            lines["algorithm"] = "none: the result is empty, so nothing is computed"
        else:
            refused = self._winograd_refused(geometry)
            plan = _plan.conv2d_and_why(geometry, refused is None, threads)
            lines |= _decisions(geometry, refused, *plan) | _limits(geometry, plan[0])
        return "\n".join(f"{name:12}{text}" for name, text in lines.items())

    def _check_sizes(self, g):
        padded = math.prod(window.before + window.n + window.after for window in g.axes)
        elements = {
            "x with its padding": g.samples * g.groups * g.channels * padded,
            "weight": g.groups * g.k * g.c * g.rows.k * g.cols.k,
            "the result": g.n * g.groups * g.k * g.rows.o * g.cols.o,
        }
        for name, count in elements.items():
            size = count * g.bits // 8
            if size > MOST_BYTES:
                raise ValueError(
                    f"{self._function}: {name} takes {size / 2**50:.3g} PiB, expected at most "
                    f"{MOST_BYTES / 2**50:.0f}"
                )


CONVOLUTIONS = {
    f"conv{dims}d": type("Question", (Question, plan), {})
    for dims, plan in _conv_plan.PLANS.items()
}


def _decisions(g, refused, task, why, threads, why_threads):
    """What the plan has decided, and why."""
    rows, cols, c, k = task.blocks
    where = ""
    if g.groups > 1:
        # This algorithm's channels are all in one unit; the others' units are of one group.
        where = " of every group" if task.algorithm == "depthwise" else " of a group"
    return {
        "algorithm": f"{task.algorithm}: {why}"
        + (f"\n{'':12}not winograd: {refused}" if refused else ""),
        "blocks": f"{rows} x {cols} outputs (rows x columns), channels: {c} in, {k} out{where}; "
        f"{task.units:,} in all",
        "threads": f"{threads}: {why_threads}",
        "memory": f"scratch {task.scratch_bytes:,} bytes per thread, "
        f"packed weights {task.packed_size * g.bits // 8:,} bytes",
    }


def _limits(g, task):
    """What bounds the call on one thread, its weights packed: a prediction."""
    isa, flops = _config.isa(), _plan.conv2d_flops(g)
    peak, work, how = _peak(isa, g.bits), flops, ""
    if task.algorithm.startswith("winograd"):
        scheme = _plan.winograd_scheme(g)
        work = 2 * g.n * _plan.winograd_terms(g, scheme)
        terms = _plan.winograd_replaced(g, scheme)
        how = f"{scheme.products}/{terms} of the products, and the transforms: "
    inputs = g.samples * g.groups * g.channels * math.prod(window.n for window in g.axes)
    outputs = g.n * g.groups * g.k * g.rows.o * g.cols.o
    moved = (inputs + task.packed_size + outputs * (2 if g.residual else 1)) * g.bits // 8
    arithmetic, transfer = work / peak, moved / _plan.BYTES
    limit = "arithmetic" if arithmetic > transfer else "bytes moved"
    parts = "input, weights, residual, result" if g.residual else "input, weights, result"
    return {
        "arithmetic": f"{_amount(flops, 'FLOP')}; {how}{_time(arithmetic)} at "
        f"{_amount(peak, 'FLOP')}/s (the peak of multiply-adds, measured here)",
        "bytes": f"{_amount(moved, 'B')} ({parts} once); {_time(transfer)} at "
        f"{_amount(_plan.BYTES, 'B')}/s (assumed; caches are faster)",
        "one thread": f"at least {_time(max(arithmetic, transfer))}, limited by {limit}; "
        f"conv{g.dims}d packs the weights each time, plan_conv{g.dims}d once",
    }


def _explain_filter(name, arguments, options):
    """What explain_plan says of an image filter."""
    if name not in filters.__all__:
        raise ValueError(
            f"explain_plan: x is {_arrays.shown(name)}, expected an array, or one of "
            f"{', '.join([*CONVOLUTIONS, *filters.__all__])}"
        )
    function = getattr(filters, name)
    call = _bound(name, function, arguments, options)
    axis = call.arguments.get("channel_axis")
    image = _arrays.described(name, "image", call.arguments["image"],
                              getattr(function, "dtypes", _image.DTYPES))
    _image.shape_of(name, image, axis)
    if image.nbytes > MOST_BYTES:
        raise ValueError(
            f"explain_plan: image takes {image.nbytes / 2**50:.3g} PiB, expected at most "
            f"{MOST_BYTES / 2**50:.0f}"
        )
    call.arguments["image"] = np.empty((0, *image.shape), image.dtype)
    if axis is not None:
        call.arguments["channel_axis"] = -1
    question = _image.Asked()
    token = _image.asked.set(question)
    try:
        results = function(*call.args, **call.kwargs)
    finally:
        _image.asked.reset(token)
    asked = question.passes if image.size else []
    passes = [_pass(*each, call.arguments.get("threads")) for each in asked]
    return _filter_text(name, image, results, passes, question)


def _filter_text(name, image, results, passes, question):
    results = results if isinstance(results, tuple) else (results,)
    gives = " and ".join(f"{each.dtype.name} {each.shape[1:]}" for each in results)
    lines = [("call", f"{name} of {image.dtype.name} {image.shape} gives {gives}, {_config.isa()}")]
    if image.size == 0:
        lines.append(("algorithm", "none: the result is empty, so nothing is computed"))
    elif len(passes) == 1:
        lines += passes[0][0]
    else:
        lines += _passes(passes, question)
    return "\n".join(f"{key:12}{text}" for key, text in lines)


def _passes(passes, question):
    """All passes of a filter, each with its plan, and what they take together."""
    repeat = 1
    if question.blocks is None:
        yield "passes", f"{len(passes)}, each over the whole image, one after the other"
    else:
        shape, size, arrays = question.blocks
        repeat = math.prod(-(-n // part) for n, part in zip(shape, size, strict=True))
        images, rows, cols = size
        yield "passes", (
            f"{len(passes)} over {repeat:,} blocks of {images} x {rows} x {cols} outputs (images x "
            f"rows x columns), one after the other; at most {arrays} arrays like a block at once"
        )
    least = 0
    for i, (lines, seconds) in enumerate(passes, 1):
        least += seconds * repeat
        g = question.passes[i - 1][0]
        where = "each time" if repeat > 1 else "once"
        yield f"pass {i}", f"{g.dtype} {g.rows.n} x {g.cols.n} gives {g.out_dtype}, {where}"
        yield from lines
    yield "all passes", f"at least {_time(least)} on one thread, but for NumPy's work between them"


def _pass(g, why, threads, given):
    """The lines about one pass, and the least time that it takes on one thread."""
    task, threads, why_threads = _plan.filter2d_and_why(g, threads)
    if why_threads == _plan.GIVEN and threads != given:
        why_threads = _plan.STORED
    rows, cols = task.blocks
    dtype, why_type = _plan.filter_type_and_why(g)
    stride = "" if g.rows.stride == g.cols.stride == 1 else (
        f", {g.rows.stride} rows and {g.cols.stride} columns apart"
    )
    flops = _plan.filter_flops(g)
    # A vector holds so many times as many integers as floats.
    times = max(4 // np.dtype(dtype).itemsize, 1)
    peak = _peak(_config.isa(), max(g.bits, 32)) * times
    measured = "measured here" if times == 1 else f"measured here on floats, times {times}"
    pixels = g.planes * g.channels * g.rows.n * g.cols.n
    moved = pixels * np.dtype(g.dtype).itemsize
    moved += _plan.filter_outputs(g) * np.dtype(g.out_dtype).itemsize
    arithmetic, transfer = flops / peak, moved / _plan.BYTES
    limit = "arithmetic" if arithmetic > transfer else "bytes moved"
    about = "" if g.algorithm in _plan.CORRELATIONS else "about "
    return [
        ("algorithm", f"{task.algorithm}: {_plan.filter_why(g, why)}"),
        ("type", f"{dtype}: {why_type}"),
        ("blocks", f"{rows} x {cols} outputs (rows x columns) of a {g.rows.k}x{g.cols.k} window"
         f"{stride}; {task.units:,} in all"),
        ("threads", f"{threads}: {why_threads}"),
        ("memory", f"scratch {task.scratch_bytes:,} bytes per thread"),
        ("arithmetic", f"{about}{_amount(flops, 'FLOP')}; {_time(arithmetic)} at "
         f"{_amount(peak, 'FLOP')}/s (the peak of multiply-adds, {measured})"),
        ("bytes", f"{_amount(moved, 'B')} (image and result once); {_time(transfer)} at "
         f"{_amount(_plan.BYTES, 'B')}/s (assumed; caches are faster)"),
        ("one thread", f"at least {_time(max(arithmetic, transfer))}, limited by {limit}"),
    ], max(arithmetic, transfer)  # fmt: skip


@cache
def _peak(isa, bits):
    """Multiplications and additions in a second on registers alone, on one thread."""
    return 1e9 * _core.fma_peak(isa, bits, PEAK_SECONDS)


def _amount(number, unit):
    """Three digits and a prefix."""
    scale = min((len(str(int(number))) - 1) // 3, len(PREFIXES) - 1)
    return f"{float(f'{number / 1000**scale:.3g}'):g} {PREFIXES[scale]}{unit}"


def _time(seconds):
    unit, scale = ("s", 1) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("us", 1e6)
    return f"{float(f'{seconds * scale:.3g}'):g} {unit}"
