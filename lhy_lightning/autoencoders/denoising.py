"""What a denoising auto-encoder sees."""

from __future__ import annotations

import torch
from torch import Tensor


def corrupt_images(images: Tensor, *, noise: float, masking: float, generator: torch.Generator | None = None) -> Tensor:
    """What a denoising auto-encoder sees (Vincent et al. 2010, section 3.3): Gaussian noise, and pixels set to black.

    Args:
        images: (N, C, H, W) in [-1, 1].
        noise: standard deviation of what is added.
        masking: share of the pixels, all channels at once, that are set to -1.
        generator: of the draws, on the pictures' device; torch's own if not given.

    Example:
        >>> import torch
        >>> from lhy_lightning import corrupt_images
        >>> tuple(corrupt_images(torch.zeros(2, 1, 8, 8), noise=0.5, masking=0.2).shape)
        (2, 1, 8, 8)
    """
    if noise:
        images = images + noise * torch.randn(images.shape, generator=generator, device=images.device)
    if masking:
        hidden = torch.rand(images[:, :1].shape, generator=generator, device=images.device) < masking
        images = images.masked_fill(hidden, -1.0)
    return images
