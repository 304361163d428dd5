"""What the batch command does to one picture: a kernel by name or from a file, and the response.

A kernel is written `NAME`, `NAME:key=value,key=value` with the parameters of kernels.get, or as
the path of a .npy or text file (numbers in rows). Several are separated by commas; what follows a
comma belongs to the kernel before it if it reads `key=value`.
"""

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fastconv import filters, kernels
from fastconv._picture import Picture

RESPONSES = ("signed", "abs", "magnitude")
_PARAMETER = re.compile(r"\w+=")


@dataclass(frozen=True, eq=False)
class Recipe:
    """One kernel with everything around it; `apply` does it to a Picture.

    `kernel` is an array (kh, kw), or with response "magnitude" the pair of a gradient. The result
    is scale*response + delta, rounded and saturated to the picture's dtype, where the response is
    the sum ("signed"), its absolute value ("abs") or the length of the gradient ("magnitude").
    """

    label: str
    kernel: np.ndarray | tuple[np.ndarray, np.ndarray]
    response: str = "signed"
    border: str = "reflect"
    scale: float = 1
    delta: float = 0

    def apply(self, picture, threads=None):
        """Give the picture with its colours filtered and its alpha as it was."""
        pixels = picture.pixels
        options = {
            "channel_axis": None if pixels.ndim == 2 else -1,
            "border": self.border,
            "threads": threads,
        }
        result = getattr(self, f"_{self.response}")(pixels, options)
        if picture.alpha:
            result[..., -1] = pixels[..., -1]
        return replace(picture, pixels=result)

    def _signed(self, pixels, options):
        return filters.filter2d(pixels, self.kernel, scale=self.scale, delta=self.delta, **options)

    def _abs(self, pixels, options):
        # Rounding and saturation are monotonic, so this is exact without a wider dtype.
        positive, negative = (
            filters.filter2d(pixels, self.kernel, scale=scale, delta=self.delta, **options)
            for scale in (self.scale, -self.scale)
        )
        pick = np.maximum if self.scale >= 0 else np.minimum
        return pick(positive, negative, out=positive)

    def _magnitude(self, pixels, options):
        dtype = pixels.dtype
        # float32 holds the squares of 8-bit gradients exactly, those of 16-bit ones it does not
        wide = np.float32 if dtype in (np.uint8, np.float32) else np.float64
        x, y = (filters.filter2d(pixels, k, out_dtype=wide, **options) for k in self.kernel)
        length = np.sqrt(x * x + y * y) * wide(self.scale) + wide(self.delta)
        if dtype.kind == "f":
            return length.astype(dtype, copy=False)
        limits = np.iinfo(dtype)
        return np.clip(np.rint(length), limits.min, limits.max).astype(dtype)


def parse_recipes(text, response="signed", **options):
    """Give the Recipe of every kernel in `text`; a ValueError says in one line what is wrong."""
    recipes = [_parse(each, response, options) for each in _split(text)]
    for recipe in recipes:  # one pixel, to find a kernel that does not fit before the first photo
        recipe.apply(Picture(np.zeros((1, 1), np.uint8), 1), threads=1)
    labels = [recipe.label.casefold() for recipe in recipes]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"kernel {label} is given twice, both would write the same files")
    return recipes


def _split(text):
    pieces = []
    for piece in text.split(","):
        if pieces and _PARAMETER.match(piece):
            pieces[-1] += "," + piece
        else:
            pieces.append(piece)
    return pieces


def _parse(text, response, options):
    name, _, parameters = text.partition(":")
    key = name.replace("-", "_")
    gradient = response == "magnitude"
    if gradient and f"{key}_x" in kernels.names():
        key = f"{key}_x"
    if key not in kernels.names():
        if not _is_file(text):
            if f"{key}_x" in kernels.names():
                raise ValueError(
                    f"{text} is a gradient: add --magnitude, or name {key}_x or {key}_y"
                )
            near = difflib.get_close_matches(key, kernels.names(), n=1)
            hint = f", did you mean {near[0]}?" if near else ";"
            raise ValueError(f"no kernel or file is called {text!r}{hint} see: fastconv kernels")
        if gradient:
            raise ValueError(f"--magnitude needs a gradient of the library, {text!r} is a file")
        return Recipe(Path(text).stem, load_kernel(text), response, **options)
    try:
        arguments = dict(_parameter(each) for each in parameters.split(",") if each)
        kernel = kernels.get(key, **arguments)
    except TypeError as error:  # a parameter this kernel does not have, or not of its kind
        raise ValueError(str(error)) from error
    if gradient:
        if kernels.pair(key) is None:
            raise ValueError(f"--magnitude needs a gradient, {name!r} has none at right angles")
        kernel = (kernel, kernels.get(kernels.pair(key), **arguments))
    return Recipe(re.sub(r"[^\w.=+-]", "-", text), kernel, response, **options)


def _is_file(text):
    return Path(text).suffix.lower() in (".npy", ".txt", ".csv") or Path(text).is_file()


def _parameter(text):
    key, _, value = text.partition("=")
    try:
        return key, int(value)
    except ValueError:
        pass
    try:
        return key, float(value)
    except ValueError:
        raise ValueError(f"kernel parameter {text!r} is not key=number") from None


def load_kernel(path):
    """Read a 2-D kernel from a .npy file or from text: rows of numbers, # starts a comment.

    Whole numbers stay integers, which makes sums on integer images exact.
    """
    try:
        if Path(path).suffix.lower() == ".npy":
            kernel = np.load(path, allow_pickle=False)
        else:
            kernel = _parse_rows(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"kernel file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"kernel file {path}: {error}") from error
    if not isinstance(kernel, np.ndarray) or kernel.dtype.kind not in "biuf":
        raise ValueError(f"kernel file {path}: expected an array of real numbers")
    if kernel.ndim != 2 or kernel.size == 0:
        raise ValueError(f"kernel file {path}: expected rows and columns, got {kernel.shape}")
    bad = np.argwhere(~np.isfinite(kernel))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"kernel file {path}: {kernel[row, column]} in row {row + 1}, column {column + 1}; "
            "the numbers must be finite"
        )
    return kernel


def _parse_rows(text):
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append([_number(word) for word in words])
        except ValueError:
            raise ValueError(f"line {number} is not a row of numbers") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"line {number} has {len(rows[-1])} numbers, the first row has {len(rows[0])}"
            )
    return np.array(rows)


def _number(word):
    try:
        return int(word)
    except ValueError:
        return float(word)
