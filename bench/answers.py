"""A row's arrays, the reference's answer to it, and the verdict on a peer's answer."""

import math

import numpy as np

from fastconv import reference

SEED = 20
# Of the image's range, how far a recursive Gaussian may be from a Gaussian: fastconv's promise.
RECURSIVE_ERROR = 1e-3
LOSS_ERROR = 1e-4  # of a loss of about 2, after a step
BAND = 64  # image rows that the reference filters at a time: its float64 arrays stay in the cache

# How much farther from the truth than a direct sum a Winograd result may be: fastconv's own
# promise, granted to every peer on the layers where one may choose Winograd.
WINOGRAD_SLACK = 4


def make_arrays(case):
    """Give the row's input "x" and, if it has one, its "weight": the same values every time."""
    random = np.random.default_rng(SEED)
    if case.is_integer:
        largest = np.iinfo(case.dtype).max
        arrays = {"x": random.integers(0, largest, case.shape, case.dtype, endpoint=True)}
    else:
        arrays = {"x": random.standard_normal(case.shape, case.dtype)}
    if case.is_quantized:
        # Of 7 bits: without VNNI, ONNX Runtime sums two products in 16 bits, and asks for that.
        arrays["weight"] = random.integers(-64, 64, case.kernel, np.int8)
    elif case.kernel:
        # A layer's weights keep the variance. An image kernel sums to 1 and has negative parts,
        # so that uint8 results use the whole range and some of them saturate.
        terms = math.prod(case.kernel[-3:])
        weight = random.standard_normal(case.kernel) / math.sqrt(terms)
        if case.is_filter:
            weight = weight / 2 + (1 - weight.sum() / 2) / terms
        arrays["weight"] = weight.astype("float64" if case.dtype == "float64" else "float32")
    if case.operation == "conv2d_backward":  # whose first argument is the gradient by the result
        shape = reference.conv2d(**arrays, **case.arguments).shape
        arrays = {"dy": random.standard_normal(shape, case.dtype), **arrays}
    return arrays


def make_answer(case, arrays):
    """Give the reference's result and the greatest error allowed on each of its elements.

    Floats: (n + 2) * eps * sum(|w| * |x|), the bound of a sum of n products in any order.
    Integers from a real kernel: 1, because a float32 sum close to a half rounds either way.
    A pixel that is one of the input's, a sum of integers, and what a layer makes of it, must be
    exact. A method that approximates has its own bound.
    """
    if case.operation == "nn.train_step":
        from .peers.fastconv import trainer  # whose gradients the tests check in float64

        expected = trainer(case, arrays["x"], "float64")()
        return expected, np.full(expected.shape, LOSS_ERROR)
    expected = _reference(case, **arrays)
    exact = case.is_quantized or (case.is_integer and _is_sobel(case))
    if exact or case.operation.startswith(_ORDER):
        return expected, np.zeros(expected.shape)
    if case.is_integer:
        return expected, np.ones(expected.shape)
    if case.arguments.get("method") == "recursive":
        return expected, np.full(expected.shape, RECURSIVE_ERROR * np.ptp(arrays["x"]))
    return expected, _relative_bound(case) * _magnitude(case, arrays)


def judge(case, result, expected, bound):
    """Compare a result with the reference: a dict that says whether it is "ok", and how far off.

    "error" and "tolerance" are those of the element that is nearest to its bound, or farthest
    beyond it. Integer results that may differ by one have "off_by_one", how many do.
    """
    result = joined(result) if isinstance(result, tuple) else np.asarray(result)
    integer = expected.dtype.kind in "iu"
    dtype = expected.dtype if integer else np.dtype(case.dtype)
    if result.shape != expected.shape or result.dtype != dtype:
        return {
            "ok": False,
            "reason": f"got {result.dtype} {result.shape}, expected {dtype} {expected.shape}",
        }
    error = np.abs(np.subtract(result, expected, dtype=np.float64))
    if not np.isfinite(error).all():
        return {"ok": False, "reason": "got NaN or infinity"}
    usage = np.where(error > 0, np.inf, 0.0)
    np.divide(error, bound, out=usage, where=bound > 0)
    worst = usage.argmax()
    verdict = {
        "ok": bool(usage.flat[worst] <= 1),
        "error": float(error.flat[worst]),
        "tolerance": float(bound.flat[worst]),
    }
    if integer and bound.any():
        verdict["off_by_one"] = int(np.count_nonzero(error))
    if not verdict["ok"]:
        verdict["reason"] = (
            f"off by {verdict['error']:.3g} where {verdict['tolerance']:.3g} is allowed"
        )
    return verdict


_ORDER = ("max_pool", "global_max_pool", "filters.median", "filters.dilate")


def _is_sobel(case):
    return case.operation == "filters.sobel"


def joined(results):
    """Give several results as one line of numbers: judges look at one array."""
    return np.concatenate([np.ravel(each) for each in results])


def _reference(case, **arrays):
    """Call the reference; an image filter image by image and band by band, each with the rows
    around it.

    The truth is the same for every method.
    """
    if case.operation == "linear":
        return arrays["x"].astype(np.float64) @ arrays["weight"].astype(np.float64).T
    operation = getattr(reference, case.operation.rpartition(".")[2])
    arguments = {name: value for name, value in case.arguments.items() if name != "method"}
    if case.operation == "conv2d_backward":
        return joined(operation(**arrays, **arguments))
    if not case.is_filter:
        return operation(*arrays.values(), **arguments)
    x, *operands = arrays.values()
    if x.ndim == 4:
        return np.stack([_reference(case, **(arrays | {"x": image})) for image in x])
    bands = []
    for top in range(0, len(x), BAND):
        first = max(0, top - case.radius)
        band = operation(x[first : top + BAND + case.radius], *operands, **arguments)
        bands.append(band[top - first :][:BAND])
    return np.concatenate(bands)


def _magnitude(case, arrays):
    """Give sum(|w| * |x|) for each element of the result."""
    arrays = {name: np.abs(array) for name, array in arrays.items()}
    if _is_sobel(case):
        axis = case.arguments.get("channel_axis")
        return reference.sep_filter2d(arrays["x"], [1, 2, 1], [1, 0, 1], channel_axis=axis)
    if case.operation == "filters.gradient":
        pairs = ([1, 2, 1], [1, 0, 1]), ([1, 0, 1], [1, 2, 1])
        return sum(reference.sep_filter2d(arrays["x"], *pair) for pair in pairs)
    return _reference(case, **arrays)


def _relative_bound(case):
    # In float64 the reference errs as much as the peer.
    slack = 2 if case.dtype == "float64" else 1
    if case.operation == "conv2d_backward":  # the longest sums, of dweight and dbias
        terms = case.shape[0] * math.prod(case.shape[2:])
    elif case.is_convolution:
        terms = math.prod(case.kernel[1:])
        arguments = case.arguments
        window = case.kernel[2:]
        transformed = window[-2:] == (3, 3) or (len(window) == 1 and 3 <= window[0] <= 7)
        if transformed and arguments["stride"] == arguments["dilation"] == 1:
            slack *= WINOGRAD_SLACK
    elif case.operation.startswith("avg_pool"):
        terms = case.arguments["kernel_size"] ** (len(case.shape) - 2)
    elif case.operation == "global_avg_pool":
        terms = math.prod(case.shape[2:] if case.arguments["layout"] == "NCHW" else case.shape[1:3])
    elif case.operation == "linear":
        terms = case.kernel[1]
    elif case.window:
        terms = case.window**2
    elif case.kernel:
        terms = math.prod(case.kernel)
    else:  # two one-dimensional sums
        terms = 2 * (2 * case.radius + 1)
    return slack * (terms + 2) * np.finfo(case.dtype).eps
