"""Files that appear whole or not at all."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Open a temporary file that becomes `path` if the block ends well, and else disappears."""
    path = Path(path)
    partial = path.with_name(f".fastconv-{uuid.uuid4().hex}.tmp")
    try:
        with open(partial, "x+b") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
