"""`GAN`: a generator against a discriminator, with the loss by name. Homework 6."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.callbacks.sampled_pictures import SampledPictures
from lhy_lightning.core.argument_ranges import CLIP, COUNT, NOT_NEGATIVE, POSITIVE, Range, ranges
from lhy_lightning.core.seeding import run_seed
from lhy_lightning.gan.augmentation import augment, policy_changes
from lhy_lightning.gan.evaluation import FIGURES, INCEPTION, SampleEvaluation
from lhy_lightning.gan.losses import discriminator_loss, generator_loss, loss_terms
from lhy_lightning.gan.networks.by_name import discriminator_by_name, generator_by_name, has_batch_norm, pair
from lhy_lightning.gan.networks.conditioning import auxiliary_loss
from lhy_lightning.gan.networks.spectral import add_spectral_norm
from lhy_lightning.gan.penalties import clip_weights_, gradient_penalty, r1_penalty
from lhy_lightning.gan.pictures import GeneratorPictures
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.optim import AveragedWeights
from lhy_lightning.training.multi_optimizer import SeveralOptimizers

Batch = dict[str, Tensor]
PENALTIES = ("none", "gradient", "one_sided", "r1")
GENERATED_AT_ONCE = 250


class GAN(SeveralOptimizers):
    """Trains a generator to draw pictures that a discriminator cannot tell from real ones (Goodfellow et al. 2014).

    Every batch gives one discriminator step, every `n_critic`-th one a generator step too; `max_steps`, schedules and
    logging count discriminator steps. Networks of one's own are two methods: `build_generator` and
    `build_discriminator`.

    Args:
        network: "dcgan" (Radford et al. 2016, as the homework has it) or "residual" (Gulrajani et al. 2017).
        latent: length Z of the noise.
        width: channels of the layer nearest to the picture.
        generator_norm: "batch", "instance", "layer" or "none".
        discriminator_norm: the same; None for what suits the loss: "batch", but "none" with spectral normalization
            and "layer" with a gradient penalty, under which batch statistics would tie samples to each other.
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".
        penalty: on the discriminator's gradient: "none", "gradient" (WGAN-GP), "one_sided" (only norms above 1) or
            "r1" (on real pictures, Mescheder et al. 2018).
        penalty_weight: lambda.
        penalty_every: steps between two penalties, each then multiplied by this number.
        weight_clip: largest absolute weight of the discriminator, clipped after each of its steps (WGAN).
        spectral_norm: divide each weight of the discriminator by its largest singular value (Miyato et al. 2018).
        condition: how both networks know the class: "none", "concat", "projection" or "auxiliary".
        class_weight: weight of the auxiliary classifier's loss.
        augmentation: differentiable augmentation of real and fake pictures (Zhao et al. 2020), such as
            "color,translation,cutout"; empty for none.
        n_critic: discriminator steps a generator step.
        reuse_fakes: where both step on one batch, both see the same fakes, which are made once; otherwise the
            generator draws anew, as in the paper's algorithm.
        optimizer: any of `torch.optim` by its name in small letters, for both.
        discriminator_lr, generator_lr: learning rates.
        betas: of Adam and its kin.
        momentum: of SGD and RMSprop.
        schedule: "constant", "linear" or "cosine", over discriminator steps.
        final_lr_factor: share of the rates at which linear and cosine end.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        discriminator_clip, generator_clip: largest gradient norm of each network; None for no limit.
        ema_decay: decay of the generator's averaged weights, which draw all samples; None for the raw ones.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        picture_every: discriminator steps between two pictures of samples; 0 for none.
        features: compares samples with real pictures in validation and test: a checkpoint of an `ImageClassifier`, or
            "inception:" and the path or URL of the published weights; None for no such figures.
        samples: how many are drawn for that.
        allow_few_samples: also where these are fewer than the features.
        image_size: (height, width) of a picture; from the data if not given, as the next four.
        channels: 1 (grey) or 3 (colour).
        num_classes: classes K of a conditional generator.
        class_names: their names.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    argument_ranges = ranges(
        latent=COUNT, penalty_weight=NOT_NEGATIVE, penalty_every=COUNT, weight_clip=CLIP, class_weight=NOT_NEGATIVE,
        n_critic=COUNT, discriminator_lr=POSITIVE, generator_lr=POSITIVE, discriminator_clip=CLIP, generator_clip=CLIP,
        samples=Range(at_least=2),
    )  # fmt: skip

    # no loss tells when samples are best: the last epoch is kept
    data_modules = ("ImageDataModule",)
    headline_metric: tuple[str, Literal["max", "min"]] = ("step", "max")
    later_metrics = ("val/*",)  # figures of samples

    discriminator: nn.Module | None
    generator: nn.Module | None
    averaged: AveragedWeights | None

    def __init__(
        self,
        *,
        network: Literal["dcgan", "residual"] = "dcgan",
        latent: int = 100,
        width: int = 64,
        generator_norm: Literal["batch", "instance", "layer", "none"] = "batch",
        discriminator_norm: Literal["batch", "instance", "layer", "none"] | None = None,
        loss: Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"] = "non_saturating",
        penalty: Literal["none", "gradient", "one_sided", "r1"] = "none",
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
        weight_clip: float | None = None,
        spectral_norm: bool = False,
        condition: Literal["none", "concat", "projection", "auxiliary"] = "none",
        class_weight: float = 1.0,
        augmentation: str = "",
        n_critic: int = 1,
        reuse_fakes: bool = True,
        optimizer: str = "adam",
        discriminator_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        momentum: float = 0.0,
        schedule: Literal["constant", "linear", "cosine"] = "constant",
        final_lr_factor: float = 0.0,
        accumulate: int = 1,
        discriminator_clip: float | None = None,
        generator_clip: float | None = None,
        ema_decay: float | None = 0.999,
        channels_last: bool = True,
        picture_every: int = 500,
        features: str | None = None,
        samples: int = 1000,
        allow_few_samples: bool = False,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        num_classes: int | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"discriminator": discriminator_clip, "generator": generator_clip})
        self.save_hyperparameters()
        loss_terms(loss), pair(network), policy_changes(augmentation)
        if weight_clip is not None and spectral_norm:
            raise ValueError("weight_clip and spectral_norm both bound the discriminator's weights: choose one.")
        self.network_name, self.latent, self.width, self.condition = network, latent, width, condition
        self.loss_name, self.class_weight, self.augmentation = loss, class_weight, augmentation
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        self.weight_clip, self.spectral_norm = weight_clip, spectral_norm
        suited = "none" if spectral_norm else "batch" if penalty == "none" else "layer"
        self.norms = {"generator": generator_norm, "discriminator": discriminator_norm or suited}
        self.n_critic, self.reuse_fakes, self.ema_decay = n_critic, reuse_fakes, ema_decay
        self.rates = {"discriminator": discriminator_lr, "generator": generator_lr}
        self.optimizer_numbers = {"name": optimizer, "betas": betas, "momentum": momentum}
        self.schedule_numbers = {"schedule": schedule, "final_factor": final_lr_factor}
        self.channels_last, self.picture_every = channels_last, picture_every
        self.features, self.samples, self.allow_few_samples = features, samples, allow_few_samples
        if features is not None:
            distance = "fid" if features.startswith(INCEPTION) else "frechet_classifier"
            self.headline_metric = (f"val/{distance}", "min")
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.channels, self.num_classes, self.class_names = channels, num_classes, class_names
        self.discriminator = self.generator = self.averaged = None
        self.held_out_loss = Mean()
        if image_size is not None and channels is not None and (num_classes is not None or not self.conditional):
            self.build()

    @property
    def drawn_figures(self) -> tuple[frozenset[str], str]:
        """The figures that are of samples, and what these are compared with: `print_results` shows them once."""
        return FIGURES, f"{self.samples:,} samples against training pictures, the same ones in validation and test"

    @property
    def conditional(self) -> bool:
        """Whether both networks are told the class."""
        return self.condition != "none"

    @property
    def needs_labels(self) -> str:  # type: ignore[override]
        """The setting that needs them."""
        return f"condition={self.condition!r}" if self.conditional else ""

    # --- networks --------------------------------------------------------------------------------------------------

    def build_generator(self) -> nn.Module:
        """Returns noise (N, Z) and labels (N,) or None to pictures (N, C, H, W). Override it for one of your own."""
        norm = self.norms["generator"]
        return generator_by_name(self.network_name, latent=self.latent, norm=norm, **self.network_numbers())

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
        if self.image_size is None or self.channels is None:
            raise ValueError(
                f"give {type(self).__name__} image_size and channels, or fit it with a data module that tells them"
            )
        if self.image_size[0] != self.image_size[1]:
            raise ValueError(f"pictures are {self.image_size[0]} x {self.image_size[1]}, the networks want squares")
        return {
            "width": self.width, "channels": self.channels, "image_size": self.image_size[0],
            "condition": self.condition, "num_classes": (self.num_classes or 0) if self.conditional else 0,
        }  # fmt: skip

    def build(self) -> None:
        """Builds networks and averaged weights, once all sizes are known."""
        self.generator, self.discriminator = self.build_generator(), self.build_discriminator()
        layouts = [to_channels_last(network) for network in (self.generator, self.discriminator) if self.channels_last]
        self.channels_last = bool(layouts) and all(layouts)
        if self.ema_decay is not None:
            self.averaged = AveragedWeights(self.generator, self.ema_decay)
        if self.penalty != "none" and has_batch_norm(self.discriminator):
            rank_zero_warn("batch normalization ties samples together: a gradient penalty is not one of each sample.")

    def networks(self) -> dict[str, nn.Module]:
        assert self.discriminator is not None
        assert self.generator is not None
        return {"discriminator": self.discriminator, "generator": self.generator}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        sizes, classes = ("image_size", "channels"), ("num_classes", "class_names")
        self.learn_from_data((*sizes, *classes) if self.conditional else sizes, equal=sizes)
        if self.conditional and not self.num_classes:
            raise ValueError(f"condition={self.condition!r} needs labelled pictures, the data has no labels.")
        if self.generator is None:
            self.build()

    # --- drawing ---------------------------------------------------------------------------------------------------

    def noise(self, count: int, *, seed: int | None = None) -> Tensor:
        """Standard normal noise (count, Z) float32 on the module's device; the same for the same seed."""
        if seed is None:
            return torch.randn(count, self.latent, device=self.device)
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.latent, generator=generator).to(self.device)

    def labels_in_turn(self, count: int) -> Tensor | None:
        """Classes 0, 1 ... K - 1, 0 ... (count,) int64, or None of an unconditional generator."""
        return torch.arange(count, device=self.device) % (self.num_classes or 1) if self.conditional else None

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, Z), and labels (N,) of a conditional GAN, to pictures (N, C, H, W) in [-1, 1].

        By the averaged generator where there is one, in evaluation mode.
        """
        network = self.averaged if self.averaged is not None else self.generator
        if network is None:
            raise RuntimeError("there is no network yet: give image_size and channels, or fit first")
        with evaluation_mode(network):
            pictures: Tensor = network(noise, labels)
        return pictures.contiguous()

    @torch.no_grad()
    def generate(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `forward`, in parts, so that any number of pictures fits."""
        parts = range(0, len(noise), GENERATED_AT_ONCE)
        cut = [slice(first, first + GENERATED_AT_ONCE) for first in parts]
        return torch.cat([self(noise[part], None if labels is None else labels[part]) for part in cut])

    def sample(self, count: int, *, labels: Tensor | None = None, seed: int | None = None) -> Tensor:
        """Draws pictures.

        Args:
            count: N.
            labels: (N,) classes of a conditional GAN; all classes in turn if not given.
            seed: of the noise; torch's generator if not given.

        Returns:
            (N, C, H, W) float32 in [-1, 1].
        """
        if labels is None:
            labels = self.labels_in_turn(count)
        return self.generate(self.noise(count, seed=seed), None if labels is None else labels.to(self.device))

    # --- training --------------------------------------------------------------------------------------------------

    def judge(self, pictures: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Scores (N,), and class logits (N, K) of an auxiliary classifier."""
        if self.channels_last:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        assert self.discriminator is not None
        found = self.discriminator(pictures, labels)
        return found if isinstance(found, tuple) else (found, None)

    def draw_fakes(self, labels: Tensor | None, count: int) -> Tensor:
        """As many fakes as there are real pictures, of the same classes, by the generator in training mode."""
        assert self.generator is not None
        fakes: Tensor = self.generator(self.noise(count), labels)
        return fakes

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real, labels = batch["image"], batch["label"] if self.conditional else None
        generator_steps = self.turn(self.n_critic)
        with torch.set_grad_enabled(generator_steps and self.reuse_fakes):
            fake = self.draw_fakes(labels, len(real))

        with self.updating("discriminator"):
            loss, figures = self.discriminator_loss(real, fake.detach(), labels)
            self.step("discriminator", loss)
        if generator_steps:
            with self.updating("generator"):
                if not self.reuse_fakes:
                    fake = self.draw_fakes(labels, len(real))
                loss = self.generator_loss(fake, labels)
                self.step("generator", loss)
            figures["generator_loss"] = loss
        self.log_losses(figures)

    def discriminator_loss(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss with its penalty, and figures to log."""
        real, fake = augment(real, self.augmentation), augment(fake, self.augmentation)
        (real_scores, real_logits), (fake_scores, _) = self.judge(real, labels), self.judge(fake, labels)
        loss = discriminator_loss(self.loss_name, real_scores, fake_scores)
        figures = {
            "discriminator_loss": loss, "real_score": real_scores.mean(), "fake_score": fake_scores.mean(),
        }  # fmt: skip
        if real_logits is not None and labels is not None:
            figures["class_loss"] = auxiliary_loss(real_logits, labels)
            loss = loss + self.class_weight * figures["class_loss"]
        if self.penalty != "none" and self.trainer.global_step % self.penalty_every == 0:
            figures["penalty"] = self.discriminator_penalty(real, fake, labels)
            loss = loss + self.penalty_weight * self.penalty_every * figures["penalty"]
        return loss, figures

    def discriminator_penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        """The penalty on the discriminator's gradient, of R1 with its factor of a half."""

        def critic(pictures: Tensor) -> Tensor:
            return self.judge(pictures, labels)[0]

        if self.penalty == "r1":
            return r1_penalty(critic, real) / 2
        return gradient_penalty(critic, real, fake, one_sided=self.penalty == "one_sided")

    def generator_loss(self, fake: Tensor, labels: Tensor | None) -> Tensor:
        """The generator's loss on fakes that keep their graph."""
        scores, logits = self.judge(augment(fake, self.augmentation), labels)
        loss = generator_loss(self.loss_name, scores)
        if logits is not None and labels is not None:
            loss = loss + self.class_weight * auxiliary_loss(logits, labels)
        return loss

    def on_network_step(self, name: str) -> None:
        if name == "discriminator" and self.weight_clip is not None:
            clip_weights_(self.networks()[name], self.weight_clip)
        if name == "generator" and self.averaged is not None:
            self.averaged.update(self.networks()[name])

    def configure_optimizers(self) -> Any:
        return self.alike_optimizers(self.rates, self.optimizer_numbers, self.schedule_numbers)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Batch, batch_idx: int) -> None:
        """Adds a batch to the discriminator's loss on held-out pictures; it rises as others are learnt by heart."""
        labels = batch["label"] if self.conditional else None
        fake = self.generate(self.noise(len(batch["image"]), seed=run_seed() + batch_idx), labels)
        real_scores, fake_scores = (self.judge(pictures, labels)[0] for pictures in (batch["image"], fake))
        self.held_out_loss.update(discriminator_loss(self.loss_name, real_scores, fake_scores), len(fake))

    def report(self, stage: str) -> None:
        """Logs what `evaluate` has added up over all ranks."""
        self.log(f"{stage}/loss", self.held_out_loss.compute(), prog_bar=True)
        self.held_out_loss.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self.report("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Nothing is said about a row: callbacks draw pictures when `lhy predict` ends."""
        return {}

    def prediction_writers(self) -> list[Callback]:
        return [SampledPictures()]

    def configure_callbacks(self) -> list[Callback]:
        pictures = [GeneratorPictures(self.picture_every)] if self.picture_every else []
        scores = (
            [] if self.features is None
            else [SampleEvaluation(self.features, self.samples, allow_few=self.allow_few_samples)]
        )  # fmt: skip
        return [*super().configure_callbacks(), *pictures, *scores]
