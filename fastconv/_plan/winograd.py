"""Winograd's transforms: their schemes, what they cost, the blocks of their tiles."""

from functools import lru_cache
from typing import NamedTuple

from fastconv import _core
from fastconv._plan.shared import BYTES, CACHED_PLANS, VECTOR_BYTES, ceil_div, seconds_of

# A core's L2 cache.
L2_BYTES = _core.l2_bytes() or 2**20


class Winograd(NamedTuple):
    """A scheme of Winograd's: what its tiles cost, and from where on they are accurate."""

    stride: int
    m: int  # a tile is m x m outputs
    points: int  # planes of transformed input and of products
    products: int  # of one tile, for one channel in and one out
    # About so many multiply-adds for each channel of a tile, in and out.
    transforms: tuple
    # Errors are within twice (rms) those of plain sums from so many input channels on; with fewer,
    # tiles of 4x4 reach 2.6 times (docs/performance.md).
    accurate: int

    @property
    def kept(self):
        """Transformed inputs of a tile and a channel, those that no product needs among them."""
        return self.points * self.stride**2


WINOGRADS = {
    "winograd_4x4": Winograd(1, 4, 36, 36, (700, 700), 48),
    "winograd_2x2": Winograd(1, 2, 16, 16, (235, 235), 16),
    "winograd_stride_2": Winograd(2, 4, 25, 81, (2000, 600), 32),
}
# Transforms pay from this many channels on both sides. Weights of more than a small L2 cache come
# from afar, at BYTES; others four times as fast.
WINOGRAD_CHANNELS = 16
WINOGRAD_NEAR_BYTES, WINOGRAD_NEAR = 2**20, 4
# Of the scratch memory of a thread, 4 MB: the transformed input.
TRANSFORMED_BYTES = 3 * 2**20
# Transformed input and products of a block of tiles: a part of an L2 cache, beside weights. Fewer
# tiles than the least make too little of each weight, more than the most do not stay in the caches.
WINOGRAD_BLOCK_BYTES = 5 * L2_BYTES // 8
# What one product of a tile takes: a vector or two of output channels.
WINOGRAD_PRODUCT_BYTES = 2 * VECTOR_BYTES
WINOGRAD_LEAST_TILES, WINOGRAD_MOST_TILES, WINOGRAD_BLOCK_COLUMNS = 28, 42, 32
# Of a block, for predictions: they know nothing of this machine.
WINOGRAD_USUAL_TILES = 28
# Why a call got them.
WINOGRAD = "a 3x3 kernel on many channels: {products} products do the work of {terms}"


@lru_cache(CACHED_PLANS)
def winograd_scheme(g):
    """The name of Winograd's scheme: the fastest one of those that are accurate, if any is."""
    fit = [
        name
        for name, scheme in WINOGRADS.items()
        if scheme.stride == g.rows.stride and g.c >= scheme.accurate
    ]
    return min(fit, key=lambda name: winograd_seconds(g, WINOGRADS[name]), default=None)


def winograd_seconds(g, scheme):
    """About how long a scheme takes of one sample: its weights come in beside the products, once
    for each block of tiles."""
    weights = scheme.products * g.groups * g.c * g.k * g.bits // 8
    near = WINOGRAD_NEAR if weights <= WINOGRAD_NEAR_BYTES else 1
    held = winograd_vectors(g, scheme) * VECTOR_BYTES // (g.bits // 8)
    block = max(1, min(WINOGRAD_USUAL_TILES, held))
    arithmetic = seconds_of(2 * winograd_terms(g, scheme), g)
    transfer = ceil_div(winograd_tiles(g, scheme), block) * weights / BYTES / near
    return max(arithmetic, transfer) + min(arithmetic, transfer) / 2


def winograd_terms(g, scheme):
    """The multiply-adds of one sample, the transforms' among them."""
    into, out_of = scheme.transforms
    terms = scheme.products * g.c * g.k + into * g.c + out_of * g.k
    return g.groups * winograd_tiles(g, scheme) * terms


def winograd_tiles(g, scheme):
    """The tiles of one sample's plane."""
    return ceil_div(g.rows.o, scheme.m) * ceil_div(g.cols.o, scheme.m)


def winograd_vectors(g, scheme):
    """How many vectors of tiles, all channels of them transformed, scratch memory can hold."""
    return TRANSFORMED_BYTES // (scheme.kept * g.c * VECTOR_BYTES)


def winograd_and_why(g):
    """Winograd's algorithm, and why it is not a direct one."""
    name = winograd_scheme(g)
    scheme = WINOGRADS[name]
    return name, WINOGRAD.format(products=scheme.products, terms=9 * scheme.m**2)


def winograd_blocks(g):
    item, scheme = g.bits // 8, WINOGRADS[winograd_scheme(g)]
    channels = WINOGRAD_PRODUCT_BYTES // item
    tiles = WINOGRAD_BLOCK_BYTES // ((scheme.kept * g.c + scheme.points * channels) * item)
    tiles = max(WINOGRAD_LEAST_TILES, min(tiles, WINOGRAD_MOST_TILES))
    tiles = min(tiles, winograd_vectors(g, scheme) * VECTOR_BYTES // item)
    return *winograd_block(g, scheme.m, tiles, WINOGRAD_BLOCK_COLUMNS), g.c, g.k


def winograd_block(g, m, tiles, most):
    """Rows and columns of outputs of about so many tiles, in at most so many columns of them."""
    cols = ceil_div(g.cols.o, m)
    cols = ceil_div(cols, ceil_div(cols, min(tiles, most)))
    return m * max(1, tiles // cols), m * cols
