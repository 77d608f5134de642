"""`Pix2Pix`: paired image-to-image translation."""

from __future__ import annotations

from typing import Literal

import rich
import torch
from lightning.pytorch.callbacks import Callback
from rich.table import Table
from torch import Tensor, nn

from lhy_lightning.core.arguments.ranges import Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import PairedImageBatch
from lhy_lightning.gan.adversarial import OnePair
from lhy_lightning.gan.image_translation.translated_images import TranslatedPictures, as_channels
from lhy_lightning.gan.image_translation.translation import TranslationArguments, TranslationModule, difference
from lhy_lightning.gan.losses import discriminator_loss, generator_loss
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.training.module import EvaluatedSplit

SAID = {
    "l1": "the generator", "l1_of_input": "copying the input",
    "l1_of_mean_target": "the mean picture of the training targets",
}  # fmt: skip


class Pix2Pix(TranslationModule, OnePair):
    """Translates pictures, learnt from pairs of an input and its target (Isola et al. 2017,
    https://arxiv.org/abs/1611.07004).

    A discriminator sees the input beside the target or beside the generator's output and scores patches of them; the
    generator pays for its scores and for the mean absolute difference from the target (L1). Every batch gives one step
    of each, on the same outputs. The paper halves the discriminator's loss, which Adam does not see.

    To use networks of your own, override `build_generator` and `build_discriminator`.

    At inference batch statistics are those gathered in training, so a result does not depend on the pictures beside it;
    the paper's code takes those of the pictures at hand, one at a time, which is `norm="instance"`. Dropout is the
    generator's only noise.

    Args:
        dropout_at_test: draw in validation, test and prediction too, as the paper does: one result of many.
        l1_weight: lambda, the weight of L1 beside the adversarial loss.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        input_channels: 1 (grey) or 3 (colour); from the data if not given, as the next one.
        target_channels: the same of the targets.
        arguments: as in `TranslationModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.

    Example:
        >>> import torch
        >>> from lhy_lightning import Pix2Pix
        >>> model = Pix2Pix(image_size=16, input_channels=1, target_channels=3, width=4, discriminator_width=4)
        >>> tuple(model(torch.zeros(2, 1, 16, 16)).shape)
        (2, 3, 16, 16)
    """

    data_modules = ("PairedImageDataModule",)
    missing_keys = (("target", "Pix2Pix trains on pairs: give every batch its `target`, as large as its `input`."),)
    built_from = ("image_size", "input_channels", "target_channels")
    no_network = "there is no network yet: give image_size and both numbers of channels, or fit first"

    argument_ranges = ranges(l1_weight=Range(at_least=0, said="0 for the adversarial loss alone, or more"))

    monitor: tuple[str, Literal["max", "min"]] = ("val/l1", "min")

    def __init__(
        self,
        *,
        dropout_at_test: bool = False,
        l1_weight: float = 100.0,
        channels_last: bool = True,
        input_channels: int | None = None,
        target_channels: int | None = None,
        **arguments: Unpack[TranslationArguments],
    ) -> None:
        super().__init__(**arguments)
        self.dropout_at_test, self.l1_weight, self.channels_last = dropout_at_test, l1_weight, channels_last
        self.input_channels, self.target_channels = input_channels, target_channels
        self.discriminator = self.generator = self.averaged = None
        self.l1, self.l1_of_input, self.l1_of_mean = (Mean() for _ in range(3))
        self.mean_target: Tensor | None = None
        self.build_if_known()

    # --- networks --------------------------------------------------------------------------------------------------

    def build_generator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to pictures (N, D, H, W). Override it for one of your own."""
        _, before, after = self.known_sizes()
        return self.unet(before, after, dropout_at_test=self.dropout_at_test)

    def build_discriminator(self) -> nn.Module:
        """Returns (target (N, D, H, W), input (N, C, H, W)) to scores (N, 1, h, w). Override it for one of your own."""
        _, before, after = self.known_sizes()
        return self.patch_discriminator(after, before)

    # --- inference -------------------------------------------------------------------------------------------------

    def layout(self, pictures: Tensor) -> Tensor:
        return pictures.contiguous(memory_format=torch.channels_last) if self.channels_last else pictures

    def forward(self, pictures: Tensor) -> Tensor:
        """Inputs (N, C, H, W) to outputs (N, D, H, W), both in [-1, 1].

        By the averaged generator where there is one, in evaluation mode.
        """
        with evaluation_mode(self.built()) as network:
            outputs: Tensor = network(self.layout(pictures))
        return outputs.contiguous()

    # --- training --------------------------------------------------------------------------------------------------

    def discriminate(self, pictures: Tensor, inputs: Tensor) -> Tensor:
        """Scores (N, 1, h, w) of targets or outputs (N, D, H, W) beside their inputs (N, C, H, W)."""
        assert self.discriminator is not None
        scores: Tensor = self.discriminator(self.layout(pictures), self.layout(inputs))
        return scores

    def training_step(self, batch: PairedImageBatch, batch_idx: int) -> None:
        inputs, targets = batch["input"], batch["target"]
        assert self.generator is not None
        outputs = self.generator(self.layout(inputs))
        with self.toggled("discriminator"):
            loss = self.discriminator_loss(inputs, targets, outputs.detach())
            self.backward_and_step("discriminator", loss)
        figures = {"discriminator_loss": loss}
        with self.toggled("generator"):
            loss, parts = self.generator_loss(inputs, targets, outputs)
            self.backward_and_step("generator", loss)
        self.log_losses({**figures, **parts})

    def discriminator_loss(self, inputs: Tensor, targets: Tensor, outputs: Tensor) -> Tensor:
        """The discriminator's loss on outputs without a graph."""
        return discriminator_loss(
            self.loss_name, self.discriminate(targets, inputs), self.discriminate(outputs, inputs)
        )

    def generator_loss(self, inputs: Tensor, targets: Tensor, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss on outputs that keep their graph, and its parts."""
        adversarial = generator_loss(self.loss_name, self.discriminate(outputs, inputs))
        l1 = difference(outputs, targets)
        return adversarial + self.l1_weight * l1, {"adversarial_loss": adversarial, "l1": l1}

    # --- evaluation ------------------------------------------------------------------------------------------------

    def on_test_start(self) -> None:
        """Computes the mean picture of the training targets, one of two controls."""
        data = getattr(self.trainer, "datamodule", None)
        self.mean_target = None
        if data is not None and hasattr(data, "pictures"):
            count, total = 0, torch.zeros(())
            for batch in data.pictures("train"):
                count, total = count + len(batch["target"]), total + batch["target"].double().sum(0)
            self.mean_target = (total / count).float().to(self.device)  # (D, H, W)

    def evaluate(self, batch: PairedImageBatch, split: EvaluatedSplit) -> None:
        """Adds a batch to L1 of the outputs; in a test also to that of two controls: the input, and the mean target."""
        inputs, targets = batch["input"], batch["target"]
        self.l1.update(difference(self(inputs), targets), len(inputs))
        if split == "test":
            copied = as_channels(inputs, targets.shape[1])
            self.l1_of_input.update(difference(copied, targets), len(inputs))
            if self.mean_target is not None:
                self.l1_of_mean.update(difference(self.mean_target.expand_as(targets), targets), len(inputs))

    def report(self, split: EvaluatedSplit) -> None:
        """Logs what `evaluate` has added up over all ranks; a test prints it beside the controls."""
        metrics = {"l1": self.l1}
        if split == "test":
            metrics["l1_of_input"] = self.l1_of_input
            if self.mean_target is not None:
                metrics["l1_of_mean_target"] = self.l1_of_mean
        found = {name: metric.compute() for name, metric in metrics.items()}
        self.log_dict({f"{split}/{name}": value for name, value in found.items()}, prog_bar=split == "val")
        for metric in metrics.values():
            metric.reset()
        if split == "test" and self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None:
            table = Table("", "L1 of test pictures")
            for name, value in found.items():
                table.add_row(SAID[name], f"{value:.4f}")
            rich.print(table)

    def predict_step(self, batch: PairedImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """`pictures` (N, D, H, W) in [-1, 1], and the `index` (N,) of their inputs."""
        return {"pictures": self(batch["input"]), "index": batch["index"]}

    def picture_columns(self, batch: PairedImageBatch) -> dict[str, list[Tensor]]:
        """What a picture of the run shows side by side: input, output and target, each (N, C, H, W)."""
        return {"translation": [batch["input"], self(batch["input"]), batch["target"]]}

    def prediction_writers(self) -> list[Callback]:
        return [TranslatedPictures({"pictures": None})]
