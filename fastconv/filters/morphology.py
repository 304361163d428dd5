"""Mathematical morphology: the extremes under a footprint, and what is made of them."""

import numpy as np

from fastconv import _arrays, _calls, _geometry
from fastconv.filters import _image
from fastconv.filters._window import order_bits, rectangle, reduce, store

# Elements of a footprint that is no rectangle, in all and along a side: a list of them, and as many
# lines, are kept for each thread.
MOST_ELEMENTS = 2**16
LONGEST_SIDE = 2**12
_REFLECTIONS = ("reflect", "symmetric")


@_image.takes_bool
def dilate(
    image, footprint=3, *, structure=None, iterations=1, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give the largest pixel under a footprint around every pixel.

    ``y[p, q] = max over (i, j) in the footprint of
    image[p + i - anchor[0], q + j - anchor[1]] + structure[i, j]`` (as OpenCV's dilate; SciPy's
    grey_dilation turns the footprint around).

    Parameters
    ----------
    image, border, cval, anchor, channel_axis, out, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``. The
        image may be bool, too, if there is no `structure`; `cval` is then 0 or 1. "reflect",
        "symmetric" and "edge" bring nothing new into a window that is centred on its pixel: there
        they act as if nothing were outside.
    footprint : int, (rows, columns) or (kh, kw) array
        A rectangle, in a time that hardly grows with it, up to 32767 a side; or the elements that
        are not 0 of an array, of at most 2**16 and 4096 a side.
    structure : (kh, kw) array, optional
        Heights to add to the pixels: a footprint that is not flat. Of the footprint's shape, or in
        its place.
    iterations : int
        How many times, each time to the last result, which is of the image's type (of float16 it is
        float32). A rectangle is enlarged instead, which is the same, unless it is off centre or of
        even size and reflected at the border.
    out_dtype : dtype, optional
        The image's by default.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    A NaN in a window gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> dilate(np.array([[0, 7, 0, 0, 9]], np.uint8), (1, 3))
    array([[7, 7, 7, 9, 9]], dtype=uint8)
    """
    element = _Element("dilate", footprint, structure, anchor)
    return element.repeat(
        iterations, "maximum", image, border, cval, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def erode(
    image, footprint=3, *, structure=None, iterations=1, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give the smallest pixel under a footprint around every pixel.

    ``y[p, q] = min over (i, j) in the footprint of
    image[p + i - anchor[0], q + j - anchor[1]] - structure[i, j]``.

    Parameters
    ----------
    image, footprint, structure, iterations, border, cval, anchor, channel_axis, out_dtype, out
        As in `dilate`.
    threads : int, optional
        As in `filter2d`.

    Returns
    -------
    (..., H, W) or (..., H, W, C) array

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> erode(np.array([[9, 9, 2, 9, 9, 9]], np.uint8), (1, 3))
    array([[9, 2, 2, 2, 9, 9]], dtype=uint8)
    """
    element = _Element("erode", footprint, structure, anchor)
    return element.repeat(
        iterations, "minimum", image, border, cval, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def opening(
    image, footprint=3, *, structure=None, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Erode, then dilate with the footprint turned around: bright spots smaller than it vanish.

    As SciPy's grey_opening; OpenCV does not turn the footprint, which differs for those that are
    not symmetric. Those, and even sizes, see more of what lies outside than of the image: within
    their reach of its edge a result may then exceed the image.

    Parameters
    ----------
    image, footprint, structure, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `dilate`. "valid" is no border here.

    Returns
    -------
    array of the image's shape

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Holds one more image of the same size while it runs; of float16 in float32, so that the result
    alone is rounded.

    Examples
    --------
    >>> import numpy as np
    >>> opening(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[1, 1, 1, 5, 5, 5, 1]], dtype=uint8)
    """
    element = _Element("opening", footprint, structure, anchor)
    return element.twice(
        "minimum", image, border, cval, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def closing(
    image, footprint=3, *, structure=None, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Dilate, then erode with the footprint turned around: dark spots smaller than it vanish.

    As SciPy's grey_closing with the footprint turned by 180 degrees.

    Parameters
    ----------
    image, footprint, structure, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `opening`.

    Returns
    -------
    array of the image's shape

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> closing(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[9, 9, 9, 5, 5, 5, 9]], dtype=uint8)
    """
    element = _Element("closing", footprint, structure, anchor)
    return element.twice(
        "maximum", image, border, cval, channel_axis, out_dtype, out, threads
    )


@_image.takes_bool
def morphological_gradient(
    image, footprint=3, *, structure=None, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give the difference of the dilated and the eroded image: outlines.

    Parameters
    ----------
    image, footprint, structure, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `opening`.

    Returns
    -------
    array of the image's shape

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> morphological_gradient(np.array([[0, 0, 0, 9, 9, 9]], np.uint8), (1, 3))
    array([[0, 0, 9, 9, 0, 0]], dtype=uint8)
    """
    element = _Element("morphological_gradient", footprint, structure, anchor)
    options = (border, cval, channel_axis)
    return element.difference(
        image, border, channel_axis, out_dtype, out, threads,
        lambda between: (element.apply("maximum", image, *options, between, None, threads),
                         element.apply("minimum", image, *options, between, None, threads)),
    )  # fmt: skip


@_image.takes_bool
def top_hat(
    image, footprint=3, *, structure=None, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give what `opening` takes away: bright spots smaller than the footprint.

    Parameters
    ----------
    image, footprint, structure, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `opening`.

    Returns
    -------
    array of the image's shape

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> top_hat(np.array([[1, 9, 1, 5, 5, 5, 1]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    element = _Element("top_hat", footprint, structure, anchor)
    options = (border, cval, channel_axis)
    return element.difference(
        image, border, channel_axis, out_dtype, out, threads,
        lambda between: (image,
                         element.twice("minimum", image, *options, between, None, threads)),
    )  # fmt: skip


@_image.takes_bool
def black_hat(
    image, footprint=3, *, structure=None, border="reflect", cval=0, anchor=None,
    channel_axis=None, out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give what `closing` adds: dark spots smaller than the footprint.

    Parameters
    ----------
    image, footprint, structure, border, cval, anchor, channel_axis, out_dtype, out, threads
        As in `opening`.

    Returns
    -------
    array of the image's shape

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> black_hat(np.array([[9, 1, 9, 5, 5, 5, 9]], np.uint8), (1, 3))
    array([[0, 8, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    element = _Element("black_hat", footprint, structure, anchor)
    options = (border, cval, channel_axis)
    return element.difference(
        image, border, channel_axis, out_dtype, out, threads,
        lambda between: (element.twice("maximum", image, *options, between, None, threads),
                         image),
    )  # fmt: skip


class _Element:
    """A structuring element: a rectangle, or an array of heights in which NaN is not part of it."""

    def __init__(self, function, footprint, structure, anchor):
        self.function = function
        self.heights = None
        if isinstance(footprint, list | tuple) and not all(np.isscalar(each) for each in footprint):
            footprint = _arrays.as_array(function, "footprint", footprint)
        # np.ndim takes longer than all else here.
        if structure is None and (type(footprint) is int or np.ndim(footprint) < 2):
            self.size = rectangle(
                function, "footprint", footprint, one="a (kh, kw) array, an integer"
            )
        else:
            self.heights = self._checked(footprint, structure)
            self.size = self.heights.shape
            if structure is None and not np.isnan(self.heights).any():
                self.heights = None
        self.anchor = _image.checked_anchor(function, anchor, self.size)

    def _checked(self, footprint, structure):
        function = self.function
        heights = None
        if structure is not None:
            heights = _arrays.as_array(function, "structure", structure)
            if heights.dtype.kind not in "biuf" or heights.ndim != 2 or not heights.size:
                raise ValueError(
                    f"{function}: structure has shape {heights.shape} and dtype {heights.dtype}, "
                    "expected (kh, kw) real numbers"
                )
            heights = heights.astype(np.float64)
            if not np.isfinite(heights).all():
                raise ValueError(
                    f"{function}: structure holds a NaN or an infinity, expected finite heights"
                )
        if np.ndim(footprint) < 2 and footprint != 3:  # the default says nothing
            size = rectangle(function, "footprint", footprint)
            if size != heights.shape:
                raise ValueError(
                    f"{function}: footprint is {size}, expected structure's {heights.shape}"
                )
        if np.ndim(footprint) > 1:
            part = _arrays.as_array(function, "footprint", footprint)
            fits = part.ndim == 2 if heights is None else part.shape == heights.shape
            if part.dtype.kind not in "biuf" or not fits:
                expected = "(kh, kw)" if heights is None else f"structure's {heights.shape}"
                raise ValueError(
                    f"{function}: footprint has shape {part.shape} and dtype {part.dtype}, "
                    f"expected {expected} of real numbers"
                )
            if part.dtype.kind == "f" and np.isnan(part).any():
                raise ValueError(f"{function}: footprint holds a NaN, expected numbers")
            heights = np.where(part != 0, 0.0 if heights is None else heights, np.nan)
            if np.isnan(heights).all():
                raise ValueError(f"{function}: footprint is 0 everywhere, expected an element")
        if heights.size > MOST_ELEMENTS or max(heights.shape) > LONGEST_SIDE:
            name = "footprint" if structure is None else "structure"
            raise ValueError(
                f"{function}: {name} has shape {heights.shape}, expected at most {MOST_ELEMENTS} "
                f"elements, {LONGEST_SIDE} along a side"
            )
        return heights

    def turned(self):
        """The same element, turned around."""
        other = object.__new__(_Element)
        other.function, other.size = self.function, self.size
        other.anchor = tuple(k - 1 - a for k, a in zip(self.size, self.anchor, strict=True))
        other.heights = None if self.heights is None else self.heights[::-1, ::-1]
        return other

    def apply(self, reduction, image, border, cval, channel_axis, out_dtype, out, threads):
        """Dilate (maximum) or erode (minimum)."""
        function = self.function
        if self.heights is None:
            return reduce(
                function, reduction, image, self.size, border=border, cval=cval,
                anchor=self.anchor, channel_axis=channel_axis, out_dtype=out_dtype, out=out,
                threads=threads,
            )  # fmt: skip
        key, result = _calls.planned(
            function, image, out, self.heights, reduction, self.anchor, border, cval, channel_axis,
            out_dtype, threads,
        )  # fmt: skip
        if result is not None:
            return result
        image, windows, cval, out_dtype = _image.prepare(
            function, image, self.size, border, self.anchor, cval, channel_axis, out_dtype
        )
        flat = not np.nan_to_num(self.heights).any()
        bits = order_bits(image.dtype, out_dtype, cval)
        if bits < 32 and flat:
            kernel = (~np.isnan(self.heights)).astype(f"uint{bits}")
        else:
            bits = max(bits, 32)
            _image.check_holds(function, "structure's height", np.nanmax(abs(self.heights)), bits)
            kernel = -self.heights if reduction == "minimum" else self.heights
            kernel = (kernel + 0.0).astype(f"float{bits}")
        _image.check_holds(function, "cval", cval, bits)
        return _image.run(
            function, image, windows, "filter_footprint", bits, np.ascontiguousarray(kernel),
            numbers=(1.0, 0.0, cval), channel_axis=channel_axis, out_dtype=out_dtype, out=out,
            threads=threads, reduction=reduction, key=key,
        )  # fmt: skip

    def repeat(
        self, count, reduction, image, border, cval, channel_axis, out_dtype, out, threads
    ):
        """Dilate or erode so many times."""
        function = self.function
        count = _geometry.integer(function, "iterations", count, 1)
        if count > 1:
            # Of what an output sees in the end.
            size = tuple(count * (k - 1) + 1 for k in self.size)
            size = rectangle(function, f"footprint of {count} iterations", size)
            image = _image.readable(function, image)
            cval = _image.checked_cval(function, cval, image.dtype)
            if self._grows(border, cval, image.dtype):
                self.size = size
                self.anchor = tuple(count * a for a in self.anchor)
            else:
                out_dtype = _image.checked_out_dtype(
                    function, image.dtype if out_dtype is None else out_dtype
                )
                options = border, cval, channel_axis, _unrounded(image.dtype, out_dtype)
                for _ in range(count - 1):
                    image = self.apply(reduction, image, *options, None, threads)
        return self.apply(reduction, image, border, cval, channel_axis, out_dtype, out, threads)

    def _grows(self, border, cval, dtype):
        """Is repeating this element one larger rectangle?

        All that it sees is then on a way of steps inside the image, or outside for good. A
        reflection takes steps on the other side of the image's edge the other way, which tells
        unless the element is centred. A constant that the image cannot hold is rounded on its way.
        """
        centred = all(k == 2 * a + 1 for k, a in zip(self.size, self.anchor, strict=True))
        borders, _ = _image.checked_border(self.function, border)
        if dtype.kind != "f" and "constant" in borders and order_bits(dtype, dtype, cval) > 16:
            return False
        return self.heights is None and (centred or not {*_REFLECTIONS}.intersection(borders))

    def twice(self, first, image, border, cval, channel_axis, out_dtype, out, threads):
        """One way, then the other with the element turned around."""
        second = "minimum" if first == "maximum" else "maximum"
        result, finish, dtype = self._result(image, border, channel_axis, out_dtype, out)
        between = self.apply(first, image, border, cval, channel_axis, dtype, None, threads)
        self.turned().apply(
            second, between, border, cval, channel_axis, result.dtype, result, threads
        )
        return finish()

    def difference(self, image, border, channel_axis, out_dtype, out, threads, both):
        """The first of two images less the second, rounded and saturated for integers."""
        result, finish, between = self._result(image, border, channel_axis, out_dtype, out)
        more, less = (np.asarray(each) for each in both(between))
        if more.dtype == less.dtype == result.dtype and result.dtype.kind == "u":
            np.maximum(more, less, out=result)
            np.subtract(result, less, out=result)
            return finish()
        wide = np.int32 if more.dtype.kind in "iu" else np.result_type(more, less, result)
        with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, silently
            y = np.subtract(more, less, dtype=wide)
        if y.dtype.kind == "f":
            store(self.function, y, result, channel_axis, threads)
            return finish()
        if result.dtype.kind in "iu":
            limits = np.iinfo(result.dtype)
            y = np.clip(y, limits.min, limits.max)
        with np.errstate(over="ignore"):  # of float16
            result[...] = y
        return finish()

    def _result(self, image, border, channel_axis, out_dtype, out):
        """An array for a result of the image's size, and the type of images that lead to it."""
        if isinstance(border, str) and border == "valid":
            raise ValueError(
                f'{self.function}: border is "valid", expected one that keeps the image\'s size'
            )
        _geometry.borders(self.function, "border", border)
        image = _image.readable(self.function, image)
        _image.shape_of(self.function, image, channel_axis)
        out_dtype = _image.checked_out_dtype(
            self.function, image.dtype if out_dtype is None else out_dtype
        )
        result = _arrays.writable(self.function, out, image.shape, out_dtype, (image,))
        return *result, _unrounded(image.dtype, out_dtype)


def _unrounded(dtype, out_dtype):
    """The type of images that lead to a result: float16 would round heights and differences."""
    return np.result_type(np.float32, out_dtype) if dtype == np.float16 else dtype
