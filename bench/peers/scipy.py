"""SciPy's image filters on float32; large kernels by FFT, which is faster there. NumPy's matmul."""

from functools import partial

import numpy as np
import scipy
from scipy import ndimage, signal

from . import result_like

VERSION = scipy.__version__

_MIRROR = {"mode": "mirror"}  # fastconv's "reflect"
_LARGEST_DIRECT = 5


def prepare(case, arrays, threads):
    # SciPy cuts integer results off where others round, and has no channels.
    if case.dtype != "float32" or "channel_axis" in case.arguments:
        return {}
    if case.operation == "linear":
        x, weight = arrays.values()
        out = result_like(np.empty((len(x), len(weight)), x.dtype))
        return {"numpy matmul": partial(np.matmul, x, weight.T, out)}
    build = _plane if case.is_plane else _FILTERS.get(case.operation)
    return {"scipy": build(case, **arrays)} if build else {}


def _filter2d(case, x, weight):
    if len(weight) <= _LARGEST_DIRECT:
        return partial(ndimage.correlate, x, weight, output=result_like(x), **_MIRROR)
    flipped = weight[::-1, ::-1]

    def run():
        return signal.oaconvolve(np.pad(x, case.radius, "reflect"), flipped, "valid")

    return run


def _plane(case, x, weight):
    return partial(ndimage.correlate, x, weight, output=result_like(x), mode="constant")


def _gaussian(case, x):
    sigma = case.arguments["sigma"]
    return partial(ndimage.gaussian_filter, x, sigma, output=result_like(x), **_MIRROR)


def _sobel(case, x):
    return partial(ndimage.sobel, x, axis=1, output=result_like(x), **_MIRROR)


def _box(case, x):
    return partial(ndimage.uniform_filter, x, case.window, output=result_like(x), **_MIRROR)


def _median(case, x):
    return partial(ndimage.median_filter, x, case.window, output=result_like(x), mode="nearest")


def _dilate(case, x):
    return partial(ndimage.maximum_filter, x, case.window, output=result_like(x), **_MIRROR)


_FILTERS = {
    "filters.box": _box,
    "filters.median": _median,
    "filters.dilate": _dilate,
    "filters.filter2d": _filter2d,
    "filters.gaussian": _gaussian,
    "filters.sobel": _sobel,
}
