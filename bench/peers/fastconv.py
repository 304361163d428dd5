"""fastconv, twice: with everything prepared, and as a single call with nothing prepared."""

from functools import partial
from operator import attrgetter

import fastconv

from . import result_like

VERSION = fastconv.__version__
DETAILS = fastconv.show_config()


def prepare(case, arrays, threads):
    fastconv.set_num_threads(threads)
    operation = attrgetter(case.operation)(fastconv)
    fresh = partial(operation, *arrays.values(), **case.arguments)
    out = fresh()
    out = [result_like(each) for each in out] if isinstance(out, tuple) else result_like(out)
    if case.is_convolution:
        plan = getattr(fastconv, f"plan_{case.operation}")(arrays["weight"], **case.arguments)
        prepared = partial(plan, arrays["x"], out=out, threads=threads)
    else:
        prepared = partial(fresh, out=out, threads=threads)
    return {"fastconv": prepared, "fastconv fresh": fresh}


def peak(bits, seconds):
    """Measure the GFLOP/s of fused multiply-adds on registers, on one thread."""
    return fastconv._core.fma_peak(DETAILS["isa"], bits, seconds)
