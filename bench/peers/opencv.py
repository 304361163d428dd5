"""OpenCV's image filters, into a result array made ahead."""

from functools import partial

import cv2
import numpy as np

from . import result_like

VERSION = cv2.__version__

_BORDER = {"borderType": cv2.BORDER_REFLECT_101}


def prepare(case, arrays, threads):
    cv2.setNumThreads(threads)
    build = _plane if case.is_plane else _FILTERS.get(case.operation)
    if build is _median and case.window > 5 and case.dtype != "uint8":
        return {}  # it has none
    return {"opencv": build(case, **arrays)} if build else {}


def _filter2d(case, x, weight):
    return partial(cv2.filter2D, x, -1, weight, dst=result_like(x), **_BORDER)


def _plane(case, x, weight):
    image, kernel, out = x[0, 0], weight[0, 0], result_like(x)
    result = out[0, 0]

    def run():
        cv2.filter2D(image, -1, kernel, result, borderType=cv2.BORDER_CONSTANT)
        return out

    return run


def _gaussian(case, x):
    # GaussianBlur itself rounds the weights of uint8 to 1/256, ends up to 2 off, and is slower.
    kernel = cv2.getGaussianKernel(2 * case.radius + 1, case.arguments["sigma"])
    return partial(cv2.sepFilter2D, x, -1, kernel, kernel, dst=result_like(x), **_BORDER)


def _sobel(case, x):
    dtype, depth = (np.int16, cv2.CV_16S) if case.dtype == "uint8" else (np.float32, cv2.CV_32F)
    orders = case.arguments["dx"], case.arguments["dy"]
    return partial(cv2.Sobel, x, depth, *orders, dst=result_like(x, dtype), ksize=3, **_BORDER)


def _box(case, x):
    return partial(cv2.blur, x, (case.window,) * 2, result_like(x), **_BORDER)


def _median(case, x):
    return partial(cv2.medianBlur, x, case.window, result_like(x))


def _dilate(case, x):
    return partial(cv2.dilate, x, np.ones((case.window,) * 2, np.uint8), result_like(x))


_FILTERS = {
    "filters.box": _box,
    "filters.median": _median,
    "filters.dilate": _dilate,
    "filters.filter2d": _filter2d,
    "filters.gaussian": _gaussian,
    "filters.sobel": _sobel,
}
