"""One file per peer: `VERSION`, and `prepare(case, arrays, threads)`.

`prepare` makes everything ready that can be ready before the first call (weights, sessions,
result arrays) and gives a dict of variants: a label, and a function without arguments that
computes the row and returns the result in the row's layout. No variants: the peer cannot do it.
Labels in `OWN_LAYOUT`, if there is one, are of variants whose arrays are in a layout that this peer
alone has.
"""

import numpy as np


def result_like(x, dtype=None):
    """An array for results that begins at a cache line, as a library's own results do."""
    dtype = np.dtype(dtype or x.dtype)
    size = x.size * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(x.shape)
