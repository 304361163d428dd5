"""What was passed in: arrays the kernels can read or write in place, or an error that says why not.

Kernels take contiguous, aligned, native memory. Anything else that is an array of a supported type
(strided, reversed, Fortran-ordered, broadcast, byte-swapped, misaligned) is copied to that form.
"""

import itertools
import math
import os
from functools import cache

import numpy as np

ALIGNED_BYTES = 2**20
CACHE_LINE = 64
# Whether two arrays share memory is an exponential question in the worst case. Views that anybody
# slices take a step or two to tell apart; this many, some 20 ms.
SHARING_STEPS = 2**20


def readable(function, name, value, dtypes, shape=None):
    """`value` as a contiguous native array of one of the dtypes, in place where it is one.

    `shape` says in words what is expected: "(N, C, H, W)" for four dimensions.
    """
    array = described(function, name, value, dtypes, shape)
    if _is_plain(array):
        return array
    dtype = array.dtype.newbyteorder("=")
    check_memory(function, name, array.shape, dtype)
    return np.require(array, dtype, ["C", "A"])


def described(function, name, value, dtypes, shape=None):
    """`value` as the array that it is, of that many dimensions and one of the dtypes."""
    array = as_array(function, name, value)
    numeric = array.dtype.kind in "biufc"
    if numeric and shape is not None and array.ndim != len(shape[1:-1].strip(",").split(",")):
        raise ValueError(f"{function}: {name} has shape {array.shape}, expected {shape}")
    _check_dtype(function, name, array.dtype, dtypes)
    return array


def writable(function, out, shape, dtype, inputs):
    """The array to compute into: `out` or a new one, or a temporary that `finish` copies.

    Returns (array, finish); finish() gives the array for the caller.
    """
    if out is None:
        check_memory(function, "the result", shape, dtype)
        result = empty(shape, dtype)
        return result, lambda: result
    check_out(function, out, shape, dtype)
    if _is_plain(out) and not any(np.may_share_memory(out, x) for x in inputs):
        return out, lambda: out
    temporary = np.empty(shape, dtype)

    def finish():
        out[...] = temporary
        return out

    return temporary, finish


def empty(shape, dtype):
    """A new array; a large one begins at a cache line, so that kernels can stream into it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < ALIGNED_BYTES:
        return np.empty(shape, dtype)
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def allocator(shape, dtype):
    """What makes such arrays: `empty`, or for all but large ones NumPy alone, which is faster."""
    return np.empty if math.prod(shape) * dtype.itemsize < ALIGNED_BYTES else empty


# Memory that a plain call's packed weights left for the next: fresh pages cost more than packing.
_buffers = []
BUFFER_BYTES = 16 * 2**20  # the most that is kept, for the life of the process


def take_buffer(size):
    """Some bytes of memory, of any content, maybe those that were given back last."""
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = np.empty(0, np.uint8)
    return buffer if buffer.size >= size else np.empty(size, np.uint8)


def give_buffer(buffer):
    """Keep one buffer; nothing may read or write it any more."""
    if buffer.size <= BUFFER_BYTES:
        _buffers.append(buffer)
        del _buffers[:-1]


def check_out(function, out, shape, dtype):
    """Refuse an output that cannot take the result."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"{function}: out is {_kind(out)}, expected a NumPy array")
    if out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{function}: out has dtype {out.dtype}, expected {np.dtype(dtype)}")
    if out.shape != tuple(shape):
        raise ValueError(f"{function}: out has shape {out.shape}, expected {tuple(shape)}")
    if not out.flags.writeable:
        raise ValueError(f"{function}: out is read-only, expected a writeable array")
    if out.size > 1 and _repeats(out):
        raise ValueError(f"{function}: out has elements that share memory, expected distinct ones")


def check_apart(function, out):
    """Refuse several outputs that share memory; what is no array is left to `check_out`."""
    arrays = [each for each in out if isinstance(each, np.ndarray)]
    if any(_share(*pair) for pair in itertools.combinations(arrays, 2)):
        raise ValueError(f"{function}: out has arrays that share memory, expected distinct ones")


def _share(a, b):
    """Do two arrays share memory? True for some that only might."""
    try:
        return np.shares_memory(a, b, max_work=SHARING_STEPS)
    except np.exceptions.TooHardError:
        return True


def _is_plain(array):
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


def shown(value):
    """A value in an error message: one line, not too long, and of an array its shape alone."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    text = " ".join(repr(value).split())
    if isinstance(value, tuple | list) and any(isinstance(each, np.ndarray) for each in value):
        text = f"({', '.join(map(shown, value))})"
    return text if len(text) <= 80 else text[:77] + "..."


def number(function, name, value, finite=True):
    """A real number; a finite one, unless any will do."""
    try:
        if type(value) not in (int, float) and (
            isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value) != 0
        ):
            raise TypeError
        result = float(value)
    except OverflowError:
        result, finite = math.inf, True
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} is {shown(value)}, expected a number") from None
    if finite and not math.isfinite(result):
        raise ValueError(f"{function}: {name} is {shown(value)}, expected a finite number")
    if math.isnan(result):
        return math.nan  # the same object, which is equal to itself in the key of a plan
    return result + 0.0  # never -0.0: it would be equal to another plan's 0.0


def check_scratch(function, task, threads):
    """Refuse a task whose scratch memory this machine can never hold."""
    size = task.scratch_bytes * threads
    if size > _physical_memory():
        raise MemoryError(
            f"{function}: this call takes {size / 2**30:.3g} GiB of scratch memory, expected at "
            f"most the memory of this machine, {_physical_memory() / 2**30:.3g} GiB"
        )


def check_memory(function, name, shape, dtype):
    """Refuse what this machine can never hold before the system kills the process for it."""
    size = np.dtype(dtype).itemsize * math.prod(map(int, shape))
    if size > _physical_memory():
        raise MemoryError(
            f"{function}: {name} of shape {tuple(shape)} takes {size / 2**30:.3g} GiB as a "
            f"contiguous {np.dtype(dtype)} array, expected at most the memory of this machine, "
            f"{_physical_memory() / 2**30:.3g} GiB"
        )


def as_array(function, name, value):
    """`value` as an array of main memory, or a TypeError that says why it is none."""
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise TypeError(f"{function}: {name} is None, expected an array")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{function}: {name} is a masked array, expected a plain one: "
            "fill it first, for example with .filled(0)"
        )
    if hasattr(value, "__cuda_array_interface__") or getattr(value, "is_cuda", False):
        raise TypeError(
            f"{function}: {name} is on a GPU, expected an array in main memory: "
            "copy it there first, for example with .cpu() or .get()"
        )
    if hasattr(value, "__dask_graph__"):
        raise TypeError(f"{function}: {name} is a Dask array, expected NumPy's: call .compute()")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TypeError(
            f"{function}: {name} is {_kind(value)}, expected an array of numbers ({reason})"
        ) from None


def _check_dtype(function, name, dtype, dtypes):
    if dtype.newbyteorder("=") not in _types(tuple(dtypes)):
        expected = ", ".join(np.dtype(each).name for each in dtypes)
        hint = ""
        if exact := [each for each in dtypes if np.can_cast(dtype, each)]:
            hint = f"; convert it first, for example np.asarray({name}, np.{exact[0]})"
        raise TypeError(f"{function}: {name} has dtype {dtype}, expected {expected}{hint}")


@cache
def _types(names):
    return frozenset(map(np.dtype, names))


@cache
def _physical_memory():
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**62  # unknown here: the allocation itself will say


def _repeats(array):
    """Do two elements share memory? True for some strides that only might."""
    strides = sorted(
        (abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True) if n > 1
    )
    reach = array.itemsize
    for stride, n in strides:
        if stride < reach:
            return True
        reach = stride * (n - 1) + reach
    return False


def _kind(value):
    if value is None:
        return "None"
    if isinstance(value, np.ma.MaskedArray):
        return "a masked array"
    return f"a {type(value).__name__}"
