"""The patch discriminator of pix2pix and CycleGAN: a score for every patch of a picture. Plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.gan.networks.dcgan import initialize
from lhy_lightning.gan.networks.norms import map_norm

WIDEST = 8  # times the width: 512 channels in the papers


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches with one small network (Isola et al. 2017, https://arxiv.org/abs/1611.07004, 6.1.2).

    `layers` 4x4 convolutions of stride 2 that double the channels, one more of stride 1, and one to a single channel,
    with leaky ReLU of slope .2; no norm on the first and the last. Three layers and width 64 are the papers'
    C64-C128-C256-C512, whose scores see 70x70 pixels; one layer sees 16x16, two 34x34, five 286x286; none is the
    paper's PixelGAN of 1x1 convolutions.

    Args:
        channels: channels of the pictures to judge.
        condition_channels: channels of the picture that each was translated from, which is judged along with it
            (pix2pix); 0 without (CycleGAN).
        width: channels after the first layer.
        layers: convolutions of stride 2.
        norm: "batch" (pix2pix), "instance" (CycleGAN), "layer" or "none"; as in `map_norm`. With spectral
            normalization or a gradient penalty "none".

    Raises:
        ValueError: a negative number of layers, an unknown norm.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        condition_channels: int = 0,
        width: int = 64,
        layers: int = 3,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        if layers < 0:
            raise ValueError(f"layers={layers}: none (a network that sees single pixels) or more.")
        self.channels, self.condition_channels, self.layers = channels, condition_channels, layers
        widths = [width * min(2**step, WIDEST) for step in range(layers + 1)]
        before, found = channels + condition_channels, list[nn.Module]()
        if not layers:
            widths = [width, 2 * width]
        kernel = (4, 2, 1) if layers else (1, 1, 0)
        for step, after in enumerate(widths):
            if layers and step == layers:
                kernel = (4, 1, 1)
            own = norm if step else "none"
            found += [
                nn.Conv2d(before, after, *kernel, bias=own == "none"), map_norm(own, after), nn.LeakyReLU(0.2)
            ]  # fmt: skip
            before = after
        self.network = nn.Sequential(*found, nn.Conv2d(before, 1, *kernel))
        initialize(self)

    @property
    def receptive_field(self) -> int:
        """Side of the patch that one score sees: 1, 16, 34, 70, 142, 286 pixels for 0 to 5 layers."""
        field = 1
        for layer in reversed([module for module in self.network if isinstance(module, nn.Conv2d)]):
            field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
        return field

    def forward(self, pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        """Scores of all patches, high for real.

        Args:
            pictures: (N, channels, H, W) in [-1, 1].
            condition: (N, condition_channels, H, W) in [-1, 1], with `condition_channels`.

        Returns:
            (N, 1, h, w): h is H halved `layers` times, minus 2; of a PixelGAN H itself.

        Raises:
            ValueError: pictures too small, of other channels, or with a condition missing or in excess.
        """
        given = 0 if condition is None else condition.shape[1]
        if pictures.shape[1] != self.channels or given != self.condition_channels:
            raise ValueError(
                f"the discriminator was built for {self.channels} channels and {self.condition_channels} of a "
                f"condition, not {pictures.shape[1]} and {given}"
            )
        side = min(pictures.shape[2:])
        if self.layers and side < 3 * 2**self.layers:
            fit = max((count for count in range(self.layers) if side >= 3 * 2**count), default=0)
            raise ValueError(
                f"pictures of {pictures.shape[2]}x{pictures.shape[3]} are too small for a patch discriminator of "
                f"{self.layers} layers, which wants {3 * 2**self.layers} pixels: take layers={fit}, or ask the data "
                "for another image_size"
            )
        seen = pictures if condition is None else torch.cat([condition, pictures], dim=1)
        return torch.as_tensor(self.network(seen))
