"""Two levels of codes: a coarse map of what is where, and a fine one of how it looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.networks import ConvDecoder, ConvEncoder
from lhy_lightning.autoencoders.quantizers.vector_quantizer import Quantized


class TwoLevelNetwork(nn.Module):
    """The hierarchy of VQ-VAE-2 (Razavi et al. 2019, https://arxiv.org/abs/1906.00446, figure 2a), with two levels.

    The top level's codes are of a map of half the side; the bottom level is encoded with what the top one says in view,
    and the decoder sees both.

    Args:
        channels: C of a picture.
        dim: numbers D of a code.
        top, bottom: quantizers of the two levels.
        shape: (h, w) of the bottom level's codes, even numbers.
        width, inner, blocks, downsamplings: as in `ConvEncoder`, of the bottom level.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        top: nn.Module,
        bottom: nn.Module,
        shape: tuple[int, int],
        *,
        width: int = 128,
        inner: int = 32,
        blocks: int = 2,
        downsamplings: int = 2,
    ) -> None:
        super().__init__()
        if shape[0] % 2 or shape[1] % 2:
            raise ValueError(f"two levels: a map of {shape[0]} x {shape[1]} codes has no half; give larger pictures")
        self.shapes = ((shape[0] // 2, shape[1] // 2), shape)
        numbers = {"width": width, "inner": inner, "blocks": blocks}
        self.encoder = ConvEncoder(channels, width, downsamplings=downsamplings, **numbers)
        self.top_encoder = ConvEncoder(width, dim, downsamplings=1, **numbers)
        self.top_decoder = ConvDecoder(dim, dim, downsamplings=1, **numbers)
        self.join = nn.Conv2d(width + dim, dim, 1)
        self.enlarge = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1)
        self.decoder = ConvDecoder(channels, 2 * dim, downsamplings=downsamplings, **numbers)
        self.quantizers = nn.ModuleList((top, bottom))

    def quantize(self, images: Tensor) -> tuple[Quantized, Quantized]:
        """Pictures (N, C, H, W) to both levels: vectors (N, h, w, D) and codes (N, h, w) of each."""
        features = self.encoder(images)
        top: Quantized = self.quantizers[0](self.top_encoder(features).permute(0, 2, 3, 1))
        seen = torch.cat((self.top_decoder(top.vectors.permute(0, 3, 1, 2)), features), 1)
        bottom: Quantized = self.quantizers[1](self.join(seen).permute(0, 2, 3, 1))
        return top, bottom

    def draw(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Vectors (N, h / 2, w / 2, D) and (N, h, w, D) to pictures (N, C, H, W)."""
        enlarged = self.enlarge(top.permute(0, 3, 1, 2))
        pictures: Tensor = self.decoder(torch.cat((enlarged, bottom.permute(0, 3, 1, 2)), 1))
        return pictures

    def draw_codes(self, codes: Tensor) -> Tensor:
        """Codes (N, L), the top level's first, each level row by row, to pictures (N, C, H, W)."""
        (height, width), shape = self.shapes
        top, bottom = codes.split((height * width, shape[0] * shape[1]), 1)
        vectors = [
            quantizer.decode(level.unflatten(1, size))  # type: ignore[operator]
            for quantizer, level, size in zip(self.quantizers, (top, bottom), self.shapes, strict=True)
        ]
        return self.draw(*vectors)

    def codes(self, images: Tensor) -> Tensor:
        """Pictures to codes (N, L), as `draw_codes` takes them."""
        return torch.cat([level.codes.flatten(1) for level in self.quantize(images)], 1)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Quantized, ...]]:
        found = self.quantize(images)
        return self.draw(*(level.vectors for level in found)), found

    def metrics(self) -> dict[str, Tensor]:
        """Of the last training step, by level."""
        return {
            f"{name}_{level}": value
            for level, quantizer in zip(("top", "bottom"), self.quantizers, strict=True)
            for name, value in quantizer.metrics().items()  # type: ignore[operator]
        }
