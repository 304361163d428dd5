"""TIFF through tifffile: 8- and 16-bit integers and floats, grey or RGB, with or without alpha."""

import ctypes

import numpy as np

from fastconv import _pillow
from fastconv._picture import ImageError, Picture, check_size, upright

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 274, 282, 283, 296
_DOTS_PER_INCH = {2: 1, 3: 2.54}  # of the values of _UNIT: inch, centimetre
_DTYPES = ("uint16", "int16", "float32", "float64")


def read(file):
    """Read an open TIFF file of one page."""
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = _only_page(tiff)
        check_size(page.imagewidth, page.imagelength)
        if page.dtype is None or 0 in page.shape:
            raise ValueError("damaged")
        lossless = page.compression != tifffile.COMPRESSION.NONE
        if page.dtype in (np.uint8, np.bool_):
            # Pillow brings decoders for LZW, JPEG and fax, which tifffile has only by imagecodecs,
            # and leaves out samples that it does not know without a word.
            unknown = tifffile.EXTRASAMPLE.UNSPECIFIED in page.extrasamples
            if unknown or len(page.extrasamples) > 1:
                _refuse_channels(page)
            file.seek(0)
            picture = _pillow.read(file, b"", formats=("TIFF",))
            picture.lossless = lossless
            return picture
        colours, alpha = _channels(page)
        pixels = _decode(page)
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        return Picture(
            upright(pixels, _tag(page, _ORIENTATION, 1)), colours, alpha,
            premultiplied=alpha and page.extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA,
            icc=page.iccprofile, dpi=_resolution(page), lossless=lossless,
        )


def write(picture, file):
    """Write to an open binary file, compressed (deflate) if the source was compressed."""
    import tifffile

    pixels, options = picture.pixels, {}
    if pixels.ndim == 3:
        pixels = pixels[..., : picture.channels]
        options["planarconfig"] = "contig"
    if picture.alpha:
        options["extrasamples"] = ["ASSOCALPHA" if picture.premultiplied else "UNASSALPHA"]
    if picture.lossless:
        options["compression"] = "zlib"
    if picture.dpi:
        options |= {"resolution": picture.dpi, "resolutionunit": "INCH"}
    photometric = "rgb" if picture.colours == 3 else "minisblack"
    tifffile.imwrite(file, np.ascontiguousarray(pixels), photometric=photometric, metadata=None,
                     software=False, iccprofile=picture.icc, **options)


def silence():
    """Tell Pillow's libtiff to write nothing to standard error, and say whether it can be told.

    Its threads decode in parallel, so that the descriptor cannot be turned away around one call.
    """
    from PIL import Image

    try:
        library = ctypes.CDLL(Image.core.__file__)  # finds names of what it is linked with, too
        for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, handler)(None)
    except (AttributeError, OSError):  # libtiff is a part of it, without names: on Windows
        return False
    return True


def _only_page(tiff):
    page = tiff.pages[0]
    # ImageJ and tifffile itself may put a stack behind a single page; only the series tells.
    pages = max(len(tiff.pages), tiff.series[0].size // max(1, int(np.prod(page.shape))))
    if pages != 1:
        raise ImageError(f"has {pages} pages, of which one would be kept; split it first")
    return page


def _channels(page):
    """Give (colours, alpha) of a page, or refuse it."""
    samples = page.samplesperpixel
    colours = {"MINISBLACK": 1, "RGB": 3}.get(page.photometric.name)
    alpha = len(page.extrasamples) == 1
    if colours is None or samples != colours + alpha or page.imagedepth != 1:
        _refuse_channels(page)
    if page.dtype.name not in _DTYPES:
        raise ImageError(f"TIFF with {page.dtype} pixels is not supported; make it float32 first")
    return colours, alpha


def _refuse_channels(page):
    raise ImageError(
        f"TIFF of kind {page.photometric.name} with {page.samplesperpixel} samples per pixel is "
        "not supported; make it grey (0: black) or RGB first"
    )


def _decode(page):
    try:
        return page.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImageError("reading it needs: python -m pip install imagecodecs") from error


def _tag(page, code, default):
    tag = page.tags.get(code)
    return default if tag is None else tag.value


def _resolution(page):
    """Give dots per inch, or None where the file does not say."""
    per_unit = _DOTS_PER_INCH.get(_tag(page, _UNIT, 2))
    x, y = (_tag(page, code, (0, 1)) for code in (_X_RESOLUTION, _Y_RESOLUTION))
    if per_unit is None or 0 in (*x, *y):
        return None
    return (x[0] / x[1] * per_unit, y[0] / y[1] * per_unit)
