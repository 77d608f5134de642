"""Differentiable augmentation: what the discriminator sees is augmented, real and fake alike, and gradients pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest translation, as a share of the picture's side."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, as a share of the picture's side."""


def augment(pictures: Tensor, policy: str, draws: dict[str, Tensor] | None = None) -> Tensor:
    """Differentiable augmentation (Zhao et al. 2020, https://arxiv.org/abs/2006.10738), another draw for each picture.

    The generator learns through it, so it does not learn to draw augmented pictures as long as both sides of the
    discriminator see them. Nothing is clipped, and gradients reach the pixels that are left.

    Args:
        pictures: (N, C, H, W) in [-1, 1].
        policy: changes in their order, as "color,translation,cutout" in the paper's notation; empty for none.
            "color": brightness, saturation, contrast; "translation": by whole pixels up to an eighth of the side, grey
            comes in; "cutout": a grey square of half the side.
        draws: what `augmentation_draws` returns; None draws from torch's generator.

    Returns:
        (N, C, H, W); `pictures` itself where the policy is empty.

    Raises:
        ValueError: a change that is not known, or one without draws.
    """
    changes = policy_changes(policy)
    if draws is None:
        draws = augmentation_draws(policy, len(pictures), pictures.device)
    for name in changes:
        if name not in draws:
            raise ValueError(f"policy {policy!r} has {name!r}, but there are draws for {', '.join(draws) or 'nothing'}")
        pictures = CHANGES[name][0](pictures, draws[name])
    return pictures


def augmentation_draws(policy: str, count: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Uniform numbers in [0, 1) for `count` pictures: by change (N, 3) for "color", (N, 2) for the others.

    Row by row they say what happens to a picture, so a batch and its halves can be given the same changes.

    Raises:
        ValueError: a change that is not known.
    """
    return {name: torch.rand(count, CHANGES[name][1], device=device) for name in policy_changes(policy)}


def policy_changes(policy: str) -> tuple[str, ...]:
    """Takes a policy apart: "color, cutout" -> ("color", "cutout").

    Raises:
        ValueError: a change that is not known.
    """
    names = tuple(name.strip() for name in policy.split(",") if name.strip())
    for name in names:
        if name not in CHANGES:
            raise ValueError(f"augmentation policy {policy!r}: no change is called {name!r}: {', '.join(CHANGES)}")
    return names


def color(pictures: Tensor, draws: Tensor) -> Tensor:
    """Brightness up to .5 up or down, saturation times 0 to 2, contrast times .5 to 1.5, in this order.

    Args:
        pictures: (N, C, H, W).
        draws: (N, 3) in [0, 1).
    """
    brightness, saturation, contrast = draws.to(pictures.dtype)[:, :, None, None, None].unbind(1)  # each (N, 1, 1, 1)
    pictures = pictures + (brightness - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = torch.lerp(grey.expand_as(pictures), pictures, 2 * saturation)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean.expand_as(pictures), pictures, contrast + 0.5)


def translation(pictures: Tensor, draws: Tensor) -> Tensor:
    """Moves every picture by whole pixels, up to `SHIFT` of its side each way; zeros come in.

    Args:
        pictures: (N, C, H, W).
        draws: (N, 2) in [0, 1), down and across.
    """
    places, inside = [], []
    for dim, side in enumerate(pictures.shape[2:]):
        most = int(side * SHIFT + 0.5)
        shift = (draws[:, dim] * (2 * most + 1)).long() - most  # (N,) in -most ... most
        source = torch.arange(side, device=pictures.device) - shift[:, None]  # (N, side): where a pixel comes from
        places.append(source.clamp(0, side - 1))
        inside.append((source >= 0) & (source < side))
    width = pictures.shape[3]
    place = (places[0][:, :, None] * width + places[1][:, None, :]).flatten(1)  # (N, H W)
    mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (N, 1, H, W)
    moved = pictures.flatten(2).gather(2, place[:, None].expand(-1, pictures.shape[1], -1))  # (N, C, H W)
    return moved.view(pictures.shape) * mask


def cutout(pictures: Tensor, draws: Tensor) -> Tensor:
    """Sets a square of `CUTOUT` of the side to zero; its centre is anywhere, so it may stand over the edge.

    Args:
        pictures: (N, C, H, W).
        draws: (N, 2) in [0, 1), down and across.
    """
    inside = []
    for dim, side in enumerate(pictures.shape[2:]):
        size = int(side * CUTOUT + 0.5)
        # an even square has its centre between pixels, of which there is one more than pixels
        start = (draws[:, dim] * (side + 1 - size % 2)).long() - size // 2  # (N,)
        offset = torch.arange(side, device=pictures.device) - start[:, None]  # (N, side)
        inside.append((offset >= 0) & (offset < size))
    return pictures * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


# name: function, draws a picture
CHANGES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "color": (color, 3),
    "translation": (translation, 2),
    "cutout": (cutout, 2),
}
