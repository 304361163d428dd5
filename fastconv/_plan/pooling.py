"""Poolings: the lines that their rows are joined to, and what shares them."""

import math
from functools import lru_cache

from fastconv import _config, _core
from fastconv._plan.shared import BYTES, CACHED_PLANS, SHARED_SECONDS, ceil_div, even_rows, share

# A pooling's lines: with what they are read from, a part of an L1 cache. Without channels a block
# is at least so many columns.
POOL_LINE_BYTES, POOL_COLUMNS = 8 * 1024, 4096
# With channels, rows of so many windows are read where they are, so much of each at once.
POOL_IN_PLACE, POOL_ROW_BYTES = 4, 128 * 1024
# What it has beside its columns; and the most pointers to rows of lines that are joined together.
POOL_SPARE_BYTES, POOL_POINTERS = 256, 1024
# What has no vectors in it is in one variant alone: the algorithm, and bits that have.
SCALAR = {"pool_argmax": (32,), "pool_median": (), "pool_scatter": ()}
# Of the time that a pooling takes to read its input, what those that go one by one take.
POOL_COSTS = {"pool_argmax": 5, "pool_median": 100, "pool_scatter": 20, "pool_spread": 10}


def pool(geometry, threads):
    """The task of a pooling, and on how many threads."""
    threads = share(threads, _pool_seconds(geometry))
    return _pool(geometry, _config.isa(), threads), threads


def is_small_pool(geometry):
    """Is a pooling not worth sharing between threads, however many there are?"""
    return _pool_seconds(geometry) <= SHARED_SECONDS


@lru_cache(CACHED_PLANS)
def _pool_seconds(g):
    read = math.prod(max(axis.k, axis.stride, 1) for axis in g.axes) * g.bits / 8
    outputs = math.prod(axis.o for axis in g.axes)
    return g.planes * g.channels * outputs * read * POOL_COSTS.get(g.algorithm, 1) / BYTES


def is_pool_of_pairs(g):
    """Are the windows 2x2 pixels that no other one sees, in planes of one channel?"""
    depth, rows, cols = g.axes
    return (
        g.channels == 1 and depth.n == depth.k == 1 and g.bits != 8
        and all(w[1:6] == (2, 2, 1, 0, 0) and 2 * w.o <= w.n for w in (rows, cols))
    )  # fmt: skip


@lru_cache(CACHED_PLANS)
def _pool(g, isa, threads):
    whole = all(axis.k == axis.n == axis.k + axis.before + axis.after for axis in g.axes)
    axes = g.axes
    if whole and g.algorithm == "pool" and g.channels > 1:
        axes = _whole_rows(g)
    depth, rows, cols = axes
    outputs = depth.o * rows.o
    taps = math.prod(axis.k or ceil_div(axis.n, axis.o) + 1 for axis in (depth, rows))
    # Rows that are read where they are need no line that stays in the L1 cache.
    in_place = g.channels > 1 and taps <= POOL_IN_PLACE and not g.is_prepared
    most = POOL_ROW_BYTES if in_place else POOL_LINE_BYTES
    most = max(1, most * 8 // (g.bits * g.channels * max(cols.stride, 1)))
    block = min(cols.o, most if g.channels > 1 else max(most, POOL_COLUMNS))
    line = block * max(cols.stride, 1) * g.channels * g.bits // 8 + POOL_SPARE_BYTES
    batch = min(POOL_LINE_BYTES // line, POOL_POINTERS // taps, g.planes * outputs)
    batch = 1 if g.is_prepared else max(1, batch)
    algorithm = g.algorithm
    if algorithm == "pool" and g.channels == 1 and not g.is_prepared and whole:
        algorithm = "pool_global"
    sizes = {
        **{f"{name}.{member}": size for name, axis in zip("dhw", axes, strict=True)
           for member, size in axis._asdict().items()},
        "planes": g.planes, "c": g.channels,
        "block_rows": even_rows(outputs, outputs, g.planes, threads), "block_cols": block,
        "batch": batch,
        "divisor": g.divisor, "norm": g.norm, "pooling": _core.POOLINGS[g.pooling],
        "dtype": _core.DTYPES[g.dtype], "count_include_pad": g.count_include_pad,
        "accumulate": g.accumulate, "positive": g.positive,
    }  # fmt: skip
    isa = isa if g.bits in SCALAR.get(algorithm, (g.bits,)) else "scalar"
    return _core.Pool(isa, g.bits, algorithm, sizes)


def _whole_rows(g):
    """A whole plane of pixels as rows of another length, the longest that a line should have."""
    depth, rows, cols = g.axes
    pixels = depth.n * rows.n * cols.n
    most = max(1, POOL_LINE_BYTES // 2 * 8 // (g.bits * g.channels))
    width = max(n for n in range(1, min(most, pixels) + 1) if pixels % n == 0)
    return (
        depth._replace(n=1, k=1),
        rows._replace(n=pixels // width, k=pixels // width),
        cols._replace(n=width, k=width),
    )
