"""One peer in a process of its own: `python -m bench.worker MODULE`, driven by JSON lines.

It greets with {"version": ...}, then answers each line with one line:

    {"do": "prepare", "case": ..., "folder": ..., "threads": ...}
        check every variant: {label: verdict}; the wrong ones cannot be timed
    {"do": "time", "variant": label, "seconds": ...}
        the median seconds of a call
    {"do": "peak", "bits": ..., "seconds": ...}
        the GFLOP/s of fused multiply-adds of float32 or float64 on one thread
    {"do": "copy", "size": ..., "threads": ..., "seconds": ...}
        the GB/s, read and written, of that many threads that copy `size` bytes together

or with {"failed": message} if the peer cannot be imported or raises. It ends with its input.
"""

import importlib
import json
import os
import signal
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from .answers import judge
from .cases import Case

SAMPLE = 50e-6  # seconds: shorter calls are timed several at a time, to drown the clock's cost


class Session:
    """A peer and the row that it has ready."""

    def __init__(self, peer):
        self.peer = peer
        self.calls = {}

    def prepare(self, case, folder, threads):
        """Check all variants of a row; the first call of each is its warm-up, too."""
        self.calls = {}  # the last row's arrays go first
        case = Case(**case)
        arrays, expected, bound = load(Path(folder))
        calls = self.peer.prepare(case, arrays, threads)
        verdicts = {label: judge(case, call(), expected, bound)
                    for label, call in calls.items()}
        for label in verdicts.keys() & getattr(self.peer, "OWN_LAYOUT", ()):
            verdicts[label]["own_layout"] = True
        self.calls = {label: call for label, call in calls.items() if verdicts[label]["ok"]}
        return verdicts

    def time(self, variant, seconds):
        return measure(self.calls[variant], seconds)

    def peak(self, bits, seconds):
        return self.peer.peak(bits, seconds)

    def copy(self, size, threads, seconds):
        share = size // threads

        def speed(_):
            source, target = np.ones(share, np.uint8), np.ones(share, np.uint8)
            return 2e-9 * share / measure(partial(np.copyto, target, source), seconds)

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(speed, range(threads)))


def load(folder):
    """Read a row's arrays into ordinary memory, and map those of the answer."""
    arrays = {name: np.load(folder / f"{name}.npy")
              for name in ("dy", "x", "weight") if (folder / f"{name}.npy").exists()}
    answer = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("expected", "bound"))
    return arrays, *answer


def measure(call, seconds):
    """Give the median seconds of a call, over samples that fill `seconds`.

    The first sample only wakes the caches and the threads, unless there is time for no other.
    """
    start = perf_counter()
    call()
    samples = [perf_counter() - start]
    while (now := perf_counter()) < start + seconds:
        calls = max(1, round(SAMPLE / samples[-1]))
        for _ in range(calls):
            call()
        samples.append((perf_counter() - now) / calls)
    return statistics.median(samples[1:] or samples)


def main(module):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides when this ends
    # What libraries print must not get between the lines of the protocol.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(message):
        replies.write(json.dumps(message) + "\n")

    try:
        peer = importlib.import_module(module)
    except ImportError as error:
        return reply({"failed": str(error)})
    reply({"version": peer.VERSION, **getattr(peer, "DETAILS", {})})
    session = Session(peer)
    for line in sys.stdin:
        message = json.loads(line)
        try:
            reply(getattr(session, message.pop("do"))(**message))
        except Exception as error:  # whatever a peer raises is a result of the benchmark
            reply({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})


if __name__ == "__main__":
    main(sys.argv[1])
