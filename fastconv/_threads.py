"""How many threads a call may use."""

import math
import operator
import os
from functools import cache

from fastconv import _core
from fastconv._arrays import shown

MOST = 4096  # threads of one call: more can only be a mistake

_set = None


def set_num_threads(n):
    """Set how many threads calls use when they are not told; None goes back to the default.

    The default is the environment's: ``FASTCONV_NUM_THREADS``, else ``OMP_NUM_THREADS`` (or a
    limit that threadpoolctl set), else the cores that affinity and cgroup quota allow. Work too
    small to share runs on one thread in any case.

    Raises ValueError for n < 1, TypeError for anything but an integer.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(None)
    """
    global _set
    _set = None if n is None else checked("set_num_threads", "n", n)


def get_num_threads():
    """Give how many threads a call uses, at most, when it is not told.

    >>> get_num_threads() >= 1
    True
    """
    if _set is not None:
        return _set
    named = os.environ.get("FASTCONV_NUM_THREADS")
    if named:
        if not named.strip().isdecimal() or not 1 <= int(named) <= MOST:
            raise ValueError(f"FASTCONV_NUM_THREADS: got {named!r}, expected 1 to {MOST}")
        return int(named)
    openmp = _core.openmp_max_threads()
    if os.environ.get("OMP_NUM_THREADS"):
        return max(openmp, 1)
    return max(min(openmp, _cores()), 1)


def checked(function, argument, n):
    """The number of threads that an argument gives; at least 1."""
    try:
        if isinstance(n, bool):
            raise TypeError
        number = operator.index(n)
    except TypeError:
        raise TypeError(
            f"{function}: {argument} is {shown(n)}, expected an integer from 1 to {MOST} or None"
        ) from None
    if not 1 <= number <= MOST:
        raise ValueError(f"{function}: {argument} is {number}, expected 1 to {MOST}")
    return number


@cache
def _cores():
    """Cores that this process may use: affinity, then the cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no cgroup, or an older kind: affinity is all there is to know
    return cores
