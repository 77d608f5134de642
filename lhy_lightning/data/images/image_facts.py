"""What can be seen in images before anything is trained on them: all of one colour, all alike, nearly black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

NARROW = 256 // 8  # an image whose bytes differ by less hardly shows anything
MOST = 0.9  # share of the images from which on a set is remarked on


@dataclass
class ImageFacts:
    """What was seen of each image while it was decoded.

    Attributes:
        lowest, highest: (N,) uint8, smallest and largest byte.
        uniform: (N,) bool, of one colour.
        reach: (N, 2) float64, smallest and largest value of images of more than 8 bits, NaN for others.
        mode: (N,) of what kind those are, "" for others.
    """

    lowest: np.ndarray
    highest: np.ndarray
    uniform: np.ndarray
    reach: np.ndarray
    mode: np.ndarray

    @classmethod
    def of_rows(cls, rows: int) -> ImageFacts:
        """Of images that are still to be looked at."""
        return cls(
            np.zeros(rows, np.uint8),
            np.zeros(rows, np.uint8),
            np.zeros(rows, bool),
            np.full((rows, 2), np.nan),
            np.full(rows, "", "U8"),
        )

    @classmethod
    def joined(cls, parts: Sequence[ImageFacts]) -> ImageFacts:
        """Of several sets, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.names()))

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    def note(self, first: int, pixels: np.ndarray) -> None:
        """Looks at (B, H, W, C) uint8, the images of the rows from `first` on."""
        flat = pixels.reshape(len(pixels), -1)
        rows = slice(first, first + len(pixels))
        self.lowest[rows], self.highest[rows] = flat.min(1), flat.max(1)
        if pixels.shape[3] == 1:
            self.uniform[rows] = self.lowest[rows] == self.highest[rows]
            return
        # only images whose first line is of one colour are looked at whole
        maybe = np.flatnonzero((pixels[:, 0] == pixels[:, 0, :1]).all((1, 2)))
        self.uniform[first + maybe] = [(pixels[row] == pixels[row, 0, 0]).all() for row in maybe]

    def note_reach(self, reach: Mapping[int, tuple[str, float, float]]) -> None:
        """Keeps mode, smallest and largest value of images of more than 8 bits, by row."""
        for row, (mode, smallest, largest) in reach.items():
            self.mode[row], self.reach[row] = mode, (smallest, largest)


def doubtful_images(facts: ImageFacts, content: np.ndarray, rows: np.ndarray) -> list[str]:
    """Returns a sentence for what makes it doubtful that some images are what was meant.

    Args:
        facts: of a pool.
        content: (N,) hashes of its images.
        rows: those to look at, all of them readable.
    """
    number = len(rows)
    if number < 2:
        return []
    if len(np.unique(content[rows])) == 1:
        return [f"all {number:,} images are equal, pixel by pixel"]
    uniform = int(facts.uniform[rows].sum())
    if uniform >= MOST * number:
        return [f"{uniform:,} of {number:,} images are of one colour each"]
    spread = facts.highest[rows].astype(int) - facts.lowest[rows]
    narrow = int((spread < NARROW).sum())
    if narrow >= MOST * number:
        low, high = int(np.median(facts.lowest[rows])), int(np.median(facts.highest[rows]))
        return [
            f"{narrow:,} of {number:,} images use less than an eighth of the range 0 to 255, usually {low} to {high}: "
            "they are nearly of one colour"
        ]
    return []
