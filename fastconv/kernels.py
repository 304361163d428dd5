"""Named kernels to filter images with: edges, corners, lines, blur, sharpening, texture.

They are meant for correlation, as `filters.filter2d` and `conv2d` compute it: `sobel_x` is positive
where the image gets brighter to the right, `sobel_y` where it gets brighter downwards. "Diagonal"
runs from top left to bottom right, "antidiagonal" from top right to bottom left.
"""

import difflib
import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

__all__ = ["describe", "get", "names", "pair", "parameters", "source"]


def names():
    """Give the names of all kernels, a tuple of str.

    >>> names()[:3]
    ('identity', 'edge_horizontal', 'edge_vertical')
    """
    return tuple(_KERNELS)


def get(name, /, **parameters):
    """Give a kernel of the library.

    Parameters
    ----------
    name : str
        One of `names()`; hyphens may stand for underscores.
    **parameters
        What `parameters(name)` lists. `size` is the number of rows and of columns: odd, or any for
        "box". `sigma` and `wavelength` are in pixels, `theta` and `phase` in radians (theta 0 finds
        vertical stripes), `gamma`, `ratio` and `amount` are plain numbers. Without `size`, a kernel
        reaches as far as 4 sigma (gabor: 3); "gaussian" with `size` alone takes OpenCV's sigma.

    Returns
    -------
    numpy.ndarray
        (rows, columns), read-only; int16 where all taps are integers, else float64. The taps sum
        to exactly 0 or 1, added in any order: they are rounded to multiples of a power of two,
        2**-52 of the sum of their sizes, and the centre tap takes what the rounding leaves.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or parameter, or a value out of range.

    Examples
    --------
    >>> get("sobel-x").tolist()
    [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    >>> get("gaussian", sigma=0.5, size=3)[1].round(3)
    array([0.084, 0.619, 0.084])
    """
    kernel = _find("get", name)
    checked = {key: _check(name, key, value) for key, value in parameters.items()}
    taps = _settle(kernel.taps(**checked)) if callable(kernel.taps) else np.array(kernel.taps)
    if np.array_equal(taps, np.rint(taps)):
        taps = taps.astype(np.int16)
    taps.setflags(write=False)
    return taps


def describe(name):
    """Say in one line what a kernel shows, and why.

    >>> describe("box")
    'Blur: the plain mean of the window, the cheapest smoothing; leaves square marks.'
    """
    return _find("describe", name).reason


def source(name):
    """Say in one line where a kernel comes from: a paper, a book, or its definition.

    >>> source("roberts_x")
    'Roberts, Machine Perception of Three-Dimensional Solids, 1963'
    """
    return _find("source", name).source


def parameters(name):
    """Give the parameters of a kernel and their defaults, a dict; None means chosen to fit.

    >>> parameters("unsharp")
    {'sigma': 1.0, 'amount': 1.0, 'size': None}
    """
    taps = _find("parameters", name).taps
    arguments = inspect.signature(taps).parameters.values() if callable(taps) else ()
    return {argument.name: argument.default for argument in arguments}


def pair(name):
    """Give the name of the kernel at right angles to this one, or None.

    The two make a gradient; its magnitude is numpy.hypot of the two filtered images.

    >>> pair("sobel_x"), pair("sobel_y"), pair("box")
    ('sobel_y', 'sobel_x', None)
    """
    return _find("pair", name).pair


# Kernels with parameters: functions whose arguments are the parameters and their defaults.
def _gaussian(sigma=None, size=None):
    if sigma is None:  # for a size alone, the choice of cv2.getGaussianKernel
        sigma = 1.0 if size is None else 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    return _bell(*_coordinates(size, 4 * sigma), sigma)


def _unsharp(sigma=1.0, amount=1.0, size=None):
    taps = -amount * _gaussian(sigma, size)
    taps[len(taps) // 2, len(taps) // 2] += 1 + amount
    return taps


def _log(sigma=1.4, size=None):
    y, x = _coordinates(size, 4 * sigma)
    bell = _bell(y, x, sigma)
    return _without_mean(bell * (x**2 + y**2 - 2 * sigma**2) / sigma**4, bell)


def _dog(sigma=1.0, ratio=1.6, size=None):
    y, x = _coordinates(size, 4 * sigma * ratio)
    wide = _bell(y, x, sigma * ratio)
    return _without_mean(_bell(y, x, sigma) - wide, wide)


def _gabor(wavelength=4.0, theta=0.0, sigma=None, gamma=0.5, phase=0.0, size=None):
    sigma = 0.56 * wavelength if sigma is None else sigma  # a bandwidth of one octave
    y, x = _coordinates(size, 3 * sigma / min(gamma, 1))
    across = x * math.cos(theta) + y * math.sin(theta)
    bell = _bell(gamma * (y * math.cos(theta) - x * math.sin(theta)), across, sigma)
    taps = _without_mean(bell * np.cos(2 * math.pi * across / wavelength + phase), bell)
    return taps / taps[taps > 0].sum()  # black and white stripes that fit give the full range


def _coordinates(size, reach):
    """Give the rows y and columns x of a square kernel from its centre; no size: cover `reach`."""
    size = 2 * int(reach + 0.5) + 1 if size is None else size
    if size > _LARGEST or size % 2 == 0:
        raise ValueError(f"kernels.get: size is {size}, expected an odd number up to {_LARGEST}")
    steps = np.arange(size) - size // 2
    return steps[:, None], steps[None, :]


def _bell(y, x, sigma):
    weights = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return weights / weights.sum()


def _without_mean(taps, envelope):
    """Subtract as much of the envelope as makes the taps sum to 0: flat areas must give 0."""
    taps = taps - envelope * (taps.sum() / envelope.sum())
    if np.abs(taps).sum() < 1e-9:  # nothing is left but rounding errors
        raise ValueError("kernels.get: all taps are 0, expected a larger size or sigma")
    return taps


def _settle(taps):
    """Round the taps to a grid on which every sum is exact; the centre makes the sum 0 or 1."""
    step = 2.0 ** (round(math.log2(np.abs(taps).sum())) - 52)
    taps = np.rint(taps / step) * step
    taps[len(taps) // 2, len(taps) // 2] += round(taps.sum()) - taps.sum()
    return taps


class _Kernel(NamedTuple):
    taps: list | Callable  # rows of numbers, or a function of the parameters
    source: str
    pair: str | None
    reason: str


_BEAUDET = "mixed second derivative; Beaudet, Rotationally Invariant Image Operators, 1978"
_GONZALEZ = "Gonzalez and Woods, Digital Image Processing"
_MARR = "Marr and Hildreth, Theory of Edge Detection, 1980"
_MATCHED = "definition: zero-mean matched filter of a bright quarter plane"
_PREWITT = "Prewitt, Object Enhancement and Extraction, 1970"
_ROBERTS = "Roberts, Machine Perception of Three-Dimensional Solids, 1963"
_SCHARR = "Scharr, Optimale Operatoren in der Digitalen Bildverarbeitung, 2000"
_SOBEL = "Sobel and Feldman, A 3x3 Isotropic Gradient Operator, 1968"

# The library: a new kernel is one entry here.
_KERNELS = {
    "identity": _Kernel([[0, 0, 0], [0, 1, 0], [0, 0, 0]], "definition", None,
        "The image itself: to test a pipeline, or to build other kernels from."),
    "edge_horizontal": _Kernel([[-1, -1, -1], [0, 0, 0], [1, 1, 1]], _PREWITT, "edge_vertical",
        "Horizontal edges: the row below minus the row above, averaged over three columns."),
    "edge_vertical": _Kernel([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], _PREWITT, "edge_horizontal",
        "Vertical edges: the column right minus the column left, averaged over three rows."),
    "edge_diagonal": _Kernel([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]], _PREWITT, "edge_antidiagonal",
        "Edges from top left to bottom right: what lies above right minus what lies below left."),
    "edge_antidiagonal": _Kernel([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], _PREWITT, "edge_diagonal",
        "Edges from top right to bottom left: what lies below right minus what lies above left."),
    "sobel_x": _Kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], _SOBEL, "sobel_y",
        "Vertical edges: brightness rising to the right, smoothed down the column against noise."),
    "sobel_y": _Kernel([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], _SOBEL, "sobel_x",
        "Horizontal edges: brightness rising downwards, smoothed along the row against noise."),
    "prewitt_x": _Kernel([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], _PREWITT, "prewitt_y",
        "Vertical edges: as sobel_x with a plain mean; the least-squares slope of the window."),
    "prewitt_y": _Kernel([[-1, -1, -1], [0, 0, 0], [1, 1, 1]], _PREWITT, "prewitt_x",
        "Horizontal edges: as sobel_y with a plain mean; the least-squares slope of the window."),
    "scharr_x": _Kernel([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]], _SCHARR, "scharr_y",
        "Vertical edges: as sobel_x with weights that measure the edge's angle more truly."),
    "scharr_y": _Kernel([[-3, -10, -3], [0, 0, 0], [3, 10, 3]], _SCHARR, "scharr_x",
        "Horizontal edges: as sobel_y with weights that measure the edge's angle more truly."),
    "roberts_x": _Kernel([[1, 0], [0, -1]], _ROBERTS, "roberts_y",
        "Fine edges along the antidiagonal: the smallest difference, 2x2, sharp but noisy."),
    "roberts_y": _Kernel([[0, 1], [-1, 0]], _ROBERTS, "roberts_x",
        "Fine edges along the diagonal: the smallest difference, 2x2, sharp but noisy."),
    "laplacian_4": _Kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]], _GONZALEZ, None,
        "Edges and points in every direction at once: the second derivative, four neighbours."),
    "laplacian_8": _Kernel([[1, 1, 1], [1, -8, 1], [1, 1, 1]], _GONZALEZ, None,
        "As laplacian_4 with the diagonal neighbours: stronger, and as much so on diagonal edges."),
    "corner_top_left": _Kernel([[-4, -4, -4], [-4, 5, 5], [-4, 5, 5]], _MATCHED, None,
        "Top left corners of bright things: strongest where all that is bright is below right."),
    "corner_top_right": _Kernel([[-4, -4, -4], [5, 5, -4], [5, 5, -4]], _MATCHED, None,
        "Top right corners of bright things: strongest where all that is bright is below left."),
    "corner_bottom_left": _Kernel([[-4, 5, 5], [-4, 5, 5], [-4, -4, -4]], _MATCHED, None,
        "Bottom left corners of bright things: strongest where all that is bright is above right."),
    "corner_bottom_right": _Kernel([[5, 5, -4], [5, 5, -4], [-4, -4, -4]], _MATCHED, None,
        "Bottom right corners of bright things: strongest where all that is bright is above left."),
    "corner_saddle": _Kernel([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], _BEAUDET, None,
        "Corners and chessboard crossings, either sign: horizontal and vertical edges give 0."),
    "corner_spot": _Kernel([[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
        "Immerkaer, Fast Noise Variance Estimation, 1996", None,
        "Spots, corners and noise: what is constant along rows or along columns gives 0."),
    "line_horizontal": _Kernel([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]], _GONZALEZ, None,
        "Bright horizontal lines one pixel thick: a row against the rows beside it."),
    "line_vertical": _Kernel([[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]], _GONZALEZ, None,
        "Bright vertical lines one pixel thick: a column against the columns beside it."),
    "line_diagonal": _Kernel([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]], _GONZALEZ, None,
        "Bright thin lines from top left to bottom right: the diagonal against its sides."),
    "line_antidiagonal": _Kernel([[-1, -1, 2], [-1, 2, -1], [2, -1, -1]], _GONZALEZ, None,
        "Bright thin lines from top right to bottom left: the antidiagonal against its sides."),
    "sharpen": _Kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], _GONZALEZ, None,
        "Crisper detail: the image minus its laplacian_4; flat areas stay as they are."),
    "unsharp": _Kernel(_unsharp, f"unsharp masking; {_GONZALEZ}", None,
        "Crisper detail of a chosen scale: the image plus `amount` times what a blur removes."),
    "emboss": _Kernel([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], "identity plus a diagonal Sobel", None,
        "A relief lit from one corner: the image plus its slope towards the bottom right."),
    "outline": _Kernel([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], _GONZALEZ, None,
        "Contours, bright on black: a pixel against its eight neighbours; minus laplacian_8."),
    "box": _Kernel(lambda size=3: np.full((size, size), size**-2.0), "definition", None,
        "Blur: the plain mean of the window, the cheapest smoothing; leaves square marks."),
    "gaussian": _Kernel(_gaussian, "definition: exp(-(x*x + y*y)/(2*sigma**2)) over its sum", None,
        "Blur: a round, soft mean that adds no new edges; sigma is its width."),
    "log": _Kernel(_log, _MARR, None,
        "Blobs and edges of scale sigma: Laplacian of a Gaussian blur, negative on bright blobs."),
    "dog": _Kernel(_dog, f"{_MARR} (ratio 1.6 comes closest to log)", None,
        "Blobs of scale sigma, positive on bright ones: a blur minus one `ratio` times wider."),
    "gabor": _Kernel(_gabor, "Daugman, 1985; parameters as Petkov and Kruizinga, 1997", None,
        "Stripes and texture of one wavelength and angle: a wave under a Gaussian window."),
}

_LARGEST = 1023  # rows and columns: a larger kernel takes minutes per photo
# What each parameter is, its least and its greatest value.
_PARAMETERS = {
    "size": ("a whole number", 1, _LARGEST),
    "sigma": ("a number of pixels", 0.1, 100), "wavelength": ("a number of pixels", 2, 100),
    "theta": ("radians", -6.2832, 6.2832), "phase": ("radians", -6.2832, 6.2832),
    "gamma": ("a number", 0.1, 10), "ratio": ("a number", 1.1, 10), "amount": ("a number", 0, 100),
}


def _find(function, name):
    if not isinstance(name, str):
        raise TypeError(f"kernels.{function}: name expects a str but got {type(name).__name__}")
    key = name.replace("-", "_")
    if key not in _KERNELS:
        longer = [known for known in _KERNELS if known.startswith(key)]
        near = longer or difflib.get_close_matches(key, _KERNELS)
        hint = f", did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"kernels.{function}: unknown kernel {name!r}{hint} names() lists all")
    return _KERNELS[key]


def _check(name, parameter, value):
    """Give the value as an int or a float, or None where that is the default; else raise."""
    defaults = parameters(name)
    if parameter not in defaults:
        raise TypeError(f"kernels.get: {name} has no parameter {parameter!r}, "
                        f"expected {' or '.join(defaults) or 'none'}")
    if value is None and defaults[parameter] is None:
        return None
    kind, least, greatest = _PARAMETERS[parameter]
    number = int if parameter == "size" else float
    is_number = isinstance(value, Integral if number is int else Real) and value is not True
    if is_number and least <= value <= greatest:
        return number(value)
    raise (ValueError if is_number else TypeError)(
        f"kernels.get: {name} {parameter} expects {kind} from {least} to {greatest} "
        f"but got {value if is_number else repr(value)}")
