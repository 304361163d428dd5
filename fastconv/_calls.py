"""Calls that were planned before: of an image filter or a pooling, for arrays of one shape.

Checking and planning take longer than computing a small array: calls are kept by their arguments.
"""

from fastconv import _config, _core, _plan, _threads

_planned = _core.PlannedCalls(_config, _threads.get_num_threads)
planned, _planned_calls = _planned.find, _planned.calls


def keep(key, task, threads, shared, image, result, weights=None, places=0):
    """Keep a call that was planned; `shared` means for as many threads as there are.

    `places` says which one the result is, or a tuple which several there are, like `result`.
    """
    if len(_planned_calls) >= _plan.CACHED_PLANS:
        _planned_calls.clear()
    _planned_calls[key] = _core.PlannedCall(
        task, threads, shared, image.shape, image.dtype, result.shape, result.dtype, weights,
        places, key[-1],
    )  # fmt: skip
