"""Networks of anomaly detection: an encoder, a decoder, and what tells made anomalies from normal pictures."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.networks import (
    ConvDecoder,
    ConvEncoder,
    HomeworkDecoder,
    HomeworkEncoder,
    LinearDecoder,
    LinearEncoder,
    check_halving,
)

NETWORKS = ("linear", "homework", "homework_batch_norm", "several", "conv")
HOMEWORK_HALVINGS, HOMEWORK_CHANNELS = 3, 48


class SeveralEncoders(nn.Module):
    """Encoders side by side, their latents one after the other: the homework's hint for its strong baseline.

    Args:
        encoders: each (N, C, H, W) to (N, Z).
    """

    def __init__(self, *encoders: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([encoder(images) for encoder in self.encoders], dim=1)


class DetectorNetwork(nn.Module):
    """Encoder, decoder and, where there is one, a head that classifies latents; plain torch.

    Args:
        encoder: pictures (N, C, H, W) to latents (N, ...).
        decoder: latents to pictures.
        head: latents to logits (N, K).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    def forward(self, images: Tensor) -> Tensor:
        pictures: Tensor = self.decoder(self.encoder(images))
        return pictures

    def logits(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) to logits (N, K) of what was done to them."""
        assert self.head is not None
        found: Tensor = self.head(self.encoder(images))
        return found


@dataclass(frozen=True)
class HalvesSettings:
    """Arguments of `encoder_and_decoder` but for the network's name and the pictures' shape."""

    latent_dim: int
    hidden: tuple[int, ...]
    width: int
    downsamplings: int


def encoder_and_decoder(
    network: str,
    shape: tuple[int, int, int],
    *,
    latent_dim: int,
    hidden: tuple[int, ...],
    width: int,
    downsamplings: int,
) -> tuple[nn.Module, nn.Module]:
    """The two halves of a network by name.

    Args:
        network: one of `NETWORKS`.
        shape: (C, H, W) of a picture.
        latent_dim: numbers of a latent, of each encoder of "several"; channels of the latent map of "conv"; the
            homework's convolutions have none.
        hidden: widths of the fully connected layers, the first next to the picture.
        width: channels of "conv".
        downsamplings: how often "conv" halves the sides.

    Raises:
        ValueError: pictures whose sides cannot be halved so often.
    """
    channels = shape[0]
    if network == "linear":
        return LinearEncoder(prod(shape), hidden, latent_dim), LinearDecoder(shape, hidden, latent_dim)
    if network == "conv":
        check_halving(shape[1:], downsamplings)
        numbers = {"width": width, "downsamplings": downsamplings}
        return ConvEncoder(channels, latent_dim, **numbers), ConvDecoder(channels, latent_dim, **numbers)
    check_halving(shape[1:], HOMEWORK_HALVINGS)
    if network == "homework":
        return HomeworkEncoder(channels), HomeworkDecoder(channels)
    if network == "homework_batch_norm":
        return HomeworkEncoder(channels, batch_norm=True), HomeworkDecoder(channels, batch_norm=True)
    side = (HOMEWORK_CHANNELS, *(size // 2**HOMEWORK_HALVINGS for size in shape[1:]))
    narrow = nn.Sequential(HomeworkEncoder(channels, batch_norm=True), nn.Flatten(), nn.Linear(prod(side), latent_dim))
    encoder = SeveralEncoders(LinearEncoder(prod(shape), hidden, latent_dim), narrow)
    wide = nn.Sequential(nn.Linear(2 * latent_dim, prod(side)), nn.ReLU(), nn.Unflatten(1, side))
    return encoder, nn.Sequential(wide, HomeworkDecoder(channels, batch_norm=True))


@torch.no_grad()
def latent_numbers(encoder: nn.Module, shape: tuple[int, int, int]) -> int:
    """Numbers of a latent, all axes together. Draws nothing and leaves batch norm as it is."""
    training = encoder.training
    numbers: int = encoder.eval()(torch.zeros(1, *shape)).numel()
    encoder.train(training)
    return numbers
