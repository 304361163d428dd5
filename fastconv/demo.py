"""A small photograph through eight kernels and one CNN layer: a contact sheet and a table of times.

Every step runs once more in fastconv.reference, which is plain NumPy, to show what the compiled
kernels gain. Needs Pillow, which comes with the extra "cli".
"""

import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

import fastconv
from fastconv import filters, kernels, reference
from fastconv._sheet import Panel, draw_sheet, tile, tint

__all__ = ["DEFAULT_SHEET", "Step", "run"]

DEFAULT_SHEET = "fastconv-demo.png"
_REPEATS = 20  # of each step in fastconv; the best counts, as it takes a while to wake threads

# Kernels whose result is again a photograph, and kernels whose response has a sign.
_PHOTOGRAPHIC = (
    ("gaussian", {"sigma": 2.0}, "blur"),
    ("sharpen", {}, "crisper detail"),
    ("emboss", {}, "a relief lit from one corner"),
    ("outline", {}, "contours on black"),
)
_SIGNED = (
    ("sobel_x", {}, "slope to the right"),
    ("sobel_y", {}, "slope downwards"),
    ("log", {"sigma": 2.0}, "blobs: Laplacian of Gaussian"),
    ("gabor", {"wavelength": 6.0, "theta": 1.0, "gamma": 1.0}, "stripes of one width and angle"),
)


@dataclass(frozen=True)
class Step:
    """One step of the demo and how long it took, in seconds."""

    name: str
    fastconv: float
    reference: float


def run(output=None, *, overwrite=False):
    """Write the contact sheet; give its Path and the list of Steps.

    Without `output` the sheet is DEFAULT_SHEET in the current folder. Raises ValueError if there is
    such a file and `overwrite` is false: it may be a photo of yours.
    """
    path = Path(DEFAULT_SHEET if output is None else output)
    if path.exists() and not overwrite:
        raise ValueError(f"demo: {path} exists already; --overwrite replaces it")
    if path.suffix.lower() != ".png":
        raise ValueError(f"demo: the sheet is a PNG file, but {path} does not end in .png")
    photo = _load_photo()
    steps = []
    original = Panel("photograph", "by Rachel Michetti, CC0", photo)
    draw_sheet([
        ("Eight kernels", [original, *_filtered(photo, steps)]),
        ("One layer of a CNN", list(_layer(photo, steps))),
    ], path)
    return path, steps


def _load_photo():
    from PIL import Image

    with resources.files("fastconv").joinpath("data/coffee.jpg").open("rb") as file:
        return np.asarray(Image.open(file))


def _filtered(photo, steps):
    """Yield a panel for each of the eight kernels."""
    grey = np.rint(photo @ (0.299, 0.587, 0.114)).astype(np.uint8)
    for name, parameters, caption in _PHOTOGRAPHIC:
        kernel = kernels.get(name, **parameters)
        result = _timed(steps, _title(name, kernel, "RGB"), "filters.filter2d", photo, kernel,
                        channel_axis=-1)
        yield Panel(name, caption, result)
    for name, parameters, caption in _SIGNED:
        kernel = kernels.get(name, **parameters)
        result = _timed(steps, _title(name, kernel, "grey"), "filters.filter2d", grey, kernel,
                        out_dtype=np.float32)
        yield Panel(name, caption, tint(result))


def _title(name, kernel, colours):
    return f"{name} {kernel.shape[0]}x{kernel.shape[1]}, {colours}"


def _layer(photo, steps):
    """Yield a panel for each step of a CNN layer with four kernels over three channels."""
    x = np.ascontiguousarray(photo.transpose(2, 0, 1)[None], np.float32) / 255
    weight, bias = _layer_weights()
    options = {"weight": weight, "bias": bias, "padding": "same", "padding_mode": "reflect"}
    linear = _timed(steps, "conv2d 3x3, 3 -> 4", "conv2d", x, **options)
    relu = _timed(steps, "conv2d 3x3 + ReLU", "conv2d", x, activation="relu", **options)
    pooled = _timed(steps, "max_pool2d 2x2", "max_pool2d", relu, 2)
    limits = np.percentile(np.abs(linear), 99, axis=(0, 2, 3))
    for title, caption, maps in (
        ("conv2d", "four 3x3 kernels over R, G and B", linear),
        ("ReLU", "what is negative becomes 0", relu),
        ("max_pool2d", "the greatest of each 2x2, half the size", pooled),
    ):
        pictures = [tint(each, limit) for each, limit in zip(maps[0], limits, strict=True)]
        yield Panel(title, caption, tile(pictures, photo.shape))


def _layer_weights():
    """Give what first layers learn: edges in two directions, spots, and one colour contrast."""
    names = ("sobel_x", "sobel_y", "outline")
    weight = [np.repeat(kernels.get(name)[None] / 3, 3, axis=0) for name in names]
    blob = kernels.get("gaussian", size=3)
    weight.append(np.stack([blob, 0 * blob, -blob]))  # red against blue
    return np.array(weight, np.float32), np.array([0, 0, 0, -0.35], np.float32)


def _timed(steps, title, name, *arguments, **options):
    """Call a function of fastconv and its reference; note both times; give fastconv's result."""
    module, _, function = name.rpartition(".")
    fast = getattr(filters if module else fastconv, function)
    result = fast(*arguments, **options)
    best = min(_seconds(fast, *arguments, **options) for _ in range(_REPEATS))
    steps.append(Step(title, best, _seconds(getattr(reference, function), *arguments, **options)))
    return result


def _seconds(function, *arguments, **options):
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start
