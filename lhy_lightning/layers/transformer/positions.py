"""Positional encoding: sinusoidal and learned positions are added to embeddings, rotary ones turn q and k."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """Section 3.5 of Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), sines first, then cosines, as in Marian.

    Returns:
        (length, width) float32: sin(t / 10000^(2i/width)) at column i, the cosine at column width/2 + i.

    Example:
        >>> from lhy_lightning import sinusoids
        >>> tuple(sinusoids(10, 8).shape)
        (10, 8)
    """
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates  # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], 1).float()


def tensor2tensor_sinusoids(length: int, width: int) -> Tensor:
    """What tensor2tensor, where pre-norm comes from, and then fairseq and M2M100 made of the same section.

    The slowest wave is 10000 * 2 pi exactly. In float32 throughout, as there, so that far positions agree as well.

    Returns:
        (length, width) float32: sin(t / 10000^(i/(width/2-1))) at column i, the cosine at column width/2 + i.
    """
    rates = torch.exp(torch.arange(width // 2).float() * -(math.log(10000) / (width // 2 - 1)))
    angles = torch.arange(length).float()[:, None] * rates  # (T, D/2)
    return torch.cat([angles.sin(), angles.cos()], 1)


class SinusoidalPositions(nn.Module):
    """Fixed waves of falling frequency; the table is no weight and grows as it is needed.

    Args:
        width: D, even.
        length: positions to hold from the start.
        first: the first token's position.
        tensor2tensor: the frequencies of `tensor2tensor_sinusoids` instead of the paper's.

    Raises:
        ValueError: an odd width, or one too small for tensor2tensor's frequencies.
    """

    table: Tensor

    def __init__(self, width: int, length: int, *, first: int = 0, tensor2tensor: bool = False) -> None:
        super().__init__()
        if width % 2 or (tensor2tensor and width < 4):
            raise ValueError(f"sinusoidal positions need an even width{' of 4 or more' * tensor2tensor}, not {width}")
        self.width, self.first = width, first
        self.make = tensor2tensor_sinusoids if tensor2tensor else sinusoids
        self.register_buffer("table", self.make(length + first, width)[first:], persistent=False)

    def forward(self, places: slice) -> Tensor:
        """Vectors (T, D) of positions `places`."""
        if places.stop > len(self.table):
            self.table = self.make(2 * places.stop + self.first, self.width)[self.first :].to(self.table)
        return self.table[places]


class LearnedPositions(nn.Module):
    """One trained vector a position (Gehring et al. 2017, https://arxiv.org/abs/1705.03122).

    Args:
        width: D.
        length: positions that exist.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As fairseq's `LearnedPositionalEmbedding`."""
        nn.init.normal_(self.table, std=self.table.shape[1] ** -0.5)

    def forward(self, places: slice) -> Tensor:
        """Vectors (T, D) of positions `places`.

        Raises:
            ValueError: there are not so many.
        """
        if places.stop > len(self.table):
            raise ValueError(f"{places.stop} tokens, but only {len(self.table)} learned positions: max_positions")
        return self.table[places]


class RotaryPositions(nn.Module):
    """Turns pairs of features by an angle that grows with the position, so that products depend on distances alone.

    Su et al. 2021 (https://arxiv.org/abs/2104.09864), equation 34; feature i is paired with i + D/2.

    Args:
        width: D, features of a head, even.
        length: positions to hold from the start; the table grows as it is needed.

    Raises:
        ValueError: an odd width.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"rotary positions need heads of even width, not {width}")
        self.width = width
        self.register_buffer("cosines", torch.empty(0), persistent=False)
        self.register_buffer("sines", torch.empty(0), persistent=False)
        self.fill(length)

    def fill(self, length: int) -> None:
        """Tables (length, D/2)."""
        waves = sinusoids(length, self.width).to(self.sines)
        self.sines, self.cosines = waves[:, : self.width // 2].contiguous(), waves[:, self.width // 2 :].contiguous()

    def forward(self, x: Tensor, places: slice) -> Tensor:
        """Turns x (..., T, D) by positions `places`, T of them or a single one for all."""
        if places.stop > len(self.sines):
            self.fill(2 * places.stop)
        cosines, sines = self.cosines[places].to(x.dtype), self.sines[places].to(x.dtype)  # (T, D/2)
        left, right = x.chunk(2, -1)
        return torch.cat([left * cosines - right * sines, left * sines + right * cosines], -1)
