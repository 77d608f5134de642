"""Digits in two halves without a common picture, one grey and one in colours: two domains for CycleGAN."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np

from lhy_lightning.data.splits import held_out

HALVES_SEED, COLOURS_SEED = 20170330, 1703  # of a fixed data set, not of a run
STROKE = (0.6, 1.0)  # saturation and value: the darkest, blue, has luma .47
GROUND = (0.8, 0.35)  # the brightest, yellow, has luma .32: strokes stay brighter than their ground


def coloured_half(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which digits are in colours: half of every class, equal pictures on one side.

    Args:
        pixels: (N, 8, 8) uint8.
        labels: (N,) int64.

    Returns:
        (N,) bool, the same on every machine.
    """
    _, content = np.unique(pixels.reshape(len(pixels), -1), axis=0, return_inverse=True)
    return held_out(labels, content.reshape(-1), 0.5, HALVES_SEED)


def coloured(pixels: np.ndarray) -> np.ndarray:
    """Every picture in two colours of its own: a stroke of any hue on a darker ground of about the opposite hue.

    The colours say nothing about the digit, and the strokes stay brighter than the ground.

    Args:
        pixels: (N, H, W) uint8, bright strokes on black.

    Returns:
        (N, H, W, 3) uint8.
    """
    bits = np.random.PCG64(np.random.SeedSequence(COLOURS_SEED)).random_raw(2 * len(pixels))  # numpy keeps these alike
    hue, turn = (bits / 2**64).reshape(2, len(pixels))
    stroke = np.array([hsv_to_rgb(h, *STROKE) for h in hue])
    ground = np.array([hsv_to_rgb((h + 0.4 + 0.2 * t) % 1, *GROUND) for h, t in zip(hue, turn, strict=True)])
    share = (pixels / 255)[..., None]
    mixed = share * stroke[:, None, None] + (1 - share) * ground[:, None, None]
    pictures: np.ndarray = np.rint(255 * mixed).astype(np.uint8)
    return pictures
