"""PNG, JPEG, WebP, BMP and 8-bit TIFF through Pillow, without its copies where it lends memory."""

import ctypes
import io
import math
import os

import numpy as np

from fastconv._picture import ImageError, Picture, check_size, upright

_ORIENTATION = 0x0112
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # the usual first: Pillow loads plugins as it tries


def read(file, header, formats=_FORMATS):
    """Read an open file whose first bytes are `header`."""
    from PIL import Image, UnidentifiedImageError

    _refuse_deep_png(header)
    lossless = header.startswith(b"\x89PNG") or _is_lossless_webp(file, header)
    try:
        with Image.open(file, formats=formats) as image:
            check_size(*image.size)
            _refuse_animation(image)
            image.load()
            return _picture(image, lossless)
    except UnidentifiedImageError as error:
        if formats is not _FORMATS or header.startswith(_MAGIC) or header[8:12] == b"WEBP":
            raise
        raise ImageError("not a PNG, JPEG, TIFF, WebP or BMP image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("may be a decompression bomb; --max-pixels raises the limit") from error


def write(picture, file, image_format, quality):
    """Write to an open binary file, with the picture's metadata."""
    options = {"icc_profile": picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    options = {name: value for name, value in options.items() if value}
    if image_format == "JPEG":
        options["quality"] = quality
        if picture.comment:
            options["comment"] = picture.comment
        if picture.colours == 3:
            options["subsampling"] = picture.subsampling
    elif image_format == "PNG" and picture.text:
        options["pnginfo"] = _png_text(picture.text)
    elif image_format == "WEBP":
        # exact keeps the colours under full transparency
        options |= {"lossless": True, "exact": True} if picture.lossless else {"quality": quality}
    _image(picture, image_format).save(file, image_format, **options)


def _png_text(text):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)  # of other alphabets than Latin in a chunk for those
    return info


def _refuse_deep_png(header):
    """Pillow reads 16-bit colour as 8-bit without a word; the IHDR chunk tells."""
    depth, colour_type = header[24:25], header[25:26]
    if header.startswith(b"\x89PNG") and depth == b"\x10" and colour_type != b"\0":
        raise ImageError(
            "16-bit colour PNG would be cut to 8 bits; make it a 16-bit TIFF first, "
            "for example: magick in.png out.tif"
        )


def _refuse_animation(image):
    # MPO is a JPEG followed by previews or a second view: every viewer shows its first picture.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"has {frames} frames, of which one would be kept; split it first")


def _picture(image, lossless):
    exif, orientation = _exif(image)
    details = {
        "exif": exif,
        "icc": image.info.get("icc_profile"),
        "dpi": _resolution(image.info.get("dpi")),
        "lossless": lossless,
    }
    if image.format in ("JPEG", "MPO"):
        details["comment"] = image.info.get("comment")
        if image.mode == "RGB":
            details["subsampling"] = _subsampling(image)
    elif image.format == "PNG":
        details["text"] = _text(image)
    if image.mode == "CMYK":
        image = _in_rgb(image, details.pop("icc"))
    image = _plain(image)
    in_colour = image.mode.startswith("RGB")
    pixels = _lent(image) if in_colour else np.asarray(image)
    alpha = image.mode.endswith("A")
    return Picture(upright(pixels, orientation), 3 if in_colour else 1, alpha, **details)


def _plain(image):
    """Give the image in mode L, LA, RGB, RGBA or I;16, or refuse it."""
    transparent = image.has_transparency_data
    if image.mode == "I;16" and not transparent:
        return image
    plain = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}
    if image.mode not in plain:
        raise ImageError(f"pixels of kind {image.mode} are not supported; make it RGB first")
    mode = plain[image.mode] + "A" * transparent
    return image if image.mode == mode else image.convert(mode)


def _text(image):
    """Give the text of a PNG, but what repeats EXIF, profiles and the orientation before."""
    others = ("Raw profile type ", "XML:com.adobe.xmp")
    return {key: value for key, value in image.text.items() if not key.startswith(others)}


def _in_rgb(image, profile):
    """Give a CMYK image as sRGB by its colour profile, or as viewers do that know none."""
    if profile:
        try:
            from PIL import ImageCms

            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except Exception:  # a damaged profile raises anything; the photograph is still good
            pass
    return image.convert("RGB")


def _exif(image):
    """Give the EXIF block to write, with orientation 1 and no thumbnail, and the orientation."""
    if image.format == "TIFF":  # Pillow has turned it already; its tags describe the old file
        return None, 1
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        if not exif:
            return None, 1
        exif[_ORIENTATION] = 1
        return exif.tobytes(), orientation
    except Exception:  # a damaged EXIF block raises anything; the photograph is still good
        return None, 1


def _resolution(dpi):
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(v) and 1 <= v < 65535 for v in (x, y)) else None


def _subsampling(image):
    from PIL import JpegImagePlugin

    return {0: "4:4:4", 1: "4:2:2"}.get(JpegImagePlugin.get_sampling(image), "4:2:0")


def _is_lossless_webp(file, header):
    """Walk the chunks to the picture: VP8L is lossless, VP8 is not, ANMF is an animation."""
    if header[:4] != b"RIFF" or header[8:12] != b"WEBP":
        return False
    place, name = 12, b""
    while name not in (b"VP8L", b"VP8 ", b"ANMF"):
        file.seek(place)
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        place += 8 + size + size % 2
    file.seek(0)
    return name == b"VP8L"


class _ArrowArray(ctypes.Structure):
    """The start of struct ArrowArray of Arrow's C data interface, which is a stable ABI."""


_COUNTS = ("length", "null_count", "offset", "n_buffers", "n_children")
_ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in _COUNTS),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _lent(image):
    """Give an RGB or RGBA image's own memory, (H, W, 4), or a copy where it is not one piece.

    np.asarray copies through bytes objects, which costs as much as filtering. Pillow exports its
    memory (four bytes per pixel) as an Arrow array unless the image is larger than a block or
    its rows have gaps (the environment variable PILLOW_ALIGNMENT).
    """
    if not hasattr(image, "__arrow_c_array__") or "PILLOW_ALIGNMENT" in os.environ:
        return np.asarray(image)
    try:
        owner = image.__arrow_c_array__()
    except ValueError:  # in several blocks
        return np.asarray(image)
    array = _ArrowArray.from_address(_capsule_pointer(owner[1], b"arrow_array"))
    values = array.children[0].contents
    memory = (ctypes.c_uint8 * values.length).from_address(values.buffers[1])
    memory.owner = owner  # the image lives as long as the array
    pixels = np.frombuffer(memory, np.uint8).reshape(image.height, image.width, 4)
    pixels.flags.writeable = False
    return pixels


def _image(picture, image_format):
    from PIL import Image

    pixels = np.ascontiguousarray(picture.pixels)
    if not picture.padded:
        return Image.fromarray(pixels)
    size = (pixels.shape[1], pixels.shape[0])
    image = Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", 0, 1)
    return image if image_format == "JPEG" else image.convert("RGB")
