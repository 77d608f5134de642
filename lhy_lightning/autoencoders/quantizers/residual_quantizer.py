"""Several codes a vector: quantizers one after the other, or side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.quantizers.straight_through import straight_through
from lhy_lightning.autoencoders.quantizers.vector_quantizer import Quantized, VectorQuantizer


def numbered(quantizers: nn.ModuleList) -> dict[str, Tensor]:
    """Figures of each quantizer, with its number behind the name."""
    return {
        f"{name}_{number}": value
        for number, quantizer in enumerate(quantizers)
        for name, value in quantizer.metrics().items()  # type: ignore[operator]
    }


class ResidualQuantizer(nn.Module):
    """Quantizes a vector, then what is left of it, and so on (Zeghidour et al. 2021, SoundStream,
    https://arxiv.org/abs/2107.03312, algorithm 1).

    Args:
        depth: quantizers Q.
        codebook_size: codes K of each.
        dim: numbers D of a vector.
        settings: as in `VectorQuantizer`; the loss is the sum of theirs.

    Raises:
        ValueError: no quantizer, or cosine codes, which leave nothing that adds up.
    """

    def __init__(self, depth: int, codebook_size: int, dim: int, **settings: Any) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth={depth}: at least one quantizer")
        if settings.get("cosine"):
            raise ValueError("cosine codes have length one, so that a residual is none: leave cosine out")
        self.dim, self.codebook_size = dim, codebook_size
        self.quantizers = nn.ModuleList(VectorQuantizer(codebook_size, dim, **settings) for _ in range(depth))

    def forward(self, vectors: Tensor) -> Quantized:
        """Vectors (..., D) to the sum of their codes; codes are (..., Q)."""
        rest, total = vectors.float(), torch.zeros_like(vectors, dtype=torch.float32)
        codes, loss = [], torch.zeros((), device=vectors.device)
        for quantizer in self.quantizers:
            result = quantizer(rest)
            found = result.vectors.detach()
            total, rest = total + found, rest - found  # the gradient of what is left is the vector's own
            codes.append(result.codes)
            loss = loss + result.loss
        return Quantized(straight_through(vectors, total.to(vectors.dtype)), torch.stack(codes, -1), loss)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (..., Q) to vectors (..., D); the first few of them, (..., fewer), give a coarser vector."""
        parts = [quantizer.decode(codes[..., q]) for q, quantizer in enumerate(self.quantizers[: codes.shape[-1]])]  # type: ignore[operator]
        return torch.stack(parts).sum(0)

    def metrics(self) -> dict[str, Tensor]:
        return numbered(self.quantizers)


class GroupedQuantizer(nn.Module):
    """Cuts a vector into parts and quantizes each by a codebook of its own (product quantization, Jegou et al. 2011).

    Args:
        groups: parts G, of D / G numbers each.
        codebook_size: codes K of each.
        dim: numbers D of a vector.
        settings: as in `VectorQuantizer`; the loss is the mean over parts, and so over all elements.

    Raises:
        ValueError: D is no multiple of G.
    """

    def __init__(self, groups: int, codebook_size: int, dim: int, **settings: Any) -> None:
        super().__init__()
        if groups < 1 or dim % groups:
            raise ValueError(f"dim={dim} numbers cannot be cut into groups={groups} equal parts")
        self.dim, self.codebook_size = dim, codebook_size
        self.quantizers = nn.ModuleList(
            VectorQuantizer(codebook_size, dim // groups, **settings) for _ in range(groups)
        )

    def forward(self, vectors: Tensor) -> Quantized:
        """Vectors (..., D) to vectors whose parts are codes; codes are (..., G)."""
        if vectors.shape[-1] != self.dim:
            raise ValueError(f"vectors of shape {tuple(vectors.shape)}: expected (..., {self.dim})")
        parts = vectors.chunk(len(self.quantizers), -1)
        results = [quantizer(part) for quantizer, part in zip(self.quantizers, parts, strict=True)]
        return Quantized(
            torch.cat([result.vectors for result in results], -1),
            torch.stack([result.codes for result in results], -1),
            torch.stack([result.loss for result in results]).mean(),
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (..., G) to vectors (..., D)."""
        return torch.cat([quantizer.decode(codes[..., g]) for g, quantizer in enumerate(self.quantizers)], -1)  # type: ignore[operator]

    def metrics(self) -> dict[str, Tensor]:
        return numbered(self.quantizers)
