"""How shall it be computed? Algorithm, blocks and threads: every heuristic of the project.

A plan is a pure function of the geometry, the variant, the number of threads and the size of this
processor's L2 cache, and cached. The
algorithm and the order of every sum follow from the geometry of one sample alone; blocks and
threads only order the outputs, so they never change a bit of the result.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from fastconv import _config, _core, _geometry, _threads

# Half of a 1 MB L2 cache: the block of input that a thread works on while weights stream by.
BLOCK_BYTES = 512 * 1024
# The pixels of a matrix product that all output channels meet in turn: a part of an L1 cache.
NEAR_BYTES = 32 * 1024
# The packed weights of a tile of output channels that meet a block of input: in the L2 cache, too.
WEIGHT_BYTES = 96 * 1024
# A core's L2 cache.
L2_BYTES = _core.l2_bytes() or 2**20
VECTOR_BYTES = 64  # the longest there is: plans are the same for every instruction set
# Transposing a tile's sums costs about as much as so many terms.
TRANSPOSITION_TERMS = 16
# A vector of output channels without a second one beside it shares no load: it takes as long as so
# many vectors (docs/performance.md).
SINGLE_VECTOR = 1.3
# Splitting rows by a column stride above 2, one element at a time, costs so many output channels.
SPLIT_CHANNELS = 32
# One line of an image filter's ring: a few of them stay in the L1 cache.
LINE_BYTES = 16 * 1024
# Windows of at most so many rows and columns are joined term by term.
SLIDE_LARGEST = 9
# What holds all source rows of a block.
WHOLE_BLOCKS = ("filter_slide", "filter_median", "filter_rolling", "filter_gradient")
# What keeps three lines for each row of its window.
CORNERS = ("filter_harris", "filter_shi_tomasi")
# Whose many lines are as long as a block, and no longer.
OUTPUT_LINES = ("filter_separable", "filter_window", "filter_moments", "filter_box", *CORNERS)
# The sums of so many live rows stay in registers; 3 rows are no faster that way.
ROLLING_ROWS = (5, 7)
# Winograd's F(3, 3) down the columns: rows of a tile and of a kernel's part; its points; what its
# transforms cost, in terms of each output. Smaller kernels round worse than direct sums do, and
# the weights of a bank have to stay in the caches.
WINOGRAD_DOWN_ELEMENTS = 600
WINOGRAD_DOWN, WINOGRAD_DOWN_POINTS, WINOGRAD_DOWN_TERMS = 3, 5, 24
WINOGRAD_DOWN_LEAST, WINOGRAD_DOWN_WEIGHTS = 20, 2**17
# Kernels whose weight sits in few elements are summed with hardly a rounding error: a kernel is as
# large as (sum of abs(w))**2 / sum of w**2 equal weights, and this part of its elements at least.
WINOGRAD_DOWN_SPREAD = 0.25
# Its transformed source rows: a part of an L2 cache.
WINOGRAD_DOWN_BYTES = 256 * 1024
# Histograms of columns that a thread keeps, of one channel: 1 MB of them.
HISTOGRAMS = 2048
# Of 8, 16, 32 and 64 bits, windows of so many pixels at most take networks, which are faster there.
NETWORK_PIXELS = {8: 121, 16: 169, 32: 100, 64: 81}
# What is sorted at once for larger ones: the least side, and the most bytes, beside histograms.
RANK_SIDE, RANK_BYTES = 128, 3_800_000
# The most that a ring of such lines may take.
RING_BYTES = 2 * 2**20
# Of a thread's scratch memory, what a recursive filter takes for a block of rows, which fill all
# lanes, and for the states at the end of each block of a span.
RECURSIVE_ROWS, RECURSIVE_BYTES = 64, 11 * 2**18
# Its lines hold some channels, and all columns or a strip of them. A strip that would be narrow
# beside what it runs in from is as wide as memory allows.
RECURSIVE_CHANNELS, RECURSIVE_LINE_BYTES, RECURSIVE_COLUMNS = 16, 32 * 1024, 16 * 1024
# A pooling's lines: with what they are read from, a part of an L1 cache. Without channels a block
# is at least so many columns.
POOL_LINE_BYTES, POOL_COLUMNS = 8 * 1024, 4096
# What it has beside its columns; and the most pointers to rows of lines that are joined together.
POOL_SPARE_BYTES, POOL_POINTERS = 256, 1024
# What has no vectors in it is in one variant alone: the algorithm, and bits that have.
SCALAR = {"pool_argmax": (32,), "pool_median": (), "pool_scatter": ()}
# Of the time that a pooling takes to read its input, what those that go one by one take.
POOL_COSTS = {"pool_argmax": 5, "pool_median": 100, "pool_scatter": 20, "pool_spread": 10}
# Fewer columns than this are not worth a block of their own.
LEAST_COLUMNS = 48
# What a depthwise unit copies of a plane: with its results, an L1 cache of 32 to 48 KB.
PLANE_BYTES = 24 * 1024
# Columns are cut where fewer output rows than this have their input in a unit.
PLANE_ROWS = 8
# More output channels per group than this share their loads in direct_pixel's tiles.
PLANE_MULTIPLIER = 8
# Every packed tile of output channels divides this, so a block of them starts at a tile.
CHANNEL_BLOCK = 64
# Of the scratch memory of a thread, 4 MB: the copy of a row of padded NHWC images, beside the sums
# that one block of channels hands to the next; or Winograd's transformed input.
COPY_BYTES, SUMS_BYTES, TRANSFORMED_BYTES = 2**20, 2**20, 3 * 2**20
# Such rows are cut, rather than their channels, where they have more columns than this.
COPY_COLUMNS = 512
# A gradient by weights sums blocks of so many pixels, and those of few weights in so many parts,
# which threads can share: bits follow from both.
GRADIENT_PIXELS, GRADIENT_PARTS = 512, 8
GRADIENT_PART_WEIGHTS, GRADIENT_PART_TERMS = 2**19, 2**20
# What its unit keeps at most in an L2 cache: lines of input, sums.
GRADIENT_LINE_BYTES, GRADIENT_SUM_BYTES = 256 * 1024, 320 * 1024
# Channels on their own, whose planes are units: from so many on, if one row's input, and its sums,
# are not more.
GRADIENT_PLANES, GRADIENT_PLANE_BYTES = 8, 2**20
# By Winograd's transforms it is of this scheme, and as accurate as plain sums from so many tiles
# on. Bits follow from a block of them, so that knows nothing of this machine: transformed input and
# dy of so many bytes, as sums have, and tiles from the least to the most. More of all points than
# the last number, for each tile and each output channel, would not fit beside each other.
WINOGRAD_GRADIENT, WINOGRAD_WEIGHT_GRADIENT = "winograd_4x4", "winograd_weight_grad"
WINOGRAD_GRADIENT_TILES = 128
WINOGRAD_GRADIENT_BYTES, WINOGRAD_GRADIENT_LEAST, WINOGRAD_GRADIENT_MOST = 640 * 1024, 28, 64
WINOGRAD_GRADIENT_CHANNEL_BYTES = 48 * 1024
# Of the frames that gradients by the input are put together from, so much at a time and thread.
FRAME_BYTES = 2 * 2**20
# Of an integer convolution: terms to a word of what it reads; what that takes of an L2 cache, and
# the least and the most pixels of a block; about how much faster than floats it is.
INTEGER_TERMS = {"integer": 2, "integer_vnni": 4}
INTEGER_BYTES, INTEGER_LEAST, INTEGER_MOST, INTEGER_SPEED = 128 * 1024, 28, 1024, 3
# Does this processor multiply bytes? avx512's variant has kernels for it.
VNNI = _core.has_vnni()
# Results at least this large are written past the caches: no line of them is read first.
STREAM_BYTES = 16 * 2**20


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
# Transformed input and products of a block of tiles: a part of an L2 cache, beside weights. Fewer
# tiles than the least make too little of each weight, more than the most do not stay in the caches.
WINOGRAD_BLOCK_BYTES = 5 * L2_BYTES // 8
# What one product of a tile takes: a vector or two of output channels.
WINOGRAD_PRODUCT_BYTES = 2 * VECTOR_BYTES
WINOGRAD_LEAST_TILES, WINOGRAD_MOST_TILES, WINOGRAD_BLOCK_COLUMNS = 28, 42, 32
# Of a block, for predictions: they know nothing of this machine.
WINOGRAD_USUAL_TILES = 28

# A sleeping team of threads takes milliseconds to wake, and a busy core as long to join one: less
# work than this is not shared.
SHARED_SECONDS = 400e-6
# What one core does in a second, roughly, in float32: for the decision to share, and predictions
# of bytes.
FLOPS, BYTES = 150e9, 25e9

CACHED_PLANS = 512
# Ways to cut rows into blocks that are compared.
MOST_CANDIDATES = 64

# Why a call got Winograd's transforms, and what only the caller knows to speak against them.
WINOGRAD = "a 3x3 kernel on many channels: {products} products do the work of {terms}"
ASKED_DIRECT = 'algorithm="direct" was asked for'
WILD_WEIGHTS = "the weights are so large (or NaN) that its transforms could overflow"
# What is said first of a 1x1 kernel that sees every pixel once.
PRODUCT = "a matrix product, so all pixels count as one row; "
# The image filters that sum products.
CORRELATIONS = (
    "filter2d", "filter_rolling", "filter_separable", "filter_integer", "filter_integer_separable",
)  # fmt: skip
# Those that put pixels in order.
RANKS = ("filter_median", "filter_network", "filter_rank")
# Why an image filter got its algorithm.
FILTERS = {
    "filter2d": "every element of the kernel is a term, in one pass over the image",
    "filter_rolling": "5 or 7 rows: the sums of all that are begun stay in registers",
    "filter_winograd": f"{WINOGRAD_DOWN_ELEMENTS} elements or more: Winograd's F(3, 3) down the "
    "columns leaves 5 of 9 products",
    "filter_separable": "a column times a row: kh + kw terms do the work of kh * kw, in one pass",
    "filter_integer": "few integers on uint8: 16-bit sums, twice as many to a vector",
    "filter_integer_separable": "a column times a row, of integers on uint8: 16-bit sums",
    "filter_recursive": 'method="recursive" was asked for: a time that does not grow with sigma',
    "filter_moments": "sums of the pixels and of their squares, as filter_window's, in one pass",
    "filter_gradient": "both slopes, and what follows from them, in one pass",
    **dict.fromkeys(
        CORNERS, "slopes, their products and the means of those, in one pass over the image"
    ),
    "filter_box": "sums of uint8 are integers: a row is added, and another subtracted",
    "filter_slide": f"at most {SLIDE_LARGEST} rows and columns: joined term by term",
    "filter_window": f"more than {SLIDE_LARGEST} rows or columns: runs of them are joined once for "
    "many windows",
    "filter_footprint": "a footprint that is no plain rectangle: its elements are compared in turn",
    "filter_median": "the median of 3x3 or 5x5: a network of comparisons shares sorted columns",
    "filter_network": "a small window: sorted columns are merged by networks of comparisons",
    "filter_rank": (
        "a large window: pixels are sorted once for many windows, then counted in histograms",
        "a large window of uint8: histograms that move with it",
    ),
}
DENSE = "3x3, a column times a row: faster as one kernel, without lines between the two"
# Why a call got its number of threads.
GIVEN = "as the call says"
STORED = "each block of results is rounded and stored by one thread"
SMALL = f"less work than about {SHARED_SECONDS * 1e6:.0f} us is not worth sharing"
SHARED = "as many as set_num_threads, the environment or the cores allow"


def conv2d(geometry, winograd, threads):
    """The task of a convolution, and on how many threads; may it use Winograd's transforms?"""
    task, _, threads, _ = conv2d_and_why(geometry, winograd, threads)
    return task, threads


def conv2d_and_why(geometry, winograd, threads):
    """The task, why it is that algorithm's, the number of threads, and why so many."""
    threads, why_threads = _share(threads, conv2d_seconds(geometry))
    return *_conv2d(geometry, winograd, _config.isa(), threads), threads, why_threads


def conv2d_seconds(geometry):
    """About how long a convolution takes on one thread."""
    return _seconds(conv2d_flops(geometry), geometry)


def _seconds(flops, g):
    """About how long arithmetic takes on one thread, in the type of a geometry's sums."""
    return flops * g.bits / 32 / FLOPS


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
    stride = g.rows.stride
    if stride > 2 or any(
        (window.k, window.stride, window.dilation) != (3, stride, 1) for window in (g.rows, g.cols)
    ):
        return "it is for 3x3 kernels at stride 1 or 2 and dilation 1"
    if min(g.c, g.k) < WINOGRAD_CHANNELS:
        return f"it pays from {WINOGRAD_CHANNELS} channels per group on, in and out"
    name = winograd_scheme(g)
    if name is None:
        return "so few input channels would lose accuracy"
    if not _winograd_vectors(g, WINOGRADS[name]):
        return "a few tiles of so many channels, transformed, would take too much memory"
    direct = conv2d_seconds(g._replace(n=1))
    if stride == 1:  # small images leave lanes of direct sums empty; the same in both layouts
        direct /= max(_filled_lanes(g))
    if winograd_seconds(g, WINOGRADS[name]) > direct:
        return "direct sums are estimated to be faster for these channels and this size"
    return None


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
    held = _winograd_vectors(g, scheme) * VECTOR_BYTES // (g.bits // 8)
    block = max(1, min(WINOGRAD_USUAL_TILES, held))
    arithmetic = _seconds(2 * winograd_terms(g, scheme), g)
    transfer = _parts(_winograd_tiles(g, scheme), block) * weights / BYTES / near
    return max(arithmetic, transfer) + min(arithmetic, transfer) / 2


def winograd_terms(g, scheme):
    """The multiply-adds of one sample, the transforms' among them."""
    into, out_of = scheme.transforms
    terms = scheme.products * g.c * g.k + into * g.c + out_of * g.k
    return g.groups * _winograd_tiles(g, scheme) * terms


def _winograd_tiles(g, scheme):
    """The tiles of one sample's plane."""
    return _parts(g.rows.o, scheme.m) * _parts(g.cols.o, scheme.m)


def _winograd_vectors(g, scheme):
    """How many vectors of tiles, all channels of them transformed, scratch memory can hold."""
    return TRANSFORMED_BYTES // (scheme.kept * g.c * VECTOR_BYTES)


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
    pairs, single = divmod(_parts(g.k, lanes), 2)
    channels = g.k / ((2 * pairs + SINGLE_VECTOR * single) * lanes)
    pixels = g.cols.o / (_parts(g.cols.o, lanes) * lanes)
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
    product = _is_product(g)
    if product:
        g = _flat(g)
    algorithm, why = _winograd(g) if winograd else _direct(g)
    rows, cols, c, k = _BLOCKS[algorithm](g)
    others = (1 if algorithm == "depthwise" else g.groups) * _parts(g.cols.o, cols)
    all_rows = g.rows.o
    if winograd:  # whose blocks go through all samples
        scheme = WINOGRADS[algorithm]
        all_rows = g.n * scheme.m * _parts(g.rows.o, scheme.m)
    else:
        others *= g.n
    if winograd or algorithm in ("direct_channel", "direct_pixel"):
        few = others * _parts(all_rows, rows) < threads
        weighty = g.k * g.rows.k * g.cols.k > g.rows.n * g.cols.n
        if others % threads and (few or (weighty and not winograd)):
            # Each thread takes some output channels: there are too few rows, or reading all weights
            # would cost more than reading all input (but not more than transforming it).
            share = _parts(g.k, _parts(threads, others))
            k = min(k, _parts(share, CHANNEL_BLOCK) * CHANNEL_BLOCK)
            others *= _parts(g.k, k)
        if product and others < threads:
            cols = min(cols, max(8, _parts(g.cols.o, _parts(threads, others))))
            others *= _parts(g.cols.o, cols)
    sizes = _axes(g)
    sizes |= {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k}
    rows = _even_rows(all_rows, rows, others, threads, _MULTIPLES.get(algorithm, 1))
    sizes |= {"block_rows": rows, "block_cols": cols, "block_c": c, "block_k": min(k, g.k)}
    sizes |= _activation(g.activation)
    sizes |= {"nhwc": g.layout == "NHWC", "parts": 1}
    # What is read again to be finished had better stay in the caches.
    whole = g.activation[0] in (None, "relu") and not g.residual
    large = g.n * g.groups * g.k * g.rows.o * g.cols.o * g.bits // 8 >= STREAM_BYTES
    sizes["stream"] = whole and large
    return _core.Conv2d(isa, g.bits, algorithm, sizes), PRODUCT + why if product else why


def _direct_blocks(g, channel_lanes):
    """A block of rows, columns, input and output channels: columns are cut first, then channels."""
    cols, c, k = g.cols.o, g.c, g.k
    product = _is_product(g)
    if g.layout == "NHWC":
        if product and g.k * g.c * g.bits // 8 <= BLOCK_BYTES:
            # The weights stay in the L2 cache; pixels that stay in the L1 cache meet all of them.
            cols = min(cols, max(LEAST_COLUMNS, 8 * NEAR_BYTES // (g.c * g.bits)))
        copied = g.depth.k > 1 or any(map(_is_padded, g.axes))
        while copied and cols > 2 * COPY_COLUMNS and c * _input(g, 1, cols) > COPY_BYTES:
            cols = _halved(cols)
        c = _parts(c, max(1, _parts(c * copied * _input(g, 1, cols), COPY_BYTES)))
    else:
        if channel_lanes:
            # Weights that many pixels meet in turn stay in the L1 cache.
            near = product and cols > 2 * LEAST_COLUMNS
            weights = NEAR_BYTES // 2 if near else WEIGHT_BYTES
            c = min(c, max(1, weights // (128 * g.rows.k * g.cols.k)))
        if not (channel_lanes and product):  # which needs no copy of its input
            while cols > 2 * LEAST_COLUMNS and c * _input(g, 1, cols) > BLOCK_BYTES:
                cols = _halved(cols)
            c = min(c, max(1, BLOCK_BYTES // _input(g, 1, cols)))
        c = _parts(g.c, _parts(g.c, c))
    if c < g.c:
        while product and cols > 2 * LEAST_COLUMNS and _sums(g, 1, cols) < k:
            cols = _halved(cols)
        k = min(k, max(_sums(g, 1, cols), CHANNEL_BLOCK))
    rows = 1
    while (
        rows < g.rows.o
        and c * _input(g, 2 * rows, cols) <= BLOCK_BYTES
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


def _winograd(g):
    """Winograd's algorithm, and why it is not a direct one."""
    name = winograd_scheme(g)
    scheme = WINOGRADS[name]
    return name, WINOGRAD.format(products=scheme.products, terms=9 * scheme.m**2)


def _winograd_blocks(g):
    item, scheme = g.bits // 8, WINOGRADS[winograd_scheme(g)]
    channels = WINOGRAD_PRODUCT_BYTES // item
    tiles = WINOGRAD_BLOCK_BYTES // ((scheme.kept * g.c + scheme.points * channels) * item)
    tiles = max(WINOGRAD_LEAST_TILES, min(tiles, WINOGRAD_MOST_TILES))
    tiles = min(tiles, _winograd_vectors(g, scheme) * VECTOR_BYTES // item)
    return *_winograd_block(g, scheme.m, tiles, WINOGRAD_BLOCK_COLUMNS), g.c, g.k


def _winograd_block(g, m, tiles, most):
    """Rows and columns of outputs of about so many tiles, in at most so many columns of them."""
    cols = _parts(g.cols.o, m)
    cols = _parts(cols, _parts(cols, min(tiles, most)))
    return m * max(1, tiles // cols), m * cols


def _plane_blocks(g):
    cols, least = g.cols.o, min(PLANE_ROWS, g.rows.o)
    while cols > 2 * LEAST_COLUMNS and _input(g, least, cols) > PLANE_BYTES:
        cols = _halved(cols)
    return _rows_in(g, 1, cols, PLANE_BYTES), cols, 1, g.k


def _rows_in(g, channels, cols, size):
    """Rows of outputs whose input is about of a size."""
    rows = 1
    while rows < g.rows.o and channels * _input(g, 2 * rows, cols) <= size:
        rows *= 2
    return rows


def _halved(cols):
    """About half of the columns, in whole vectors."""
    return _parts(_parts(cols, 2), LEAST_COLUMNS) * LEAST_COLUMNS


_BLOCKS = {
    "direct_pixel": lambda g: _direct_blocks(g, channel_lanes=False),
    "direct_channel": lambda g: _direct_blocks(g, channel_lanes=True),
    **dict.fromkeys(WINOGRADS, _winograd_blocks),
    "depthwise_plane": _plane_blocks,
    "depthwise_rows": lambda g: (_rows_in(g, 1, g.cols.o, BLOCK_BYTES // 2), g.cols.o, 1, g.k),
    "depthwise": lambda g: (_rows_in(g, g.groups, g.cols.o, BLOCK_BYTES), g.cols.o, 1, g.k),
}
# Rows of a tile, where it has several.
_MULTIPLES = {name: scheme.m for name, scheme in WINOGRADS.items()} | {"depthwise": 2}


def _activation(activation):
    name, *numbers = activation
    sizes = {"activation": _core.ACTIVATIONS[name], "slope": 0.0, "low": 0.0, "high": 0.0}
    return sizes | dict(zip(_geometry.ACTIVATION_PARAMETERS.get(name, ()), numbers, strict=True))


def _is_product(g):
    """Is it a matrix product, each output made of the pixel in its place?"""
    return all(
        window.k == window.stride == 1 and window.before == 0 and window.n == window.o
        for window in g.axes
    )


def _flat(g):
    """A matrix product knows no rows, and no slices."""
    pixels = g.depth.n * g.rows.n * g.cols.n
    cols = g.cols._replace(n=pixels, o=pixels)
    return _geometry.deep(g, _geometry.POINT, rows=g.rows._replace(n=1, o=1), cols=cols)


def _input(g, rows, cols):
    """Bytes of one channel that a block of outputs sees."""
    height = (rows - 1) * g.rows.stride + (g.rows.k - 1) * g.rows.dilation + 1
    width = (cols - 1) * g.cols.stride + (g.cols.k - 1) * g.cols.dilation + 1
    return height * width * g.bits // 8


def joined_groups(geometry):
    """How many groups are computed as one, whose other weights are 0: to fill a vector."""
    lanes = {"avx512": 16, "avx2": 8, "neon": 4}.get(_config.isa(), 1)
    most = max(1, min(geometry.groups, lanes // geometry.k))
    return next(n for n in range(most, 0, -1) if geometry.groups % n == 0)


def conv_integer_seconds(geometry):
    """About how long a convolution of bytes takes on one thread."""
    return conv2d_flops(geometry) / FLOPS / INTEGER_SPEED


def conv_integer(geometry, threads):
    """The task of a convolution of bytes, and on how many threads."""
    threads = share(threads, conv_integer_seconds(geometry))
    return _conv_integer(geometry, _config.isa(), VNNI, threads), threads


@lru_cache(CACHED_PLANS)
def _conv_integer(g, isa, vnni, threads):
    if _is_product(g):
        g = _flat(g)
    algorithm = "integer_vnni" if vnni and isa == "avx512" else "integer"
    each = 4 // INTEGER_TERMS[algorithm] * g.c * g.rows.stride * g.cols.stride  # bytes it sees
    pixels = max(INTEGER_LEAST, min(INTEGER_BYTES // each, INTEGER_MOST))
    units = g.n * g.groups
    rows, cols = 1, g.cols.o
    if cols <= pixels:
        rows = _even_rows(g.rows.o, pixels // cols, units, threads)
    else:
        parts = _parts(cols, pixels)
        if units * g.rows.o * parts < threads:
            parts = _parts(threads, units * g.rows.o)
        cols = min(cols, _parts(_parts(cols, parts), INTEGER_LEAST) * INTEGER_LEAST)
    sizes = _axes(g) | _activation(g.activation) | {
        "n": g.n, "groups": g.groups, "c": g.c, "k": g.k, "block_rows": rows, "block_cols": cols,
        "block_c": g.c, "block_k": g.k, "nhwc": g.layout == "NHWC", "parts": 1, "stream": False,
    }  # fmt: skip
    return _core.ConvInteger(isa, algorithm, sizes)


def weight_gradient(geometry, winograd, threads):
    """The task of the gradient by weights, how many partial sums it gives, and the threads."""
    threads = share(threads, conv2d_seconds(geometry))
    if winograd and _winograd_gradient_pays(geometry):
        return *_winograd_gradient(geometry, _config.isa()), threads
    return *_weight_gradient(geometry, _config.isa()), threads


@lru_cache(CACHED_PLANS)
def _winograd_gradient_pays(g):
    """Is a gradient by weights faster by Winograd's transforms, and as accurate?"""
    scheme = WINOGRADS[WINOGRAD_GRADIENT]
    if g.dims != 2 or any(window[1:4] != (3, 1, 1) for window in (g.rows, g.cols)):
        return False
    tiles = g.n * _winograd_tiles(g, scheme)
    if min(g.c, g.k) < WINOGRAD_CHANNELS or tiles < WINOGRAD_GRADIENT_TILES:
        return False
    if scheme.points * g.c * g.bits // 8 > WINOGRAD_GRADIENT_CHANNEL_BYTES:
        return False
    return 2 * g.n * winograd_terms(g, scheme) < conv2d_flops(g)


@lru_cache(CACHED_PLANS)
def _winograd_gradient(g, isa):
    item, scheme = g.bits // 8, WINOGRADS[WINOGRAD_GRADIENT]
    k = WINOGRAD_PRODUCT_BYTES // item
    tiles = WINOGRAD_GRADIENT_BYTES // (scheme.points * (g.c + k) * item)
    tiles = max(WINOGRAD_GRADIENT_LEAST, min(tiles, WINOGRAD_GRADIENT_MOST))
    rows, cols = _winograd_block(g, scheme.m, tiles, tiles)
    k *= max(1, WINOGRAD_GRADIENT_BYTES // (scheme.points * g.c * k * item))
    blocks = _parts(g.n * _parts(g.rows.o, scheme.m), rows // scheme.m) * _parts(g.cols.o, cols)
    sizes = _gradient_sizes(g) | {"block_rows": rows, "block_cols": cols, "block_k": k}
    sizes["parts"] = _gradient_parts(g, blocks)
    return _core.Conv2d(isa, g.bits, WINOGRAD_WEIGHT_GRADIENT, sizes), sizes["parts"]


def _gradient_of_planes(g):
    """Is a gradient by weights one of planes, with pixels in the lanes?"""
    alone = g.layout == "NCHW" and g.c == g.k == 1 and g.groups >= GRADIENT_PLANES
    taps = g.rows.k * (g.cols.k + 2)
    fits = max(_input(g, 1, g.cols.o), 16 * taps * g.bits // 8) <= GRADIENT_PLANE_BYTES
    return alone and g.cols.stride == 1 and fits


def _gradient_parts(g, blocks):
    """Many weights are enough units; few are summed in parts."""
    weights = g.groups * g.k * g.c * g.rows.k * g.cols.k
    parts = min(GRADIENT_PARTS, GRADIENT_PART_WEIGHTS // weights, blocks)
    return max(1, min(parts, conv2d_flops(g) // 2 // GRADIENT_PART_TERMS))


@lru_cache(CACHED_PLANS)
def _weight_gradient(g, isa):
    if _is_product(g):
        g = _flat(g)
    if _gradient_of_planes(g):
        sizes = _gradient_sizes(g)
        sizes["block_rows"] = _rows_in(g, 1, g.cols.o, PLANE_BYTES)
        return _core.Conv2d(isa, g.bits, "weight_grad_planes", sizes), 1
    cols = _parts(g.cols.o, _parts(g.cols.o, GRADIENT_PIXELS))
    rows = _parts(g.rows.o, _parts(g.rows.o, max(1, GRADIENT_PIXELS // cols)))
    taps = g.rows.k * g.cols.k
    # Lines of input are made anew for each block of output channels: few taps do not pay for it.
    k = _parts(g.k, _parts(g.k, (2 if taps > 3 else 4) * CHANNEL_BLOCK))
    k = _parts(k, CHANNEL_BLOCK) * CHANNEL_BLOCK
    most = min(
        GRADIENT_LINE_BYTES // _input(g, rows, cols),
        GRADIENT_SUM_BYTES // (min(k, g.k) * taps * g.bits // 8),
    )
    c = _parts(g.c, _parts(g.c, max(1, most)))
    blocks = g.n * _parts(g.rows.o, rows) * _parts(g.cols.o, cols)
    lanes = VECTOR_BYTES // (g.bits // 8)
    in_groups = _filled(g.groups, lanes) > 2 * _filled(g.k, lanes) and g.c < CHANNEL_BLOCK
    if in_groups:
        k = GRADIENT_SUM_BYTES // (CHANNEL_BLOCK * g.k * g.c * taps * g.bits // 8)
        k = CHANNEL_BLOCK * max(1, min(k, 4, _parts(g.groups, CHANNEL_BLOCK)))
    parts = _gradient_parts(g, blocks)
    sizes = _gradient_sizes(g) | {"parts": parts}
    sizes |= {"block_rows": rows, "block_cols": cols, "block_c": c, "block_k": k}
    algorithm = "weight_grad_groups" if in_groups else "weight_grad"
    return _core.Conv2d(isa, g.bits, algorithm, sizes), parts


def _filled(count, lanes):
    """The part of vectors that so many numbers fill."""
    return count / (_parts(count, lanes) * lanes)


def bias_gradient(geometry, threads):
    """The task of the gradient by a convolution's bias, and on how many threads."""
    rows = geometry.rows._replace(o=geometry.depth.o * geometry.rows.o)  # slices are more rows
    g = _geometry.deep(geometry, _geometry.POINT, rows=rows)
    read = g.n * g.groups * g.k * g.rows.o * g.cols.o * g.bits / 8
    return _line_gradient(g, _config.isa(), "bias_grad"), share(threads, read / BYTES)


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
    sizes = _axes(g) | _activation((None,))
    sizes |= {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k, "parts": 1, "stream": False}
    sizes |= {"block_rows": 1, "block_cols": 1, "block_c": 1, "block_k": 1}
    return sizes | {"nhwc": g.layout == "NHWC"}


def filter2d(geometry, threads):
    """The task of an image filter, and on how many threads."""
    return filter2d_and_why(geometry, threads)[:2]


def filter2d_and_why(geometry, threads):
    """The task, the number of threads, and why so many."""
    threads, why_threads = _share(threads, _filter_seconds(geometry))
    return _filter2d(geometry, _config.isa(), threads), threads, why_threads


def filter_why(g, why=None):
    """Why an image filter has its algorithm; `why`, where who called for it knows better."""
    if why is None:
        why = FILTERS[g.algorithm]
    if g.algorithm == "filter_rank":
        why = why[g.bits == 8]
    return why


def filter_type_and_why(g):
    """The type that an image filter computes in, and why."""
    if g.algorithm.startswith("filter_integer"):
        return "int16", "uint8 under a kernel of small integers: every sum stays in 16 bits"
    if g.algorithm == "filter_box":
        return "uint16", "sums of uint8 are integers; uint32 where they may leave 16 bits"
    if g.reduction != "sum" or g.algorithm in RANKS:
        dtype, why = "float" if g.bits >= 32 else "uint", "pixels are compared, not summed"
        dtype += str(g.bits)
        if (dtype, g.dtype) == ("uint16", "int16"):
            return dtype, f"{why}; int16 is in order as uint16 once its top bit is turned over"
        return dtype, why if dtype == g.dtype else f"{why}; it holds all numbers of {g.dtype}"
    if g.algorithm == "filter_moments" and g.bits == 64:
        return "float64", "float32 would not hold every sum of squares"
    if g.bits == 32:
        return "float32", "it holds what goes in, and integers' sums exactly where they must be"
    if "float64" in (g.dtype, g.out_dtype):
        return "float64", "the image or the result is float64"
    return "float64", "float32 would not hold every sum of these integers, or its scale, exactly"


def is_small(geometry):
    """Is an image filter not worth sharing between threads, however many there are?"""
    return _filter_seconds(geometry) <= SHARED_SECONDS


def _filter_seconds(g):
    outputs = filter_outputs(g)
    pixels = outputs * min(g.rows.stride, g.rows.k) * g.cols.stride
    moved = 4 * (pixels + outputs)
    return _seconds(filter_flops(g), g) + moved / BYTES


def filter_outputs(g):
    """The numbers of a result."""
    return g.planes * g.kernels * g.rows.o * g.cols.o * g.channels


def filter_flops(g):
    """About how many operations an image filter takes; of a correlation its multiply-adds."""
    return 2 * filter_outputs(g) * _FILTER_TERMS[g.algorithm](g)


# Operations on each output.
_FILTER_TERMS = {
    "filter2d": lambda g: g.rows.k * g.cols.k,
    "filter_rolling": lambda g: g.rows.k * g.cols.k,
    "filter_separable": lambda g: g.rows.k + g.cols.k,
    "filter_winograd": lambda g: _winograd_down_terms(g.rows.k, g.cols.k),
    "filter_integer": lambda g: g.rows.k * g.cols.k,
    "filter_integer_separable": lambda g: g.rows.k + g.cols.k,
    "filter_recursive": lambda g: 50,
    "filter_moments": lambda g: 8 + g.cols.k.bit_length(),
    "filter_gradient": lambda g: 36,
    **dict.fromkeys(CORNERS, lambda g: 3 * (g.rows.k + g.cols.k)),
    "filter_box": lambda g: 2 + g.cols.k.bit_length(),
    "filter_slide": lambda g: g.rows.k + g.cols.k,
    "filter_window": lambda g: 4 + g.cols.k.bit_length(),
    "filter_footprint": lambda g: g.rows.k * g.cols.k,
    "filter_median": lambda g: 20 if g.rows.k == 3 else 160,
    "filter_network": lambda g: 16 * g.rows.k * g.cols.k,
    "filter_rank": lambda g: 3000 if g.bits == 8 else 1000 * (1 + _seen(g)),
}


def dense_filter(size, stride, kernels, pixel, may_round, in_place):
    """The algorithm for a kernel, or a bank of so many, on pixels of so many bytes.

    May sums be rounded otherwise, and are lines read where they are, as the numbers they are?
    """
    rows, cols = size
    if stride != (1, 1):
        return "filter2d"
    if may_round and _is_winograd_down(rows, cols, kernels, pixel):
        return "filter_winograd"
    return "filter_rolling" if rows in ROLLING_ROWS and in_place else "filter2d"


def _is_winograd_down(rows, cols, kernels, pixel):
    lines = WINOGRAD_DOWN_POINTS * (_parts(rows, WINOGRAD_DOWN) + 5)
    least = (max(LEAST_COLUMNS, cols) + cols) * lines * pixel
    weights = WINOGRAD_DOWN * kernels * _winograd_down_terms(rows, cols)
    few = rows < WINOGRAD_DOWN_LEAST or rows * cols < WINOGRAD_DOWN_ELEMENTS
    if few or weights > WINOGRAD_DOWN_WEIGHTS or least > RING_BYTES:
        return False
    return _winograd_down_terms(rows, cols) + WINOGRAD_DOWN_TERMS < rows * cols


def _winograd_down_terms(rows, cols):
    """The products of an output."""
    return WINOGRAD_DOWN_POINTS * _parts(rows, WINOGRAD_DOWN) * cols / WINOGRAD_DOWN


def is_faster_dense(size):
    """Is a column times a row faster as one kernel? It needs no lines between the two."""
    return size == (3, 3)


def window_filter(size):
    """The algorithm for the sum or an extreme of a rectangle."""
    return "filter_slide" if max(size) <= SLIDE_LARGEST else "filter_window"


def rank_filter(size, rank, bits, channels):
    """The algorithm for the pixel of a rank in a rectangle, and what it reduces to."""
    last = size[0] * size[1] - 1
    if rank in (0, last):
        return window_filter(size), "minimum" if rank == 0 else "maximum"
    if size in ((3, 3), (5, 5)) and 2 * rank == last:
        return "filter_median", "sum"
    pixel = channels * bits // 8
    if last < NETWORK_PIXELS[bits] and 2 * size[1] * pixel <= RING_BYTES // _lists(*size):
        return "filter_network", "sum"
    return "filter_rank", "sum"


def _lists(rows, cols):
    """Lines of sorted numbers that a filter_network of a window keeps, at most."""
    return 2 * rows * cols


def _rank_tile(g):
    """Rows and columns of outputs whose source pixels are sorted at once.

    They see twice what one window sees, where there is room for it.
    """
    rows, cols = (min(w.o, max(w.k, RANK_SIDE + 1 - w.k)) for w in (g.rows, g.cols))
    most = RANK_BYTES // (g.bits // 8 + 10)  # source pixels; their order, place and column
    # Cut along the shorter side of the window, a tile sees the least that others see, too.
    if g.rows.k <= g.cols.k:
        rows = min(rows, most // (cols + g.cols.k - 1) - (g.rows.k - 1))
    else:
        cols = min(cols, most // (rows + g.rows.k - 1) - (g.cols.k - 1))
    return max(1, rows), max(1, cols)


def _seen(g):
    """Source pixels that are sorted for each output."""
    rows, cols = _rank_tile(g)
    return (rows + g.rows.k - 1) * (cols + g.cols.k - 1) / (rows * cols)


@lru_cache(CACHED_PLANS)
def _filter2d(g, isa, threads):
    # What is kept of lines stays in half of a block, unless strips would be narrow beside what they
    # see.
    lines = g.rows.k + 5
    if g.algorithm == "filter_network":
        lines += _lists(g.rows.k, g.cols.k)
    if g.algorithm in CORNERS:
        lines *= 3
    pixel = g.channels * (2 if g.algorithm == "filter_box" else g.bits // 8)
    if g.algorithm == "filter_moments":  # each comes with its square
        pixel *= 2
    # A stride cuts lines into phases, as long as the outputs and what they see beside them.
    phases, seen = min(g.cols.stride, g.cols.k), _parts(g.cols.k, g.cols.stride)
    line = min(LINE_BYTES, BLOCK_BYTES // 2 // lines) // pixel // phases
    most = RING_BYTES // lines // pixel // phases
    wide, least = min(2 * seen, most), min(LEAST_COLUMNS, most)
    if g.algorithm not in OUTPUT_LINES:
        line, wide, least = line - seen, wide - seen, min(LEAST_COLUMNS, 3 * most // 2 - seen)
    if g.algorithm == "filter_rank" and g.bits == 8:  # each column keeps a histogram
        line = wide = HISTOGRAMS - seen
    block_rows, block_cols = g.rows.o, max(line, wide, least, 1)
    if g.algorithm == "filter_rank" and g.bits != 8:
        block_rows, block_cols = _rank_tile(g)
    multiple = 1
    if g.algorithm == "filter_winograd":
        multiple = WINOGRAD_DOWN
        lines = WINOGRAD_DOWN_POINTS * (_parts(g.rows.k, WINOGRAD_DOWN) + 5)
        block_cols = max(LEAST_COLUMNS, g.cols.k, WINOGRAD_DOWN_BYTES // (lines * pixel) - g.cols.k)
    block_cols = _parts(g.cols.o, _parts(g.cols.o, block_cols))
    others = g.planes * _parts(g.cols.o, block_cols)
    sizes = _windows(g.rows, g.cols) | _border(g.border)
    sizes |= {"planes": g.planes, "c": g.channels, "m": g.kernels}
    sizes |= {"block_cols": block_cols, "block_c": g.channels, "span_rows": g.rows.o}
    if g.algorithm in WHOLE_BLOCKS:
        # Each comes with a part of a strip, pointers and an odd number of cache lines.
        row = (block_cols + g.cols.k) * pixel + 12 * VECTOR_BYTES
        block_rows = max(1, BLOCK_BYTES // row - g.rows.k)
    sizes |= {"block_rows": _even_rows(g.rows.o, block_rows, others, threads, multiple)}
    if g.algorithm == "filter_recursive":
        sizes |= _recursive_blocks(g)
    sizes |= {"scale": g.scale, "delta": g.delta, "cval": _outside(g)}
    sizes |= {"dtype": _core.DTYPES[g.dtype], "out_dtype": _core.DTYPES[g.out_dtype]}
    sizes |= {"reduction": _core.REDUCTIONS[g.reduction], "rank": g.rank, "ksize": g.ksize}
    return _core.Filter2d(isa, g.bits, g.algorithm, sizes)


def _outside(g):
    """The constant outside of an image, as its pixels are computed with: int16 with the top bit
    turned over, which is to add half of the range."""
    return g.cval + 2**15 if (g.bits, g.dtype) == (16, "int16") else g.cval


def _recursive_blocks(g):
    """The blocks of a recursive filter: its bits follow from them, so they do not from threads."""
    item, beside = g.bits // 8, 2 * g.cols.before
    enough = min(g.cols.o, 2 * beside)
    c = _parts(g.channels, _parts(g.channels, RECURSIVE_CHANNELS))
    while c > 1 and RECURSIVE_LINE_BYTES // item // c < enough:
        c = _parts(c, 2)
    cols = RECURSIVE_LINE_BYTES // item // c
    if cols < enough:
        cols = RECURSIVE_COLUMNS
    beside = 0 if g.cols.o <= cols else beside
    cols = _parts(g.cols.o, _parts(g.cols.o, cols - beside))
    line = (cols + beside) * c * item
    rows = RECURSIVE_ROWS if line <= RECURSIVE_LINE_BYTES else RECURSIVE_ROWS // 8
    span = rows * ((RECURSIVE_BYTES // line - rows) // 4 - 1)
    span = _parts(g.rows.o, _parts(g.rows.o, span))
    return {"block_rows": min(rows, span), "block_cols": cols, "block_c": c, "span_rows": span}


def pool(geometry, threads):
    """The task of a pooling, and on how many threads."""
    threads = share(threads, _pool_seconds(geometry))
    return _pool(geometry, _config.isa(), threads), threads


def is_small_pool(geometry):
    """Is a pooling not worth sharing between threads, however many there are?"""
    return _pool_seconds(geometry) <= SHARED_SECONDS


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
    most = max(1, POOL_LINE_BYTES * 8 // (g.bits * g.channels * max(cols.stride, 1)))
    block = min(cols.o, most if g.channels > 1 else max(most, POOL_COLUMNS))
    line = block * max(cols.stride, 1) * g.channels * g.bits // 8 + POOL_SPARE_BYTES
    taps = math.prod(axis.k or _parts(axis.n, axis.o) + 1 for axis in (depth, rows))
    batch = min(POOL_LINE_BYTES // line, POOL_POINTERS // taps, g.planes * outputs)
    batch = 1 if g.is_prepared else max(1, batch)
    algorithm = g.algorithm
    if algorithm == "pool" and g.channels == 1 and not g.is_prepared and whole:
        algorithm = "pool_global"
    sizes = {
        **{name: axis._asdict() for name, axis in zip("dhw", axes, strict=True)},
        "planes": g.planes, "c": g.channels,
        "block_rows": _even_rows(outputs, outputs, g.planes, threads), "block_cols": block,
        "batch": batch,
        "divisor": g.divisor, "norm": g.norm, "pooling": _core.POOLINGS[g.pooling],
        "dtype": _core.DTYPES[g.dtype], "count_include_pad": g.count_include_pad,
        "accumulate": g.accumulate,
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


def _even_rows(outputs, most, others, threads, multiple=1):
    """Rows of a block: at most about `most`, evened out, and a share for every thread.

    There are `others` units for each block of rows; a block is a multiple of `multiple` rows.
    """
    steps = _parts(outputs, multiple)
    least = _parts(steps, max(1, most // multiple))
    best, rounds = None, None  # what the busiest thread computes, in steps
    for parts in range(least, min(steps, least + MOST_CANDIDATES) + 1):
        step = _parts(steps, parts)
        busiest = min(_parts(others * _parts(steps, step), threads) * step, others * steps)
        if best is None or busiest < 0.95 * rounds:
            best, rounds = step, busiest
    return best * multiple


def _windows(rows, cols):
    return {
        "h": rows.n, "w": cols.n, "oh": rows.o, "ow": cols.o, "kh": rows.k, "kw": cols.k,
        "stride_h": rows.stride, "stride_w": cols.stride,
        "dilation_h": rows.dilation, "dilation_w": cols.dilation,
        "top": rows.before, "left": cols.before,
    }  # fmt: skip


def _axes(g):
    """All axes of a convolution."""
    depth = g.depth
    return _windows(g.rows, g.cols) | _border(g.border) | {
        "d": depth.n, "od": depth.o, "kd": depth.k, "stride_d": depth.stride,
        "dilation_d": depth.dilation, "front": depth.before,
        "border_d": _core.BORDERS[g.border_d],
    }  # fmt: skip


def _border(border):
    return {"border_h": _core.BORDERS[border[0]], "border_w": _core.BORDERS[border[1]]}


def _parts(whole, part):
    """How many parts of a size a whole needs."""
    return -(-whole // part)


def share(threads, seconds):
    """The caller's number of threads as it is; otherwise as many as the work is worth."""
    return _share(threads, seconds)[0]


def _share(threads, seconds):
    """The number of threads, and why."""
    if threads is not None:
        return threads, GIVEN
    available = _threads.get_num_threads()  # also says at once what is wrong with a setting
    return (available, SHARED) if seconds > SHARED_SECONDS else (1, SMALL)
