"""Digits in thirds without a common picture: plain ones, and others over patches of photos, for domain adaptation.

Each digit of the second and third part lies over ten patches, `max(0.7 · patch, digit)`: all ten are on one side of
every split, as rows of one split are made of digits that no other split has.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from lhy_lightning.data.splits import held_out

THIRDS_SEED, PATCHES_SEED = 20150227, 1505  # of a fixed data set, not of a run
PATCHES = 10  # of each digit
SIDE = 16  # digits are enlarged to it: at 8 pixels a patch has no texture, and there is nothing to adapt to
SHARE = 0.7  # of the patch, so that strokes are never darker than their ground
VAL_SHARE = 0.1  # of the second third


def third_of_row(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Deals the digits at random: every class in equal parts, equal pictures together.

    Args:
        pixels: (N, 8, 8) uint8.
        labels: (N,) int64.

    Returns:
        (N,) int64, the same on every machine: 0 plain, 1 to train on over photos, 2 to validate them, 3 to test them.
    """
    _, content = np.unique(pixels.reshape(len(pixels), -1), axis=0, return_inverse=True)
    content, part = content.reshape(-1), np.zeros(len(pixels), dtype=np.int64)
    for stream, (number, fraction, within) in enumerate(((1, 2 / 3, 0), (3, 1 / 2, 1), (2, VAL_SHARE, 1))):
        rows = np.flatnonzero(part == within)
        part[rows[held_out(labels[rows], content[rows], fraction, THIRDS_SEED, stream=stream)]] = number
    return part


@cache
def _photos() -> tuple[np.ndarray, ...]:
    """scikit-learn's two photos, (427, 640, 3) uint8 each."""
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """Digits (N, 8, 8) uint8 to (N, 16, 16) uint8, bilinear."""
    return np.stack([np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for p in pixels])


def over_photos(pixels: np.ndarray, part: int) -> np.ndarray:
    """Every digit over ten random patches of two photos.

    Args:
        pixels: (N, H, W) uint8.
        part: tells apart the patches of several calls.

    Returns:
        (10 · N, H, W, 3) uint8, the ten of one digit one after the other.
    """
    photos, (height, width) = _photos(), pixels.shape[1:]
    count = PATCHES * len(pixels)
    bits = np.random.PCG64(np.random.SeedSequence((PATCHES_SEED, part))).random_raw(3 * count)  # numpy keeps these
    which, down, right = (bits >> np.uint64(11)).reshape(3, count) / 2**53
    patches = np.empty((count, height, width, 3))
    for row in range(count):
        photo = photos[int(which[row] * len(photos))]
        top, left = int(down[row] * (photo.shape[0] - height + 1)), int(right[row] * (photo.shape[1] - width + 1))
        patches[row] = photo[top : top + height, left : left + width]
    strokes = np.repeat(pixels, PATCHES, axis=0)[..., None]
    pictures: np.ndarray = np.maximum(np.rint(SHARE * patches).astype(np.uint8), strokes)
    return pictures
