"""Images to learn from: digits that come with the package, and folders."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastconv import _geometry, get_num_threads
from fastconv._progress import Line

DIGITS_TEST = 359  # a fifth of each digit; they come last
PIXEL = 16  # the digits' white


def digits():
    """Give ``(x, labels), (test_x, test_labels)`` of 1,797 handwritten digits, 8 x 8 pixels.

    x is (N, 1, 8, 8), float32 from 0 to 1. The split is always the same: 1,438 to learn from and
    359 to test with (UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0).

    >>> (x, labels), test = digits()
    >>> x.shape, labels.shape, len(test[1])
    ((1438, 1, 8, 8), (1438,), 359)
    """
    with np.load(Path(__file__).parents[1] / "data" / "digits.npz") as file:
        labels = file["labels"].astype(np.int64)
        x = np.zeros((len(labels), 64), np.float32)
        # Every pixel's are sorted by label and the pixels above and before, which makes them small.
        for i, pixels in enumerate(file["images"]):
            x[np.lexsort((x[:, i - 1], x[:, i - 8], labels)), i] = pixels
    x = x.reshape(-1, 1, 8, 8) / np.float32(PIXEL)
    return (x[:-DIGITS_TEST], labels[:-DIGITS_TEST]), (x[-DIGITS_TEST:], labels[-DIGITS_TEST:])


def image_folder(folder, size=32, channels=3, failed=None):
    """Give ``x, labels, classes`` of the images in the subfolders of a folder, one for each class.

    Images are scaled to `size` x `size` and to grey (1 channel) or colours (3); x is
    (N, channels, size, size), uint8. Classes are the subfolders' names in order. Pillow reads the
    files (the extra "cli"). One that it cannot read is a ValueError, or left out after a call of
    ``failed(path, reason)``.
    """
    from fastconv import images

    images.require_readers()
    size = _geometry.integer("image_folder", "size", size, 1)
    if channels not in (1, 3):
        raise ValueError(f"image_folder: channels is {channels!r}, expected 1 or 3")
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"image_folder: {folder} is no folder")
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in images.SUFFIXES and path.name[0] != "."
    ]
    _check_classes(folder, classes, [label for _, label in files])
    x, labels = np.empty((len(files), channels, size, size), np.uint8), []

    def read(file):
        try:
            return read_image(file[0], size, channels), None
        except ValueError as error:
            return None, str(error)

    line = Line()
    with ThreadPoolExecutor(get_num_threads()) as pool:
        for (path, label), (pixels, reason) in zip(files, pool.map(read, files), strict=True):
            if reason is None:
                x[len(labels)] = pixels
                labels.append(label)
                line.write(f"{len(labels)}/{len(files)} images read")
                continue
            line.clear()
            if failed is None:
                raise ValueError(f"image_folder: {path}: {reason}")
            failed(path, reason)
    line.clear()
    _check_classes(folder, classes, labels)
    return x[: len(labels)], np.array(labels), classes


def _check_classes(folder, classes, labels):
    empty = [name for i, name in enumerate(classes) if i not in labels]
    if len(classes) < 2 or empty:
        raise ValueError(
            f"image_folder: {folder} has {len(classes)} subfolders"
            + (f", and no images in {', '.join(empty)}" if empty else "")
            + "; expected at least two, each with the images of a class"
        )


def read_image(path, size, channels):
    """Give one image as (channels, size, size), uint8; transparent pixels are on white.

    A ValueError says why it cannot be read.
    """
    from PIL import Image

    from fastconv import images

    try:
        image = Image.fromarray(_opaque(images.read(path)))
        image = image.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX))
    except (MemoryError, OSError, ValueError) as error:
        # What follows a semicolon is advice for `fastconv filter`.
        raise ValueError(images.reason(error).partition(";")[0]) from None
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def _opaque(picture):
    """The pixels of a picture, (H, W) or (H, W, 3), in 8 bits."""
    pixels, colours = picture.pixels, picture.colours
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"its pixels are {pixels.dtype}, expected 8 or 16 bits")
    if pixels.dtype == np.uint16:
        pixels = pixels / 257
    if picture.alpha:
        opacity = pixels[..., colours:] / 255
        pixels = pixels[..., :colours] * (1 if picture.premultiplied else opacity)
        pixels += 255 * (1 - opacity)
    if pixels.dtype != np.uint8:
        pixels = np.uint8(np.rint(pixels))
    return pixels[..., :3] if colours == 3 else pixels.reshape(*pixels.shape[:2], -1)[..., 0]
