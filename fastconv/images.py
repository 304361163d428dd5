"""One image file at a time: read with its metadata, written back without losing anything.

`read` gives a Picture: the pixels as an array, upright, with what must survive the filter beside
them (alpha, colour profile, EXIF, resolution). `write` puts a Picture into a file, or says why
the format cannot hold it; nothing is narrowed or dropped in silence. Pillow does PNG, JPEG, WebP
and BMP, tifffile does TIFF; both come with the extra "cli" and are imported when first needed.
"""

import errno
import importlib.util
from pathlib import Path

import numpy as np

from fastconv import _pillow, _tiff
from fastconv._files import replacing
from fastconv._picture import ImageError, Picture

__all__ = ["SUFFIXES", "ImageError", "Picture", "read", "reason", "require_readers", "write"]

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
    ImageError for what cannot be kept exactly (16-bit colour PNG, several pages) and for a damaged
    file, OSError for one that cannot be opened.
    """
    with open(path, "rb") as file:
        header = file.read(64)
        file.seek(0)
        if not header:
            raise ImageError("the file is empty")
        try:
            if header.startswith(_TIFF_MAGIC):
                return _tiff.read(file)
            return _pillow.read(file, header)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # decoders raise anything, in words of their own
            if getattr(error, "errno", None) not in (None, errno.EINVAL):  # the disk's
                raise
            raise ImageError("damaged, truncated or not supported") from error


def reason(error):
    """Why a file could not be read or written, in one line."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def write(picture, path, quality=95):
    """Write a Picture in the format that the name's suffix says, whole or not at all.

    `quality` is that of JPEG and of lossy WebP. Raises ImageError where the format cannot hold
    the picture: 16 bits or floats outside TIFF (16-bit grey may be PNG), alpha in JPEG or BMP.
    """
    path = Path(path)
    image_format = SUFFIXES.get(path.suffix.lower())
    _refuse_loss(picture, image_format, path)
    with replacing(path) as file:
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
