"""Random changes of images: each epoch sees every image a little differently."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastconv import _arrays, _geometry, _threads, get_num_threads
from fastconv.nn.module import checked_number, checked_seed

DTYPES = ("uint8", "float32", "float64")
WHITE = 255.0  # what noise and rotation are relative to in uint8
PART = 64  # images that a thread changes at a time


class Augment:
    """Flip, shift, crop, rotate, cut out and add noise, at random for each image.

    Call it as ``augment(x, seed, threads=None)`` with (N, C, H, W) images, uint8 or floats from 0
    to 1; the result depends on x and the seed alone. `fit` calls it for every batch.

    Parameters
    ----------
    flip : bool
        Left and right exchanged, for every second image.
    shift : int
        By up to so many pixels along each axis; what comes in is zero.
    crop : int
        As shift, but what comes in is the edge repeated: a crop of the padded image.
    rotate : float
        By up to so many degrees about the centre, between pixels bilinearly.
    cutout : int
        A square of such a side, anywhere, becomes zero (arXiv:1708.04552).
    noise : float
        The standard deviation of normal noise, white being 1.
    """

    def __init__(self, flip=False, shift=0, crop=0, rotate=0.0, cutout=0, noise=0.0):
        self.flip, self.shift, self.crop = flip, shift, crop
        self.rotate, self.cutout, self.noise = rotate, cutout, noise
        if flip not in (False, True):
            raise TypeError(f"Augment: flip is {_arrays.shown(flip)}, expected False or True")
        for name in ("shift", "crop", "rotate", "cutout", "noise"):
            checked_number("Augment", name, getattr(self, name))
        for name in ("shift", "crop", "cutout"):
            _geometry.integer("Augment", name, getattr(self, name), 0)

    def __call__(self, x, seed=None, threads=None):
        """Give new images, of x's shape and dtype."""
        x = _arrays.readable("Augment", "x", x, DTYPES, "(N, C, H, W)")
        result = np.empty_like(x)
        starts = range(0, len(x), PART)
        # Every part has random numbers of its own, whichever thread takes it.
        seeds = checked_seed("Augment", seed).spawn(len(starts))

        def change(start, seed):
            part = slice(start, start + PART)
            result[part] = self._changed(x[part], np.random.default_rng(seed))

        if threads is not None:
            threads = _threads.checked("Augment", "threads", threads)
        threads = min(threads or get_num_threads(), len(starts))
        if threads <= 1:
            for each in zip(starts, seeds, strict=True):
                change(*each)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(change, starts, seeds))
        return result

    def _changed(self, x, random):
        n = len(x)
        flipped = random.random(n) < 0.5 if self.flip else np.zeros(n, bool)
        moves = random.integers(-self.shift, self.shift + 1, (n, 2))
        crops = random.integers(-self.crop, self.crop + 1, (n, 2))
        angles = np.radians(random.uniform(-self.rotate, self.rotate, n))
        if self.flip:
            x = np.where(flipped[:, None, None, None], x[..., ::-1], x)
        if self.shift or self.crop:
            x = _moved(x, moves, crops)
        if self.rotate:
            x = _rotated(x, angles)
        if self.cutout:
            x = _cut_out(x, self.cutout, random)
        if self.noise:
            white = WHITE if x.dtype == np.uint8 else 1
            noisy = x + random.standard_normal(x.shape) * (self.noise * white)
            x = _as(noisy, x.dtype)
        return x


def _as(values, dtype):
    """Numbers as pixels."""
    if dtype == np.uint8:
        return np.clip(np.rint(values), 0, WHITE).astype(np.uint8)
    return values.astype(dtype)


def _moved(x, moves, crops):
    """Each image by whole pixels: zeros come in for moves, the edge for crops."""
    n, _, *sizes = x.shape
    places, inside = [], []
    for axis, size in enumerate(sizes):
        at = np.arange(size) - moves[:, axis, None]
        inside.append((at >= 0) & (at < size))
        places.append(np.clip(at - crops[:, axis, None], 0, size - 1))
    rows, cols = places
    samples = np.arange(n)[:, None, None]
    moved = x.transpose(0, 2, 3, 1)[samples, rows[:, :, None], cols[:, None]].transpose(0, 3, 1, 2)
    return moved * (inside[0][:, :, None] & inside[1][:, None])[:, None]


def _rotated(x, angles):
    """Each image by its angle about the centre; outside is zero."""
    n, _, h, w = x.shape
    y, z = np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2
    cos, sin = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    rows = cos * y[:, None] + sin * z + (h - 1) / 2
    cols = cos * z - sin * y[:, None] + (w - 1) / 2
    samples, pixels = np.arange(n)[:, None, None], x.transpose(0, 2, 3, 1)
    total = 0.0
    for i in (0, 1):
        for j in (0, 1):
            r, c = np.floor(rows).astype(int) + i, np.floor(cols).astype(int) + j
            weight = (1 - abs(rows - r)) * (1 - abs(cols - c))
            weight[(r < 0) | (r >= h) | (c < 0) | (c >= w)] = 0
            seen = pixels[samples, np.clip(r, 0, h - 1), np.clip(c, 0, w - 1)]
            total = total + weight[..., None] * seen
    return _as(total, x.dtype).transpose(0, 3, 1, 2)


def _cut_out(x, side, random):
    n, _, *sizes = x.shape
    masks = []
    for size in sizes:
        first = random.integers(0, size, (n, 1)) - side // 2
        at = np.arange(size)
        masks.append((at >= first) & (at < first + side))
    return x * ~(masks[0][:, :, None] & masks[1][:, None])[:, None]
