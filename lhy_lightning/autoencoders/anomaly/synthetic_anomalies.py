"""Anomalies made of normal pictures, for a classifier that is to tell them apart. Plain torch, a batch at a time.

Every kind is a function of pictures (N, C, H, W) in [-1, 1]; what is random is drawn on the pictures' device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lhy_lightning.core.seeding import derive_seed

MADE = ("noise", "patches", "latents", "rotations", "shifts")
TURNS = 4
PASTE_NUMBERS = 7
SHIFTS = tuple((down, right) for down in (0, -1, 1) for right in (0, -1, 1))
Move = tuple[int, int, int]  # quarter turns, then steps down and right


def moves_of(name: str) -> tuple[Move, ...]:
    """The changes that "rotations" and "shifts" stand for, the first of which changes nothing; none of the others.

    "rotations" are the four quarter turns (Gidaris et al. 2018), "shifts" each of them with each of nine shifts by a
    quarter of the sides: the 72 transformations of Golan and El-Yaniv 2018 (https://arxiv.org/abs/1805.10917, section
    4.1) without their mirror images, which look alike where things are symmetric.
    """
    if name == "rotations":
        return tuple((turns, 0, 0) for turns in range(TURNS))
    if name == "shifts":
        return tuple((turns, *shift) for shift in SHIFTS for turns in range(TURNS))
    return ()


def moved(images: Tensor, move: Move) -> Tensor:
    """Pictures after one change, the same for all; what a shift uncovers is a mirror image.

    Args:
        images: (N, C, H, W), square where quarter turns are odd.
        move: quarter turns counter-clockwise, and steps of a quarter of the sides down and right.
    """
    turns, *steps = move
    for axis, step in zip((2, 3), steps, strict=True):
        if step:
            images = _shifted(images, axis, step * (images.shape[axis] // 4))
    return images.rot90(turns, (2, 3)) if turns else images


def _shifted(images: Tensor, axis: int, pixels: int) -> Tensor:
    """Along one axis by some pixels, either way, less than the side."""
    size, beside = images.shape[axis], abs(pixels)
    kept = images.narrow(axis, 0 if pixels > 0 else beside, size - beside)
    # the mirror image of the rows next to the edge that moved inwards, the edge itself not repeated
    edge = kept.narrow(axis, 1, beside) if pixels > 0 else kept.narrow(axis, size - 2 * beside - 1, beside)
    parts = (edge.flip(axis), kept) if pixels > 0 else (kept, edge.flip(axis))
    return torch.cat(parts, dim=axis)


def noise(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Pictures faded into uniform noise by a random share from .1 to 1: the homework's boss hint."""
    share = 0.1 + 0.9 * _uniform(images.new_empty(len(images), 1, 1, 1), generator)
    static = _uniform(torch.empty_like(images), generator) * 2 - 1
    return (1 - share) * images + share * static


def pasted(images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Pictures into which a rectangle of another picture of the batch is pasted; returns what `paste` does.

    A single picture gets a piece of its own.
    """
    return paste(images, images.roll(1, 0), _uniform(images.new_empty(len(images), PASTE_NUMBERS), generator))


def pasted_by_row(images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures into which a rectangle of their own is pasted, each by its row (N,) alone: the same in any batch.

    Returns what `paste` does.
    """
    draws = [
        torch.rand(PASTE_NUMBERS, generator=torch.Generator().manual_seed(derive_seed(0, row))) for row in rows.tolist()
    ]
    return paste(images, images, torch.stack(draws).to(images.device))


def paste(images: Tensor, others: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures into which a rectangle is pasted that is cut from elsewhere, lighter or darker than it was there.

    CutPaste (Li et al. 2021, https://arxiv.org/abs/2104.04015), whose jitter of the piece is stronger here: .4 to 1 is
    added or taken away. The rectangle has sides of a tenth to .4 of the picture's; where its content equals what was
    there (black on black), nothing is changed.

    Args:
        images: (N, C, H, W).
        others: (N, C, H, W) that the pieces are cut from.
        numbers: (N, 7) drawn from [0, 1): height and width, the two places from the top and the left, the light.

    Returns:
        The pictures, and (N, H, W) bool, the pixels that are changed.
    """
    height, width = images.shape[2:]
    sides = images.new_tensor([height, width])
    size, place, origin, light = numbers.split((2, 2, 2, 1), 1)
    spans = (sides * (0.1 + 0.3 * size)).round().clamp(min=2)
    starts = ((sides - spans + 1) * place).floor()
    origins = ((sides - spans + 1) * origin).floor()
    rows, columns = (
        torch.arange(side, device=images.device)[None] - starts[:, axis, None].long()
        for axis, side in enumerate((height, width))
    )  # (N, H) and (N, W): the place within the rectangle
    inside_rows = (rows >= 0) & (rows < spans[:, :1])
    inside_columns = (columns >= 0) & (columns < spans[:, 1:])
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    from_rows = (rows + origins[:, :1].long()).clamp(0, height - 1)
    from_columns = (columns + origins[:, 1:].long()).clamp(0, width - 1)
    own = torch.arange(len(images), device=images.device)[:, None, None]
    pieces = others[own, :, from_rows[:, :, None], from_columns[:, None, :]].permute(0, 3, 1, 2)
    light = 2 * light - 1
    light = (0.4 * light.sign() + 0.6 * light)[:, :, None, None]
    result = torch.where(inside[:, None], (pieces + light).clamp(-1, 1), images)
    return result, (result != images).any(1)


def shuffled_latents(latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Every coordinate from another picture of the batch: each is as it should be, all of them together are not."""
    order = _uniform(torch.empty(latents.shape, device=latents.device), generator).argsort(dim=0)
    return latents.gather(0, order)


@dataclass(frozen=True)
class SyntheticBatch:
    """A batch some of which is changed.

    Attributes:
        seen: (N, C, H, W) what the encoder sees.
        kind: (N,) int64, 0 where nothing was changed.
        target: (N, C, H, W) what the decoder should give back.
    """

    seen: Tensor
    kind: Tensor
    target: Tensor


def make_anomalies(
    name: str,
    images: Tensor,
    generator: torch.Generator | None = None,
    *,
    redraw: Callable[[Callable[[Tensor], Tensor]], Tensor] | None = None,
) -> SyntheticBatch:
    """Changes a random part of a batch.

    Of moved pictures every kind is about as frequent, and what was moved is to be given back as it is. Otherwise half
    of the pictures are changed (kind 1); the decoder is to restore those with noise or a pasted piece.

    Args:
        name: one of `MADE`.
        images: (N, C, H, W) in [-1, 1].
        generator: of the draws; torch's own if not given.
        redraw: for "latents": given a change of latents, tells what pictures it makes of `images`, (N, C, H, W).
    """
    moves, count = moves_of(name), len(images)
    kinds = len(moves) or 2
    # as many of each kind as of any other, but for a remainder that is drawn: less noise than kinds drawn by row
    first = torch.randint(kinds, (1,), generator=generator, device=images.device)
    kind = (torch.arange(count, device=images.device) + first) % kinds
    kind = kind[torch.randperm(count, generator=generator, device=images.device)]
    if moves:
        seen = torch.empty_like(images)
        for number, move in enumerate(moves):
            rows = (kind == number).nonzero().flatten()
            seen[rows] = moved(images[rows], move)
        return SyntheticBatch(seen, kind, seen)
    if name == "latents":
        assert redraw is not None
        changed = redraw(lambda latents: shuffled_latents(latents, generator))
    else:
        changed = noise(images, generator) if name == "noise" else pasted(images, generator)[0]
    seen = torch.where((kind == 1)[:, None, None, None], changed, images)
    return SyntheticBatch(seen, kind, seen if name == "latents" else images)


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device, dtype=torch.float32)


def fit_for_moves(name: str, image_size: tuple[int, int]) -> None:
    """Refuses pictures that cannot be turned or shifted.

    Raises:
        ValueError: quarter turns of pictures that are not square, or shifts of pictures under eight pixels.
    """
    if moves_of(name) and (image_size[0] != image_size[1] or min(image_size) < 8):
        raise ValueError(
            f"synthetic_anomalies={name} needs square pictures of at least 8 x 8, not {image_size[0]} x "
            f"{image_size[1]}: set --data.image_size"
        )
