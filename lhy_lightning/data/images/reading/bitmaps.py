"""Plain BMP files without PIL's plugin, which looks at a grey file's 256 colours one by one: a tenth of its time."""

from __future__ import annotations

import struct

from PIL import Image

HEADER = struct.Struct("<2s8xIIiiHHIxxxxxxxxxxxxI")  # signature … offset, header size, width, height, planes, bits …
LEVELS = bytes(range(256))


def open_bitmap(data: bytes) -> Image.Image | None:
    """A picture of an uncompressed BMP file, as `PIL.Image.open` gives it.

    Args:
        data: the file.

    Returns:
        Mode RGB (24 bits a pixel) or L (8 bits, all 256 colours greys in order); None for other kinds of the format and
        for files that are cut short, which are left to PIL.
    """
    if len(data) < HEADER.size:
        return None
    signature, offset, size, width, height, planes, bits, compression, colours = HEADER.unpack_from(data)
    rows, stride = abs(height), (width * bits + 31) // 32 * 4
    kind = {24: ("RGB", "BGR"), 8: ("L", "L")}.get(bits)
    known = signature == b"BM" and size in (40, 108, 124) and planes == 1 and compression == 0
    if not known or kind is None or width < 1 or rows < 1 or len(data) < offset + rows * stride:
        return None
    palette = data[14 + size : 14 + size + 1024]  # blue, green, red, and a byte that each writer fills its own way
    if bits == 8 and (colours not in (0, 256) or any(palette[place::4] != LEVELS for place in range(3))):
        return None
    mode, raw = kind
    pixels = data[offset : offset + rows * stride]
    return Image.frombuffer(mode, (width, rows), pixels, "raw", raw, stride, -1 if height > 0 else 1)
