"""The residual pair."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from lhy_lightning.gan.networks.conditioning import (
    ConditionalBatchNorm,
    ConditionalHead,
    LabelledNoise,
    LabelMap,
    Scores,
    check_condition,
)
from lhy_lightning.gan.networks.norms import map_norm
from lhy_lightning.gan.networks.sizes import check_pictures, doublings


class UpBlock(nn.Module):
    """x + branch(x) at twice the size: norm, ReLU, nearest upsampling, 3x3 convolution, norm, ReLU, 3x3 convolution.

    The shortcut is a 1x1 convolution before the upsampling, which gives the same as after it at a quarter of the cost.

    Args:
        before: channels that come in.
        after: channels that go out.
        norm: a norm as in `map_norm`.
        num_classes: above zero for conditional batch normalization in place of `norm`.
    """

    def __init__(self, before: int, after: int, norm: str, num_classes: int = 0) -> None:
        super().__init__()
        self.norm1 = generator_norm(norm, before, num_classes)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = generator_norm(norm, after, num_classes)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """(N, before, H, W) to (N, after, 2 H, 2 W)."""
        h = torch.relu(normalized(self.norm1, x, labels))
        h = self.conv1(interpolate(h, scale_factor=2))
        h = self.conv2(torch.relu(normalized(self.norm2, h, labels)))
        return torch.as_tensor(h + interpolate(self.shortcut(x), scale_factor=2))


class DownBlock(nn.Module):
    """x + branch(x): norm, ReLU, 3x3 convolution, norm, ReLU, 3x3 convolution, and mean pooling where it halves.

    The first block of a discriminator begins at the picture: no norm and no ReLU before its first convolution, and
    `after` channels inside its branch rather than `before`. The shortcut is a 1x1 convolution behind the pooling,
    and nothing where neither size nor channels change.

    Args:
        before: channels that come in.
        after: channels that go out.
        norm: a norm as in `map_norm`.
        halve: halve height and width.
        first: the block at the picture.
    """

    def __init__(self, before: int, after: int, norm: str, *, halve: bool = True, first: bool = False) -> None:
        super().__init__()
        inner = after if first else before
        self.halve, self.first = halve, first
        self.norm1 = nn.Identity() if first else map_norm(norm, before)
        self.conv1 = nn.Conv2d(before, inner, 3, padding=1)
        self.norm2 = nn.Identity() if first else map_norm(norm, inner)
        self.conv2 = nn.Conv2d(inner, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if halve or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W) or (N, after, H / 2, W / 2)."""
        h = x if self.first else torch.relu(self.norm1(x))
        h = self.conv2(torch.relu(self.norm2(self.conv1(h))))
        if self.halve:
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        return torch.as_tensor(h + self.shortcut(x))


class ResidualGenerator(nn.Module):
    """A generator of residual blocks (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, and Miyato et al. 2018).

    A linear layer to a small map, one `UpBlock` for each doubling, norm, ReLU, a 3x3 convolution and tanh. The channels
    are those of WGAN-GP's network for 64 pixels, 8, 8, 4, 2 and 1 times the width, with one halving more or less for
    other sizes; SNGAN's for 32 pixels has 256 throughout. With condition="projection" the label enters through
    conditional batch normalization inside of the blocks alone, as in the code of Miyato and Koyama 2018. All classes
    begin with the same gains: they part at the speed of the generator's rate, which the first hundreds of steps show.
    With "concat" and "auxiliary" it enters beside the noise and tells from the start.

    Arguments and errors as in `DCGANGenerator`; with condition="projection" the norm is "batch".
    """

    def __init__(
        self,
        *,
        latent_dim: int = 128,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        norm: str = "batch",
        condition: str = "none",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_condition(condition, num_classes)
        if condition == "projection" and norm != "batch":
            raise ValueError(
                f"with condition='projection' the residual generator has conditional batch normalization, not "
                f"norm={norm!r}: take norm='batch', or condition='concat'"
            )
        self.side, count = doublings(image_size)
        self.latent_dim = latent_dim
        self.labelled = LabelledNoise(num_classes, latent_dim) if condition in ("concat", "auxiliary") else None
        classes = num_classes if condition == "projection" else 0
        widest = width * 2 ** (count - 1)
        self.linear = nn.Linear(latent_dim if self.labelled is None else 2 * latent_dim, widest * self.side**2)
        widths = [widest, *(widest // 2**step for step in range(count))]
        self.blocks = nn.ModuleList(UpBlock(before, after, norm, classes) for before, after in pairwise(widths))
        self.norm = map_norm(norm, width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        initialize(self)
        nn.init.xavier_uniform_(self.last.weight)  # nothing rectifies it

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, Z) and labels (N,) to pictures (N, C, H, W) in [-1, 1]."""
        if self.labelled is not None:
            noise = self.labelled(noise, labels)
        maps = self.linear(noise).view(len(noise), -1, self.side, self.side)  # (N, D, side, side)
        for block in self.blocks:
            maps = block(maps, labels)
        return torch.tanh(self.last(torch.relu(self.norm(maps))))


class ResidualDiscriminator(nn.Module):
    """A discriminator of residual blocks (Miyato et al. 2018, https://arxiv.org/abs/1802.05957, and Gulrajani et al.).

    One `DownBlock` for each halving with 1, 2, 4 ... times the width, one more that keeps the size, ReLU, the sum over
    the map and a linear layer. SNGAN's for 32 pixels halves twice and has 128 channels throughout.

    Arguments and errors as in `DCGANDiscriminator`; the norm is "none" in SNGAN and "layer" in WGAN-GP.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        norm: str = "none",
        condition: str = "none",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_condition(condition, num_classes)
        _, count = doublings(image_size)
        self.channels, self.image_size = channels, image_size
        self.label_map = LabelMap(num_classes, image_size) if condition == "concat" else None
        before = channels if self.label_map is None else channels + 1
        blocks = [DownBlock(before, width, norm, first=True)]
        for step in range(1, count):
            blocks.append(DownBlock(width * 2 ** (step - 1), width * 2**step, norm))
        widest = width * 2 ** (count - 1)
        blocks.append(DownBlock(widest, widest, norm, halve=False))
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(widest, 1)
        self.head = ConditionalHead(condition, num_classes, widest)
        initialize(self)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Scores:
        """Pictures (N, C, H, W) in [-1, 1] and labels (N,) to scores (N,), or (scores, class logits (N, K)).

        Raises:
            ValueError: pictures of another shape than the network was built for.
        """
        check_pictures(pictures, self.channels, self.image_size)
        maps = pictures if self.label_map is None else self.label_map(pictures, labels)
        maps = torch.relu(self.blocks(maps))  # (N, D, side, side)
        scores: Scores = self.head(self.linear(maps.sum((2, 3))).flatten(), maps, labels)
        return scores


def generator_norm(norm: str, channels: int, num_classes: int) -> nn.Module:
    """Conditional batch normalization where there are classes, otherwise `map_norm`."""
    return ConditionalBatchNorm(num_classes, channels) if num_classes else map_norm(norm, channels)


def normalized(norm: nn.Module, maps: Tensor, labels: Tensor | None) -> Tensor:
    """(N, C, H, W) through a norm that may or may not take labels."""
    return torch.as_tensor(norm(maps, labels) if isinstance(norm, ConditionalBatchNorm) else norm(maps))


def initialize(network: nn.Module) -> None:
    """Xavier uniform weights, sqrt(2) times larger in the 3x3 convolutions, as in SNGAN's code; biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = 2**0.5 if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
