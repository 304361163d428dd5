"""Run rows through peers: check every answer, then time the right ones turn by turn."""

import json
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import ROOT
from . import peers as peer_package
from .answers import make_answer, make_arrays

OURS, FRESH = "fastconv", "fastconv fresh"
PEERS = sorted(module.name for module in pkgutil.iter_modules(peer_package.__path__))

# Some libraries' threads spin for a while after their work: with more than one thread the next
# peer waits until they sleep.
PAUSE = 0.05

# Groups whose rows take less time than a conversion: variants in a layout of the peer's own are
# shown, but not compared with.
SAME_LAYOUT = ("pool",)

COPIES = {"memory": 2**27, "cache": 2**19}  # bytes


@dataclass(frozen=True)
class Settings:
    """How a run is timed: `seconds` is each variant's share of each round."""

    threads: int = 1
    rounds: int = 5
    seconds: float = 0.08


class PeerFailed(Exception):
    """A peer raised an error, or its process died."""


class Worker:
    """The process of one peer: a file of bench/peers, or any module by its dotted name."""

    def __init__(self, peer, threads):
        module = peer if "." in peer else f"{peer_package.__name__}.{peer}"
        libraries = ("OMP", "MKL", "OPENBLAS", "FASTCONV")
        limits = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", module],
            cwd=ROOT, env={**os.environ, **limits}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )

    def receive(self):
        """Give the next answer; raise PeerFailed if it is an error, or if none will come."""
        line = self.process.stdout.readline()
        if not line:
            raise PeerFailed(f"its process ended with status {self.process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise PeerFailed(answer["failed"])
        return answer

    def ask(self, action, **arguments):
        """Send one request and give the answer."""
        with suppress(BrokenPipeError):  # receive says why the pipe is broken
            print(json.dumps({"do": action, **arguments}), file=self.process.stdin, flush=True)
        return self.receive()

    def close(self):
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def started(peers, threads):
    """Start all peers at once; give (workers, their greetings, {peer: why it is missing})."""
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(peer, threads))) for peer in peers]
        greetings, missing = {}, {}
        for worker in workers:
            try:
                greetings[worker.peer] = worker.receive()
            except PeerFailed as error:
                missing[worker.peer] = str(error)
        yield [worker for worker in workers if worker.peer in greetings], greetings, missing


def run_row(case, workers, settings):
    """Check and time one row; give everything that is known about it afterwards as one dict.

    A variant's figure is the median over the rounds of the median call of each.
    """
    with tempfile.TemporaryDirectory(prefix="fastconv-bench-") as folder:
        _write(case, Path(folder))
        results, turns = _check(case, workers, folder, settings.threads)
    seconds = {label: [] for _, label in turns}
    peaks = []
    for _ in range(settings.rounds):
        for worker, label in turns:
            if settings.threads > 1:
                time.sleep(PAUSE)
            try:
                seconds[label].append(
                    worker.ask("time", variant=label, seconds=settings.seconds))
                if label == OURS and case.intensity:
                    peaks.append(worker.ask("peak", bits=8 * np.dtype(case.dtype).itemsize,
                                            seconds=settings.seconds / 2))
            except PeerFailed as error:
                results[label].update(ok=False, reason=str(error), failed=True)
    for label, rounds in seconds.items():
        if results[label]["ok"]:
            speeds = [case.work / each for each in rounds]
            results[label].update(value=statistics.median(speeds), rounds=speeds)
    peak = statistics.median(peaks) * settings.threads if peaks else None
    return {
        **asdict(case), "results": results, "peak": peak,
        "intensity": case.intensity,
        **_compare(case.group, results, peak),
    }


def copy_speeds(worker, threads):
    """Measure the GB/s of copies, read and written, where they stay in a cache and where not."""
    return {place: worker.ask("copy", size=size, threads=threads, seconds=0.5)
            for place, size in COPIES.items()}


def _write(case, folder):
    arrays = make_arrays(case)
    expected, bound = make_answer(case, arrays)
    for name, array in {**arrays, "expected": expected, "bound": bound}.items():
        np.save(folder / f"{name}.npy", array)


def _check(case, workers, folder, threads):
    """Give {label: verdict}, and the (worker, label) pairs whose answers are right."""
    results, turns = {}, []
    for worker in workers:
        try:
            verdicts = worker.ask("prepare", case=asdict(case), folder=folder, threads=threads)
        except PeerFailed as error:
            verdicts = {worker.peer: {"ok": False, "reason": str(error), "failed": True}}
        for label, verdict in verdicts.items():
            results[label] = {"peer": worker.peer, **verdict}
            if verdict["ok"]:
                turns.append((worker, label))
    return results, turns


def _compare(group, results, peak):
    """Give the best other peer, and fastconv's figures as multiples of it and of the peak."""
    values = {label: result["value"] for label, result in results.items() if "value" in result}
    out = {label for label in values if results[label]["peer"] == OURS
           or (group in SAME_LAYOUT and results[label].get("own_layout"))}
    others = {label: value for label, value in values.items() if label not in out}
    best = max(others, key=others.get, default=None)

    def ratio(label, to):
        return values[label] / to if label in values and to else None

    return {
        "best": best,
        "ratio": ratio(OURS, others.get(best)),
        "fresh_ratio": ratio(FRESH, others.get(best)),
        "of_peak": ratio(OURS, peak),
    }
