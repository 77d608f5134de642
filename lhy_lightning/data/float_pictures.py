"""Pictures in an array of floats, which say what is black and what is white."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lhy_lightning.data.pictures import MODES, PictureSet

CHUNK = 256  # pictures looked at in one go


class FloatPictures(PictureSet):
    """Pictures in one array of floats, memory-mapped; rounded to 8 bits as they are decoded.

    A picture with a NaN cannot be read: as corrupt files, it is left out of training and counted, and a grey one
    stands in for it in test and prediction.

    Args:
        array: (N, H, W) or (N, H, W, C) of floats, C 1 or 3.
        source: what it was loaded from.
        fingerprint: names the array's content.
        value_range: the numbers that stand for black and white.

    Raises:
        ValueError: no range, one that is none, an array of another rank, or a value outside of the range.
    """

    def __init__(
        self, array: np.ndarray, source: str, fingerprint: str, value_range: tuple[float, float] | None
    ) -> None:
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in MODES):
            raise ValueError(
                f"{source} holds {array.dtype} of shape {array.shape}; pictures are of shape (N, height, width) or "
                "(N, height, width, channels) with 1 or 3 channels."
            )
        if value_range is None:
            raise ValueError(
                f"{source} holds {array.dtype} of shape {array.shape}; pictures are uint8, or floats with the numbers "
                "that are black and white: set --data.value_range, such as [0, 1] or [-1, 1]."
            )
        low, high = float(value_range[0]), float(value_range[1])
        if not low < high:
            raise ValueError(f"value_range=({low:g}, {high:g}): black must be less than white.")
        self.array = array if array.ndim == 4 else array[..., None]
        self.source, self.low, self.high = source, low, high
        self.fingerprint = f"{fingerprint}-{low}-{high}"
        for first in range(0, len(array), CHUNK):
            chunk = np.asarray(array[first : first + CHUNK])
            outside = (chunk < low) | (chunk > high)  # neither is true of NaN
            if outside.any():
                row = int(np.flatnonzero(outside.reshape(len(chunk), -1).any(1))[0])
                value = chunk[row][outside[row]][0]
                raise ValueError(
                    f"{self.name(first + row)} holds {value:g}, outside of value_range ({low:g}, {high:g})."
                )

    def __len__(self) -> int:
        return len(self.array)

    def name(self, row: int) -> str:
        return f"{self.source}#{row}"

    def open(self, row: int) -> Image.Image:
        values = (np.asarray(self.array[row], dtype=np.float64) - self.low) / (self.high - self.low)
        if np.isnan(values).any():
            raise ValueError(f"{self.name(row)} has a NaN")
        picture = np.rint(values * 255).astype(np.uint8)
        return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)

    def common_shape(self) -> tuple[int, int, int] | None:
        height, width, channels = self.array.shape[1:]
        return height, width, channels
