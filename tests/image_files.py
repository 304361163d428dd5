"""Help for tests that write image files and read them back."""

import struct
import zlib


def write_png(path, pixels, colour_type):
    """Write 8- or 16-bit PNG by hand: Pillow cannot write 16-bit colour."""
    rows = pixels.astype(pixels.dtype.newbyteorder(">"))
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8 * pixels.itemsize,
                         colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ))


def values(picture):
    """Give the pixels without the channel that means nothing."""
    return picture.pixels if picture.pixels.ndim == 2 else picture.pixels[..., :picture.channels]
