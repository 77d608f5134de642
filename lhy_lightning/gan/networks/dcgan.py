"""The convolutional pair of homework 6, a DCGAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.gan.networks.conditioning import ConditionalHead, LabelledNoise, LabelMap, Scores, check_condition
from lhy_lightning.gan.networks.norms import map_norm
from lhy_lightning.gan.networks.sizes import check_pictures, doublings


class DCGANGenerator(nn.Module):
    """The generator of homework 6 (2021 to 2023), after Radford et al. 2016 (https://arxiv.org/abs/1511.06434).

    A linear layer to a small map, then 5x5 transposed convolutions of stride 2 that double the map and halve the
    channels, each with norm and ReLU, the last with tanh. At 64 pixels, width 64 and batch norm this is the notebook's
    network (`feature_dim=64`, `z_dim=100`; 512 channels at 4x4), with its layer names (`l1`, `l2`, `l3`): its saved
    weights load here. Other sizes have more or fewer doublings and start from 4x4 to 7x7. With any condition the
    label enters beside the noise.

    Args:
        latent_dim: numbers of noise Z.
        width: channels before the last layer.
        channels: channels of a picture.
        image_size: height and width of a picture: 32, 64, 128, or 4 to 7 doubled any times.
        norm: "batch" as in the notebook, "instance", "layer" or "none".
        condition: "none", or any of "concat", "projection" and "auxiliary".
        num_classes: classes K of a conditional network.

    Raises:
        ValueError: a size that is not reached, an unknown norm or condition, or a condition without classes.
    """

    def __init__(
        self,
        *,
        latent_dim: int = 100,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        norm: str = "batch",
        condition: str = "none",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_condition(condition, num_classes)
        self.side, count = doublings(image_size)
        self.latent_dim = latent_dim
        widest = width * 2 ** (count - 1)
        bias = norm == "none"  # a norm removes it, or brings its own
        self.labelled = LabelledNoise(num_classes, latent_dim) if condition != "none" else None
        inputs = latent_dim if self.labelled is None else 2 * latent_dim
        first: list[nn.Module] = [nn.Linear(inputs, widest * self.side**2, bias=bias)]
        if norm == "batch":  # one mean a number and not a channel, as in the notebook
            first.append(nn.BatchNorm1d(widest * self.side**2))
        else:
            first += [nn.Unflatten(1, (widest, self.side, self.side)), map_norm(norm, widest)]
        self.l1 = nn.Sequential(*first, nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        for step in range(1, count):
            before, after = widest // 2 ** (step - 1), widest // 2**step
            blocks.append(nn.Sequential(upsampling(before, after, bias), map_norm(norm, after), nn.ReLU(inplace=True)))
        self.l2 = nn.Sequential(*blocks)
        self.l3 = nn.Sequential(upsampling(width, channels, False), nn.Tanh())
        initialize(self)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, Z) and labels (N,) to pictures (N, C, H, W) in [-1, 1]."""
        if self.labelled is not None:
            noise = self.labelled(noise, labels)
        maps = self.l1(noise).view(len(noise), -1, self.side, self.side)  # (N, D, side, side)
        return torch.as_tensor(self.l3(self.l2(maps)))


class DCGANDiscriminator(nn.Module):
    """The discriminator of homework 6 (2021 to 2023), after Radford et al. 2016.

    4x4 convolutions of stride 2 that halve the map and double the channels, each with norm (the first without) and
    leaky ReLU of slope .2, and one convolution over what is left: no sigmoid. At 64 pixels and width 64 this is the
    notebook's network with its layer names. The notebook has "batch" for the GAN, and "instance" for WGAN-GP.

    Args:
        width: channels after the first layer.
        channels: channels of a picture.
        image_size: height and width of a picture, as in `DCGANGenerator`.
        norm: "batch", "instance", "layer" or "none". Under a gradient penalty not "batch", in which samples share a
            gradient; with spectral normalization "none", as any norm undoes it.
        condition: "none", "concat" (a map of the label beside the picture), "projection" or "auxiliary".
        num_classes: classes K of a conditional network.

    Raises:
        ValueError: a size that is not reached, an unknown norm or condition, or a condition without classes.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        channels: int = 3,
        image_size: int = 64,
        norm: str = "batch",
        condition: str = "none",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_condition(condition, num_classes)
        side, count = doublings(image_size)
        self.channels, self.image_size = channels, image_size
        self.label_map = LabelMap(num_classes, image_size) if condition == "concat" else None
        before = channels if self.label_map is None else channels + 1
        layers: list[nn.Module] = [nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for step in range(1, count):
            before, after = width * 2 ** (step - 1), width * 2**step
            convolution = nn.Conv2d(before, after, 4, 2, 1)
            layers.append(nn.Sequential(convolution, map_norm(norm, after), nn.LeakyReLU(0.2, inplace=True)))
        widest = width * 2 ** (count - 1)
        self.l1 = nn.Sequential(*layers, nn.Conv2d(widest, 1, side))
        self.head = ConditionalHead(condition, num_classes, widest)
        initialize(self)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Scores:
        """Pictures (N, C, H, W) in [-1, 1] and labels (N,) to scores (N,), or (scores, class logits (N, K)).

        Raises:
            ValueError: pictures of another shape than the network was built for.
        """
        check_pictures(pictures, self.channels, self.image_size)
        maps = pictures if self.label_map is None else self.label_map(pictures, labels)
        *features, last = self.l1
        for layer in features:
            maps = layer(maps)  # at the end (N, D, side, side)
        scores: Scores = self.head(last(maps).flatten(), maps, labels)
        return scores


def upsampling(before: int, after: int, bias: bool) -> nn.ConvTranspose2d:
    """A 5x5 transposed convolution that doubles the map's sides."""
    return nn.ConvTranspose2d(before, after, 5, 2, padding=2, output_padding=1, bias=bias)


def initialize(network: nn.Module) -> None:
    """Weights as in the notebook: convolutions N(0, .02^2), gains of batch norm N(1, .02^2); linear layers as torch's.

    The DCGAN paper has N(0, .02^2) for the linear layer too, which a norm behind it undoes.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
