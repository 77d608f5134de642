"""Inputs that are computed from their targets: edges and grey versions of pictures, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lhy_lightning.data.augmentation.transforms import LUMA

SHARE = 0.25  # of the picture's steepest slope: what is less is no edge
FLAT = 0.02  # slopes a pixel, of 1 from black to white, that are noise


def grey(pictures: Tensor) -> Tensor:
    """Luma: (N, 1 or 3, H, W) in [-1, 1] to (N, 1, H, W) in [-1, 1]."""
    if pictures.shape[1] == 1:
        return pictures
    weights = torch.tensor(LUMA, device=pictures.device)
    return (pictures * weights[:, None, None]).sum(1, keepdim=True)


def edges(pictures: Tensor) -> Tensor:
    """Thin edges, white on black: where luma is steepest across an edge (Canny 1986, without hysteresis).

    Sobel slopes; a pixel is on an edge if its slope is at least a quarter of the picture's steepest and no smaller than
    at its two neighbours along the slope, in one of four directions.

    Args:
        pictures: (N, 1 or 3, H, W) in [-1, 1].

    Returns:
        (N, 1, H, W) float32, -1 or 1.
    """
    luma = functional.pad((grey(pictures).float() + 1) / 2, (1, 1, 1, 1), mode="replicate")
    across = luma[..., 2:] - luma[..., :-2]
    across = (across[:, :, :-2] + 2 * across[:, :, 1:-1] + across[:, :, 2:]) / 8  # (N, 1, H, W), a pixel
    down = luma[:, :, 2:] - luma[:, :, :-2]
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 8
    slope = torch.hypot(across, down)
    steep = slope >= (SHARE * slope.amax((2, 3), keepdim=True)).clamp(min=FLAT)

    around = functional.pad(slope, (1, 1, 1, 1))
    height, width = slope.shape[2:]

    def neighbour(y: int, x: int) -> Tensor:
        return around[:, :, 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    octant = torch.round(torch.atan2(down, across) / (torch.pi / 4)).long() % 4  # 0 across, 1 both, 2 down, 3 contrary
    top = torch.zeros_like(steep)
    for number, (y, x) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        # One of two equals is kept: otherwise lines between two pixels would be two pixels wide
        top |= (octant == number) & (slope > neighbour(-y, -x)) & (slope >= neighbour(y, x))
    return (steep & top).float() * 2 - 1


INPUT_TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {"edges": edges, "grey": grey}
"""Ways to make an input of 1 channel from a target, by name."""
