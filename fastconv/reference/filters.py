"""Image filters."""

import math

import numpy as np

from fastconv.reference._windows import is_integer, pad, pair, views

__all__ = [
    "black_hat", "box", "closing", "difference_of_gaussians", "dilate", "erode", "filter2d",
    "gaussian", "gradient", "harris", "laplacian", "laplacian_of_gaussian", "local_mean_std",
    "maximum", "median", "minimum", "morphological_gradient", "opening", "percentile", "prewitt",
    "rank", "roberts", "scharr", "sep_filter2d", "shi_tomasi", "sobel", "top_hat",
]  # fmt: skip


def filter2d(image, kernel, *, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
             channel_axis=None, out_dtype=None):
    """Correlate every image of (..., H, W) with a kernel, or with each kernel of a bank.

    y[p, q] = delta + scale * sum over i, j of
    kernel[i, j] * image[p * stride[0] + i - anchor[0], q * stride[1] + j - anchor[1]]

    A bank (M, kh, kw) gives (..., M, H, W). With `channel_axis` -1 the image is (..., H, W, C) and
    the result ends in C too. `border` "valid" keeps only the outputs whose window lies inside.
    An integer kernel on an integer image is summed in int64, anything else in float64; an integer
    `out_dtype` (the image's own by default) is rounded half to even, then saturated; NaN gives 0.

    >>> filter2d(np.array([[0, 10, 20, 200]], np.uint8), np.array([[-1, 0, 2]]))
    array([[ 10,  40, 255,  20]], dtype=uint8)
    """
    kernel = np.asarray(kernel)
    results = [
        _filter(image, [each], border, cval, anchor, stride, scale, delta, channel_axis, out_dtype)
        for each in kernel.reshape(-1, *kernel.shape[-2:])
    ]
    bank_axis = -3 if channel_axis is None else -4
    return results[0] if kernel.ndim == 2 else np.stack(results, bank_axis)


def sep_filter2d(image, kernel_y, kernel_x, **options):
    """Correlate with the outer product of two 1-D kernels, unrounded in between.

    The same as filter2d with kernel[i, j] = kernel_y[i] * kernel_x[j], and its options.

    >>> sep_filter2d(np.array([[1, 2, 3]], np.int16), [2], [1, 10, 100], border="zeros")
    array([[420, 642,  64]], dtype=int16)
    """
    return _filter(image, [np.asarray(kernel_y)[:, None], np.asarray(kernel_x)[None]], **options)


def gaussian(image, sigma, *, order=0, truncate=4.0, radius=None, method="kernel", out_dtype=None,
             **options):
    """Blur with weights exp(-(i/sigma)**2 / 2), |i| <= radius, divided by their sum.

    The radius is int(truncate*sigma + 0.5) unless given, as in SciPy; `sigma`, `radius` and `order`
    are one number or a pair (y, x), in pixels. Sigma 0 leaves the axis as it is. For the derivative
    of that order, the n-th, the weights are multiplied by a Hermite polynomial, He_n(i/sigma) /
    sigma**n: convolved, the sign of odd ones is the other. Integers then give floats. Options as
    filter2d.

    With method="recursive" the weights are Deriche's approximation of fourth order, x = |i|/sigma,
    (1.68 cos 0.6318x + 3.735 sin 0.6318x) exp(-1.783x)
    - (0.6803 cos 1.997x + 0.2598 sin 1.997x) exp(-1.723x), divided by their sum as well; they end
    nowhere, but from 20 sigma on they are less than 1e-14.

    >>> gaussian(np.array([[0.0, 0, 4, 0, 0]]), (0, 1), radius=1).round(3)
    array([[0.   , 1.096, 1.807, 1.096, 0.   ]])
    """
    if method == "recursive":
        kernels = [_deriche(s) for s in pair(sigma)]
    else:
        kernels = _gaussians(sigma, truncate, order, radius)
    out_dtype = _signed(image, out_dtype, narrow=False) if np.any(order) else out_dtype
    return sep_filter2d(image, *kernels, out_dtype=out_dtype, **options)


def sobel(image, dx=1, dy=0, *, ksize=3, out_dtype=None, **options):
    """Differentiate dx times along the rows and dy times down the columns, smoothing across.

    A derivative kernel of order d is [-1, 1] d times and [1, 1] ksize - d - 1 times, convolved
    (OpenCV's getDerivKernels): [1, 2, 1] and [-1, 0, 1] for ksize 3. Ksize 1 means 3 taps along
    a differentiated axis and none across. By default uint8 gives int16 for a ksize up to 5, other
    integers and larger ksizes floats. Options as filter2d.

    >>> sobel(np.array([[0, 0, 10, 10]], np.uint8))
    array([[ 0, 40, 40,  0]], dtype=int16)
    """
    kernel_y, kernel_x = _derivative(dy, ksize), _derivative(dx, ksize)
    out_dtype = _signed(image, out_dtype, narrow=ksize <= 5)
    return sep_filter2d(image, kernel_y, kernel_x, out_dtype=out_dtype, **options)


def scharr(image, dx=1, dy=0, *, out_dtype=None, **options):
    """Differentiate along the rows (dx=1, dy=0) or down the columns (0, 1), smoothing across.

    [-1, 0, 1] along, [3, 10, 3] across. Data types as sobel, options as filter2d.

    >>> scharr(np.array([[0, 0, 10, 10]], np.uint8))
    array([[  0, 160, 160,   0]], dtype=int16)
    """
    kernel = np.outer([3, 10, 3], [-1, 0, 1])
    kernel = kernel.T if dy else kernel
    return filter2d(image, kernel, out_dtype=_signed(image, out_dtype), **options)


def prewitt(image, dx=1, dy=0, *, out_dtype=None, **options):
    """Differentiate along the rows (dx=1, dy=0) or down the columns (0, 1), adding up across.

    [-1, 0, 1] along, [1, 1, 1] across. Data types as sobel, options as filter2d.

    >>> prewitt(np.array([[0, 0, 10, 10]], np.uint8))
    array([[ 0, 30, 30,  0]], dtype=int16)
    """
    kernel = np.outer([1, 1, 1], [-1, 0, 1])
    kernel = kernel.T if dy else kernel
    return filter2d(image, kernel, out_dtype=_signed(image, out_dtype), **options)


def roberts(image, diagonal=0, *, out_dtype=None, **options):
    """Subtract across each 2x2 square, along one of its diagonals.

    y[i, j] = image[i+1, j+1] - image[i, j]; on the other diagonal, 1,
    y[i, j] = image[i+1, j] - image[i, j+1]

    Data types as sobel, options as filter2d.

    >>> roberts(np.array([[1, 2], [4, 8]], np.uint8), border="valid")
    array([[7]], dtype=int16)
    """
    kernel = [[0, -1], [1, 0]] if diagonal else [[-1, 0], [0, 1]]
    out_dtype = _signed(image, out_dtype)
    return filter2d(image, kernel, anchor=(0, 0), out_dtype=out_dtype, **options)


def laplacian(image, *, ksize=1, out_dtype=None, **options):
    """Add the second derivatives along both axes, each as sobel's with the same ksize.

    Ksize 1 is [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 3 is [[2, 0, 2], [0, -8, 0], [2, 0, 2]].
    Data types as sobel, options as filter2d.

    >>> laplacian(np.array([[0, 0, 10, 10]], np.uint8))
    array([[  0,  10, -10,   0]], dtype=int16)
    """
    smooth = [0, 1, 0] if ksize == 1 else _derivative(0, ksize)
    along_x = np.multiply.outer(smooth, _derivative(2, ksize))
    return filter2d(image, along_x + along_x.T, out_dtype=_signed(image, out_dtype), **options)


def box(image, size, *, normalize=True, **options):
    """Give the mean of each rectangle, or its sum. Options as filter2d, but for scale and delta.

    >>> box(np.array([[0, 3, 6, 90]], np.uint8), (1, 3))
    array([[ 2,  3, 33, 34]], dtype=uint8)
    """
    return _over_windows(image, size, lambda v: v.mean(-1) if normalize else v.sum(-1), **options)


def local_mean_std(image, size, **options):
    """Give the mean and the population's standard deviation of each rectangle.

    >>> local_mean_std(np.array([[1, 1, 4, 4]]), (1, 2))[1]
    array([[0. , 0. , 1.5, 0. ]])
    """
    options["out_dtype"] = np.float64
    return tuple(
        _over_windows(image, size, each, **options)
        for each in (lambda v: v.mean(-1), lambda v: v.std(-1))
    )


def rank(image, rank, size=3, **options):
    """Give the pixel of a rank in each rectangle, 0 the smallest; NaN where one is in it.

    >>> rank(np.array([[5, 3, 7, 1, 2]], np.uint8), 1, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """

    def take(v):
        v = np.sort(v, -1)  # NaNs last
        return np.where(np.isnan(v[..., -1]), np.nan, v[..., rank])

    return _over_windows(image, size, take, **options)


def median(image, size=3, **options):
    """Give the middle pixel of each rectangle; of an even number the upper of the two.

    >>> median(np.array([[1, 1, 200, 1, 9, 9, 9]], np.uint8), (1, 3))
    array([[1, 1, 1, 9, 9, 9, 9]], dtype=uint8)
    """
    return rank(image, math.prod(pair(size)) // 2, size, **options)


def percentile(image, q, size=3, **options):
    """Give the pixel of rank int(pixels * q / 100), at most the largest, of each rectangle.

    >>> percentile(np.array([[5, 3, 7, 1, 2]], np.uint8), 50, (1, 3))
    array([[3, 5, 3, 2, 1]], dtype=uint8)
    """
    pixels = math.prod(pair(size))
    return rank(image, min(int(pixels * q / 100), pixels - 1), size, **options)


def minimum(image, size=3, **options):
    """Give the smallest pixel of each rectangle.

    >>> minimum(np.array([[5, 3, 7, 7, 7]], np.uint8), (1, 3))
    array([[3, 3, 3, 7, 7]], dtype=uint8)
    """
    return rank(image, 0, size, **options)


def maximum(image, size=3, **options):
    """Give the largest pixel of each rectangle.

    >>> maximum(np.array([[5, 3, 7, 1, 1]], np.uint8), (1, 3))
    array([[5, 7, 7, 7, 1]], dtype=uint8)
    """
    return rank(image, -1, size, **options)


def dilate(image, footprint=3, *, structure=None, iterations=1, **options):
    """Give the largest of the pixels under a footprint, each with the structure's height added.

    >>> dilate(np.array([[0, 7, 0, 0, 9]], np.uint8), (1, 3))
    array([[7, 7, 7, 9, 9]], dtype=uint8)
    """
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    return _repeated(
        image, heights.shape, lambda v: (v[..., part.ravel()] + heights[part]).max(-1),
        iterations, **options,
    )  # fmt: skip


def erode(image, footprint=3, *, structure=None, iterations=1, **options):
    """Give the smallest of the pixels under a footprint, each less the structure's height.

    >>> erode(np.array([[9, 9, 2, 9, 9, 9]], np.uint8), (1, 3))
    array([[9, 2, 2, 2, 9, 9]], dtype=uint8)
    """
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    return _repeated(
        image, heights.shape, lambda v: (v[..., part.ravel()] - heights[part]).min(-1),
        iterations, **options,
    )  # fmt: skip


def opening(image, footprint=3, *, structure=None, **options):
    """Erode, then dilate with the footprint turned around.

    >>> opening(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[1, 1, 1, 5, 5, 5, 1]], dtype=uint8)
    """
    return _twice(erode, dilate, image, footprint, structure, **options)


def closing(image, footprint=3, *, structure=None, **options):
    """Dilate, then erode with the footprint turned around.

    >>> closing(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[9, 9, 9, 5, 5, 5, 9]], dtype=uint8)
    """
    return _twice(dilate, erode, image, footprint, structure, **options)


def morphological_gradient(image, footprint=3, *, out_dtype=None, **options):
    """Give the dilated image less the eroded one.

    >>> morphological_gradient(np.array([[0, 0, 0, 9, 9, 9]], np.uint8), (1, 3))
    array([[0, 0, 9, 9, 0, 0]], dtype=uint8)
    """
    more, less = (each(image, footprint, **options) for each in (dilate, erode))
    return _less(image, more, less, out_dtype)


def top_hat(image, footprint=3, *, out_dtype=None, **options):
    """Give the image less its opening.

    >>> top_hat(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _less(image, image, opening(image, footprint, **options), out_dtype)


def black_hat(image, footprint=3, *, out_dtype=None, **options):
    """Give the closing of the image less the image.

    >>> black_hat(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    return _less(image, closing(image, footprint, **options), image, out_dtype)


def _over_windows(image, size, reduce, *, border="reflect", cval=0, anchor=None,
                  channel_axis=None, out_dtype=None):
    """Reduce the pixels of each window, on the last axis, in float64."""
    image = np.asarray(image)
    y = image.astype(np.float64)
    if channel_axis is not None:
        y = np.moveaxis(y, -1, -3)
    kh, kw = pair(size)
    if border != "valid":
        row, column = (kh // 2, kw // 2) if anchor is None else anchor
        y = pad(y, ((row, kh - 1 - row), (column, kw - 1 - column)), border, cval)
    outputs = [max(0, n - k + 1) for n, k in zip(y.shape[-2:], (kh, kw), strict=True)]
    with np.errstate(invalid="ignore"):
        y = reduce(np.stack([window for _, window in views(y, (kh, kw), outputs)], -1))
    y = _to_dtype(y, image.dtype if out_dtype is None else np.dtype(out_dtype))
    return y if channel_axis is None else np.moveaxis(y, -3, -1)


def _element(footprint, structure):
    """The heights of a structuring element; NaN is not part of it."""
    if np.ndim(footprint) == 2:
        heights = np.zeros(np.shape(footprint)) if structure is None else np.asarray(structure)
        return np.where(np.asarray(footprint) != 0, heights, np.nan)
    return np.zeros(pair(footprint)) if structure is None else np.asarray(structure, np.float64)


def _repeated(image, size, reduce, count, out_dtype=None, **options):
    """Reduce all windows of the result so many times, in between in the image's dtype."""
    dtype = np.asarray(image).dtype
    between = np.float32 if dtype == np.float16 else dtype
    for _ in range(count - 1):
        image = _over_windows(image, size, reduce, out_dtype=between, **options)
    return _over_windows(
        image, size, reduce, out_dtype=dtype if out_dtype is None else out_dtype, **options
    )


def _twice(first, second, image, footprint, structure, anchor=None, out_dtype=None, **options):
    heights = _element(footprint, structure)
    part = ~np.isnan(heights)
    kh, kw = heights.shape
    row, column = (kh // 2, kw // 2) if anchor is None else anchor
    heights = np.where(part, heights, 0)
    between = first(image, part, structure=heights, anchor=(row, column), **options)
    return second(
        between, part[::-1, ::-1], structure=heights[::-1, ::-1],
        anchor=(kh - 1 - row, kw - 1 - column),
        out_dtype=np.asarray(image).dtype if out_dtype is None else out_dtype, **options,
    )  # fmt: skip


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def _less(image, more, less, out_dtype):
    """The difference, in the image's dtype unless another is asked for."""
    dtype = np.asarray(image).dtype if out_dtype is None else np.dtype(out_dtype)
    return _to_dtype(np.subtract(more, less, dtype=np.float64), dtype)


def laplacian_of_gaussian(image, sigma, *, truncate=4.0, out_dtype=None, **options):
    """Add two Gaussian derivatives, of order (2, 0) and (0, 2).

    By default the result is of floats. Options as gaussian.

    >>> laplacian_of_gaussian(np.array([[0, 0, 10, 0, 0]], np.uint8), 1, truncate=1).round(2)
    array([[ 0.  , -1.24, -6.56, -1.24,  0.  ]])
    """
    options |= {"truncate": truncate, "out_dtype": np.float64}
    y, x = (gaussian(image, sigma, order=order, **options) for order in ((2, 0), (0, 2)))
    return _less(image, y, -x, out_dtype or np.float64)


def difference_of_gaussians(image, low_sigma, high_sigma=None, *, truncate=4.0, out_dtype=None,
                            **options):
    """Give a Gaussian less a wider one, of 1.6 * low_sigma unless given.

    By default the result is of floats. Options as gaussian.

    >>> difference_of_gaussians(np.array([[0, 0, 10, 0, 0]]), (0, 0.6), truncate=1).round(2)
    array([[ 0.  , -1.02,  2.05, -1.02,  0.  ]])
    """
    high_sigma = np.multiply(1.6, low_sigma) if high_sigma is None else high_sigma
    options |= {"truncate": truncate, "out_dtype": np.float64}
    low, high = (gaussian(image, sigma, **options) for sigma in (low_sigma, high_sigma))
    edges = [((n - k) // 2, k) for n, k in zip(low.shape, high.shape, strict=True)]  # of "valid"
    low = low[tuple(slice(edge, edge + k) for edge, k in edges)]
    return _less(image, low, high, out_dtype or np.float64)


def gradient(image, operator="sobel", *, outputs=("dx", "dy", "magnitude", "angle"), **options):
    """Give the derivatives dx and dy of an operator, hypot(dx, dy) and arctan2(dy, dx).

    `operator` is "sobel", "scharr" or "prewitt"; `outputs` is one of the four names, or a tuple of
    them: the result is then a tuple, too. The results are of floats. Options as filter2d.

    >>> gradient(np.array([[0, 0, 10, 10]]), outputs=("magnitude", "angle"))
    (array([[ 0., 40., 40.,  0.]]), array([[0., 0., 0., 0.]]))
    """
    operate = {"sobel": sobel, "scharr": scharr, "prewitt": prewitt}[operator]
    options["out_dtype"] = np.float64
    dx, dy = (operate(image, *order, **options) + 0.0 for order in ((1, 0), (0, 1)))  # no -0
    made = {"dx": dx, "dy": dy, "magnitude": np.hypot(dx, dy), "angle": np.arctan2(dy, dx)}
    return made[outputs] if isinstance(outputs, str) else tuple(made[name] for name in outputs)


def harris(image, sigma=1.0, k=0.04, ksize=3, *, border="reflect", cval=0, channel_axis=None,
           out_dtype=None):
    """Give det(M) - k * trace(M)**2 of the structure tensor M, as floats.

    M is the mean under a Gaussian of [[dx*dx, dx*dy], [dx*dy, dy*dy]], where dx and dy are sobel's
    derivatives of the image as the border continues it.

    >>> harris(np.array([[0.0, 0, 1, 1]]), 0).round(2)
    array([[  0.  , -10.24, -10.24,   0.  ]])
    """
    xx, xy, yy = _structure_tensor(image, sigma, ksize, border, cval, channel_axis)
    return xx * yy - xy**2 - k * (xx + yy) ** 2


def shi_tomasi(image, sigma=1.0, ksize=3, *, border="reflect", cval=0, channel_axis=None,
               out_dtype=None):
    """Give the smaller eigenvalue of the structure tensor, harris's, as floats.

    >>> shi_tomasi(np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]), 0.5, border="zeros")[1].round(3)
    array([0.258, 0.715, 0.258])
    """
    xx, xy, yy = _structure_tensor(image, sigma, ksize, border, cval, channel_axis)
    return (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)


def _structure_tensor(image, sigma, ksize, border, cval, channel_axis):
    """Continue the image once, as far as both passes see, and then only look inside."""
    image = np.asarray(image, np.float64)
    image = image if channel_axis is None else np.moveaxis(image, -1, -3)
    if border != "valid":
        margins = [(n // 2 + ksize // 2,) * 2 for n in map(len, _gaussians(sigma, 4.0))]
        image = pad(image, margins, border, cval)
    dx, dy = (sobel(image, *order, ksize=ksize, border="valid") for order in ((1, 0), (0, 1)))
    means = (gaussian(each, sigma, border="valid") for each in (dx * dx, dx * dy, dy * dy))
    return [each if channel_axis is None else np.moveaxis(each, -3, -1) for each in means]


def _gaussians(sigma, truncate, order=0, radius=None):
    """The weights of a Gaussian or its derivatives, down the columns and along the rows."""
    kernels = []
    for s, n, r in zip(pair(sigma), pair(order), pair(radius), strict=True):
        r = int(truncate * s + 0.5) if r is None else r
        i = np.arange(-r, r + 1)
        weights = np.exp(-0.5 * (i / s) ** 2) if s > 0 else (i == 0).astype(np.float64)
        weights /= weights.sum()
        if n:
            weights *= np.polynomial.hermite_e.hermeval(i / s, [0] * n + [1]) / s**n
        kernels.append(weights)
    return kernels


def _deriche(sigma):
    """The weights of Deriche's recursive Gaussian."""
    i = np.arange(-int(20 * sigma), int(20 * sigma) + 1)
    x = abs(i) / sigma if sigma else np.zeros(1)
    weights = (1.68 * np.cos(0.6318 * x) + 3.735 * np.sin(0.6318 * x)) * np.exp(-1.783 * x)
    weights -= (0.6803 * np.cos(1.997 * x) + 0.2598 * np.sin(1.997 * x)) * np.exp(-1.723 * x)
    return weights / weights.sum()


@np.errstate(invalid="ignore")  # infinity minus infinity is NaN, silently
def _filter(image, passes, border="reflect", cval=0, anchor=None, stride=1, scale=1, delta=0,
            channel_axis=None, out_dtype=None):
    """Pad once, correlate with each 2-D kernel of `passes` in turn, then scale and round once.

    Of the result a stride leaves every so many-th row and column.
    """
    image = np.asarray(image)
    exact = all(map(is_integer, [image, *passes])) and float(cval).is_integer()
    y = image.astype(np.int64 if exact else np.float64)
    if channel_axis is not None:
        y = np.moveaxis(y, -1, -3)
    if border != "valid":
        height, width = (1 + sum(kernel.shape[axis] - 1 for kernel in passes) for axis in (0, 1))
        row, column = (height // 2, width // 2) if anchor is None else anchor
        y = pad(y, ((row, height - 1 - row), (column, width - 1 - column)), border, cval)
    for kernel in passes:
        size = [max(0, n - k + 1) for n, k in zip(y.shape[-2:], kernel.shape, strict=True)]
        kernel = kernel.astype(y.dtype)
        y = sum(kernel[tap] * window for tap, window in views(y, kernel.shape, size))
    rows, columns = pair(stride)
    y = y[..., ::rows, ::columns]
    y = _to_dtype(y * scale + delta, image.dtype if out_dtype is None else np.dtype(out_dtype))
    return y if channel_axis is None else np.moveaxis(y, -3, -1)


def _to_dtype(y, dtype):
    """Round half to even and saturate for integers and bool (NaN gives 0), else give float64."""
    if dtype.kind not in "iub":
        return y.astype(np.float64)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    saturated = np.clip(np.rint(y), *limits)
    return np.where(np.isnan(y), 0, saturated).astype(dtype)


def _derivative(order, ksize):
    ksize = max(3, ksize) if order else ksize
    kernel = np.array([1])
    for factor in [[-1, 1]] * order + [[1, 1]] * (ksize - order - 1):
        kernel = np.convolve(kernel, factor)
    return kernel


def _signed(image, out_dtype, narrow=True):
    """Give integer images a dtype with room for their derivatives, unless one is asked for."""
    wider = {"uint8": np.int16 if narrow else np.float32, "uint16": np.float32, "int16": np.float32}
    return wider.get(np.asarray(image).dtype.name) if out_dtype is None else out_dtype
