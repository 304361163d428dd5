"""Both slopes of an image at once, their length and their direction."""

import numpy as np

from fastconv import _arrays, _calls, _geometry
from fastconv.filters import _image
from fastconv.filters.derivatives import OPERATORS

OUTPUTS = ("dx", "dy", "magnitude", "angle")


def gradient(
    image, operator="sobel", *, outputs=OUTPUTS, border="reflect", cval=0, channel_axis=None,
    out_dtype=None, out=None, threads=None,
):  # fmt: skip
    """Give the slopes of every image along its rows and columns, and what follows from them.

    ``magnitude = hypot(dx, dy)`` and ``angle = arctan2(dy, dx)``: 0 where the image gets brighter
    to the right, pi / 2 downwards.

    Parameters
    ----------
    image, border, cval, channel_axis, threads
        As in `filter2d`; a colour photograph (H, W, 3) needs ``channel_axis=-1``.
    operator : "sobel", "scharr" or "prewitt"
        The 3x3 kernels, as in the function of that name; not normalised.
    outputs : str or sequence of str
        What to compute: one or several of "dx", "dy", "magnitude" and "angle", which is in radians,
        more than -pi (but for rounding) and at most pi.
    out_dtype : float16, float32 or float64, optional
        The image's by default; of integers float32.
    out : array, or for several outputs a tuple or list of arrays, optional
        Receives the results, of their shape and dtype; it may overlap the image. In its place in a
        tuple, None stands for a new array.

    Returns
    -------
    tuple of (..., H, W) or (..., H, W, C) arrays, in the order of `outputs`; one array for one name

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before anything is written.

    Notes
    -----
    All is computed in one pass over the image, and has the same bits on every processor. magnitude
    and angle are within 3 units in the last place of those of dx and dy.

    Examples
    --------
    >>> import numpy as np
    >>> slope = np.array([[0, 3], [4, 7]], np.uint8)
    >>> gradient(slope, "prewitt", outputs="dx", border="edge")
    array([[9., 9.],
           [9., 9.]], dtype=float32)
    >>> magnitude, angle = gradient(
    ...     slope, "prewitt", outputs=("magnitude", "angle"), border="edge"
    ... )
    >>> magnitude[0], angle[0].round(2)
    (array([15., 15.], dtype=float32), array([0.93, 0.93], dtype=float32))
    """
    _geometry.choice("gradient", "operator", operator, tuple(OPERATORS))
    names = _names(outputs)
    outs = (out,) if isinstance(outputs, str) else _image.outs("gradient", out, len(names))
    key, results = _calls.planned(
        "gradient", image, outs, None, operator, border, cval, channel_axis, out_dtype, threads,
        *names,
    )  # fmt: skip
    if results is None:
        image, windows, cval, out_dtype, bits = _image.prepare_floats(
            "gradient", image, (3, 3), border, cval, channel_axis, out_dtype
        )
        smoothing = np.array(OPERATORS[operator][:2], f"float{bits}")
        results = _image.run(
            "gradient", image, windows, "filter_gradient", bits, smoothing,
            numbers=(1.0, 0.0, cval), channel_axis=channel_axis, out_dtype=out_dtype,
            out=outs, threads=threads, key=key, places=tuple(map(OUTPUTS.index, names)),
        )  # fmt: skip
    return results[0] if isinstance(outputs, str) else results


def _names(outputs):
    names = (outputs,) if isinstance(outputs, str) else outputs
    if not isinstance(names, tuple | list) or not 0 < len(names) == len({*map(str, names)}):
        raise ValueError(
            f"gradient: outputs is {_arrays.shown(outputs)}, expected one or several different "
            f"ones of {', '.join(map(repr, OUTPUTS))}"
        )
    return [_geometry.choice("gradient", "outputs", name, OUTPUTS) for name in names]
