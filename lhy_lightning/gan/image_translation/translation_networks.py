"""CycleGAN's generator: a picture in, a picture of the other domain out. Plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lhy_lightning.gan.networks.dcgan import initialize
from lhy_lightning.gan.networks.norms import map_norm

SMALLEST_MAP = 2  # pixels a side that reflection padding and instance norm still need


class CycleGANGenerator(nn.Module):
    """The residual generator of CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593, section 7.2).

    A 7x7 convolution (c7s1-k), two 3x3 ones of stride 2 (d2k, d4k), residual blocks of two 3x3 convolutions (R4k), two
    transposed ones of stride 1/2 (u2k, uk) and a 7x7 one with tanh (c7s1-3); reflection padding where a convolution
    keeps the size; norm and ReLU behind every convolution but the last.

    Args:
        input_channels: channels of the picture that is translated.
        output_channels: channels of the result.
        width: channels k after the first layer.
        blocks: residual blocks: 6 for 128 pixels and 9 for 256 in the paper.
        downsamplings: convolutions of stride 2: 2 in the paper. Small pictures want fewer: at 8 pixels two leave
            maps of 2x2, on which instance norm keeps next to nothing.
        norm: "instance", without weights, as in the paper; "batch", "layer" or "none".

    Raises:
        ValueError: a negative number, an unknown norm.
    """

    def __init__(
        self,
        *,
        input_channels: int = 3,
        output_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        downsamplings: int = 2,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        if blocks < 0 or downsamplings < 0:
            raise ValueError(f"blocks={blocks}, downsamplings={downsamplings}: neither may be negative.")
        self.input_channels, self.downsamplings = input_channels, downsamplings
        bias = norm == "none"  # a norm removes it, or brings its own
        first = ReflectedConv2d(input_channels, width, 7, bias=bias)
        layers: list[nn.Module] = [first, map_norm(norm, width), nn.ReLU(inplace=True)]
        for step in range(downsamplings):
            before, after = width * 2**step, width * 2 ** (step + 1)
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=bias), map_norm(norm, after), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(width * 2**downsamplings, norm) for _ in range(blocks)]
        for step in range(downsamplings, 0, -1):
            before, after = width * 2**step, width * 2 ** (step - 1)
            double = nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1, bias=bias)
            layers += [double, map_norm(norm, after), nn.ReLU(inplace=True)]
        last = ReflectedConv2d(width, output_channels, 7)
        self.network = nn.Sequential(*layers, last, nn.Tanh())
        initialize(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, output_channels, H, W), both in [-1, 1]; any size that can be halved.

        Raises:
            ValueError: other channels, or a size that the downsamplings do not fit.
        """
        channels, height, width = pictures.shape[1:]
        if channels != self.input_channels:
            raise ValueError(
                f"the generator was built for {self.input_channels} channels, the pictures have {channels}"
            )
        step, smallest = 2**self.downsamplings, max(4, SMALLEST_MAP * 2**self.downsamplings)
        if height % step or width % step or min(height, width) < smallest:
            raise ValueError(
                f"pictures of {height}x{width} do not fit a generator that halves them {self.downsamplings} times: "
                f"sides are multiples of {step} and at least {smallest}. Ask the data for another image_size, or take "
                "fewer downsamplings"
            )
        return torch.as_tensor(self.network(pictures))


class ResidualBlock(nn.Module):
    """x + (convolution, norm, ReLU, convolution, norm), all 3x3 with reflection padding.

    Args:
        channels: in and out.
        norm: as in `map_norm`.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            ReflectedConv2d(channels, channels, 3, bias=norm == "none"),
            map_norm(norm, channels),
            nn.ReLU(inplace=True),
            ReflectedConv2d(channels, channels, 3, bias=norm == "none"),
            map_norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return torch.as_tensor(x + self.branch(x))


class ReflectedConv2d(nn.Conv2d):
    """A convolution of stride 1 that keeps the size of maps, of which it sees a mirror image beyond the border."""

    def __init__(self, before: int, after: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__(before, after, kernel, bias=bias)
        self.border = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W)."""
        return super().forward(reflected(x, self.border))


def reflected(x: Tensor, border: int) -> Tensor:
    """(N, C, H, W) widened by its mirror image: (N, C, H + 2 border, W + 2 border).

    torch's own operation has no deterministic gradient on a GPU and raises there under `deterministic=True`; joining
    slices has one.
    """
    if not (x.is_cuda and torch.are_deterministic_algorithms_enabled()):
        return functional.pad(x, (border,) * 4, mode="reflect")
    return reflected_by_slices(x, border)


def reflected_by_slices(x: Tensor, border: int) -> Tensor:
    """`reflected` in operations with deterministic gradients, on a CPU up to ten times slower."""
    for dim in (2, 3):
        before = x.narrow(dim, 1, border).flip(dim)
        after = x.narrow(dim, x.shape[dim] - 1 - border, border).flip(dim)
        x = torch.cat([before, x, after], dim)
    return x
