"""Convolutions: direct sums, Winograd's transforms (winograd.py) or integers, and their blocks."""

from functools import lru_cache
from typing import NamedTuple

from fastconv import _config, _core, _geometry
from fastconv._plan.shared import (
    BLOCK_BYTES,
    CACHED_PLANS,
    FLOPS,
    LEAST_COLUMNS,
    STREAM_BYTES,
    VECTOR_BYTES,
    border_sizes,
    ceil_div,
    even_rows,
    seconds_of,
    share,
    share_and_why,
    window_sizes,
)
from fastconv._plan.winograd import (
    WINOGRAD_CHANNELS,
    WINOGRADS,
    winograd_and_why,
    winograd_blocks,
    winograd_scheme,
    winograd_schemes,
    winograd_seconds,
    winograd_vectors,
)

# The pixels of a matrix product that all output channels meet in turn: a part of an L1 cache.
NEAR_BYTES = 32 * 1024
# The packed weights of a tile of output channels that meet a block of input: in the L2 cache, too.
WEIGHT_BYTES = 96 * 1024
# Transposing a tile's sums costs about as much as so many terms.
TRANSPOSITION_TERMS = 16
# A vector of output channels without a second one beside it shares no load: it takes as long as so
# many vectors (docs/performance.md).
SINGLE_VECTOR = 1.3
# Splitting rows by a column stride above 2, one element at a time, costs so many output channels.
SPLIT_CHANNELS = 32
# What a depthwise unit copies of a plane: with its results, an L1 cache of 32 to 48 KB.
PLANE_BYTES = 24 * 1024
# Columns are cut where fewer output rows than this have their input in a unit.
PLANE_ROWS = 8
# More output channels per group than this share their loads in direct_pixel's tiles.
PLANE_MULTIPLIER = 8
# Every packed tile of output channels divides this, so a block of them starts at a tile.
CHANNEL_BLOCK = 64
# Of the scratch memory of a thread, 4 MB: the copy of a row of padded NHWC images, beside the sums
# that one block of channels hands to the next.
COPY_BYTES, SUMS_BYTES = 2**20, 2**20
# Such rows are cut, rather than their channels, where they have more columns than this.
COPY_COLUMNS = 512
# Of an integer convolution: terms to a word of what it reads; what that takes of an L2 cache, and
# the least and the most pixels of a block; about how much faster than floats it is.
INTEGER_TERMS = {"integer": 2, "integer_vnni": 4, "integer_pixel": 4, "integer_plane": 4}
# Of one with pixels in the lanes: those of a vector and of a tile.
ACROSS_LANES, ACROSS_PIXELS, ACROSS_FILLED = 16, 48, 0.95
INTEGER_BYTES, INTEGER_LEAST, INTEGER_MOST, INTEGER_SPEED = 128 * 1024, 28, 1024, 3
# Planes of bytes that are computed together, as a pixel's channels: at most so many, if those are
# enough of a vector, or else more. How much slower than floats a product of theirs is.
INTEGER_PLANES, INTEGER_FEW_PLANES, INTEGER_MOST_PLANES, PLANES_SLOWNESS = 256, 32, 1024, 4
# Planes of at least so many columns of outputs are computed one by one, pixels in the lanes: for
# strides and taps of at most PLANE_STRIDE and PLANE_TAPS of conv_integer_plane.h.
INTEGER_PLANE_COLUMNS, INTEGER_PLANE_STRIDE, INTEGER_PLANE_TAPS = 24, 4, 8
# Does this processor multiply bytes? avx512's variant has kernels for it.
VNNI = _core.has_vnni()
# Floats of a vector, by instruction set: asked for once, because the processor answers slowly.
LANES = _core.isas()
# What only the caller knows to speak against Winograd's transforms.
ASKED_DIRECT = 'algorithm="direct" was asked for'
WILD_WEIGHTS = "the weights are so large (or NaN) that its transforms could overflow"
# What is said first of a 1x1 kernel that sees every pixel once.
PRODUCT = "a matrix product, so all pixels count as one row; "


def conv2d(geometry, winograd, threads):
    """The task of a convolution, and on how many threads; may it use Winograd's transforms?"""
    task, _, threads, _ = conv2d_and_why(geometry, winograd, threads)
    return task, threads


def conv2d_and_why(geometry, winograd, threads):
    """The task, why it is that algorithm's, the number of threads, and why so many."""
    threads, why_threads = share_and_why(threads, conv2d_seconds(geometry))
    return *_conv2d(geometry, winograd, _config.isa(), threads), threads, why_threads


def conv2d_seconds(geometry):
    """About how long a convolution takes on one thread."""
    return seconds_of(conv2d_flops(geometry), geometry)


def conv2d_flops(geometry):
    """Multiplications and additions of a plain sum."""
    g = geometry
    return 2 * g.n * g.groups * g.k * g.rows.o * g.cols.o * g.c * g.rows.k * g.cols.k


@lru_cache(CACHED_PLANS)
def winograd_refused(geometry):
    """Why Winograd is not the faster way, or None: it is.

    This follows from the geometry of one sample alone, because its bits are others.
    """
    g = geometry
    if not winograd_schemes(g):
        return (
            "it is for 3x3 kernels at stride 1 or 2, and 1x3 to 1x7 at stride 1, and dilation 1"
        )
    if min(g.c, g.k) < WINOGRAD_CHANNELS:
        return f"it pays from {WINOGRAD_CHANNELS} channels per group on, in and out"
    scheme = winograd_scheme(g)
    if scheme is None:
        return "so few input channels would lose accuracy"
    if not winograd_vectors(g, scheme):
        return "a few tiles of so many channels, transformed, would take too much memory"
    direct = conv2d_seconds(g._replace(n=1))
    if scheme.stride == 1:  # small images leave lanes of direct sums empty, in both layouts
        direct /= max(_filled_lanes(g))
    if winograd_seconds(g, scheme) > direct:
        return "direct sums are estimated to be faster for these channels and this size"
    return None


def _direct(g):
    """The direct algorithm, and why; they give the same results, but for the sign of a zero."""
    if g.layout == "NHWC":
        # Contiguous channels are the lanes: they mix, or each is for itself.
        if g.c == g.k == 1 and g.depth == _geometry.POINT:
            return "depthwise", "each channel is for itself, and neighbouring channels fill vectors"
        return "direct_channel", "channels are neighbours in NHWC, so output channels fill vectors"
    if g.c == 1 and g.k <= PLANE_MULTIPLIER and g.depth == _geometry.POINT:
        usual = all(
            (window.k, window.dilation) == (3, 1) and window.stride == g.rows.stride <= 2
            for window in (g.rows, g.cols)
        )
        if usual and g.cols.before == 1 and g.border[1] == "constant":
            return "depthwise_rows", "3x3, each plane for itself: rows are read where they are"
        return "depthwise_plane", (
            f"one input channel per group and at most {PLANE_MULTIPLIER} output channels: each "
            "plane is for itself, and pixels of a row fill vectors"
        )
    # Contiguous pixels are the lanes, unless too many of them would be empty.
    pixels, channels = _filled_lanes(g)
    if channels > pixels:
        return "direct_channel", "output channels fill vectors better than the pixels of a row"
    return "direct_pixel", "the pixels of a row fill vectors at least as well as output channels"


def _filled_lanes(g):
    """What part of its vectors a direct sum fills: with pixels in the lanes, and with channels."""
    lanes = VECTOR_BYTES // (g.bits // 8)
    pairs, single = divmod(ceil_div(g.k, lanes), 2)
    channels = g.k / ((2 * pairs + SINGLE_VECTOR * single) * lanes)
    pixels = g.cols.o / (ceil_div(g.cols.o, lanes) * lanes)
    # A tile's sums are transposed: as much work as a few terms more.
    terms = g.c * g.rows.k * g.cols.k
    channels *= terms / (terms + TRANSPOSITION_TERMS)
    # Channel lanes copy whole rows, of which a kernel smaller than its stride sees a part.
    channels *= min(1, g.rows.k * g.cols.k / (g.rows.stride * g.cols.stride))
    if g.cols.stride > 2:
        pixels *= g.k / (g.k + SPLIT_CHANNELS)
    return pixels, channels


@lru_cache(CACHED_PLANS)
def _conv2d(g, winograd, isa, threads):
    product = is_product(g)
    if product:
        g = flat(g)
    algorithm, why = winograd_and_why(g) if winograd else _direct(g)
    rows, cols, c, k = _BLOCKS[algorithm](g)
    others = (1 if algorithm == "depthwise" else g.groups) * ceil_div(g.cols.o, cols)
    all_rows = g.rows.o
    if winograd:  # whose blocks go through all samples
        height = _MULTIPLES[algorithm]
        all_rows = g.n * height * ceil_div(g.rows.o, height)
    else:
        others *= g.n
    if winograd or algorithm in ("direct_channel", "direct_pixel"):
        few = others * ceil_div(all_rows, rows) < threads
        weighty = g.k * g.rows.k * g.cols.k > g.rows.n * g.cols.n
        if others % threads and (few or (weighty and not winograd)):
            # Each thread takes some output channels: there are too few rows, or reading all weights
            # would cost more than reading all input (but not more than transforming it).
            share = ceil_div(g.k, ceil_div(threads, others))
            k = min(k, ceil_div(share, CHANNEL_BLOCK) * CHANNEL_BLOCK)
            others *= ceil_div(g.k, k)
        if product and others < threads:
            cols = min(cols, max(8, ceil_div(g.cols.o, ceil_div(threads, others))))
            others *= ceil_div(g.cols.o, cols)
    sizes = axis_sizes(g)
    sizes |= {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k}
    rows = even_rows(all_rows, rows, others, threads, _MULTIPLES.get(algorithm, 1))
    sizes |= {"block_rows": rows, "block_cols": cols, "block_c": c, "block_k": min(k, g.k)}
    sizes |= activation_sizes(g.activation)
    sizes |= {"nhwc": g.layout == "NHWC", "parts": 1}
    # What is read again to be finished had better stay in the caches.
    whole = g.activation[0] in (None, "relu") and not g.residual
    large = g.n * g.groups * g.k * g.rows.o * g.cols.o * g.bits // 8 >= STREAM_BYTES
    sizes["stream"] = whole and large
    return _core.Conv2d(isa, g.bits, algorithm, sizes), PRODUCT + why if product else why


def _direct_blocks(g, channel_lanes):
    """A block of rows, columns, input and output channels: columns are cut first, then channels."""
    cols, c, k = g.cols.o, g.c, g.k
    product = is_product(g)
    if g.layout == "NHWC":
        if product and g.k * g.c * g.bits // 8 <= BLOCK_BYTES:
            # The weights stay in the L2 cache; pixels that stay in the L1 cache meet all of them.
            cols = min(cols, max(LEAST_COLUMNS, 8 * NEAR_BYTES // (g.c * g.bits)))
        copied = g.depth.k > 1 or any(map(_is_padded, g.axes))
        while copied and cols > 2 * COPY_COLUMNS and c * input_bytes(g, 1, cols) > COPY_BYTES:
            cols = _halved(cols)
        c = ceil_div(c, max(1, ceil_div(c * copied * input_bytes(g, 1, cols), COPY_BYTES)))
    else:
        if channel_lanes:
            # Weights that many pixels meet in turn stay in the L1 cache.
            near = product and cols > 2 * LEAST_COLUMNS
            weights = NEAR_BYTES // 2 if near else WEIGHT_BYTES
            c = min(c, max(1, weights // (128 * g.rows.k * g.cols.k)))
        if not (channel_lanes and product):  # which needs no copy of its input
            while cols > 2 * LEAST_COLUMNS and c * input_bytes(g, 1, cols) > BLOCK_BYTES:
                cols = _halved(cols)
            c = min(c, max(1, BLOCK_BYTES // input_bytes(g, 1, cols)))
        c = ceil_div(g.c, ceil_div(g.c, c))
    if c < g.c:
        while product and cols > 2 * LEAST_COLUMNS and _sums(g, 1, cols) < k:
            cols = _halved(cols)
        k = min(k, max(_sums(g, 1, cols), CHANNEL_BLOCK))
    rows = 1
    while (
        rows < g.rows.o
        and c * input_bytes(g, 2 * rows, cols) <= BLOCK_BYTES
        and (c == g.c or _sums(g, 2 * rows, cols) >= k)
    ):
        rows *= 2
    return rows, cols, c, k


def _is_padded(window):
    """Does any output see elements before the input or after it, or the first one not its first?"""
    seen = (window.o - 1) * window.stride + (window.k - 1) * window.dilation + 1
    return window.before != 0 or seen > window.n


def _sums(g, rows, cols):
    """Of how many output channels, in whole blocks, a thread can keep a block's sums."""
    size = rows * (cols + 15) * g.bits // 8  # up to 15 more complete a vector, or a run of pixels
    return SUMS_BYTES // size // CHANNEL_BLOCK * CHANNEL_BLOCK


def _plane_blocks(g):
    cols, least = g.cols.o, min(PLANE_ROWS, g.rows.o)
    while cols > 2 * LEAST_COLUMNS and input_bytes(g, least, cols) > PLANE_BYTES:
        cols = _halved(cols)
    return rows_in(g, 1, cols, PLANE_BYTES), cols, 1, g.k


def rows_in(g, channels, cols, size):
    """Rows of outputs whose input is about of a size."""
    rows = 1
    while rows < g.rows.o and channels * input_bytes(g, 2 * rows, cols) <= size:
        rows *= 2
    return rows


def _halved(cols):
    """About half of the columns, in whole vectors."""
    return ceil_div(ceil_div(cols, 2), LEAST_COLUMNS) * LEAST_COLUMNS


_BLOCKS = {
    "direct_pixel": lambda g: _direct_blocks(g, channel_lanes=False),
    "direct_channel": lambda g: _direct_blocks(g, channel_lanes=True),
    **dict.fromkeys((scheme.name for scheme in WINOGRADS), winograd_blocks),
    "depthwise_plane": _plane_blocks,
    "depthwise_rows": lambda g: (rows_in(g, 1, g.cols.o, BLOCK_BYTES // 2), g.cols.o, 1, g.k),
    "depthwise": lambda g: (rows_in(g, g.groups, g.cols.o, BLOCK_BYTES), g.cols.o, 1, g.k),
}
# Rows of a tile, where it has several.
_MULTIPLES = {scheme.name: scheme.rows for scheme in WINOGRADS} | {"depthwise": 2}


def is_product(g):
    """Is it a matrix product, each output made of the pixel in its place?"""
    return all(
        window.k == window.stride == 1 and window.before == 0 and window.n == window.o
        for window in g.axes
    )


def flat(g):
    """A matrix product knows no rows, and no slices."""
    pixels = g.depth.n * g.rows.n * g.cols.n
    cols = g.cols._replace(n=pixels, o=pixels)
    return _geometry.deep(g, _geometry.POINT, rows=g.rows._replace(n=1, o=1), cols=cols)


def input_bytes(g, rows, cols):
    """Bytes of one channel that a block of outputs sees."""
    height = (rows - 1) * g.rows.stride + (g.rows.k - 1) * g.rows.dilation + 1
    width = (cols - 1) * g.cols.stride + (g.cols.k - 1) * g.cols.dilation + 1
    return height * width * g.bits // 8


def axis_sizes(g):
    """All axes of a convolution."""
    depth = g.depth
    return window_sizes(g.rows, g.cols) | border_sizes(g.border) | {
        "dilation_h": g.rows.dilation, "dilation_w": g.cols.dilation,
        "d": depth.n, "od": depth.o, "kd": depth.k, "stride_d": depth.stride,
        "dilation_d": depth.dilation, "front": depth.before,
        "border_d": _core.BORDERS[g.border_d],
    }  # fmt: skip


def activation_sizes(activation):
    name, *numbers = activation
    sizes = {"activation": _core.ACTIVATIONS[name], "slope": 0.0, "low": 0.0, "high": 0.0}
    return sizes | dict(zip(_geometry.ACTIVATION_PARAMETERS.get(name, ()), numbers, strict=True))


class Stored(NamedTuple):
    """How the numbers of a convolution of bytes are stored: struct fc_conv_integer's members."""

    flip: bool
    x_zero: int
    weights_zero: bool
    zero: int
    result: int
    planes: bool


def joined_groups(geometry):
    """How many groups are computed as one, and whether as planes, each of which is for itself.

    Groups fill a vector so. Those that are no planes have weights of 0 for what they do not see.
    """
    g, isa = geometry, _config.isa()
    if _is_integer_plane(g, isa):
        return 1, False
    if integer_algorithm(isa) != "integer_vnni" or not g.c == g.k == 1 or g.depth.k > 1:
        return _divisor(g.groups, max(1, LANES[isa] // g.k)), False
    n = _divisor(g.groups, INTEGER_PLANES)
    if n < INTEGER_FEW_PLANES:
        n = _divisor(g.groups, INTEGER_MOST_PLANES)
    return n, n > 1


def _is_integer_plane(g, isa):
    """Is it a convolution of planes of bytes, each for itself, with pixels in the lanes?"""
    return (
        integer_algorithm(isa) == "integer_vnni" and g.layout == "NCHW" and g.c == g.k == 1
        and g.depth.k == 1 and g.cols.o >= INTEGER_PLANE_COLUMNS
        and all(
            axis.dilation == 1 and axis.stride <= INTEGER_PLANE_STRIDE
            and axis.k <= INTEGER_PLANE_TAPS for axis in (g.rows, g.cols)
        )
    )  # fmt: skip


def _divisor(number, most):
    """The largest one of at most this size."""
    return next(n for n in range(min(most, number), 0, -1) if number % n == 0)


def integer_algorithm(isa):
    """What multiplies bytes."""
    return "integer_vnni" if VNNI and isa == "avx512" else "integer"


def conv_integer_seconds(geometry, planes):
    """About how long a convolution of bytes, or one of planes, takes on one thread."""
    seconds = conv2d_flops(geometry) / FLOPS
    if _is_integer_plane(geometry, _config.isa()):
        return seconds
    return seconds / geometry.c * PLANES_SLOWNESS if planes else seconds / INTEGER_SPEED


def conv_integer(geometry, stored, threads):
    """The task of a convolution of bytes, and on how many threads."""
    threads = share(threads, conv_integer_seconds(geometry, stored.planes))
    isa = _config.isa()
    return _conv_integer(geometry, stored, isa, integer_algorithm(isa), threads), threads


@lru_cache(CACHED_PLANS)
def _conv_integer(g, stored, isa, algorithm, threads):
    if is_product(g):
        g = flat(g)
        across = algorithm == "integer_vnni" and g.layout == "NCHW" and not stored.planes
        if across and (cols := _pixel_block(g, threads)):
            return _integer_task(g, stored, isa, "integer_pixel", 1, cols)
    if _is_integer_plane(g, isa) and not stored.weights_zero:
        row = input_bytes(g._replace(bits=8), 1, g.cols.o)
        rows = even_rows(g.rows.o, max(1, INTEGER_BYTES // row), g.n * g.groups, threads)
        return _integer_task(g, stored, isa, "integer_plane", rows, g.cols.o)
    each = 4 // INTEGER_TERMS[algorithm] * g.c * g.rows.stride * g.cols.stride  # bytes it sees
    pixels = max(INTEGER_LEAST, min(INTEGER_BYTES // each, INTEGER_MOST))
    units = g.n * g.groups
    rows, cols = 1, g.cols.o
    if cols <= pixels:
        rows = even_rows(g.rows.o, pixels // cols, units, threads)
    else:
        parts = ceil_div(cols, pixels)
        if units * g.rows.o * parts < threads:
            parts = ceil_div(threads, units * g.rows.o)
        cols = min(cols, ceil_div(ceil_div(cols, parts), INTEGER_LEAST) * INTEGER_LEAST)
    return _integer_task(g, stored, isa, algorithm, rows, cols)


def _pixel_block(g, threads):
    """Pixels of a block of a product in NCHW, none shorter than a vector; 0: not full tiles."""
    pixels = g.cols.o
    if pixels < ACROSS_FILLED * ceil_div(pixels, ACROSS_PIXELS) * ACROSS_PIXELS:
        return 0
    most = min(pixels, max(ACROSS_PIXELS, min(NEAR_BYTES // g.c, INTEGER_MOST)))
    parts = ceil_div(pixels, most)
    if g.n * g.groups * parts < threads:
        parts = ceil_div(threads, g.n * g.groups)
    most = ceil_div(ceil_div(pixels, parts), ACROSS_PIXELS) * ACROSS_PIXELS
    for block in range(most, 0, -ACROSS_PIXELS):
        if min(pixels, pixels % block or block) >= ACROSS_LANES:
            return min(pixels, block)
    return 0


def _integer_task(g, stored, isa, algorithm, rows, cols):
    sizes = axis_sizes(g) | activation_sizes(g.activation) | {
        "n": g.n, "groups": g.groups, "c": g.c, "k": g.k, "block_rows": rows, "block_cols": cols,
        "block_c": g.c, "block_k": g.k, "nhwc": g.layout == "NHWC", "parts": 1, "stream": False,
    }  # fmt: skip
    return _core.Conv2d(isa, g.bits, algorithm, sizes, stored._asdict())
