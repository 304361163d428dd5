"""How shall it be computed? Algorithm, blocks and threads: every heuristic of the project.

A plan is a pure function of the geometry, the variant and the number of threads, and cached. The
algorithm and the order of every sum follow from the geometry of one sample alone; blocks and
threads only order the outputs, so they never change a bit of the result.
"""

from functools import lru_cache

from fastconv import _config, _core, _threads

# Half of a 1 MB L2 cache: the block of input that a thread works on while weights stream by.
BLOCK_BYTES = 512 * 1024
# A team of threads takes about this long to wake; less work than that is not worth sharing.
SHARED_SECONDS = 50e-6
# What one core does in a second, roughly: only for the decision to share.
FLOPS, BYTES = 100e9, 10e9
# Every packed tile of output channels divides this, so a block of them starts at a tile.
CHANNEL_BLOCK = 64

CACHED_PLANS = 512


# Results at least this large are written past the caches: no line of them is read first.
STREAM_BYTES = 16 * 2**20
# Winograd's transforms want this many channels on both sides, and tiles in one image, to pay.
WINOGRAD_CHANNELS, WINOGRAD_TILES = 16, 16
# Its weights are four times the kernel's; beyond this they no longer stay in an L3 cache.
WINOGRAD_WEIGHT_BYTES = 24 * 2**20
# Transformed input of a block of tiles: with the weights that stream by, about an L2 cache.
WINOGRAD_BLOCK_BYTES = 1024 * 1024


def conv2d(geometry, algorithm, threads):
    """The task of a convolution, and on how many threads."""
    g = geometry
    terms = g.c * g.rows.k * g.cols.k
    flops = 2 * g.n * g.groups * g.k * terms * g.rows.o * g.cols.o
    threads = _share(threads, flops / FLOPS)
    return _conv2d(g, algorithm, _config.isa(), threads), threads


@lru_cache(CACHED_PLANS)
def conv2d_algorithm(geometry):
    """The algorithm for a convolution, from the geometry of one sample alone."""
    g = geometry
    if g.layout == "NHWC":
        # Contiguous channels are the lanes: they mix, or each is for itself.
        return "depthwise" if g.c == g.k == 1 else "direct_channel"
    if _winograd_pays(g):
        return "winograd"
    return "direct_pixel"  # contiguous pixels are the lanes


def _winograd_pays(g):
    windows = (g.rows, g.cols)
    if any((w.k, w.stride, w.dilation) != (3, 1, 1) for w in windows):
        return False
    tiles = -(-g.rows.o // 4) * -(-g.cols.o // 4)
    weights = 36 * g.groups * g.c * g.k * g.bits // 8
    return (
        min(g.c, g.k) >= WINOGRAD_CHANNELS
        and tiles >= WINOGRAD_TILES
        and weights <= WINOGRAD_WEIGHT_BYTES
    )


@lru_cache(CACHED_PLANS)
def _conv2d(g, algorithm, isa, threads):
    blocks = {"block_rows": g.rows.o, "block_cols": g.cols.o, "block_c": g.c, "block_k": g.k}
    if algorithm == "direct_pixel":
        _block_input(blocks, g, g.c)
    elif algorithm == "winograd":
        row = 36 * g.c * -(-g.cols.o // 4) * g.bits // 8
        blocks["block_rows"] = min(g.rows.o, 4 * max(1, WINOGRAD_BLOCK_BYTES // row))
    else:
        _block_input(blocks, g, g.c if algorithm == "direct_channel" else g.groups, cols=False)
    samples = g.n * (1 if algorithm == "depthwise" else g.groups)
    others = samples * -(-g.cols.o // blocks["block_cols"])
    _spread(blocks, others, g.rows.o, threads, 4 if algorithm == "winograd" else 1)
    units = others * -(-g.rows.o // blocks["block_rows"])
    if algorithm != "depthwise" and units < threads:
        # Images of few rows: share the output channels instead.
        share = -(-g.k // -(-threads // units))
        blocks["block_k"] = min(g.k, -(-share // CHANNEL_BLOCK) * CHANNEL_BLOCK)
    sizes = {"n": g.n, "groups": g.groups, "c": g.c, "k": g.k} | blocks | _windows(g.rows, g.cols)
    outputs = g.n * g.groups * g.k * g.rows.o * g.cols.o
    sizes["stream"] = outputs * g.bits // 8 >= STREAM_BYTES
    sizes["activation"] = _core.ACTIVATIONS[g.activation]
    sizes |= _border(g.border)
    return _core.Conv2d(isa, g.bits, algorithm, sizes)


def _block_input(blocks, g, channels, cols=True):
    """Shrink a block until its input fits BLOCK_BYTES: columns and channels last."""
    item = g.bits // 8

    def width(outputs):
        return (outputs - 1) * g.cols.stride + (g.cols.k - 1) * g.cols.dilation + 1

    def height(outputs):
        return (outputs - 1) * g.rows.stride + (g.rows.k - 1) * g.rows.dilation + 1

    row = channels * width(g.cols.o) * item
    least = row * height(1)
    if cols and least > BLOCK_BYTES:
        while blocks["block_cols"] > 96 and least > BLOCK_BYTES:
            blocks["block_cols"] = -(-blocks["block_cols"] // 2)
            row = channels * width(blocks["block_cols"]) * item
            least = row * height(1)
        if least > BLOCK_BYTES:
            blocks["block_c"] = max(1, channels * BLOCK_BYTES // least)
            return _set_rows(blocks, 1)
    rows = (BLOCK_BYTES // row - (height(1) - 1)) // g.rows.stride
    return _set_rows(blocks, max(1, min(rows, g.rows.o)))


def _set_rows(blocks, rows):
    blocks["block_rows"] = rows


def _spread(blocks, others, outputs, threads, multiple=1):
    """Even out the blocks of rows, into a multiple of `threads` units where there are enough."""
    outputs = -(-outputs // multiple)
    parts = -(-outputs * multiple // blocks["block_rows"])
    if others % threads:
        while parts < outputs and others * parts % threads:
            parts += 1
    blocks["block_rows"] = -(-outputs // parts) * multiple


def filter2d(rows, cols, planes, channels, kernels, border, dtypes, bits, separable, numbers, threads):
    """The task of an image filter, and on how many threads."""
    taps = rows.k + cols.k if separable else rows.k * cols.k
    outputs = planes * kernels * rows.o * cols.o * channels
    threads = _share(threads, 2 * outputs * taps / FLOPS + outputs * 8 / BYTES)
    return (
        _filter2d(
            rows, cols, planes, channels, kernels, border, dtypes, bits, separable, numbers,
            _config.isa(), threads,
        ),
        threads,
    )  # fmt: skip


@lru_cache(CACHED_PLANS)
def _filter2d(
    rows, cols, planes, channels, kernels, border, dtypes, bits, separable, numbers, isa, threads
):
    # A ring of rows.k + 3 lines stays in half of the L2 cache, each at most 16 KB.
    line = min(16 * 1024, BLOCK_BYTES // 2 // (rows.k + 3)) // (channels * bits // 8)
    parts = -(-cols.o // max(line - cols.k, 32))
    block_cols = -(-cols.o // parts)
    blocks = {"block_rows": rows.o, "block_cols": block_cols}
    _spread(blocks, planes * -(-cols.o // block_cols), rows.o, threads)
    scale, delta, cval = numbers
    sizes = {"planes": planes, "c": channels, "m": kernels} | blocks | _windows(rows, cols)
    sizes |= {"scale": scale, "delta": delta, "cval": cval} | _border(border)
    sizes["dtype"], sizes["out_dtype"] = (_core.DTYPES[name] for name in dtypes)
    return _core.Filter2d(isa, bits, "filter_separable" if separable else "filter2d", sizes)


def pool2d(rows, cols, planes, channels, bits, pooling, count_include_pad, divisor, indices, threads):
    """The task of a pooling, and on how many threads."""
    work = planes * channels * rows.o * cols.o * max(rows.k * cols.k, rows.stride * cols.stride)
    threads = _share(threads, work * bits / 8 / BYTES)
    return (
        _pool2d(
            rows, cols, planes, channels, bits, pooling, count_include_pad, divisor, indices,
            _config.isa(), threads,
        ),
        threads,
    )  # fmt: skip


@lru_cache(CACHED_PLANS)
def _pool2d(
    rows, cols, planes, channels, bits, pooling, count_include_pad, divisor, indices, isa, threads
):
    blocks = {"block_rows": rows.o}
    _spread(blocks, planes, rows.o, threads)
    sizes = {"planes": planes, "c": channels} | blocks | _windows(rows, cols)
    sizes |= {"pooling": _core.POOLINGS[pooling], "count_include_pad": count_include_pad}
    sizes |= {"divisor": divisor, "bottom": rows.after, "right": cols.after}
    return _core.Pool2d(isa, bits, "pool_argmax" if indices else "pool", sizes)


def _windows(rows, cols):
    return {
        "h": rows.n, "w": cols.n, "oh": rows.o, "ow": cols.o, "kh": rows.k, "kw": cols.k,
        "stride_h": rows.stride, "stride_w": cols.stride,
        "dilation_h": rows.dilation, "dilation_w": cols.dilation,
        "top": rows.before, "left": cols.before,
    }  # fmt: skip


def _border(border):
    return {"border_h": _core.BORDERS[border[0]], "border_w": _core.BORDERS[border[1]]}


def _share(threads, seconds):
    """The caller's number of threads as it is; otherwise as many as the work is worth."""
    if threads is not None:
        return threads
    return _threads.get_num_threads() if seconds > SHARED_SECONDS else 1
