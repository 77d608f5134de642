"""Finite scalar quantization: a grid instead of a codebook."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.quantizers.codebook_usage import code_perplexity, usage
from lhy_lightning.autoencoders.quantizers.straight_through import straight_through
from lhy_lightning.autoencoders.quantizers.vector_quantizer import Quantized
from lhy_lightning.core.distributed import sum_over_ranks


class FiniteScalarQuantizer(nn.Module):
    """Bounds each number of a vector and rounds it to one of a few levels (Mentzer et al. 2023,
    https://arxiv.org/abs/2309.15505, appendix A.1).

    There is nothing to learn, no loss and nothing that could collapse; a vector has a number for each of the levels.

    Args:
        levels: for each number, how many values it may take: (8, 5, 5, 5) are 1,000 codes.

    Raises:
        ValueError: no levels, or one below 2.
    """

    scales: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels={tuple(levels)}: at least one number, of at least 2 values each")
        self.levels, self.dim, self.codebook_size = tuple(levels), len(levels), prod(levels)
        self.register_buffer("scales", torch.tensor([float(level) for level in levels]), persistent=False)
        basis = torch.tensor([prod(levels[:place]) for place in range(len(levels))])
        self.register_buffer("basis", basis, persistent=False)
        self.step_counts: Tensor | None = None

    def bound(self, vectors: Tensor) -> Tensor:
        """tanh, stretched so that rounding gives each number exactly its levels, zero among them."""
        half = (self.scales - 1) * (1 + 1e-3) / 2  # the paper has 1 - 1e-3, which leaves two levels undefined
        offset = torch.where(self.scales % 2 == 0, 0.5, 0.0)
        return (vectors + (offset / half).atanh()).tanh() * half - offset

    def forward(self, vectors: Tensor) -> Quantized:
        """Vectors (..., D) to vectors on the grid, in -1 ... 1; the loss is zero.

        Raises:
            ValueError: the last axis is not the number of levels.
        """
        if vectors.shape[-1] != self.dim:
            raise ValueError(f"vectors of shape {tuple(vectors.shape)}: levels={self.levels} expect (..., {self.dim})")
        with torch.autocast(vectors.device.type, enabled=False):
            bounded = self.bound(vectors.float())
            grid = straight_through(bounded, bounded.round())
            half = (self.scales / 2).floor()
            codes = ((grid.detach() + half).long() * self.basis).sum(-1)
            if self.training:
                self.step_counts = sum_over_ranks(torch.bincount(codes.flatten(), minlength=self.codebook_size))
        return Quantized((grid / half).to(vectors.dtype), codes, torch.zeros((), device=vectors.device))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (...) int64 to the vectors (..., D) float32 that they stand for."""
        half = (self.scales / 2).floor()
        return (codes[..., None] // self.basis % self.scales.long() - half) / half

    def metrics(self) -> dict[str, Tensor]:
        """Of the last training step, all ranks: perplexity, share of codes used."""
        counts = self.step_counts
        return {} if counts is None else {"perplexity": code_perplexity(counts), "codes_used": usage(counts)}
