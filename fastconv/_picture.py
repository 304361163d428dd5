"""What one image is between its file and its filter: a Picture."""

from dataclasses import dataclass

import numpy as np


class ImageError(ValueError):
    """An image that cannot be read or written as asked; the message says what to do."""


@dataclass(eq=False)
class Picture:
    """An upright image and what belongs to it.

    `pixels` is (H, W) or (H, W, C). The first `colours` channels (1 or 3) are for filters; with
    `alpha` the next one is opacity. An RGB picture may have a fourth channel that means nothing:
    Pillow's own memory, lent instead of copied.
    """

    pixels: np.ndarray
    colours: int
    alpha: bool = False
    premultiplied: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None  # of a JPEG
    text: dict[str, str] | None = None  # of a PNG, by keyword
    subsampling: str = "4:2:0"  # of the JPEG it came from
    lossless: bool = False  # came from a file compressed without loss: compress so again

    @property
    def channels(self):
        """How many channels carry meaning."""
        return self.colours + self.alpha

    @property
    def padded(self):
        """Whether there is a channel that means nothing."""
        return self.pixels.ndim == 3 and self.pixels.shape[2] > self.channels


def check_size(width, height):
    """Refuse an image whose header promises more pixels than Pillow's MAX_IMAGE_PIXELS."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ImageError(
            f"{width} x {height} pixels are more than {limit}, it may be a decompression bomb; "
            "--max-pixels raises the limit"
        )


def upright(pixels, orientation):
    """Turn pixels (H, W) or (H, W, C) the way EXIF orientation 1 to 8 asks; others mean 1."""
    if orientation not in range(2, 9):
        return pixels
    whole = np.ascontiguousarray(pixels)
    if pixels.ndim == 3:  # moving whole pixels is four times faster than moving their channels
        whole = whole.view(f"V{pixels.shape[2] * pixels.itemsize}")[..., 0]
    turned = whole.T if orientation >= 5 else whole
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    turned = np.ascontiguousarray(turned)
    return turned.view(pixels.dtype).reshape(*turned.shape, *pixels.shape[2:])
