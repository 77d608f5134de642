"""`AutoEncoder`: a picture through a narrow place and back; with noise, denoising; with a distribution, variational."""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.autoencoders.denoising import corrupt_images
from lhy_lightning.autoencoders.latent_plots import LatentPictures
from lhy_lightning.autoencoders.networks import (
    ConvDecoder,
    ConvEncoder,
    HomeworkDecoder,
    HomeworkEncoder,
    LinearDecoder,
    LinearEncoder,
    check_halving,
)
from lhy_lightning.autoencoders.plots import DenoisedPictures
from lhy_lightning.autoencoders.predictions import LatentsFile
from lhy_lightning.autoencoders.reconstruction import (
    ReconstructionArguments,
    ReconstructionModule,
    picture_errors,
)
from lhy_lightning.core.arguments.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, SIZES, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.distributed import sum_over_ranks
from lhy_lightning.core.seeding import derive_seed
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics
from lhy_lightning.training.module import EvaluatedSplit

NETWORKS = ("linear", "conv", "homework", "homework_batch_norm")
MAPS = ("homework", "homework_batch_norm")  # whose latent is a map of 48 channels and not a vector


class Halves(nn.Module):
    """Encoder and decoder; plain torch.

    Args:
        encoder: pictures (N, C, H, W) to latents (N, ...), or twice as many numbers of a variational one.
        decoder: latents to pictures.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) in nats, summed over the latent: (N, Z) twice to (N,).

    Kingma and Welling 2013 (https://arxiv.org/abs/1312.6114), appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


class AutoEncoder(ReconstructionModule):
    """Learns to give a picture back through a latent of few numbers (Hinton and Salakhutdinov 2006).

    The loss is the mean squared error over all elements of pictures in [-1, 1]. `noise` and `masking` make it a
    denoising auto-encoder: in training the encoder sees a corrupted picture, the loss the clean one; evaluation is of
    clean pictures, and beside that `denoised_mse` of what comes back of corrupted ones, and their own `corrupted_mse`.
    `beta` makes it variational: the encoder gives mean and variance, a latent is drawn from them, and the loss is

        mean over pictures of (|x - x'|^2 + beta KL(N(mean, variance) | N(0, 1))) / elements of a picture

    so that beta = 2 sigma^2 is the evidence bound of a Gaussian decoder of variance sigma^2 (beta-VAE, Higgins et al.
    2017). To use networks of your own, override `build_encoder` and `build_decoder`.

    Args:
        network: "linear" (fully connected), "conv", or the course's own of homework 8: "homework", three convolutions,
            and "homework_batch_norm".
        latent_dim: numbers Z of the latent; the homework's convolutions have none, their latent is a map.
        hidden: widths of the fully connected layers, the first next to the picture.
        width: channels of "conv".
        downsamplings: how often "conv" halves the sides.
        noise: standard deviation of the noise on what the encoder sees in training.
        masking: share of its pixels that are black.
        beta: weight of the divergence of a variational auto-encoder; 0 for a plain one.
        arguments: as in `ReconstructionModule`.

    Raises:
        ValueError: an argument is out of range or unknown, or pictures whose sides cannot be halved so often.

    Example:
        >>> import torch
        >>> from lhy_lightning import AutoEncoder
        >>> model = AutoEncoder(image_size=8, channels=1, latent_dim=2, width=4, downsamplings=1)
        >>> images = torch.rand(2, 1, 8, 8) * 2 - 1  # (N, C, H, W) in [-1, 1]
        >>> tuple(model.encode(images).shape), tuple(model.reconstruct(images).shape)
        ((2, 2), (2, 1, 8, 8))
    """

    argument_ranges = ranges(
        latent_dim=COUNT, hidden=SIZES, downsamplings=COUNT, noise=NOT_NEGATIVE, masking=BELOW_ONE, beta=NOT_NEGATIVE
    )  # fmt: skip

    network: Halves | None
    latent_mean: Tensor
    latent_factor: Tensor

    def __init__(
        self,
        *,
        network: Literal["linear", "conv", "homework", "homework_batch_norm"] = "conv",
        latent_dim: int = 32,
        hidden: tuple[int, ...] = (128, 64, 12),
        width: int = 64,
        downsamplings: int = 2,
        noise: float = 0.0,
        masking: float = 0.0,
        beta: float = 0.0,
        **arguments: Unpack[ReconstructionArguments],
    ) -> None:
        super().__init__(**arguments)
        if beta and network in MAPS:
            raise ValueError(f"beta={beta}: network={network!r} has no latent vector; take conv or linear")
        self.kind, self.latent_dim, self.hidden, self.width = network, latent_dim, tuple(hidden), width
        self.downsamplings = 3 if network in MAPS else downsamplings
        self.noise, self.masking, self.beta = noise, masking, beta
        numbers = 0 if network in MAPS else latent_dim
        self.register_buffer("latent_mean", torch.zeros(numbers))
        self.register_buffer("latent_factor", torch.eye(numbers))
        self.seen: Tensor | float = 0.0
        self.build_if_known()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_encoder(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to latents (N, Z), (N, 2 Z) of a variational one. Override it."""
        numbers = 2 * self.latent_dim if self.beta else self.latent_dim
        if self.kind == "linear":
            return LinearEncoder(prod(self.shape), self.hidden, numbers)
        if self.kind in MAPS:
            return HomeworkEncoder(self.shape[0], batch_norm=self.kind == "homework_batch_norm")
        channels, height, width = self.inner_shape
        convolutions = ConvEncoder(self.shape[0], channels, width=self.width, downsamplings=self.downsamplings)
        return nn.Sequential(convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(channels * height * width, numbers))

    def build_decoder(self) -> nn.Module:
        """Returns latents (N, Z) to pictures (N, C, H, W). Override it for one of your own."""
        if self.kind == "linear":
            return LinearDecoder(self.shape, self.hidden, self.latent_dim)
        if self.kind in MAPS:
            return HomeworkDecoder(self.shape[0], batch_norm=self.kind == "homework_batch_norm")
        unfold = nn.Sequential(nn.Linear(self.latent_dim, prod(self.inner_shape)), nn.Unflatten(1, self.inner_shape))
        convolutions = ConvDecoder(
            self.shape[0], self.inner_shape[0], width=self.width, downsamplings=self.downsamplings
        )
        return nn.Sequential(unfold, convolutions, nn.Tanh())

    @property
    def inner_shape(self) -> tuple[int, int, int]:
        """What lies between the convolutions and the latent of "conv"."""
        factor = 2**self.downsamplings
        return (max(8, self.width // 4), self.shape[1] // factor, self.shape[2] // factor)

    def build_network(self) -> Halves:
        if self.kind != "linear":
            check_halving(self.shape[1:], self.downsamplings)
        return Halves(self.build_encoder(), self.build_decoder())

    # --- latents ---------------------------------------------------------------------------------------------------

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to latents (N, Z), of a variational auto-encoder their means."""
        latents: Tensor = self.built().encoder(images)
        return latents.chunk(2, 1)[0] if self.beta else latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, Z) to pictures (N, C, H, W) in [-1, 1]."""
        pictures: Tensor = self.built().decoder(latents)
        return pictures

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    @torch.no_grad()
    def sample(self, count: int, *, seed: int | None = None) -> Tensor:
        """The decoder as a generator: pictures of drawn latents.

        A variational auto-encoder draws from its prior, the standard normal; a plain one has no prior, and draws from
        the normal distribution of the latents of the last validation.

        Args:
            count: N.
            seed: of the latents; torch's generator if not given.

        Returns:
            (N, C, H, W) float32 in [-1, 1].

        Raises:
            ValueError: the latent is a map.
        """
        if self.kind in MAPS:
            raise ValueError(f"network={self.kind!r} has no latent vector to draw: take conv or linear")
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        noise = torch.randn(count, self.latent_dim, generator=generator).to(self.device)
        latents = noise if self.beta else self.latent_mean + noise.to(self.latent_factor) @ self.latent_factor.T
        with evaluation_mode(self):
            return self.decode(latents)

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int = 8) -> Tensor:
        """Pictures on the straight way between the latents of two: (N, C, H, W) twice to (N, steps, C, H, W)."""
        with evaluation_mode(self):
            start, end = self.encode(first.to(self.device)), self.encode(second.to(self.device))
            shares = torch.linspace(0, 1, steps, device=start.device)
            between = torch.stack([torch.lerp(start, end, share) for share in shares], 1)
            pictures: Tensor = self.decode(between.flatten(0, 1)).unflatten(0, (len(first), steps))
        return pictures

    # --- training --------------------------------------------------------------------------------------------------

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        seen = corrupt_images(images, noise=self.noise, masking=self.masking) if self.training else images
        network = self.built()
        if not self.beta:
            result = network.decoder(network.encoder(seen))
            return result, {"loss": F.mse_loss(result.float(), images)}
        mean, log_variance = network.encoder(seen).float().chunk(2, 1)
        drawn = mean + (log_variance / 2).exp() * torch.randn_like(mean) if self.training else mean
        result = network.decoder(drawn)
        error = F.mse_loss(result.float(), images)
        divergence = kl_to_normal(mean, log_variance).mean()
        loss = error + self.beta * divergence / images[0].numel()
        return result, {"loss": loss, "reconstruction_loss": error, "kl": divergence}

    def corrupted(self, images: Tensor, rows: Tensor) -> Tensor:
        """Pictures (N, C, H, W) as the encoder sees them in training, each drawn by its row (N,) alone."""
        generator, seen = torch.Generator(device=images.device), []
        for image, row in zip(images[:, None], rows.tolist(), strict=True):
            generator.manual_seed(derive_seed(0, row))
            seen.append(corrupt_images(image, noise=self.noise, masking=self.masking, generator=generator))
        return torch.cat(seen)

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> None:
        """Also how far corrupted pictures are from the clean ones, and what comes back of them."""
        super().evaluate(batch, split)
        if self.noise or self.masking:
            images, seen = batch["image"], self.corrupted(batch["image"], batch["index"])
            self.mean(f"{split}/corrupted_mse", picture_errors(images, seen))
            self.mean(f"{split}/denoised_mse", picture_errors(images, self(seen)))
        if split == "val" and self.kind not in MAPS and not self.beta:
            latents = self.encode(batch["image"]).double()
            ones = torch.cat((torch.ones_like(latents[:, :1]), latents), 1)
            self.seen = self.seen + ones.T @ ones  # count, sums and outer products in one matrix

    def report(self, split: EvaluatedSplit) -> None:
        """Also the normal distribution of the latents of a validation, of which `sample` draws."""
        super().report(split)
        if split == "val" and isinstance(self.seen, Tensor):
            seen, self.seen = sum_over_ranks(self.seen), 0.0
            if int(seen[0, 0]) > 1 and not self.trainer.sanity_checking:
                moments = FeatureStatistics.from_sums(seen[0, 1:], seen[1:, 1:], int(seen[0, 0]))
                self.latent_mean.copy_(moments.mean)
                # a latent that never moves has no variance: a little of it keeps the factor defined
                covariance = moments.covariance + 1e-6 * torch.eye(self.latent_dim, device=seen.device)
                self.latent_factor.copy_(torch.linalg.cholesky(covariance))

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """As `ReconstructionModule`, and `latents` (N, Z)."""
        latents = self.encode(batch["image"])
        return {**self.returned(batch, self.decode(latents)), "latents": latents.float()}

    def prediction_writers(self) -> list[Callback]:
        return [*super().prediction_writers(), LatentsFile("latents")]

    def configure_callbacks(self) -> list[Callback]:
        drawn = super().configure_callbacks()
        if self.plot_every_n_validations and (self.noise or self.masking):
            drawn.append(DenoisedPictures(self.plot_every_n_validations))
        if self.plot_every_n_validations and self.kind not in MAPS:
            drawn.append(LatentPictures())
        return drawn
