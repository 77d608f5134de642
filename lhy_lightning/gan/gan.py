"""`GAN`: a generator against a discriminator, with the loss by name. Homework 6."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.core.arguments.ranges import CLIP, COUNT, NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.gan.adversarial import Norm
from lhy_lightning.gan.augmentation import augment, policy_changes
from lhy_lightning.gan.losses import discriminator_loss, generator_loss
from lhy_lightning.gan.networks.by_name import discriminator_by_name, generator_by_name, has_batch_norm, pair
from lhy_lightning.gan.networks.conditioning import auxiliary_loss
from lhy_lightning.gan.networks.spectral import add_spectral_norm
from lhy_lightning.gan.noise_module import NoiseArguments, NoiseModule
from lhy_lightning.gan.penalties import gradient_penalty, r1_penalty

Penalty = Literal["none", "gradient", "one_sided", "r1"]


class GANArguments(NoiseArguments, total=False):
    """Arguments of `GAN`, for the `**arguments` of those built on it."""

    network: Literal["dcgan", "residual"]
    width: int
    generator_norm: Norm
    discriminator_norm: Norm | None
    penalty: Penalty
    penalty_weight: float
    penalty_every_n_steps: int
    weight_clip: float | None
    spectral_norm: bool
    class_weight: float
    augmentation: str
    n_critic: int
    reuse_fakes: bool
    channels_last: bool


class GAN(NoiseModule):
    """Trains a generator to draw pictures that a discriminator cannot tell from real ones (Goodfellow et al. 2014).

    Every batch gives one discriminator step, every `n_critic`-th one a generator step too; `max_steps`, schedules and
    logging count discriminator steps. To use networks of your own, override `build_generator` and
    `build_discriminator`.

    Args:
        network: "dcgan" (Radford et al. 2016, as the homework has it) or "residual" (Gulrajani et al. 2017).
        width: channels of the layer nearest to the picture.
        generator_norm: "batch", "instance", "layer" or "none".
        discriminator_norm: the same; None for what suits the loss: "batch", but "none" with spectral normalization
            and "layer" with a gradient penalty, under which batch statistics would tie samples to each other.
        penalty: on the discriminator's gradient: "none", "gradient" (WGAN-GP), "one_sided" (only norms above 1) or
            "r1" (on real pictures, Mescheder et al. 2018).
        penalty_weight: lambda.
        penalty_every_n_steps: steps between two penalties, each then multiplied by this number.
        weight_clip: largest absolute weight of the discriminator, clipped after each of its steps (WGAN).
        spectral_norm: divide each weight of the discriminator by its largest singular value (Miyato et al. 2018).
        class_weight: weight of the auxiliary classifier's loss.
        augmentation: differentiable augmentation of real and fake pictures (Zhao et al. 2020), such as
            "color,translation,cutout"; empty for none.
        n_critic: discriminator steps per generator step.
        reuse_fakes: where both step on one batch, both see the same fakes, which are made once; otherwise the
            generator draws anew, as in the paper's algorithm.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        arguments: as in `NoiseModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.

    Example:
        >>> from lhy_lightning import GAN
        >>> gan = GAN(image_size=8, channels=1, width=4, latent_dim=8)
        >>> tuple(gan.sample(3, seed=0).shape)  # images in [-1, 1]
        (3, 1, 8, 8)
    """

    data_modules = ("ImageDataModule",)

    argument_ranges = ranges(
        penalty_weight=NOT_NEGATIVE,
        penalty_every_n_steps=COUNT,
        weight_clip=CLIP,
        class_weight=NOT_NEGATIVE,
        n_critic=COUNT,
    )

    def __init__(
        self,
        *,
        network: Literal["dcgan", "residual"] = "dcgan",
        width: int = 64,
        generator_norm: Norm = "batch",
        discriminator_norm: Norm | None = None,
        penalty: Penalty = "none",
        penalty_weight: float = 10.0,
        penalty_every_n_steps: int = 1,
        weight_clip: float | None = None,
        spectral_norm: bool = False,
        class_weight: float = 1.0,
        augmentation: str = "",
        n_critic: int = 1,
        reuse_fakes: bool = True,
        channels_last: bool = True,
        **arguments: Unpack[NoiseArguments],
    ) -> None:
        super().__init__(**arguments)
        pair(network), policy_changes(augmentation)
        if weight_clip is not None and spectral_norm:
            raise ValueError("weight_clip and spectral_norm both bound the discriminator's weights: choose one.")
        self.network_name, self.width = network, width
        suited = "none" if spectral_norm else "batch" if penalty == "none" else "layer"
        self.norms = {"generator": generator_norm, "discriminator": discriminator_norm or suited}
        self.penalty, self.penalty_weight, self.penalty_every_n_steps = penalty, penalty_weight, penalty_every_n_steps
        self.weight_clip, self.spectral_norm = weight_clip, spectral_norm
        self.class_weight, self.augmentation = class_weight, augmentation
        self.n_critic, self.reuse_fakes, self.channels_last = n_critic, reuse_fakes, channels_last
        self.build_if_known()

    # --- networks --------------------------------------------------------------------------------------------------

    def build_generator(self) -> nn.Module:
        """Returns noise (N, Z) and labels (N,) or None to pictures (N, C, H, W). Override it for one of your own."""
        norm = self.norms["generator"]
        return generator_by_name(self.network_name, latent_dim=self.latent_dim, norm=norm, **self.network_numbers())

    def build_discriminator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) and labels (N,) or None to scores (N,). Override it for one of your own.

        With `condition="auxiliary"` it returns class logits (N, K) as well.
        """
        network = discriminator_by_name(
            self.network_name, norm=self.norms["discriminator"], **self.network_numbers()
        )  # fmt: skip
        return add_spectral_norm(network) if self.spectral_norm else network

    def network_numbers(self) -> dict[str, Any]:
        """What both networks are built from, once the pictures are known."""
        side = self.square_side(wanted_by="the networks want")
        return {
            "width": self.width, "channels": self.channels, "image_size": side,
            "condition": self.condition, "num_classes": (self.num_classes or 0) if self.conditional else 0,
        }  # fmt: skip

    def build(self) -> None:
        super().build()
        assert self.discriminator is not None
        if self.penalty != "none" and has_batch_norm(self.discriminator):
            rank_zero_warn("batch normalization ties samples together: a gradient penalty is not one of each sample.")

    # --- training --------------------------------------------------------------------------------------------------

    def generate_fakes(self, labels: Tensor | None, count: int) -> Tensor:
        """As many fakes as there are real pictures, of the same classes, by the generator in training mode."""
        assert self.generator is not None
        fakes: Tensor = self.generator(self.noise(count), labels)
        return fakes

    def training_step(self, batch: ImageBatch, batch_idx: int) -> None:
        real, labels = batch["image"], batch["label"] if self.conditional else None
        generator_steps = self.every_n_steps(self.n_critic)
        with torch.set_grad_enabled(generator_steps and self.reuse_fakes):
            fake = self.generate_fakes(labels, len(real))

        with self.toggled("discriminator"):
            loss, figures = self.discriminator_loss(real, fake.detach(), labels)
            self.backward_and_step("discriminator", loss)
        if generator_steps:
            with self.toggled("generator"):
                if not self.reuse_fakes:
                    fake = self.generate_fakes(labels, len(real))
                loss = self.generator_loss(fake, labels)
                self.backward_and_step("generator", loss)
            figures["generator_loss"] = loss
        self.log_losses(figures)

    def discriminator_loss(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss with its penalty, and figures to log."""
        real, fake = augment(real, self.augmentation), augment(fake, self.augmentation)
        (real_scores, real_logits), (fake_scores, _) = self.discriminate(real, labels), self.discriminate(fake, labels)
        loss = discriminator_loss(self.loss_name, real_scores, fake_scores)
        figures = {
            "discriminator_loss": loss, "real_score": real_scores.mean(), "fake_score": fake_scores.mean(),
        }  # fmt: skip
        if real_logits is not None and labels is not None:
            figures["class_loss"] = auxiliary_loss(real_logits, labels)
            loss = loss + self.class_weight * figures["class_loss"]
        if self.penalty != "none" and self.trainer.global_step % self.penalty_every_n_steps == 0:
            figures["penalty"] = self.discriminator_penalty(real, fake, labels)
            loss = loss + self.penalty_weight * self.penalty_every_n_steps * figures["penalty"]
        return loss, figures

    def discriminator_penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        """The penalty on the discriminator's gradient, of R1 with its factor of a half."""

        def critic(pictures: Tensor) -> Tensor:
            return self.discriminate(pictures, labels)[0]

        if self.penalty == "r1":
            return r1_penalty(critic, real) / 2
        return gradient_penalty(critic, real, fake, one_sided=self.penalty == "one_sided")

    def generator_loss(self, fake: Tensor, labels: Tensor | None) -> Tensor:
        """The generator's loss on fakes that keep their graph."""
        scores, logits = self.discriminate(augment(fake, self.augmentation), labels)
        loss = generator_loss(self.loss_name, scores)
        if logits is not None and labels is not None:
            loss = loss + self.class_weight * auxiliary_loss(logits, labels)
        return loss
