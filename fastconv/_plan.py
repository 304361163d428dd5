"""How shall it be computed? Algorithm, blocks and threads: every heuristic of the project.

A plan is a pure function of the geometry, the variant and the number of threads, and cached. The
algorithm and the order of every sum follow from the geometry of one sample alone; blocks and
threads only order the outputs, so they never change a bit of the result.
"""

from functools import lru_cache

from fastconv import _config, _core, _geometry, _threads

# Half of a 1 MB L2 cache: the block of input that a thread works on while weights stream by.
BLOCK_BYTES = 512 * 1024
# The packed weights of a tile of output channels that meet a block of input: in the L2 cache, too.
WEIGHT_BYTES = 96 * 1024
# The input of a block of a matrix product (1x1): every tile of it is read once per tile of output
# channels, from the L1 cache.
PRODUCT_BYTES = 32 * 1024
VECTOR_BYTES = 64  # the longest there is: plans are the same for every instruction set
# Transposing a tile's sums costs about as much as so many terms.
TRANSPOSITION_TERMS = 16
# One line of an image filter's ring: a few of them stay in the L1 cache.
LINE_BYTES = 16 * 1024
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
COPY_BYTES, SUMS_BYTES, TRANSFORMED_BYTES = 2**20, 5 * 2**19, 3 * 2**20
# Results at least this large are written past the caches: no line of them is read first.
STREAM_BYTES = 16 * 2**20

# Winograd's transforms pay from this many channels on both sides, and tiles in one image.
WINOGRAD_CHANNELS, WINOGRAD_TILES = 16, 12
# Its weights are four times the kernel's; beyond this they no longer stay in an L3 cache.
WINOGRAD_WEIGHT_BYTES = 24 * 2**20
# Transformed input of a block of tiles: a part of an L2 cache, beside products and weights. Fewer
# tiles than the least make too little of each weight, more than the most do not stay in the caches.
WINOGRAD_BLOCK_BYTES = 256 * 1024
WINOGRAD_LEAST_TILES, WINOGRAD_MOST_TILES, WINOGRAD_BLOCK_COLUMNS = 28, 64, 32

# A sleeping team of threads takes milliseconds to wake, and a busy core as long to join one: less
# work than this is not shared.
SHARED_SECONDS = 400e-6
# What one core does in a second, roughly: only for the decision to share.
FLOPS, BYTES = 150e9, 25e9

CACHED_PLANS = 512


def conv2d(geometry, winograd, threads):
    """The task of a convolution, and on how many threads; may it use Winograd's transforms?"""
    threads = share(threads, conv2d_seconds(geometry))
    return _conv2d(geometry, winograd, _config.isa(), threads), threads


def conv2d_seconds(geometry):
    """About how long a convolution takes on one thread."""
    g = geometry
    outputs = g.n * g.groups * g.k * g.rows.o * g.cols.o
    return 2 * outputs * g.c * g.rows.k * g.cols.k / FLOPS


@lru_cache(CACHED_PLANS)
def winograd_pays(geometry):
    """Is Winograd the faster way? From the geometry of one sample alone: its bits are others."""
    g = geometry
    if any((window.k, window.stride, window.dilation) != (3, 1, 1) for window in (g.rows, g.cols)):
        return False
    weights = 36 * g.groups * g.c * g.k * g.bits // 8
    return (
        g.layout == "NCHW"
        and min(g.c, g.k) >= WINOGRAD_CHANNELS
        and _parts(g.rows.o, 4) * _parts(g.cols.o, 4) >= WINOGRAD_TILES
        and weights <= WINOGRAD_WEIGHT_BYTES
        and _winograd_vectors(g) > 0
    )


def _winograd_vectors(g):
    """How many vectors of tiles, all channels of them transformed, scratch memory can hold."""
    return TRANSFORMED_BYTES // (36 * g.c * VECTOR_BYTES)


def _winograd_block(g):
    """Rows and columns of outputs whose tiles are transformed at a time."""
    item = g.bits // 8
    tiles = WINOGRAD_BLOCK_BYTES // (36 * g.c * item)
    tiles = max(WINOGRAD_LEAST_TILES, min(tiles, WINOGRAD_MOST_TILES))
    tiles = min(tiles, _winograd_vectors(g) * VECTOR_BYTES // item)
    cols = _parts(g.cols.o, 4)
    cols = _parts(cols, _parts(cols, min(tiles, WINOGRAD_BLOCK_COLUMNS)))
    return 4 * max(1, tiles // cols), 4 * cols


def _direct(g):
    """The direct algorithm; they all give the same bits."""
    if g.layout == "NHWC":
        # Contiguous channels are the lanes: they mix, or each is for itself.
        return "depthwise" if g.c == g.k == 1 else "direct_channel"
    if g.c == 1 and g.k <= PLANE_MULTIPLIER:
        return "depthwise_plane"
    # Contiguous pixels are the lanes, unless too many of them would be empty.
    lanes = VECTOR_BYTES // (g.bits // 8)
    pixels = g.cols.o / (_parts(g.cols.o, lanes) * lanes)
    channels = g.k / (_parts(g.k, lanes) * lanes)
    # A tile's sums are transposed: as much work as a few terms more.
    terms = g.c * g.rows.k * g.cols.k
    channels *= terms / (terms + TRANSPOSITION_TERMS)
    return "direct_channel" if channels > pixels else "direct_pixel"


@lru_cache(CACHED_PLANS)
def _conv2d(g, winograd, isa, threads):
    if _is_product(g):
        g = _flat(g)
    algorithm = "winograd" if winograd else _direct(g)
    item = g.bits // 8
    samples = g.n * (1 if algorithm == "depthwise" else g.groups)
    channels = g.groups if algorithm == "depthwise" else g.c
    block_cols, block_c, block_k, multiple = g.cols.o, g.c, g.k, 1
    taps, block_bytes = g.rows.k * g.cols.k, BLOCK_BYTES
    if algorithm == "depthwise_plane":
        block_bytes, least = PLANE_BYTES, min(PLANE_ROWS, g.rows.o)
        while block_cols > 2 * LEAST_COLUMNS and _input(g, least, block_cols) > block_bytes:
            block_cols = _parts(block_cols, 2)
    if algorithm == "depthwise":
        multiple = 2  # rows of its tile
    if algorithm.startswith("direct"):
        block = BLOCK_BYTES
        if algorithm == "direct_channel":
            block_c = min(g.c, max(1, WEIGHT_BYTES // (128 * taps)))
            if g.layout == "NHWC":
                copied = _input(g, 1, g.cols.o) if _is_padded(g.rows) or _is_padded(g.cols) else 0
                block_c = _parts(g.c, max(1, _parts(g.c * copied, COPY_BYTES)))
        elif taps == 1:
            block = PRODUCT_BYTES
        # Columns first, then channels, until one row of outputs has its input in a block.
        while block_cols > 2 * LEAST_COLUMNS and block_c * _input(g, 1, block_cols) > block:
            block_cols = _parts(_parts(block_cols, 2), LEAST_COLUMNS) * LEAST_COLUMNS
        if g.layout == "NCHW":
            block_c = max(1, min(block_c, block // _input(g, 1, block_cols)))
            block_c = _parts(g.c, _parts(g.c, block_c))
        else:
            block_cols = g.cols.o
    if algorithm == "winograd":
        multiple = 4
        block_rows, block_cols = _winograd_block(g)
    else:
        block_rows = 1
        while (
            block_rows < g.rows.o
            and min(channels, block_c) * _input(g, 2 * block_rows, block_cols) <= block_bytes
            and (block_c == g.c or _channels_of_sums(2 * block_rows, block_cols, item) > 0)
        ):
            block_rows *= 2
    others = samples * _parts(g.cols.o, block_cols)
    block_rows = _even_rows(g.rows.o, block_rows, others, threads, multiple)
    units = others * _parts(g.rows.o, block_rows)
    if algorithm not in ("depthwise", "depthwise_plane") and units < threads:
        # Images of few rows: share the output channels instead.
        share = _parts(g.k, _parts(threads, units))
        block_k = min(g.k, _parts(share, CHANNEL_BLOCK) * CHANNEL_BLOCK)
    if algorithm.startswith("direct") and block_c < g.c:
        most = _channels_of_sums(block_rows, block_cols, item)
        block_k = min(block_k, max(most, CHANNEL_BLOCK))
    sizes = _windows(g.rows, g.cols) | _border(g.border)
    sizes |= {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k}
    sizes |= {"block_rows": block_rows, "block_cols": block_cols}
    sizes |= {"block_c": block_c, "block_k": block_k}
    sizes |= _activation(g.activation)
    sizes["nhwc"] = g.layout == "NHWC"
    # What is read again to be finished had better stay in the caches.
    whole = g.activation[0] in (None, "relu") and not g.residual
    large = g.n * g.groups * g.k * g.rows.o * g.cols.o * item >= STREAM_BYTES
    sizes["stream"] = whole and large
    return _core.Conv2d(isa, g.bits, algorithm, sizes)


def _activation(activation):
    name, *numbers = activation
    sizes = {"activation": _core.ACTIVATIONS[name], "slope": 0.0, "low": 0.0, "high": 0.0}
    return sizes | dict(zip(_geometry.ACTIVATION_PARAMETERS.get(name, ()), numbers, strict=True))


def _is_product(g):
    """Is it a matrix product, each output made of the pixel in its place?"""
    return all(
        window.k == window.stride == 1 and window.before == 0 and window.n == window.o
        for window in (g.rows, g.cols)
    )


def _flat(g):
    """A matrix product knows no rows."""
    pixels = g.rows.n * g.cols.n
    return g._replace(
        rows=g.rows._replace(n=1, o=1), cols=g.cols._replace(n=pixels, o=pixels)
    )


def _is_padded(window):
    """Does any output see elements before the input or after it?"""
    seen = (window.o - 1) * window.stride + (window.k - 1) * window.dilation + 1
    return window.before > 0 or seen > window.n


def _channels_of_sums(rows, cols, item):
    """Of how many output channels, in whole blocks, scratch memory can hold a block's sums."""
    size = rows * (cols + 15) * item  # up to 15 more complete a vector, or a run of pixels
    return SUMS_BYTES // size // CHANNEL_BLOCK * CHANNEL_BLOCK


def _input(g, rows, cols):
    """Bytes of one channel that a block of outputs sees."""
    height = (rows - 1) * g.rows.stride + (g.rows.k - 1) * g.rows.dilation + 1
    width = (cols - 1) * g.cols.stride + (g.cols.k - 1) * g.cols.dilation + 1
    return height * width * g.bits // 8


def filter2d(geometry, threads):
    """The task of an image filter, and on how many threads."""
    g = geometry
    taps = g.rows.k + g.cols.k if g.separable else g.rows.k * g.cols.k
    outputs = g.planes * g.kernels * g.rows.o * g.cols.o * g.channels
    threads = share(threads, 2 * outputs * taps / FLOPS + outputs * 8 / BYTES)
    return _filter2d(g, _config.isa(), threads), threads


@lru_cache(CACHED_PLANS)
def _filter2d(g, isa, threads):
    # A ring of rows.k + 3 lines stays in half of a block.
    line = min(LINE_BYTES, BLOCK_BYTES // 2 // (g.rows.k + 3)) // (g.channels * g.bits // 8)
    block_cols = max(line - g.cols.k, LEAST_COLUMNS)
    block_cols = _parts(g.cols.o, _parts(g.cols.o, block_cols))
    others = g.planes * _parts(g.cols.o, block_cols)
    sizes = _windows(g.rows, g.cols) | _border(g.border)
    sizes |= {"planes": g.planes, "c": g.channels, "m": g.kernels}
    sizes |= {"block_cols": block_cols}
    sizes |= {"block_rows": _even_rows(g.rows.o, g.rows.o, others, threads)}
    sizes |= {"scale": g.scale, "delta": g.delta, "cval": g.cval}
    sizes |= {"dtype": _core.DTYPES[g.dtype], "out_dtype": _core.DTYPES[g.out_dtype]}
    return _core.Filter2d(isa, g.bits, "filter_separable" if g.separable else "filter2d", sizes)


def pool2d(geometry, threads):
    """The task of a pooling, and on how many threads."""
    g = geometry
    read = max(g.rows.k * g.cols.k, g.rows.stride * g.cols.stride) * g.bits / 8
    threads = share(threads, g.planes * g.channels * g.rows.o * g.cols.o * read / BYTES)
    return _pool2d(g, _config.isa(), threads), threads


@lru_cache(CACHED_PLANS)
def _pool2d(g, isa, threads):
    sizes = _windows(g.rows, g.cols)
    sizes |= {"planes": g.planes, "c": g.channels}
    sizes |= {"block_rows": _even_rows(g.rows.o, g.rows.o, g.planes, threads)}
    sizes |= {"bottom": g.rows.after, "right": g.cols.after}
    sizes |= {"pooling": _core.POOLINGS[g.pooling], "count_include_pad": g.count_include_pad}
    sizes["divisor"] = g.divisor
    return _core.Pool2d(isa, g.bits, "pool_argmax" if g.indices else "pool", sizes)


def _even_rows(outputs, most, others, threads, multiple=1):
    """Rows of a block: at most about `most`, evened out, and a share for every thread.

    There are `others` units for each block of rows; a block is a multiple of `multiple` rows.
    """
    steps = _parts(outputs, multiple)
    parts = _parts(steps, max(1, most // multiple))
    while others * parts % threads and parts < steps:
        parts += 1
    return _parts(steps, parts) * multiple


def _windows(rows, cols):
    return {
        "h": rows.n, "w": cols.n, "oh": rows.o, "ow": cols.o, "kh": rows.k, "kw": cols.k,
        "stride_h": rows.stride, "stride_w": cols.stride,
        "dilation_h": rows.dilation, "dilation_w": cols.dilation,
        "top": rows.before, "left": cols.before,
    }  # fmt: skip


def _border(border):
    return {"border_h": _core.BORDERS[border[0]], "border_w": _core.BORDERS[border[1]]}


def _parts(whole, part):
    """How many parts of a size a whole needs."""
    return -(-whole // part)


def share(threads, seconds):
    """The caller's number of threads as it is; otherwise as many as the work is worth."""
    if threads is not None:
        return threads
    available = _threads.get_num_threads()  # also says at once what is wrong with a setting
    return available if seconds > SHARED_SECONDS else 1
