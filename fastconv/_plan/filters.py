"""Image filters: algorithms and why, the types that they compute in, their blocks."""

from functools import lru_cache
from math import gcd

from fastconv import _config, _core
from fastconv._plan.shared import (
    BLOCK_BYTES,
    BYTES,
    CACHED_PLANS,
    LEAST_COLUMNS,
    SHARED_SECONDS,
    STREAM_BYTES,
    VECTOR_BYTES,
    border_sizes,
    ceil_div,
    even_rows,
    seconds_of,
    share_and_why,
    window_sizes,
)

# One line of an image filter's ring: a few of them stay in the L1 cache.
LINE_BYTES = 16 * 1024
# The most that a ring of such lines may take.
RING_BYTES = 2 * 2**20
# So many times that where not even one output would fit; kernels that see more go by parts.
MOST_RING = 1.5
BY_PARTS = ("filter2d", "filter_footprint")
# Lines of a ring beside those that the rows of a kernel see.
RING_LINES = 5
# So many rows of a kernel are summed for as many rows of outputs at once, which is twice as fast.
TALL_ROWS = 6
# Half of what is kept of each element of a footprint; the other half is beside the ring (2**16
# elements at most: 1 MB).
ELEMENT_BYTES = 16
# Windows of at most so many rows and columns are joined term by term.
SLIDE_LARGEST = 9
# What holds all source rows of a block.
WHOLE_BLOCKS = ("filter_slide", "filter_median", "filter_rolling")
# So many times as large: lines that are read in the image come strip by strip, and need not stay.
IN_PLACE_BLOCKS = 2
# What keeps three lines for each row of its window.
CORNERS = ("filter_harris", "filter_shi_tomasi")
# Whose many lines are as long as a block, and no longer.
OUTPUT_LINES = ("filter_separable", "filter_window", "filter_moments", "filter_box", *CORNERS)
# The sums of so many live rows stay in registers; 3 rows are no faster that way.
ROLLING_ROWS = (5, 7)
# Winograd's F(2, 2) of F(3, 3) down the columns: rows of a tile and of a kernel's part; its planes;
# what its transforms cost, in terms of each output. Smaller kernels round worse than direct sums
# do, and the weights of a bank have to stay in the caches.
WINOGRAD_DOWN_ELEMENTS = 600
WINOGRAD_DOWN, WINOGRAD_DOWN_PLANES, WINOGRAD_DOWN_TERMS = 6, 15, 24
WINOGRAD_DOWN_LEAST, WINOGRAD_DOWN_WEIGHTS = 20, 2**17
# Kernels whose weight sits in few elements are summed with hardly a rounding error: a kernel is as
# large as (sum of abs(w))**2 / sum of w**2 equal weights, and this part of its elements at least.
WINOGRAD_DOWN_SPREAD = 0.25
# Its transformed source rows: a part of an L2 cache.
WINOGRAD_DOWN_BYTES = 256 * 1024
# Numbers of a row: whole tiles of every instruction set, where so much more memory gives them.
WINOGRAD_DOWN_TILES, WINOGRAD_DOWN_MORE = 192, 1.4
# Histograms of columns that a thread keeps, of one channel: 1 MB of them.
HISTOGRAMS = 2048
# Of 8, 16, 32 and 64 bits, windows of so many pixels at most take networks, which are faster there.
NETWORK_PIXELS = {8: 121, 16: 169, 32: 100, 64: 81}
# What is sorted at once for larger ones: the least side, and the most bytes, beside histograms.
RANK_SIDE, RANK_BYTES = 128, 3_800_000
# Of a thread's scratch memory, what a recursive filter takes for a block of rows, which fill all
# lanes, and for the states at the end of each block of a span.
RECURSIVE_ROWS, RECURSIVE_BYTES = 64, 11 * 2**18
# Its lines hold some channels, and all columns or a strip of them. A strip that would be narrow
# beside what it runs in from is as wide as memory allows.
RECURSIVE_CHANNELS, RECURSIVE_LINE_BYTES, RECURSIVE_COLUMNS = 16, 32 * 1024, 16 * 1024
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
    "filter_winograd": f"{WINOGRAD_DOWN_ELEMENTS} elements or more: Winograd's F(6, 6) down the "
    "columns leaves 15 of 36 products",
    "filter_separable": "a column times a row: kh + kw terms do the work of kh * kw, in one pass",
    "filter_integer": "few integers on uint8: 16-bit sums, twice as many to a vector",
    "filter_integer_separable": "a column times a row, of integers on uint8: 16-bit sums",
    "filter_recursive": 'method="recursive" was asked for: a time that does not grow with sigma',
    "filter_moments": "sums of the pixels and of their squares, as filter_window's, in one pass",
    "filter_gradient": "slopes, and what follows from them, in one pass",
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
SLOPE = "rows are summed and subtracted first: the slope of equal pixels is 0"
DENSE = "3x3, a column times a row: faster as one kernel, without lines between the two"


def filter2d(geometry, threads):
    """The task of an image filter, and on how many threads."""
    return filter2d_and_why(geometry, threads)[:2]


def filter2d_and_why(geometry, threads):
    """The task, the number of threads, and why so many."""
    threads, why_threads = share_and_why(threads, _filter_seconds(geometry))
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
    return seconds_of(filter_flops(g), g) + moved / BYTES


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
    "filter_gradient": lambda g: 16,
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
    if stride != (1, 1) or not fits_ring(size, pixel, RING_BYTES):
        return "filter2d"
    if may_round and _is_winograd_down(rows, cols, kernels, pixel):
        return "filter_winograd"
    return "filter_rolling" if rows in ROLLING_ROWS and in_place else "filter2d"


def _is_winograd_down(rows, cols, kernels, pixel):
    parts = ceil_div(rows, WINOGRAD_DOWN)
    lines = WINOGRAD_DOWN_PLANES * (parts + RING_LINES)
    least = (max(LEAST_COLUMNS, cols) + cols) * lines * pixel
    weights = WINOGRAD_DOWN_PLANES * kernels * parts * cols
    few = rows < WINOGRAD_DOWN_LEAST or rows * cols < WINOGRAD_DOWN_ELEMENTS
    if few or weights > WINOGRAD_DOWN_WEIGHTS or least > RING_BYTES:
        return False
    return _winograd_down_terms(rows, cols) + WINOGRAD_DOWN_TERMS < rows * cols


def _winograd_down_terms(rows, cols):
    """The products of an output: a last part may have no second half, a third of its planes."""
    parts = [ceil_div(rows - i, WINOGRAD_DOWN) for i in (0, 0, WINOGRAD_DOWN // 2)]
    return WINOGRAD_DOWN_PLANES * sum(parts) * cols / len(parts) / WINOGRAD_DOWN


def line_columns(cols, stride):
    """Pixels of a line that an output sees so many columns of: those of whole phases."""
    return min(stride, cols) * ceil_div(cols, stride)


def fits_ring(size, pixel, ring):
    """Does a ring hold the lines that a few rows of an output each see?

    Of the `size` that one output sees, of pixels of so many bytes.
    """
    return (size[0] + RING_LINES) * size[1] * pixel <= MOST_RING * ring


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


def _ring(g, pixel):
    """Bytes of a ring of lines, and how many rows of the kernel see lines that it holds at once."""
    ring, rows, cols = RING_BYTES, g.rows.k, line_columns(g.cols.k, g.cols.stride)
    if g.algorithm == "filter_footprint":
        ring -= ELEMENT_BYTES * rows * g.cols.k
    if g.algorithm not in BY_PARTS or fits_ring((rows, cols), pixel, ring):
        return ring, rows
    kept = ring // (cols * pixel) - RING_LINES
    if g.algorithm == "filter2d":
        kept = max(kept, min(TALL_ROWS, int(MOST_RING * ring) // (cols * pixel) - RING_LINES))
    return ring, max(1, kept)


@lru_cache(CACHED_PLANS)
def _filter2d(g, isa, threads):
    # What is kept of lines stays in half of a block, unless strips would be narrow beside what they
    # see.
    pixel = g.channels * (2 if g.algorithm == "filter_box" else g.bits // 8)
    if g.algorithm == "filter_moments":  # each comes with its square
        pixel *= 2
    ring, kernel_rows = _ring(g, pixel)
    lines = kernel_rows + RING_LINES
    if g.algorithm == "filter_network":
        lines += _lists(g.rows.k, g.cols.k)
    if g.algorithm in CORNERS:
        lines *= 3
    # A stride cuts lines into phases, as long as the outputs and what they see beside them.
    phases, seen = min(g.cols.stride, g.cols.k), ceil_div(g.cols.k, g.cols.stride)
    line = min(LINE_BYTES, BLOCK_BYTES // 2 // lines) // pixel // phases
    most = ring // lines // pixel // phases
    wide, least = min(2 * seen, most), min(LEAST_COLUMNS, most)
    if g.algorithm not in OUTPUT_LINES:
        line, wide = line - seen, wide - seen
        least = min(LEAST_COLUMNS, int(MOST_RING * most) - seen)
    if g.algorithm == "filter_rank" and g.bits == 8:  # each column keeps a histogram
        line = wide = HISTOGRAMS - seen
    block_rows, block_cols = g.rows.o, max(line, wide, least, 1)
    if g.algorithm == "filter_rank" and g.bits != 8:
        block_rows, block_cols = _rank_tile(g)
    multiple = 1
    if g.algorithm == "filter_winograd":
        multiple = WINOGRAD_DOWN
        lines = WINOGRAD_DOWN_PLANES * (ceil_div(g.rows.k, WINOGRAD_DOWN) + RING_LINES)
        block_cols = max(LEAST_COLUMNS, g.cols.k, WINOGRAD_DOWN_BYTES // (lines * pixel) - g.cols.k)
    block_cols = ceil_div(g.cols.o, ceil_div(g.cols.o, block_cols))
    if g.algorithm == "filter_winograd":
        whole = WINOGRAD_DOWN_TILES // gcd(WINOGRAD_DOWN_TILES, g.channels)
        rounded = ceil_div(block_cols, whole) * whole
        if rounded <= WINOGRAD_DOWN_MORE * block_cols:
            block_cols = min(rounded, g.cols.o)
    others = g.planes * ceil_div(g.cols.o, block_cols)
    sizes = window_sizes(g.rows, g.cols) | border_sizes(g.border)
    sizes |= {"planes": g.planes, "c": g.channels, "m": g.kernels, "kernel_rows": kernel_rows}
    sizes |= {"block_cols": block_cols, "block_c": g.channels, "span_rows": g.rows.o}
    if g.algorithm in WHOLE_BLOCKS:
        # Each comes with a part of a strip, pointers and an odd number of cache lines.
        row = (block_cols + g.cols.k) * pixel + 12 * VECTOR_BYTES
        most = (IN_PLACE_BLOCKS if g.dtype == f"float{g.bits}" else 1) * BLOCK_BYTES
        block_rows = max(1, most // row - g.rows.k)
    sizes |= {"block_rows": even_rows(g.rows.o, block_rows, others, threads, multiple)}
    if g.algorithm == "filter_recursive":
        sizes |= _recursive_blocks(g)
    sizes |= {"scale": g.scale, "delta": g.delta, "cval": _outside(g)}
    sizes["stream"] = filter_outputs(g) * g.bits // 8 >= STREAM_BYTES
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
    c = ceil_div(g.channels, ceil_div(g.channels, RECURSIVE_CHANNELS))
    while c > 1 and RECURSIVE_LINE_BYTES // item // c < enough:
        c = ceil_div(c, 2)
    cols = RECURSIVE_LINE_BYTES // item // c
    if cols < enough:
        cols = RECURSIVE_COLUMNS
    beside = 0 if g.cols.o <= cols else beside
    cols = ceil_div(g.cols.o, ceil_div(g.cols.o, cols - beside))
    line = (cols + beside) * c * item
    rows = RECURSIVE_ROWS if line <= RECURSIVE_LINE_BYTES else RECURSIVE_ROWS // 8
    span = rows * ((RECURSIVE_BYTES // line - rows) // 4 - 1)
    span = ceil_div(g.rows.o, ceil_div(g.rows.o, span))
    return {"block_rows": min(rows, span), "block_cols": cols, "block_c": c, "span_rows": span}
