"""Winograd's transforms: their schemes, what they cost, the blocks of their tiles."""

from functools import lru_cache
from typing import NamedTuple

from fastconv import _core
from fastconv._plan.shared import BYTES, CACHED_PLANS, VECTOR_BYTES, ceil_div, seconds_of

# A core's L2 cache.
L2_BYTES = _core.l2_bytes() or 2**20


class Winograd(NamedTuple):
    """A scheme of Winograd's: what its tiles cost, and from where on they are accurate."""

    name: str
    stride: int
    rows: int  # of a tile's outputs
    cols: int
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


WINOGRAD_4X4 = Winograd("winograd_4x4", 1, 4, 4, 36, 36, (600, 600), 48)
# Of 3x3 kernels, by the stride.
WINOGRADS_3X3 = {
    1: (
        WINOGRAD_4X4,
        Winograd("winograd_3x3", 1, 3, 3, 25, 25, (400, 400), 16),
        Winograd("winograd_2x2", 1, 2, 2, 16, 16, (235, 235), 16),
    ),
    2: (Winograd("winograd_stride_2", 2, 4, 4, 25, 81, (2000, 600), 32),),
}
# Of kernels of one row, by its length.
WINOGRAD_ROWS = {
    taps: (
        *((Winograd("winograd_row_6", 1, 1, 7 - taps, 6, 6, (90, 90), 16),) if taps < 6 else ()),
        Winograd("winograd_row_8", 1, 1, 9 - taps, 8, 8, (120, 120), 160 if taps == 3 else 64),
    )
    for taps in range(3, 8)
}
WINOGRADS = sum((*WINOGRADS_3X3.values(), *WINOGRAD_ROWS.values()), ())
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
# Planes of a multiple of these bytes meet in the same lines of an L1 cache: a tile's pixels, of all
# channels. What that costs.
ALIASED_BYTES, WINOGRAD_ALIASED = 4096, 1.25
# Why a call got them.
WINOGRAD = "a {}x{} kernel on many channels: {} products do the work of {}"


def winograd_schemes(g):
    """Winograd's schemes for a kernel, on any channels."""
    stride = g.rows.stride
    if stride != g.cols.stride or (g.rows.dilation, g.cols.dilation) != (1, 1):
        return ()
    if g.rows.k == 1 and stride == 1:
        return WINOGRAD_ROWS.get(g.cols.k, ())
    return WINOGRADS_3X3.get(stride, ()) if g.rows.k == g.cols.k == 3 else ()


@lru_cache(CACHED_PLANS)
def winograd_scheme(g):
    """Winograd's scheme for a call: the fastest one of those that are accurate, if any is."""
    fit = [scheme for scheme in winograd_schemes(g) if g.c >= scheme.accurate]
    return min(fit, key=lambda scheme: winograd_seconds(g, scheme), default=None)


def winograd_seconds(g, scheme):
    """About how long a scheme takes of one sample: its weights come in beside the products, once
    for each block of tiles."""
    weights = scheme.products * g.groups * g.c * g.k * g.bits // 8
    near = WINOGRAD_NEAR if weights <= WINOGRAD_NEAR_BYTES else 1
    held = winograd_vectors(g, scheme) * VECTOR_BYTES // (g.bits // 8)
    block = max(1, min(WINOGRAD_USUAL_TILES, held))
    arithmetic = seconds_of(2 * winograd_terms(g, scheme), g)
    transfer = ceil_div(winograd_tiles(g, scheme), block) * weights / BYTES / near
    seconds = max(arithmetic, transfer) + min(arithmetic, transfer) / 3
    aliased = g.rows.n * g.cols.n * g.bits // 8 % ALIASED_BYTES == 0
    if aliased and g.layout == "NCHW" and scheme.stride == 1 and g.rows.k > 1:
        return WINOGRAD_ALIASED * seconds
    return seconds


def winograd_terms(g, scheme):
    """The multiply-adds of one sample, the transforms' among them."""
    into, out_of = scheme.transforms
    terms = scheme.products * g.c * g.k + into * g.c + out_of * g.k
    return g.groups * winograd_tiles(g, scheme) * terms


def winograd_replaced(g, scheme):
    """The products of a plain sum in place of those of a tile."""
    return g.rows.k * g.cols.k * scheme.rows * scheme.cols


def winograd_tiles(g, scheme):
    """The tiles of one sample's plane."""
    return ceil_div(g.rows.o, scheme.rows) * ceil_div(g.cols.o, scheme.cols)


def winograd_vectors(g, scheme):
    """How many vectors of tiles, all channels of them transformed, scratch memory can hold."""
    return TRANSFORMED_BYTES // (scheme.kept * g.c * VECTOR_BYTES)


def winograd_and_why(g):
    """Winograd's algorithm, and why it is not a direct one."""
    scheme, kernel = winograd_scheme(g), (g.rows.k, g.cols.k)
    return scheme.name, WINOGRAD.format(*kernel, scheme.products, winograd_replaced(g, scheme))


def winograd_blocks(g):
    item, scheme = g.bits // 8, winograd_scheme(g)
    channels = WINOGRAD_PRODUCT_BYTES // item
    tiles = WINOGRAD_BLOCK_BYTES // ((scheme.kept * g.c + scheme.points * channels) * item)
    tiles = max(WINOGRAD_LEAST_TILES, min(tiles, WINOGRAD_MOST_TILES))
    tiles = min(tiles, winograd_vectors(g, scheme) * VECTOR_BYTES // item)
    most = tiles if scheme.rows == 1 else WINOGRAD_BLOCK_COLUMNS
    return *winograd_block(g, scheme, tiles, most), g.c, g.k


def winograd_block(g, scheme, tiles, most):
    """Rows and columns of outputs of about so many tiles, in at most so many columns of them."""
    cols = ceil_div(g.cols.o, scheme.cols)
    cols = ceil_div(cols, ceil_div(cols, min(tiles, most)))
    return scheme.rows * max(1, tiles // cols), scheme.cols * cols
