"""BMP files read in two lines are what PIL makes of them; all it does not know is left to PIL."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lhy_lightning.data.images.reading.bitmaps import open_bitmap
from lhy_lightning.data.images.reading.readers import FilePictures


def bitmap(mode: str, size: tuple[int, int] = (13, 7)) -> tuple[bytes, np.ndarray]:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "bmp")
    return file.getvalue(), pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(28, 28), (13, 7), (1, 1)])
def test_grey_and_colour_files_are_what_pil_reads(mode: str, size: tuple[int, int]) -> None:
    data, pixels = bitmap(mode, size)
    read, by_pil = open_bitmap(data), Image.open(io.BytesIO(data))
    assert read is not None
    assert (read.mode, read.size) == (by_pil.mode, by_pil.size)
    assert np.array_equal(np.asarray(read), pixels)
    upside_down = bytearray(data)  # a negative height: rows from top to bottom
    struct.pack_into("<i", upside_down, 22, -size[1])
    turned = open_bitmap(bytes(upside_down))
    assert turned is not None
    assert np.array_equal(np.asarray(turned), np.asarray(Image.open(io.BytesIO(bytes(upside_down)))))


@pytest.mark.parametrize("reserved", [lambda level: 0, lambda level: level, lambda level: 255])
def test_grey_files_are_read_whatever_their_writer_put_behind_each_colour(reserved: Callable[[int], int]) -> None:
    data, pixels = bitmap("L")
    file = bytearray(data)
    for level in range(256):
        file[54 + 4 * level + 3] = reserved(level)
    read = open_bitmap(bytes(file))
    assert read is not None
    assert np.array_equal(np.asarray(read), pixels)


def test_palettes_single_bits_and_other_files_are_left_to_pil() -> None:
    assert open_bitmap(bitmap("1")[0]) is None
    assert open_bitmap(bitmap("P")[0]) is None or bitmap("P")[0][54:58] == b"\0\0\0\0"
    coloured, _ = bitmap("L")
    palette = bytearray(coloured)
    palette[54 + 4] = 77
    assert open_bitmap(bytes(palette)) is None
    assert open_bitmap(coloured[:-1]) is None
    assert open_bitmap(b"BM") is None
    assert open_bitmap(b"\x89PNG" + bytes(100)) is None


def test_files_are_decoded_alike_and_broken_ones_are_found(tmp_path: Path) -> None:
    data, pixels = bitmap("L")
    (tmp_path / "a.bmp").write_bytes(data)
    (tmp_path / "b.bmp").write_bytes(data[:-9])
    (tmp_path / "c.bmp").write_bytes(bitmap("P")[0])
    pictures = FilePictures(tmp_path, ["a.bmp", "b.bmp", "c.bmp"])
    decoded = pictures.decode(0, (7, 13), 1, "stretch")
    assert decoded is not None
    assert np.array_equal(decoded[..., 0], pixels)
    assert pictures.header(0) == (7, 13, 1)
    assert pictures.decode(1, (7, 13), 1, "stretch") is None
    assert pictures.decode(2, (7, 13), 3, "stretch") is not None
