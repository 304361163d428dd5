"""What the image filters share: an image's shape, the windows over it, the type of a result."""

import numpy as np

from fastconv import _arrays, _geometry

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
# Longer kernels want another algorithm, and a mistaken sigma soon asks for one.
LONGEST_KERNEL = 2**15 - 1


def shape_of(function, image, channel_axis):
    """(..., H, W, C) of the image."""
    if channel_axis is not None:
        axis = _geometry.integer(function, "channel_axis", channel_axis, -image.ndim)
        if axis not in (-1, image.ndim - 1):
            raise ValueError(
                f"{function}: channel_axis is {axis}, expected None or -1; channels on another "
                "axis are a batch: leave channel_axis out"
            )
    shape = image.shape if channel_axis is not None else (*image.shape, 1)
    if len(shape) < 3:
        expected = "(..., H, W)" if channel_axis is None else "(..., H, W, C)"
        raise ValueError(f"{function}: image has shape {image.shape}, expected {expected}")
    return shape


def windows(function, image_size, kernel_size, border, anchor):
    """The border and both axes of the window."""
    if anchor is None:
        anchor = (kernel_size[0] // 2, kernel_size[1] // 2)
    else:
        anchor = _geometry.pair(function, "anchor", anchor, 0)
        if anchor[0] >= kernel_size[0] or anchor[1] >= kernel_size[1]:
            raise ValueError(
                f"{function}: anchor is {anchor}, expected an element of the {kernel_size} kernel"
            )
    if isinstance(border, str) and border == "valid":
        border, pads = "constant", "valid"
    else:
        pads = tuple((a, k - 1 - a) for a, k in zip(anchor, kernel_size, strict=True))
    borders = _geometry.borders(function, "border", border)
    if 0 in image_size:
        raise ValueError(f"{function}: image has {image_size} pixels, expected at least (1, 1)")
    return borders, *_geometry.windows(
        function, image_size, kernel_size, (1, 1), pads, (1, 1), name="image"
    )


def checked_out_dtype(function, dtype):
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError):
        shown = _arrays.shown(dtype)
        raise TypeError(f"{function}: out_dtype is {shown}, expected a dtype") from None
    if dtype.name not in DTYPES:
        raise TypeError(f"{function}: out_dtype is {dtype}, expected {', '.join(DTYPES)}")
    return dtype.newbyteorder("=")
