"""Files that appear whole or not at all."""

import os
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows keeps others from removing a file that is open
    fcntl = None

_PARTIAL = ".fastconv-{}.tmp"
# A file this new may be between its creation and its lock, or its closing and its renaming.
_YOUNG_SECONDS = 1
_partial = set()  # the temporary files of this process


@contextmanager
def replacing(path):
    """Open a temporary file that becomes `path` if the block ends well, and else disappears."""
    path = Path(path)
    partial = path.with_name(_PARTIAL.format(uuid.uuid4().hex))
    _partial.add(partial)
    try:
        with open(partial, "x+b") as file:
            with suppress(OSError):  # a file system without locks
                _lock(file)
            yield file
        os.replace(partial, path)
    except OSError as error:  # a full disk's has no name, and the temporary one says little
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
        _partial.discard(partial)


def discard_partial():
    """Remove the temporary files of all threads: before the process ends and they with it."""
    for partial in tuple(_partial):
        partial.unlink(missing_ok=True)


def remove_stale(folder):
    """Remove the temporary files of processes that were killed: nobody has a lock on them."""
    for partial in Path(folder).glob(_PARTIAL.format("*")):
        try:
            if abs(time.time() - partial.stat().st_mtime) < _YOUNG_SECONDS:
                continue
            with open(partial, "r+b") as file:
                _lock(file)
            partial.unlink()
        except OSError:  # in use, already gone, or not ours
            continue


def _lock(file):
    """Lock an open file for this process until it is closed, or raise OSError."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
