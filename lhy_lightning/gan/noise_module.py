"""Pictures drawn from noise: the generator, how it is asked, and the figures of what it draws."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning.callbacks.sampled_images import SampledPictures
from lhy_lightning.core.arguments.ranges import COUNT, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.seeding import run_seed
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.gan.adversarial import AdversarialArguments, OnePair
from lhy_lightning.gan.evaluation import FIGURES, INCEPTION, SampleEvaluation
from lhy_lightning.gan.losses import discriminator_loss
from lhy_lightning.gan.plots import GeneratorPictures
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.training.module import EvaluatedSplit

Condition = Literal["none", "concat", "projection", "auxiliary"]
GENERATED_AT_ONCE = 250


class NoiseArguments(AdversarialArguments, total=False):
    """Arguments of `NoiseModule`, for the `**arguments` of those built on it."""

    latent_dim: int
    condition: Condition
    features: str | None
    samples: int
    allow_few_samples: bool
    channels: int | None
    num_classes: int | None
    class_names: tuple[str, ...] | None


class NoiseModule(OnePair):
    """Base: a generator that draws pictures from noise, of a class if it is asked for one.

    Args:
        latent_dim: length Z of the noise.
        condition: how both networks know the class: "none", "concat", "projection" or "auxiliary".
        ema_decay: decay of the generator's averaged weights, which draw all samples; None for the raw ones.
        features: compares samples with real pictures in validation and test: a checkpoint of an `ImageClassifier`, or
            "inception:" and the path or URL of the published weights; None for no such figures.
        samples: how many are drawn for that.
        allow_few_samples: also where these are fewer than the features.
        channels: 1 (grey) or 3 (colour); from the data if not given, as the next two.
        num_classes: classes K of a conditional generator.
        class_names: their names.
        arguments: as in `AdversarialModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    argument_ranges = ranges(latent_dim=COUNT, samples=Range(at_least=2))

    def __init__(  # type: ignore[misc]  # `ema_decay` is restated
        self,
        *,
        latent_dim: int = 100,
        condition: Condition = "none",
        ema_decay: float | None = 0.999,
        features: str | None = None,
        samples: int = 1000,
        allow_few_samples: bool = False,
        channels: int | None = None,
        num_classes: int | None = None,
        class_names: tuple[str, ...] | None = None,
        **arguments: Unpack[AdversarialArguments],
    ) -> None:
        super().__init__(ema_decay=ema_decay, **arguments)
        self.latent_dim, self.condition = latent_dim, condition
        self.features, self.samples, self.allow_few_samples = features, samples, allow_few_samples
        if features is not None:
            distance = "fid" if features.startswith(INCEPTION) else "frechet_classifier"
            self.monitor = (f"val/{distance}", "min")
        self.channels, self.num_classes, self.class_names = channels, num_classes, class_names
        self.discriminator = self.generator = self.averaged = None
        self.held_out_loss, self.evaluated_batches = Mean(), 0

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

    @property
    def is_known(self) -> bool:
        return super().is_known and (self.num_classes is not None or not self.conditional)

    def learn_sizes(self) -> None:
        super().learn_sizes()
        if self.conditional:
            self.infer_from_datamodule(("num_classes", "class_names"), equal=())
            if not self.num_classes:
                raise ValueError(f"condition={self.condition!r} needs labelled pictures, the data has no labels.")

    # --- drawing ---------------------------------------------------------------------------------------------------

    def noise(self, count: int, *, seed: int | None = None) -> Tensor:
        """Standard normal noise (count, Z) float32 on the module's device; the same for the same seed."""
        if seed is None:
            return torch.randn(count, self.latent_dim, device=self.device)
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.latent_dim, generator=generator).to(self.device)

    def labels_in_turn(self, count: int) -> Tensor | None:
        """Classes 0, 1 ... K - 1, 0 ... (count,) int64, or None of an unconditional generator."""
        return torch.arange(count, device=self.device) % (self.num_classes or 1) if self.conditional else None

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, Z), and labels (N,) of a conditional GAN, to pictures (N, C, H, W) in [-1, 1].

        By the averaged generator where there is one, in evaluation mode.
        """
        with evaluation_mode(self.built()) as network:
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

    def discriminate(self, pictures: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Scores (N,), and class logits (N, K) of an auxiliary classifier."""
        if self.channels_last:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        assert self.discriminator is not None
        found = self.discriminator(pictures, labels)
        return found if isinstance(found, tuple) else (found, None)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self.evaluated_batches = 0

    def on_test_epoch_start(self) -> None:
        self.evaluated_batches = 0

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> None:
        """Adds a batch to the discriminator's loss on held-out pictures; it rises as others are learnt by heart.

        The number of the batch in this evaluation seeds its noise: every evaluation draws the same.
        """
        labels = batch["label"] if self.conditional else None
        noise = self.noise(len(batch["image"]), seed=run_seed() + self.evaluated_batches)
        self.evaluated_batches += 1
        fake = self.generate(noise, labels)
        real_scores, fake_scores = (self.discriminate(pictures, labels)[0] for pictures in (batch["image"], fake))
        self.held_out_loss.update(discriminator_loss(self.loss_name, real_scores, fake_scores), len(fake))

    def report(self, split: EvaluatedSplit) -> None:
        """Logs what `evaluate` has added up over all ranks."""
        self.log(f"{split}/loss", self.held_out_loss.compute(), prog_bar=True)
        self.held_out_loss.reset()

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Any]:
        """Nothing is said about a row: callbacks draw pictures when `lhy predict` ends."""
        return {}

    def prediction_writers(self) -> list[Callback]:
        return [SampledPictures()]

    def configure_callbacks(self) -> list[Callback]:
        pictures = [GeneratorPictures(self.plot_every_n_steps)] if self.plot_every_n_steps else []
        scores = (
            [] if self.features is None
            else [SampleEvaluation(self.features, self.samples, allow_few=self.allow_few_samples)]
        )  # fmt: skip
        return [*super().configure_callbacks(), *pictures, *scores]
