"""Gradients of convolutions: by weights, by bias, and the fold of those by the input."""

from functools import lru_cache

from fastconv import _config, _core, _geometry
from fastconv._plan.convolution import (
    CHANNEL_BLOCK,
    activation_sizes,
    axis_sizes,
    conv2d_flops,
    conv2d_seconds,
    flat,
    input_bytes,
    is_product,
    rows_in,
)
from fastconv._plan.shared import BYTES, CACHED_PLANS, VECTOR_BYTES, ceil_div, share
from fastconv._plan.winograd import (
    WINOGRAD_4X4,
    WINOGRAD_CHANNELS,
    WINOGRAD_PRODUCT_BYTES,
    winograd_block,
    winograd_terms,
    winograd_tiles,
)

# A gradient by weights sums blocks of so many pixels, and those of few weights in so many parts,
# which threads can share: bits follow from both.
GRADIENT_PIXELS, GRADIENT_PARTS = 512, 8
GRADIENT_PART_WEIGHTS, GRADIENT_PART_TERMS = 2**19, 2**20
# What its unit keeps at most in an L2 cache: lines of input, sums.
GRADIENT_LINE_BYTES, GRADIENT_SUM_BYTES = 256 * 1024, 320 * 1024
# Planes are units where so many channels are on their own, or input channels have few taps, if one
# row's input, and its sums, are not more.
GRADIENT_PLANES, GRADIENT_TAPS, GRADIENT_PLANE_BYTES = 8, 36, 2**20
# Of each tap there are so many sums, columns of taps are computed by threes, and at most so many
# have copies of the input: PANEL_SUMS, PANEL_TAP_COLUMNS and PANEL_COPIES of
# conv_weight_grad_planes.h. A block of rows, which adds to those before it, is what an L1 cache
# holds of a plane: bits follow from it.
TAP_SUMS, GRADIENT_COLUMNS, GRADIENT_COPIES, GRADIENT_PANEL_BYTES = 16, 3, 6, 24 * 1024
# By Winograd's transforms it is of this scheme, and as accurate as plain sums from so many tiles
# on. Bits follow from a block of them, so that knows nothing of this machine: transformed input and
# dy of so many bytes, as sums have, and tiles from the least to the most. More of all points than
# the last number, for each tile and each output channel, would not fit beside each other.
WINOGRAD_GRADIENT, WINOGRAD_WEIGHT_GRADIENT = WINOGRAD_4X4, "winograd_weight_grad"
WINOGRAD_GRADIENT_TILES = 128
WINOGRAD_GRADIENT_BYTES, WINOGRAD_GRADIENT_LEAST, WINOGRAD_GRADIENT_MOST = 640 * 1024, 28, 64
WINOGRAD_GRADIENT_CHANNEL_BYTES = 48 * 1024
# Of the frames that gradients by the input are put together from, so much at a time and thread.
FRAME_BYTES = 2 * 2**20


def weight_gradient(geometry, winograd, threads):
    """The task of the gradient by weights, how many partial sums it gives, and the threads."""
    threads = share(threads, conv2d_seconds(geometry))
    if winograd and _winograd_gradient_pays(geometry):
        return *_winograd_gradient(geometry, _config.isa()), threads
    return *_weight_gradient(geometry, _config.isa()), threads


@lru_cache(CACHED_PLANS)
def _winograd_gradient_pays(g):
    """Is a gradient by weights faster by Winograd's transforms, and as accurate?"""
    scheme = WINOGRAD_GRADIENT
    if g.dims != 2 or any(window[1:4] != (3, 1, 1) for window in (g.rows, g.cols)):
        return False
    tiles = g.n * winograd_tiles(g, scheme)
    if min(g.c, g.k) < WINOGRAD_CHANNELS or tiles < WINOGRAD_GRADIENT_TILES:
        return False
    if scheme.points * g.c * g.bits // 8 > WINOGRAD_GRADIENT_CHANNEL_BYTES:
        return False
    return 2 * g.n * winograd_terms(g, scheme) < conv2d_flops(g)


@lru_cache(CACHED_PLANS)
def _winograd_gradient(g, isa):
    item, scheme = g.bits // 8, WINOGRAD_GRADIENT
    k = WINOGRAD_PRODUCT_BYTES // item
    tiles = WINOGRAD_GRADIENT_BYTES // (scheme.points * (g.c + k) * item)
    tiles = max(WINOGRAD_GRADIENT_LEAST, min(tiles, WINOGRAD_GRADIENT_MOST))
    rows, cols = winograd_block(g, scheme, tiles, tiles)
    k *= max(1, WINOGRAD_GRADIENT_BYTES // (scheme.points * g.c * k * item))
    blocks = ceil_div(g.n * ceil_div(g.rows.o, scheme.rows), rows // scheme.rows)
    blocks *= ceil_div(g.cols.o, cols)
    sizes = _gradient_sizes(g) | {"block_rows": rows, "block_cols": cols, "block_k": k}
    sizes["parts"] = _gradient_parts(g, blocks)
    return _core.Conv2d(isa, g.bits, WINOGRAD_WEIGHT_GRADIENT, sizes), sizes["parts"]


def _gradient_of_planes(g):
    """Is a gradient by weights one of planes, with pixels in the lanes?"""
    if g.groups >= GRADIENT_PLANES:
        few = g.c == g.k == 1
    else:  # dy need not be turned around, which takes as long as so many taps
        few = g.c * _panel_taps(g) <= GRADIENT_TAPS * _filled(g.cols.o, TAP_SUMS)
    row = input_bytes(g, 1, g.cols.o) * _panel_copies(g)
    fits = max(row, _panel_sums(g)) <= GRADIENT_PLANE_BYTES
    return few and g.layout == "NCHW" and g.cols.stride == 1 and fits


def _panel_taps(g):
    """Taps of a kernel that are computed, those that are not there among them."""
    return g.rows.k * ceil_div(g.cols.k, GRADIENT_COLUMNS) * GRADIENT_COLUMNS


def _panel_copies(g):
    """Copies of the input that a panel holds: of each column of taps, if rows are joined."""
    joins = g.rows.stride == 1 and g.cols.o % TAP_SUMS and g.cols.k <= GRADIENT_COPIES
    return _panel_taps(g) // g.rows.k if joins else 1


def _panel_sums(g):
    """Bytes of the sums of all taps, for one output channel."""
    return TAP_SUMS * _panel_taps(g) * g.bits // 8


def _gradient_parts(g, blocks):
    """Many weights are enough units; few are summed in parts."""
    weights = g.groups * g.k * g.c * g.rows.k * g.cols.k
    parts = min(GRADIENT_PARTS, GRADIENT_PART_WEIGHTS // weights, blocks)
    return max(1, min(parts, conv2d_flops(g) // 2 // GRADIENT_PART_TERMS))


@lru_cache(CACHED_PLANS)
def _weight_gradient(g, isa):
    if is_product(g):
        g = flat(g)
    if _gradient_of_planes(g):
        k = ceil_div(g.k, ceil_div(g.k, max(1, GRADIENT_SUM_BYTES // _panel_sums(g))))
        parts = 1 if g.groups * g.c >= GRADIENT_PLANES else _gradient_parts(g, g.n)
        sizes = _gradient_sizes(g) | {"parts": parts, "block_k": k}
        sizes["block_rows"] = rows_in(g, 1, g.cols.o, GRADIENT_PANEL_BYTES // _panel_copies(g))
        return _core.Conv2d(isa, g.bits, "weight_grad_planes", sizes), parts
    cols = ceil_div(g.cols.o, ceil_div(g.cols.o, GRADIENT_PIXELS))
    rows = ceil_div(g.rows.o, ceil_div(g.rows.o, max(1, GRADIENT_PIXELS // cols)))
    taps = g.rows.k * g.cols.k
    # Lines of input are made anew for each block of output channels: few taps do not pay for it.
    k = ceil_div(g.k, ceil_div(g.k, (2 if taps > 3 else 4) * CHANNEL_BLOCK))
    k = ceil_div(k, CHANNEL_BLOCK) * CHANNEL_BLOCK
    most = min(
        GRADIENT_LINE_BYTES // input_bytes(g, rows, cols),
        GRADIENT_SUM_BYTES // (min(k, g.k) * taps * g.bits // 8),
    )
    c = ceil_div(g.c, ceil_div(g.c, max(1, most)))
    blocks = g.n * ceil_div(g.rows.o, rows) * ceil_div(g.cols.o, cols)
    lanes = VECTOR_BYTES // (g.bits // 8)
    in_groups = _filled(g.groups, lanes) > 2 * _filled(g.k, lanes) and g.c < CHANNEL_BLOCK
    if in_groups:
        k = GRADIENT_SUM_BYTES // (CHANNEL_BLOCK * g.k * g.c * taps * g.bits // 8)
        k = CHANNEL_BLOCK * max(1, min(k, 4, ceil_div(g.groups, CHANNEL_BLOCK)))
    parts = _gradient_parts(g, blocks)
    sizes = _gradient_sizes(g) | {"parts": parts}
    sizes |= {"block_rows": rows, "block_cols": cols, "block_c": c, "block_k": k}
    algorithm = "weight_grad_groups" if in_groups else "weight_grad"
    return _core.Conv2d(isa, g.bits, algorithm, sizes), parts


def _filled(count, lanes):
    """The part of vectors that so many numbers fill."""
    return count / (ceil_div(count, lanes) * lanes)


def bias_gradient(geometry, threads):
    """The task of the gradient by a convolution's bias, and on how many threads."""
    task, seconds = _bias_gradient(geometry, _config.isa())
    return task, share(threads, seconds)


@lru_cache(CACHED_PLANS)
def _bias_gradient(geometry, isa):
    rows = geometry.rows._replace(o=geometry.depth.o * geometry.rows.o)  # slices are more rows
    g = _geometry.deep(geometry, _geometry.POINT, rows=rows)
    read = g.n * g.groups * g.k * g.rows.o * g.cols.o * g.bits / 8
    return _line_gradient(g, isa, "bias_grad"), read / BYTES


def fold(geometry, threads):
    """The task that puts together a gradient by the input, of the geometry's phases of a frame."""
    g = geometry
    written = g.n * g.c * g.rows.o * g.cols.o * g.bits / 8
    return _line_gradient(g, _config.isa(), "fold"), share(threads, 2 * written / BYTES)


@lru_cache(CACHED_PLANS)
def _line_gradient(g, isa, algorithm):
    return _core.Conv2d(isa, g.bits, algorithm, _gradient_sizes(g))


def frame_samples(sample_bytes, threads):
    """Samples whose frames are in memory at once."""
    return max(1, (threads or 1) * FRAME_BYTES // max(1, sample_bytes))


def _gradient_sizes(g):
    sizes = axis_sizes(g) | activation_sizes((None,))
    sizes |= {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k, "parts": 1, "stream": False}
    sizes |= {"block_rows": 1, "block_cols": 1, "block_c": 1, "block_k": 1}
    return sizes | {"nhwc": g.layout == "NHWC"}
