"""Encoders and decoders of this topic. Plain torch: pictures (N, C, H, W) in [-1, 1] to latents and back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn


def check_halving(image_size: tuple[int, int], downsamplings: int) -> None:
    """Refuses pictures whose sides cannot be halved so often.

    Raises:
        ValueError: names the size and what would do.
    """
    factor = 2**downsamplings
    if downsamplings < 1:
        raise ValueError(f"downsamplings={downsamplings}: at least 1")
    if image_size[0] % factor or image_size[1] % factor:
        height, width = (max(factor, round(side / factor) * factor) for side in image_size)
        raise ValueError(
            f"pictures of {image_size[0]} x {image_size[1]} cannot be halved {downsamplings} times: give image_size "
            f"{height} x {width}, or fewer downsamplings"
        )


class ResidualBlocks(nn.Sequential):
    """x + W1 relu(W3 relu(x)), several times, and a ReLU (van den Oord et al. 2017, section 4.1).

    Args:
        width: channels of x.
        inner: channels between the 3 x 3 and the 1 x 1 convolution.
        count: blocks.
    """

    def __init__(self, width: int, inner: int, count: int) -> None:
        super().__init__(*(ResidualBlock(width, inner) for _ in range(count)), nn.ReLU())


class ResidualBlock(nn.Module):
    """One of them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(width, inner, 3, padding=1)
        self.narrow = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.narrow(self.wide(x.relu()).relu())
        return result


@dataclass(frozen=True)
class ConvSettings:
    """Arguments of `ConvEncoder` and `ConvDecoder` that have defaults."""

    width: int = 128
    inner: int = 32
    blocks: int = 2
    downsamplings: int = 2


class ConvEncoder(nn.Sequential):
    """4 x 4 convolutions of stride 2, residual blocks, and a 1 x 1 convolution to D channels.

    (N, C, H, W) to (N, D, H / 2^k, W / 2^k). The first convolution has half the width, if there are several.

    Args:
        channels: C of a picture.
        dim: D of a latent vector.
        width: channels inside.
        inner: channels inside a residual block.
        blocks: residual blocks.
        downsamplings: k, how often the sides are halved.
    """

    def __init__(
        self, channels: int, dim: int, *, width: int = 128, inner: int = 32, blocks: int = 2, downsamplings: int = 2
    ) -> None:
        widths = [channels, *([width // 2] if downsamplings > 1 else []), *[width] * max(1, downsamplings - 1)]
        halvings = [
            layer
            for before, after in pairwise(widths)
            for layer in (nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU())
        ]
        super().__init__(
            *halvings, nn.Conv2d(width, width, 3, padding=1), ResidualBlocks(width, inner, blocks),
            nn.Conv2d(width, dim, 1),
        )  # fmt: skip


class ConvDecoder(nn.Sequential):
    """The way back: a 3 x 3 convolution, residual blocks, transposed 4 x 4 convolutions of stride 2.

    (N, D, h, w) to (N, C, h 2^k, w 2^k), not squashed. Arguments as in `ConvEncoder`.
    """

    def __init__(
        self, channels: int, dim: int, *, width: int = 128, inner: int = 32, blocks: int = 2, downsamplings: int = 2
    ) -> None:
        widths = [*[width] * max(1, downsamplings - 1), *([width // 2] if downsamplings > 1 else []), channels]
        doublings = [
            layer
            for before, after in pairwise(widths)
            for layer in (nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU())
        ]
        super().__init__(nn.Conv2d(dim, width, 3, padding=1), ResidualBlocks(width, inner, blocks), *doublings[:-1])


class LinearEncoder(nn.Sequential):
    """Fully connected layers with ReLUs between: (N, C, H, W) to (N, Z).

    Args:
        pixels: C * H * W.
        hidden: widths of the layers before the last one.
        latent_dim: Z.
    """

    def __init__(self, pixels: int, hidden: tuple[int, ...], latent_dim: int) -> None:
        sizes = (pixels, *hidden, latent_dim)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(nn.Flatten(), *layers[:-1])


class LinearDecoder(nn.Sequential):
    """(N, Z) to (N, C, H, W) in [-1, 1] by the same layers backwards and a tanh."""

    def __init__(self, shape: tuple[int, int, int], hidden: tuple[int, ...], latent_dim: int) -> None:
        sizes = (latent_dim, *reversed(hidden), prod(shape))
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(*layers[:-1], nn.Tanh(), nn.Unflatten(1, shape))


class HomeworkEncoder(nn.Sequential):
    """Homework 8's convolutions: 12, 24 and 48 channels, each of stride 2, with batch normalization if asked for.

    (N, C, H, W) to (N, 48, H / 8, W / 8).
    """

    def __init__(self, channels: int, *, batch_norm: bool = False) -> None:
        layers: list[nn.Module] = []
        for before, after in ((channels, 12), (12, 24), (24, 48)):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers.append(nn.ReLU())
        super().__init__(*layers)


class HomeworkDecoder(nn.Sequential):
    """The way back of homework 8: (N, 48, h, w) to (N, C, 8 h, 8 w) in [-1, 1]."""

    def __init__(self, channels: int, *, batch_norm: bool = False) -> None:
        layers: list[nn.Module] = []
        for before, after in ((48, 24), (24, 12)):
            layers.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1))
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers.append(nn.ReLU())
        super().__init__(*layers, nn.ConvTranspose2d(12, channels, 4, stride=2, padding=1), nn.Tanh())


def parameters_of(*networks: nn.Module) -> int:
    """How many numbers the networks learn."""
    return sum(torch.numel(parameter) for network in networks for parameter in network.parameters())
