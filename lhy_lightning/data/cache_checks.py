"""Checksums of cached files, so that a damaged one is made anew and not computed with.

A checksum is of a block of about 1 MiB. At every start all blocks of a file of up to 64 MiB are compared, and of a
larger one 64, evenly spread, the first and the last among them: a cut, a wrong header or zeros over a long stretch are
found in files of any size, a single changed byte surely in those of up to 64 MiB. Small files are compared whole.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.core.checksums import made_anew

BLOCK, AT_START = 2**20, 64


class BlockSums:
    """CRC-32 of every block of a stream that comes piece by piece.

    Args:
        block: bytes of a block.
    """

    def __init__(self, block: int = BLOCK) -> None:
        self.block, self._whole, self._open, self._bytes = block, list[int](), 0, 0

    def add(self, data: bytes) -> None:
        """Takes the next piece of any length."""
        view = memoryview(data)
        while len(view):
            part = view[: self.block - self._bytes]
            self._open, self._bytes, view = zlib.crc32(part, self._open), self._bytes + len(part), view[len(part) :]
            if self._bytes == self.block:
                self._whole.append(self._open)
                self._open, self._bytes = 0, 0

    def sums(self) -> np.ndarray:
        """(blocks,) uint32, the last block as long as it came."""
        return np.array(self._whole + ([self._open] if self._bytes else []), dtype=np.uint32)


def chosen_blocks(count: int) -> list[int]:
    """Those that are compared at a start: all, or so many, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, AT_START)).round().astype(int)).tolist() if count else []


def same_blocks(sums: Sequence[int] | np.ndarray, sum_of: Callable[[int], int]) -> bool:
    """Whether the chosen blocks of a file have the checksums that were written with it."""
    return all(int(sums[block]) == sum_of(block) for block in chosen_blocks(len(sums)))


def same_bytes(pixels: np.ndarray, sums: np.ndarray) -> bool:
    """The same of an array of bytes, in memory or mapped."""
    flat = pixels.reshape(-1)
    if len(sums) != -(-len(flat) // BLOCK):
        return False
    return same_blocks(sums, lambda block: zlib.crc32(flat[block * BLOCK : (block + 1) * BLOCK].data))


def tell_damage(path: Path) -> None:
    """Warns of a file that is not used."""
    rank_zero_warn(made_anew(path))


def write_text(path: Path, text: str) -> None:
    """Writes a small text whole or not at all, its checksum in a line above it."""
    content = text.encode()
    atomic_write(path, b"%08x\n%b" % (zlib.crc32(content), content))


def read_text(path: Path) -> str | None:
    """The text that `write_text` wrote; None where there is none, or, with a word, where it is damaged."""
    if not path.is_file():
        return None
    first, _, content = path.read_bytes().partition(b"\n")
    if first != b"%08x" % zlib.crc32(content):
        tell_damage(path)
        return None
    return content.decode()
