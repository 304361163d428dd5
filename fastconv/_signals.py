"""Signals that a long run handles itself while it goes on."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def handled(numbers, handler):
    """Call ``handler(number, before)`` for signals; what handled one before comes back in the end.

    Threads but the main one cannot receive signals, and those that are ignored, as under nohup, go
    on to be.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
    heard = [each for each in before if before[each] not in (None, signal.SIG_IGN)]
    for number in heard:
        signal.signal(number, lambda number, _frame: handler(number, before[number]))
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
