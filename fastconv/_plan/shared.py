"""What all plans share: the machine they are made for, rows of blocks, threads."""

from fastconv import _core, _threads

# Half of a 1 MB L2 cache: the block of input that a thread works on while weights stream by.
BLOCK_BYTES = 512 * 1024
# Results at least this large are written past the caches: no line of them is read first.
STREAM_BYTES = 16 * 2**20
VECTOR_BYTES = 64  # the longest there is: plans are the same for every instruction set
# Fewer columns than this are not worth a block of their own.
LEAST_COLUMNS = 48
# A sleeping team of threads takes milliseconds to wake, and a busy core as long to join one: less
# work than this is not shared.
SHARED_SECONDS = 400e-6
# What one core does in a second, roughly, in float32: for the decision to share, and predictions
# of bytes.
FLOPS, BYTES = 150e9, 25e9
CACHED_PLANS = 512
# Ways to cut rows into blocks that are compared.
MOST_CANDIDATES = 64
# Why a call got its number of threads.
GIVEN = "as the call says"
STORED = "each block of results is rounded and stored by one thread"
SMALL = f"less work than about {SHARED_SECONDS * 1e6:.0f} us is not worth sharing"
SHARED = "as many as set_num_threads, the environment or the cores allow"


def share(threads, seconds):
    """The caller's number of threads as it is; otherwise as many as the work is worth."""
    return share_and_why(threads, seconds)[0]


def share_and_why(threads, seconds):
    """The number of threads, and why."""
    if threads is not None:
        return threads, GIVEN
    available = _threads.get_num_threads()  # also says at once what is wrong with a setting
    return (available, SHARED) if seconds > SHARED_SECONDS else (1, SMALL)


def seconds_of(flops, g):
    """About how long arithmetic takes on one thread, in the type of a geometry's sums."""
    return flops * g.bits / 32 / FLOPS


def even_rows(outputs, most, others, threads, multiple=1):
    """Rows of a block: at most about `most`, evened out, and a share for every thread.

    There are `others` units for each block of rows; a block is a multiple of `multiple` rows.
    """
    steps = ceil_div(outputs, multiple)
    least = ceil_div(steps, max(1, most // multiple))
    best, rounds = None, None  # what the busiest thread computes, in steps
    for parts in range(least, min(steps, least + MOST_CANDIDATES) + 1):
        step = ceil_div(steps, parts)
        busiest = min(ceil_div(others * ceil_div(steps, step), threads) * step, others * steps)
        if best is None or busiest < 0.95 * rounds:
            best, rounds = step, busiest
    return best * multiple


def ceil_div(whole, part):
    """How many parts of a size a whole needs."""
    return -(-whole // part)


def window_sizes(rows, cols):
    return {
        "h": rows.n, "w": cols.n, "oh": rows.o, "ow": cols.o, "kh": rows.k, "kw": cols.k,
        "stride_h": rows.stride, "stride_w": cols.stride,
        "top": rows.before, "left": cols.before,
    }  # fmt: skip


def border_sizes(border):
    return {"border_h": _core.BORDERS[border[0]], "border_w": _core.BORDERS[border[1]]}
