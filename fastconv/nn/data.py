"""Images to learn from: digits that come with the package, and folders."""

from pathlib import Path

import numpy as np

from fastconv import _geometry

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
        x = np.empty((len(labels), 1, 8, 8), np.float32)
        # The file has them by label, pixel by pixel, which makes it small.
        x[labels.argsort(kind="stable"), 0] = file["images"].transpose(2, 0, 1) / PIXEL
    return (x[:-DIGITS_TEST], labels[:-DIGITS_TEST]), (x[-DIGITS_TEST:], labels[-DIGITS_TEST:])


def image_folder(folder, size=32, channels=3):
    """Give ``x, labels, classes`` of the images in the subfolders of a folder, one for each class.

    Images are scaled to `size` x `size` and to grey (1 channel) or colours (3); x is
    (N, channels, size, size), uint8. Classes are the subfolders' names in order. Pillow reads the
    files (the extra "cli"); the message for a broken one names it.
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
    counts = np.bincount([label for _, label in files], minlength=len(classes))
    if len(classes) < 2 or not counts.all():
        empty = [name for name, count in zip(classes, counts, strict=True) if not count]
        raise ValueError(
            f"image_folder: {folder} has {len(classes)} subfolders"
            + (f", and no images in {', '.join(empty)}" if empty else "")
            + "; expected at least two, each with the images of a class"
        )
    x = np.empty((len(files), channels, size, size), np.uint8)
    for i, (path, _) in enumerate(files):
        x[i] = read_image(path, size, channels)
    return x, np.array([label for _, label in files]), classes


def read_image(path, size, channels):
    """Give one image as (channels, size, size), uint8; transparent pixels are on white."""
    from PIL import Image

    from fastconv import images

    try:
        image = Image.fromarray(_opaque(images.read(path)))
        image = image.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX))
    except Exception as error:  # a damaged file raises anything
        # What follows a semicolon is advice for `fastconv filter`.
        reason = " ".join(str(error).split()).partition(";")[0]
        raise ValueError(f"read_image: {path} is no image that can be read: {reason}") from None
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
