"""The image formats that are read, and the one place where a file is opened as one of them."""

from os import PathLike
from typing import IO

from PIL import Image

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM",
}  # fmt: skip
"""PIL's format of every file name ending that folders list. None of them is decoded by another program."""


def open_image(file: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """Opens an image whose content is one of `FORMATS`, whatever its name says; pixels are not decoded yet.

    `PIL.Image.open` alone goes by the content and knows some 40 formats; for EPS it starts Ghostscript.

    Raises:
        PIL.UnidentifiedImageError: the content is of no such format.
    """
    return Image.open(file, formats=tuple(dict.fromkeys(FORMATS.values())))
