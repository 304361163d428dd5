"""The benchmark: named rows, one file per peer, every answer checked before it is timed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# `python -m` looks in the current folder first, and so finds fastconv's sources, which only an
# editable install compiles in place. The installed package shall win, whichever it is.
sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != ROOT), str(ROOT)]


class BenchError(Exception):
    """What stops the benchmark, said in one line."""
