"""Sizes of images as they are given: one number for squares, or height and width."""

from collections.abc import Sequence
from typing import overload


@overload
def height_and_width(size: None) -> None: ...


@overload
def height_and_width(size: int | Sequence[int]) -> tuple[int, int]: ...


@overload
def height_and_width(size: int | Sequence[int] | None) -> tuple[int, int] | None: ...


def height_and_width(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Reads a size: 32 is (32, 32), None stays None.

    Args:
        size: side of a square, or (height, width).
    """
    if size is None:
        return None
    if isinstance(size, Sequence):
        height, width = size
        return int(height), int(width)
    return int(size), int(size)
