"""Calls that were planned before: of an image filter or a pooling, for arrays of one shape."""

from numpy import ndarray

from fastconv import _config, _core, _plan, _threads

# Checking and planning take longer than computing a small array: calls are kept by their arguments.
_planned_calls = {}
PLANNED_KERNEL = 4096  # elements
PLANNED_DIMENSIONS = 5  # of an array; a bank's result has one more


def planned(function, image, out, kernel, *options):
    """The key of a call, all that it depends on but pixels, and its result if it was planned.

    Either is None where that is not simple.
    """
    if not (type(image) is ndarray and image.ndim <= PLANNED_DIMENSIONS):
        return None, None
    if kernel is not None:
        if not (type(kernel) is ndarray and kernel.size <= PLANNED_KERNEL):
            return None, None
        kernel = kernel.shape, kernel.dtype, kernel.tobytes()
    isa = _config.selected_isa or _config.isa()
    key = function, image.shape, image.dtype, kernel, isa, options
    try:
        call = _planned_calls.get(key)
    except TypeError:  # a list, say: it cannot be part of a key
        return None, None
    if call is None or (call.shared and call.threads != _threads.get_num_threads()):
        return key, None
    return key, call(image, out, options)


def keep(key, task, threads, shared, image, result, weights=None, places=None):
    """Keep a call that was planned; `shared` means for as many threads as there are.

    Of a call that gives several results, like `result`, `places` says which.
    """
    if len(_planned_calls) >= _plan.CACHED_PLANS:
        _planned_calls.clear()
    _planned_calls[key] = _core.PlannedCall(
        task, threads, shared, image.shape, image.dtype, result.shape, result.dtype, weights,
        places, key[-1],
    )  # fmt: skip
