"""What a convolution would be: its plan in words, without computing anything."""

from functools import cache

from fastconv import _arrays, _config, _core, _plan, conv

# Sizes below a pebibyte: every product of them in the C core fits a 64-bit integer.
MOST_BYTES = 2**50
# Long enough for the clock to rise, and too short to notice.
PEAK_SECONDS = 0.02
PREFIXES = ("", "k", "M", "G", "T", "P")


def explain_plan(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCHW",
    algorithm="auto",
    threads=None,
):
    """Say in words how `conv2d` would compute a call, and what limits its speed.

    Nothing is computed, and x is neither read nor copied. To ask about a shape without the memory
    for it, pass arrays that repeat one number: ``np.broadcast_to(np.float32(0), shape)``.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups : as in `conv2d`
        Of the arrays only shape and dtype matter; but weights that Winograd's transforms might
        overflow with are not given to them, so where these pay the weights are looked at.
    padding_mode, activation, residual, layout, algorithm, threads : as in `conv2d`

    Returns
    -------
    str
        Lines that each begin with what they are about: the call, its algorithm and why, its blocks
        of work, its threads and why, its memory, and the least time on one thread for the
        arithmetic, for the bytes, and for both side by side. The last three are floors, not
        expectations: they rest on this machine's peak of multiply-adds on registers, measured in
        0.02 s when it is first needed, of which kernels with loads reach 60 to 95 %, and on a plain
        assumption of the bytes that one core moves in a second. They do not count the packing of
        the weights, which for a small image of many channels takes longer than its convolution.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, as for `conv2d`. Memory is no limit below 1 PiB.

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
    """
    question = Question(
        "explain_plan", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm,
    )  # fmt: skip
    return question.answer(x, residual, threads)


class Question(conv.Conv2dPlan):
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
        rows, cols = (window.before + window.n + window.after for window in (g.rows, g.cols))
        elements = {
            "x with its padding": g.n * g.groups * g.c * rows * cols,
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
    scheme = _plan.WINOGRADS.get(task.algorithm)
    if scheme:
        work = 2 * g.n * _plan.winograd_terms(g, scheme)
        how = f"{scheme.products}/{9 * scheme.m**2} of the products, and the transforms: "
    inputs = g.n * g.groups * g.c * g.rows.n * g.cols.n
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
        "one thread": f"at least {_time(max(arithmetic, transfer))}, limited by {limit}; conv2d "
        "packs the weights each time, plan_conv2d once",
    }


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
