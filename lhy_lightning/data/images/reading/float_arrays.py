"""Pictures in an array of floats or of integers other than bytes, by a stated or evident range."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lhy_lightning.data.images.reading.bit_depth import FULL_8, check_value_range, range_in_use, suggested_range
from lhy_lightning.data.images.reading.readers import MODES, PictureSet, ranged

CHUNK = 256  # pictures looked at in one go


class FloatPictures(PictureSet):
    """Pictures in one array of numbers, memory-mapped; rounded to 8 bits as they are decoded.

    A picture with a NaN cannot be read: as corrupt files, it is left out of training and counted, and a grey one
    stands in for it in test and prediction.

    Args:
        array: (N, H, W) or (N, H, W, C) of floats, integers or booleans, C 1 or 3.
        source: what it was loaded from.
        fingerprint: names the array's content.
        value_range: the numbers that stand for black and white; not needed where it is evident (`range_in_use`).

    Raises:
        ValueError: no range, one that is none, an array of another rank, or a value outside of the range.
    """

    always_ranged = True

    def __init__(
        self, array: np.ndarray, source: str, fingerprint: str, value_range: tuple[float, float] | None
    ) -> None:
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in MODES):
            raise ValueError(
                f"{source} holds {array.dtype} of shape {array.shape}; pictures are of shape (N, height, width) or "
                "(N, height, width, channels) with 1 or 3 channels."
            )
        check_value_range(value_range)
        self.array = array if array.ndim == 4 else array[..., None]
        self.source, stated = source, (0.0, 1.0) if array.dtype == bool else value_range
        smallest, largest = self._reach()
        if stated is None and array.dtype.kind == "f":
            raise ValueError(
                f"{source} holds {array.dtype} of shape {array.shape}; pictures are uint8, or numbers of a known "
                f"range. These reach from {smallest[1]:g} to {largest[1]:g}; say which are black and white: set "
                f"--data.value_range, such as {suggested_range(smallest[1], largest[1])}."
            )
        below = stated is not None and smallest[1] < stated[0]
        where = source if stated is None else self.name((smallest if below else largest)[0])
        reach = (array.dtype.name, smallest[1], largest[1])
        self.low, self.high = range_in_use(where, reach, stated) if len(array) else FULL_8
        self.value_range = (self.low, self.high)
        self.fingerprint = ranged(fingerprint, self.value_range)

    def _reach(self) -> tuple[tuple[int, float], tuple[int, float]]:
        """Row and value of the smallest and of the largest number, NaN apart."""
        smallest, largest = (0, np.inf), (0, -np.inf)
        for first in range(0, len(self.array), CHUNK):
            chunk = np.asarray(self.array[first : first + CHUNK])
            chunk = chunk.reshape(len(chunk), -1)
            low, high = (np.asarray(extreme.reduce(chunk, 1), np.float64) for extreme in (np.fmin, np.fmax))
            low, high = np.where(np.isnan(low), np.inf, low), np.where(np.isnan(high), -np.inf, high)
            if low.min() < smallest[1]:
                smallest = first + int(low.argmin()), float(low.min())
            if high.max() > largest[1]:
                largest = first + int(high.argmax()), float(high.max())
        return smallest, largest

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
