"""What the test files share: inputs, poisoned and guarded memory, and plans that are made anew."""

import ctypes
import inspect
import mmap
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from fastconv import _calls, _plan, conv

# Whose constants are the plan's.
PLAN = [_plan, *filter(inspect.ismodule, vars(_plan).values())]
FLOATS = ("float32", "float64")
PIXELS = ("uint8", "uint16", "int16", "float16", "float32", "float64")
BORDERS = ("constant", "edge", "reflect", "symmetric", "wrap")
# Elements of the longest vector.
LANES = {"uint8": 64, "int8": 64, "uint16": 32, "float32": 16, "float64": 8}
# Counts of channels around the edges of every register tile and of every block of channels.
CHANNELS = (*range(1, 10), 15, 16, 17, 31, 32, 33, 63, 64, 65, 100)


def integers(rng, shape, dtype, largest=8):
    """Small integers: their sums of products are exact in every dtype that is computed in."""
    lowest = 0 if np.dtype(dtype).kind == "u" else -largest
    return rng.integers(lowest, largest + 1, shape).astype(dtype)


def anything(rng, shape, dtype):
    """Normal floats, or integers of the whole range."""
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def rounded(exact, dtype):
    """Float64 results in the dtype; float16's overflow is infinity, silently."""
    with np.errstate(over="ignore"):
        return exact.astype(dtype)


def poisoned(shape, dtype):
    """An array in which an element that is left unwritten shows: NaN, or bytes of 0xA5."""
    array = np.empty(shape, dtype)
    if array.dtype.kind == "f":
        array.fill(np.nan)
    else:
        array.view(np.uint8).fill(0xA5)
    return array


def to_layout(images, layout):
    """NCHW images in the layout, C-contiguous; so sequences and volumes."""
    return np.ascontiguousarray(np.moveaxis(images, 1, -1)) if layout[-1] == "C" else images


def extent(outputs, k, stride, padding, dilation, spare=0):
    """The length of an input that gives so many outputs, `spare` (below stride) of it unused."""
    if padding == "same":
        return (outputs - 1) * stride + 1 + spare
    covered = (outputs - 1) * stride + dilation * (k - 1) + 1 + spare
    return max(1, covered - sum(padding))


def assert_same_bits(actual, expected, err_msg=""):
    """Same dtype, shape and bits, of arrays or of tuples of arrays."""
    if isinstance(expected, tuple):
        for each in zip(actual, expected, strict=True):
            assert_same_bits(*each, err_msg)
    else:
        assert actual.dtype == expected.dtype, err_msg
        assert_array_equal(_bits(actual), _bits(expected), err_msg)


def _bits(array):
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def change_plans(monkeypatch, **constants):
    """Set constants of the plan wherever they are used, for calls that are planned anew."""
    for name, value in constants.items():
        users = [module for module in PLAN if hasattr(module, name)]
        assert users, name
        for module in users:
            monkeypatch.setattr(module, name, value)
    clear_plans()


def clear_plans():
    """Forget the cached plans, after something that they follow from has changed."""
    for module in PLAN:
        for each in vars(module).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()
    conv._small_calls.clear()
    _calls._planned_calls.clear()


def run_python(code, timeout=60, status=0, **environment):
    """Run code in a fresh interpreter that can import from this folder; give what it printed."""
    ours = ("FASTCONV_ISA", "FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")
    inherited = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", textwrap.dedent(code)],
        env={**inherited, "PYTHONPATH": str(Path(__file__).parent), **environment},
        timeout=timeout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def guarded(array, place, protection=mmap.PROT_READ):
    """A copy of an array between two pages that fault when touched.

    place "start" puts its first byte right after the first of them, "end" its last byte right
    before the second. A write to the copy faults too, unless the protection allows it.
    """
    page = mmap.PAGESIZE
    size = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, size + 2 * page)
    offset = page if place == "start" else page + size - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    first = np.frombuffer(memory, np.uint8).ctypes.data
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    for start, length, allowed in ((0, page, 0), (page, size, protection), (page + size, page, 0)):
        if mprotect(ctypes.c_void_p(first + start), ctypes.c_size_t(length), allowed):
            raise OSError(ctypes.get_errno(), "mprotect")
    return copy
