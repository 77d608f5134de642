"""Test-time augmentation: several views of one picture, their probabilities averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# shares of the picture's side by which a view is moved: none, then towards the four corners
SHIFTS = ((0.0, 0.0), (-0.0625, -0.0625), (0.0625, 0.0625), (-0.0625, 0.0625), (0.0625, -0.0625))


def view_moves(count: int) -> list[tuple[float, float, bool]]:
    """(down, right, mirrored) of each of `count` views.

    Raises:
        ValueError: more views than there are.
    """
    if not 1 <= count <= 2 * len(SHIFTS):
        raise ValueError(f"test_time_views lies between 1 and {2 * len(SHIFTS)}, not {count}")
    return [(*SHIFTS[number // 2], bool(number % 2)) for number in range(count)]


def views(images: Tensor, count: int) -> Iterator[Tensor]:
    """The picture, its mirror image, then the same two moved by a sixteenth of a side towards each corner.

    What a move uncovers repeats the border. The order is fixed: a prediction never depends on chance.

    Args:
        images: (N, C, H, W).
        count: 1 to 10.
    """
    height, width = images.shape[2:]
    for share_down, share_right, mirrored in view_moves(count):
        down, right = round(share_down * height), round(share_right * width)
        moved = images
        if down or right:
            padded = F.pad(images, (abs(right), abs(right), abs(down), abs(down)), mode="replicate")
            top, left = abs(down) - down, abs(right) - right
            moved = padded[..., top : top + height, left : left + width]
        yield moved.flip(3) if mirrored else moved


def averaged_probabilities(network: Callable[[Tensor], Tensor], images: Tensor, count: int) -> Tensor:
    """Mean over views of softmax(network(view)): (N, C, H, W) to (N, K) float32."""
    total = torch.stack([network(view).float().softmax(1) for view in views(images, count)])
    return total.mean(0)
