"""OpenCV's image filters, into a result array made ahead; of a batch image by image."""

from functools import partial

import cv2
import numpy as np

from . import result_like

VERSION = cv2.__version__

_BORDER = {"borderType": cv2.BORDER_REFLECT_101}


def prepare(case, arrays, threads):
    cv2.setNumThreads(threads)
    if case.is_plane:
        return {"opencv": _plane(case, **arrays)}
    build = _FILTERS.get(case.operation)
    if build is None or (build is _median and case.window > 5 and case.dtype != "uint8"):
        return {}  # it has none
    return {"opencv": _filter(build, case, **arrays)}


def _filter(build, case, x, **weight):
    widened = case.operation == "filters.sobel" and case.is_integer
    out = result_like(x, np.int16 if widened else None)
    if x.ndim < 4:
        return build(case, x, out, **weight)
    calls = [build(case, image, result, **weight) for image, result in zip(x, out, strict=True)]

    def run():
        for call in calls:
            call()
        return out

    return run


def _filter2d(case, x, out, weight):
    return partial(cv2.filter2D, x, -1, weight, dst=out, **_BORDER)


def _plane(case, x, weight):
    image, kernel, out = x[0, 0], weight[0, 0], result_like(x)
    result = out[0, 0]

    def run():
        cv2.filter2D(image, -1, kernel, result, borderType=cv2.BORDER_CONSTANT)
        return out

    return run


def _gaussian(case, x, out):
    # GaussianBlur itself rounds the weights of uint8 to 1/256, ends up to 2 off, and is slower.
    kernel = cv2.getGaussianKernel(2 * case.radius + 1, case.arguments["sigma"])
    return partial(cv2.sepFilter2D, x, -1, kernel, kernel, dst=out, **_BORDER)


def _sobel(case, x, out):
    depth = {np.int16: cv2.CV_16S, np.float32: cv2.CV_32F, np.float64: cv2.CV_64F}[out.dtype.type]
    orders = case.arguments["dx"], case.arguments["dy"]
    return partial(cv2.Sobel, x, depth, *orders, dst=out, ksize=3, **_BORDER)


def _gradient(case, x, out):
    slopes = result_like(x), result_like(x)

    def run():
        for i, slope in enumerate(slopes):
            cv2.Sobel(x, cv2.CV_32F, 1 - i, i, dst=slope, ksize=3, **_BORDER)
        return cv2.magnitude(*slopes, out)

    return run


def _box(case, x, out):
    return partial(cv2.blur, x, (case.window,) * 2, out, **_BORDER)


def _median(case, x, out):
    return partial(cv2.medianBlur, x, case.window, out)


def _dilate(case, x, out):
    return partial(cv2.dilate, x, np.ones((case.window,) * 2, np.uint8), out)


_FILTERS = {
    "filters.box": _box,
    "filters.median": _median,
    "filters.dilate": _dilate,
    "filters.filter2d": _filter2d,
    "filters.gaussian": _gaussian,
    "filters.gradient": _gradient,
    "filters.sobel": _sobel,
}
