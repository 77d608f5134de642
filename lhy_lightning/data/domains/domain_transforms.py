"""Pictures made alike before two domains meet: grey, inverted, or their edges as OpenCV's Canny finds them.

What comes out is kept decoded like any picture, so it is computed once and not in every epoch.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import numpy as np
from PIL import Image

from lhy_lightning.core.extras import need
from lhy_lightning.data.images.reading.readers import PictureSet, Resize

Change = Literal["none", "grey", "inverted", "edges"]


class ChangedPictures(PictureSet):
    """The pictures of another set in grey, inverted (255 - grey), or as their edges, white on black.

    Edges are those of the picture at the size asked for (Canny 1986, in OpenCV's implementation, with the L1 norm of
    Sobel slopes). Three channels repeat the one.

    Args:
        pictures: the set.
        change: what is done to each.
        canny: both thresholds of edges: slopes above the higher begin an edge, above the lower go on with it.

    Raises:
        ModuleNotFoundError: edges without OpenCV.
        ValueError: no such change.
    """

    def __init__(self, pictures: PictureSet, change: Change, *, canny: tuple[int, int] = (170, 300)) -> None:
        check_change(change)
        self.pictures, self.change, self.canny = pictures, change, (int(canny[0]), int(canny[1]))
        thresholds = self.canny if change == "edges" else ()
        key = f"{pictures.fingerprint} {change} {thresholds} 2"  # raise it where decoding changes
        self.fingerprint = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        self.value_range, self.always_ranged = pictures.value_range, pictures.always_ranged

    @property
    def reach(self) -> dict[int, tuple[str, float, float]]:
        return self.pictures.reach

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, row: int) -> str:
        return self.pictures.name(row)

    def open(self, row: int) -> Image.Image:
        """The picture before the change."""
        return self.pictures.open(row)

    def header(self, row: int) -> tuple[int, int, int]:
        height, width, channels = self.pictures.header(row)
        return height, width, min(channels, 1)

    def common_shape(self) -> tuple[int, int, int] | None:
        shape = self.pictures.common_shape()
        return None if shape is None else (shape[0], shape[1], 1)

    def decode(self, row: int, size: tuple[int, int], channels: int, resize: Resize) -> np.ndarray | None:
        found = self.decode_with_origin(row, size, channels, resize)
        return None if found is None else found[0]

    def decode_with_origin(
        self, row: int, size: tuple[int, int], channels: int, resize: Resize
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The picture after and before the change: many have no edge at all, and are not one picture therefore."""
        origin = self.pictures.decode(row, size, 1, resize)
        if origin is None:
            return None
        picture = origin
        if self.change == "inverted":
            picture = 255 - origin
        elif self.change == "edges":
            import cv2

            picture = cv2.Canny(np.ascontiguousarray(origin[..., 0]), *self.canny)[..., None]
        return picture if channels == 1 else np.repeat(picture, channels, axis=2), origin


def changed(pictures: PictureSet, change: Change, *, canny: tuple[int, int]) -> PictureSet:
    """`ChangedPictures`, or the set itself where nothing is changed."""
    return pictures if change == "none" else ChangedPictures(pictures, change, canny=canny)


def check_change(change: str) -> None:
    """Refuses a change that there is not, or that a package is missing for.

    Raises:
        ModuleNotFoundError: edges without OpenCV.
        ValueError: no such change.
    """
    if change not in get_args(Change):
        raise ValueError(f"{change!r} is none of {', '.join(get_args(Change))}.")
    if change == "edges":
        need("cv2", "the change 'edges'")
