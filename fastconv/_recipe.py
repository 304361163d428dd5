"""What the batch command does to one picture: a kernel and its response, or a filter without one.

A kernel is written `NAME`, `NAME:key=value,key=value` with the parameters of kernels.get, or as
the path of a .npy or text file (numbers in rows). Several are separated by commas; what follows a
comma belongs to the kernel before it if it reads `key=value`. Medians, ranks and morphology, which
have no kernel, are written alike, with the parameters that FILTERS lists.
"""

import difflib
import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from fastconv import filters, kernels
from fastconv._picture import Picture

RESPONSES = ("signed", "abs", "magnitude")
_PARAMETER = re.compile(r"\w+=")
# Functions of fastconv.filters that take these of their arguments, as numbers.
FILTERS = {
    "median": ("size",), "minimum": ("size",), "maximum": ("size",),
    "percentile": ("q", "size"), "rank": ("rank", "size"),
    "erode": ("footprint", "iterations"), "dilate": ("footprint", "iterations"),
    "opening": ("footprint",), "closing": ("footprint",), "morphological_gradient": ("footprint",),
    "top_hat": ("footprint",), "black_hat": ("footprint",),
}  # fmt: skip
# A column times a row, or a sum of two such products: unsharp, log, dog, an upright gabor.
_MOST_PRODUCTS = 2
_MOST_CANCELLED = 4  # times what is left


@dataclass(frozen=True, eq=False)
class FilterRecipe:
    """One filter that has no kernel; `apply` does it to a Picture."""

    label: str
    name: str
    arguments: dict
    border: str = "reflect"

    def apply(self, picture, threads=None):
        """Give the picture with its colours filtered and its alpha as it was."""
        function = partial(getattr(filters, self.name), **self.arguments)
        return _with_colours(picture, function, self.border, threads)


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
        return _with_colours(picture, getattr(self, f"_{self.response}"), self.border, threads)

    def _signed(self, pixels, **options):
        return self._correlate(pixels, scale=self.scale, delta=self.delta, **options)

    def _abs(self, pixels, **options):
        # Rounding and saturation are monotonic, so this is exact without a wider dtype.
        positive, negative = (
            self._correlate(pixels, scale=scale, delta=self.delta, **options)
            for scale in (self.scale, -self.scale)
        )
        pick = np.maximum if self.scale >= 0 else np.minimum
        return pick(positive, negative, out=positive)

    def _magnitude(self, pixels, **options):
        dtype = pixels.dtype
        # float32 holds the squares of 8-bit gradients exactly, those of 16-bit ones it does not
        wide = np.float32 if dtype in (np.uint8, np.float32) else np.float64
        x, y = (self._correlate(pixels, i, out_dtype=wide, **options) for i in range(2))
        length = np.sqrt(x * x + y * y) * wide(self.scale) + wide(self.delta)
        return _rounded(length, dtype)

    @cached_property
    def _kernels(self):
        """Pairs of each kernel and, where that is less work, its columns and rows."""
        several = self.kernel if isinstance(self.kernel, tuple) else (self.kernel,)
        return [(kernel, _columns_and_rows(kernel)) for kernel in several]

    def _correlate(self, pixels, number=0, *, scale=1, delta=0, out_dtype=None, **options):
        kernel, products = self._kernels[number]
        options |= {"scale": scale, "delta": delta, "out_dtype": out_dtype}
        if products is None:
            return filters.filter2d(pixels, kernel, **options)
        *before, (column, row) = products
        if not before:
            return filters.sep_filter2d(pixels, column, row, **options)
        out_dtype = np.dtype(out_dtype or pixels.dtype)
        wide = np.float64 if np.float64 in (pixels.dtype, out_dtype) else np.float32
        # delta is added once
        total = filters.sep_filter2d(pixels, column, row, **options | {"out_dtype": wide})
        for column, row in before:
            total += filters.sep_filter2d(
                pixels, column, row, **options | {"out_dtype": wide, "delta": 0}
            )
        return _rounded(total, out_dtype)


def _with_colours(picture, function, border, threads):
    """The picture with what a function makes of its colours, and its alpha as it was."""
    pixels = picture.pixels
    channel_axis = None if pixels.ndim == 2 else -1
    result = function(pixels, channel_axis=channel_axis, border=border, threads=threads)
    if picture.alpha:
        result[..., -1] = pixels[..., -1]
    return replace(picture, pixels=result)


def _rounded(floats, dtype):
    """Floats as a type of pixels: integers are rounded half to even and saturated."""
    if dtype.kind == "f":
        return floats.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    np.clip(np.rint(floats, out=floats), limits.min, limits.max, out=floats)
    return floats.astype(dtype)


def _columns_and_rows(kernel):
    """Pairs whose outer products add up to a kernel of floats, or None where that is no less work.

    Each step takes a column and a row away, and one from the rank (Wedderburn, 1934): sums over the
    column and the row of the largest element, so that no rounded element weighs much. In the end
    no more is left than rounding may leave in as many terms, and products do not cancel each other.
    """
    if kernel.dtype.kind != "f":  # its sums are exact
        return None
    height, width = kernel.shape
    # Lines of sums are written and read again, too.
    most = min(_MOST_PRODUCTS, height * width // (2 * (height + width)))
    rest, products = kernel.astype(np.float64), []
    total = abs(rest).sum()
    # Of each element, and of all of them in the centre (kernels.get lets that take what it leaves).
    rounding = 4 * kernel.size * np.finfo(np.float64).eps * total
    with np.errstate(all="ignore"):  # of what is NaN nothing is small enough
        while not abs(rest).sum() <= rounding:
            if len(products) == most:
                return None
            i, j = np.unravel_index(abs(rest).argmax(), rest.shape)
            column, row = (rest * rest[i]).sum(axis=1), (rest * rest[:, j, None]).sum(axis=0)
            products.append((column / (column * rest[:, j]).sum(), row))
            rest -= np.outer(*products[-1])
    sizes = [abs(column).sum() * abs(row).sum() for column, row in products]
    return products if 0 < sum(sizes) <= _MOST_CANCELLED * total else None


def parse_recipes(text, response="signed", **options):
    """Give the Recipe of every kernel in `text`; a ValueError says in one line what is wrong."""
    recipes = [_parse(each, response, options) for each in _split(text)]
    for recipe in recipes:  # one pixel, to find a kernel that does not fit before the first photo
        try:
            recipe.apply(Picture(np.zeros((1, 1), np.uint8), 1), threads=1)
        except TypeError as error:  # a parameter that is not of its kind
            raise ValueError(str(error)) from error
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
    label = re.sub(r"[^\w.=+-]", "-", text)
    if key in FILTERS and not Path(text).is_file():
        return _parse_filter(label, key, parameters, response, **options)
    gradient = response == "magnitude"
    if gradient and f"{key}_x" in kernels.names():
        key = f"{key}_x"
    if key not in kernels.names():
        if not _is_file(text):
            if f"{key}_x" in kernels.names():
                raise ValueError(
                    f"{text} is a gradient: add --magnitude, or name {key}_x or {key}_y"
                )
            near = difflib.get_close_matches(key, (*kernels.names(), *FILTERS), n=1)
            hint = f", did you mean {near[0]}?" if near else ";"
            raise ValueError(f"no kernel or file is called {text!r}{hint} see: fastconv kernels")
        if gradient:
            raise ValueError(f"--magnitude needs a gradient of the library, {text!r} is a file")
        return Recipe(Path(text).stem, load_kernel(text), response, **options)
    try:
        arguments = _arguments(parameters)
        kernel = kernels.get(key, **arguments)
    except TypeError as error:  # a parameter this kernel does not have, or not of its kind
        raise ValueError(str(error)) from error
    if gradient:
        if kernels.pair(key) is None:
            raise ValueError(f"--magnitude needs a gradient, {name!r} has none at right angles")
        kernel = (kernel, kernels.get(kernels.pair(key), **arguments))
    return Recipe(label, kernel, response, **options)


def _parse_filter(label, name, parameters, response, *, scale=1, delta=0, **options):
    if (response, scale, delta) != ("signed", 1, 0):
        raise ValueError(
            f"--abs, --magnitude, --scale and --delta are for kernels; {name} has none"
        )
    # The size of a footprint is a rectangle's, as of the others.
    arguments = _arguments(parameters, "footprint" if "footprint" in FILTERS[name] else "size")
    known = ["size" if each == "footprint" else each for each in FILTERS[name]]
    for key in arguments:
        if key not in FILTERS[name]:
            raise ValueError(f"{name} has no parameter {key!r}, expected {' or '.join(known)}")
    if known[0] != "size" and known[0] not in arguments:
        raise ValueError(f"{name} needs a parameter, for example {name}:{known[0]}=1")
    return FilterRecipe(label, name, arguments, **options)


def _is_file(text):
    return Path(text).suffix.lower() in (".npy", ".txt", ".csv") or Path(text).is_file()


def _arguments(text, size="size"):
    """Parameters by name; `size` is the one to call so."""
    arguments = {}
    for key, value in map(_parameter, filter(None, text.split(","))):
        name = size if key == "size" else key
        if name in arguments:
            raise ValueError(f"{key} is given twice in {text!r}")
        arguments[name] = value
    return arguments


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
    is_npy = Path(path).suffix.lower() == ".npy"
    try:
        if is_npy:
            kernel = np.load(path, allow_pickle=False)
        else:
            kernel = _parse_rows(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"kernel file {path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy raises anything, in words of its own
        why = "no numbers as numpy.save writes them" if is_npy else error
        raise ValueError(f"kernel file {path}: {why}") from error
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
