"""One image file at a time: read with its metadata, written back without losing anything.

`read` gives a Picture: the pixels as an array, upright, with what must survive the filter beside
them (alpha, colour profile, EXIF, resolution). `write` puts a Picture into a file, or says why
the format cannot hold it; nothing is narrowed or dropped in silence. Pillow does PNG, JPEG, WebP
and BMP, tifffile does TIFF; both come with the extra "cli" and are imported when first needed.
"""

import importlib.util
import os
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from fastconv import _pillow, _tiff
from fastconv._picture import ImageError, Picture

try:
    import fcntl
except ImportError:  # Windows keeps others from removing a file that is open
    fcntl = None

__all__ = [
    "SUFFIXES", "ImageError", "Picture", "discard_partial", "read", "remove_stale",
    "require_readers", "write",
]  # fmt: skip

SUFFIXES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP", ".bmp": "BMP",
}
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little and big endian, TIFF and BigTIFF


def require_readers():
    """Raise ImportError with the line to type if Pillow or tifffile is not installed."""
    for package, module in (("Pillow", "PIL"), ("tifffile", "tifffile")):
        try:
            missing = importlib.util.find_spec(module) is None
        except ImportError:
            missing = True
        if missing:
            raise ImportError(
                f'images need {package}, which comes with: python -m pip install "fastconv[cli]"'
            )


def read(path):
    """Read one image file; its content decides the format, not its name.

    16-bit grey PNG and 16-bit and floating TIFF keep their type, EXIF orientation is applied,
    palettes become RGB or RGBA, and CMYK becomes sRGB, by its colour profile if it has one. Raises
    ImageError for what cannot be kept exactly (16-bit colour PNG, several pages) and whatever
    Pillow or tifffile raise for a broken file.
    """
    with open(path, "rb") as file:
        header = file.read(64)
        file.seek(0)
        if header.startswith(_TIFF_MAGIC):
            return _tiff.read(file)
        return _pillow.read(file, header)


def write(picture, path, quality=95):
    """Write a Picture in the format that the name's suffix says, whole or not at all.

    `quality` is that of JPEG and of lossy WebP. Raises ImageError where the format cannot hold
    the picture: 16 bits or floats outside TIFF (16-bit grey may be PNG), alpha in JPEG or BMP.
    """
    path = Path(path)
    image_format = SUFFIXES.get(path.suffix.lower())
    _refuse_loss(picture, image_format, path)
    with _replacing(path) as file:
        if image_format == "TIFF":
            _tiff.write(picture, file)
        else:
            _pillow.write(picture, file, image_format, quality)


def _refuse_loss(picture, image_format, path):
    dtype = picture.pixels.dtype
    grey16 = dtype == np.uint16 and picture.pixels.ndim == 2
    if image_format is None:
        raise ImageError(f"no image format is called {path.suffix!r}; choose one with --format")
    if image_format != "TIFF" and dtype != np.uint8 and not (grey16 and image_format == "PNG"):
        raise ImageError(f"{image_format} cannot hold {dtype} pixels; use --format tiff")
    if picture.alpha and image_format in ("JPEG", "BMP"):
        raise ImageError(f"{image_format} cannot hold transparency; use --format png")


_PARTIAL = ".fastconv-{}.tmp"
# A file this new may be between its creation and its lock, or its closing and its renaming.
_YOUNG_SECONDS = 1
_partial = set()  # the temporary files of this process


@contextmanager
def _replacing(path):
    """Open a temporary file that becomes `path` if the block ends well, and else disappears."""
    partial = path.with_name(_PARTIAL.format(uuid.uuid4().hex))
    _partial.add(partial)
    try:
        with open(partial, "x+b") as file:
            with suppress(OSError):  # a file system without locks
                _lock(file)
            yield file
        os.replace(partial, path)
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
