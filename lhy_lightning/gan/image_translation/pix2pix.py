"""`Pix2Pix`: pictures to what they are to become, learnt from pairs."""

from __future__ import annotations

from typing import Any, Literal

import rich
import torch
from lightning.pytorch.callbacks import Callback
from rich.table import Table
from torch import Tensor, nn

from lhy_lightning.core.argument_ranges import BELOW_ONE, CLIP, COUNT, NOT_NEGATIVE, POSITIVE, Range, ranges
from lhy_lightning.gan.image_translation.patch_discriminator import PatchDiscriminator
from lhy_lightning.gan.image_translation.translated_pictures import TranslatedPictures, TranslationPictures, as_channels
from lhy_lightning.gan.image_translation.unet import UNet
from lhy_lightning.gan.losses import discriminator_loss, generator_loss, loss_terms
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.optim import AveragedWeights
from lhy_lightning.training.multi_optimizer import SeveralOptimizers

Batch = dict[str, Tensor]
OF_DATA = ("image_size", "input_channels", "target_channels")


class Pix2Pix(SeveralOptimizers):
    """Translates pictures, learnt from pairs of an input and its target (Isola et al. 2017,
    https://arxiv.org/abs/1611.07004).

    A discriminator sees the input beside the target or beside the generator's output and scores patches of them; the
    generator pays for its scores and for the mean absolute difference from the target (L1). Every batch gives one step
    of each, on the same outputs. The paper halves the discriminator's loss, which Adam does not see.

    Networks of one's own are two methods: `build_generator` and `build_discriminator`.

    Args:
        width: channels of the U-Net's first layer.
        norm: of the generator: "batch" as in the paper, "instance", "layer" or "none". At inference batch statistics
            are those gathered in training, so a result does not depend on the pictures beside it; the paper's code
            takes those of the pictures at hand, one at a time, which is "instance".
        dropout: rate in the decoder, the generator's only noise.
        dropout_at_test: draw in validation, test and prediction too, as the paper does: one result of many.
        discriminator_width: channels of the discriminator's first layer.
        discriminator_layers: convolutions of stride 2 in it: 3 score patches of 70x70 pixels, 2 of 34x34, 1 of 16x16.
        discriminator_norm: as `norm`.
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".
        l1_weight: lambda, the weight of L1 beside the adversarial loss.
        optimizer: any of `torch.optim` by its name in small letters, for both.
        discriminator_lr, generator_lr: learning rates.
        betas: of Adam and its kin.
        momentum: of SGD and RMSprop.
        schedule: "constant", "linear" or "cosine", over steps.
        decay_start: share of the steps at which linear and cosine begin to fall.
        final_lr_factor: share of the rates at which they end.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        discriminator_clip, generator_clip: largest gradient norm of each network; None for no limit.
        ema_decay: decay of the generator's averaged weights, which then translate; None for the raw ones.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        picture_every: steps between two pictures input, output, target of validation rows; 0 for none.
        image_size: (height, width) of a picture; from the data if not given, as the next two.
        input_channels: 1 (grey) or 3 (colour).
        target_channels: the same of the targets.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.
    """

    data_modules = ("PairedImageDataModule",)

    argument_ranges = ranges(
        discriminator_width=COUNT, discriminator_layers=NOT_NEGATIVE, decay_start=BELOW_ONE,
        l1_weight=Range(at_least=0, said="0 for the adversarial loss alone, or more"),
        discriminator_lr=POSITIVE, generator_lr=POSITIVE, discriminator_clip=CLIP, generator_clip=CLIP,
    )  # fmt: skip

    headline_metric: tuple[str, Literal["max", "min"]] = ("val/l1", "min")
    later_metrics = ("val/*",)  # figures of translations

    discriminator: nn.Module | None
    generator: nn.Module | None
    averaged: AveragedWeights | None

    def __init__(
        self,
        *,
        width: int = 64,
        norm: Literal["batch", "instance", "layer", "none"] = "batch",
        dropout: float = 0.5,
        dropout_at_test: bool = False,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        discriminator_norm: Literal["batch", "instance", "layer", "none"] = "batch",
        loss: Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"] = "non_saturating",
        l1_weight: float = 100.0,
        optimizer: str = "adam",
        discriminator_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        momentum: float = 0.0,
        schedule: Literal["constant", "linear", "cosine"] = "constant",
        decay_start: float = 0.0,
        final_lr_factor: float = 0.0,
        accumulate: int = 1,
        discriminator_clip: float | None = None,
        generator_clip: float | None = None,
        ema_decay: float | None = None,
        channels_last: bool = True,
        picture_every: int = 500,
        image_size: tuple[int, int] | None = None,
        input_channels: int | None = None,
        target_channels: int | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"discriminator": discriminator_clip, "generator": generator_clip})
        self.save_hyperparameters()
        loss_terms(loss)
        self.loss_name, self.l1_weight = loss, l1_weight
        self.generator_numbers: dict[str, Any] = {
            "width": width, "norm": norm, "dropout": dropout, "dropout_at_test": dropout_at_test,
        }  # fmt: skip
        self.discriminator_numbers: dict[str, Any] = {
            "width": discriminator_width, "layers": discriminator_layers, "norm": discriminator_norm,
        }  # fmt: skip
        self.rates = {"discriminator": discriminator_lr, "generator": generator_lr}
        self.optimizer_numbers = {"name": optimizer, "betas": betas, "momentum": momentum}
        self.schedule_numbers = {
            "schedule": schedule, "decay_start": decay_start, "final_factor": final_lr_factor,
        }  # fmt: skip
        self.ema_decay, self.channels_last, self.picture_every = ema_decay, channels_last, picture_every
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.input_channels, self.target_channels = input_channels, target_channels
        self.discriminator = self.generator = self.averaged = None
        self.l1, self.l1_of_input, self.l1_of_mean = (Mean() for _ in range(3))
        self.mean_target: Tensor | None = None
        if None not in (image_size, input_channels, target_channels):
            self.build()

    # --- networks --------------------------------------------------------------------------------------------------

    def sizes(self) -> tuple[tuple[int, int], int, int]:
        """(Height, width), channels of the input and of the target, once they are known."""
        if self.image_size is None or self.input_channels is None or self.target_channels is None:
            raise ValueError(
                f"give {type(self).__name__} image_size, input_channels and target_channels, or fit it with a data "
                "module that tells them"
            )
        return self.image_size, self.input_channels, self.target_channels

    def build_generator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to pictures (N, D, H, W). Override it for one of your own."""
        (height, width), before, after = self.sizes()
        if height != width:
            raise ValueError(f"pictures are {height} x {width}, the U-Net wants squares")
        return UNet(input_channels=before, output_channels=after, image_size=height, **self.generator_numbers)

    def build_discriminator(self) -> nn.Module:
        """Returns (target (N, D, H, W), input (N, C, H, W)) to scores (N, 1, h, w). Override it for one of your own."""
        _, before, after = self.sizes()
        return PatchDiscriminator(channels=after, condition_channels=before, **self.discriminator_numbers)

    def build(self) -> None:
        """Builds networks and averaged weights, once all sizes are known."""
        self.generator, self.discriminator = self.build_generator(), self.build_discriminator()
        layouts = [to_channels_last(network) for network in (self.generator, self.discriminator) if self.channels_last]
        self.channels_last = bool(layouts) and all(layouts)
        if self.ema_decay is not None:
            self.averaged = AveragedWeights(self.generator, self.ema_decay)

    def networks(self) -> dict[str, nn.Module]:
        assert self.discriminator is not None
        assert self.generator is not None
        return {"discriminator": self.discriminator, "generator": self.generator}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        sizes = OF_DATA
        self.learn_from_data(sizes, equal=sizes)
        if self.generator is None:
            self.build()

    # --- inference -------------------------------------------------------------------------------------------------

    def layout(self, pictures: Tensor) -> Tensor:
        return pictures.contiguous(memory_format=torch.channels_last) if self.channels_last else pictures

    def forward(self, pictures: Tensor) -> Tensor:
        """Inputs (N, C, H, W) to outputs (N, D, H, W), both in [-1, 1].

        By the averaged generator where there is one, in evaluation mode.
        """
        network = self.averaged if self.averaged is not None else self.generator
        if network is None:
            raise RuntimeError("there is no network yet: give image_size and both numbers of channels, or fit first")
        with evaluation_mode(network):
            outputs: Tensor = network(self.layout(pictures))
        return outputs.contiguous()

    # --- training --------------------------------------------------------------------------------------------------

    def judge(self, pictures: Tensor, inputs: Tensor) -> Tensor:
        """Scores (N, 1, h, w) of targets or outputs (N, D, H, W) beside their inputs (N, C, H, W)."""
        assert self.discriminator is not None
        scores: Tensor = self.discriminator(self.layout(pictures), self.layout(inputs))
        return scores

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, targets = batch["input"], batch["target"]
        assert self.generator is not None
        outputs = self.generator(self.layout(inputs))
        with self.updating("discriminator"):
            loss = self.discriminator_loss(inputs, targets, outputs.detach())
            self.step("discriminator", loss)
        figures = {"discriminator_loss": loss}
        with self.updating("generator"):
            loss, parts = self.generator_loss(inputs, targets, outputs)
            self.step("generator", loss)
        self.log_losses({**figures, **parts})

    def discriminator_loss(self, inputs: Tensor, targets: Tensor, outputs: Tensor) -> Tensor:
        """The discriminator's loss on outputs without a graph."""
        return discriminator_loss(self.loss_name, self.judge(targets, inputs), self.judge(outputs, inputs))

    def generator_loss(self, inputs: Tensor, targets: Tensor, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss on outputs that keep their graph, and its parts."""
        adversarial = generator_loss(self.loss_name, self.judge(outputs, inputs))
        l1 = absolute_difference(outputs, targets)
        return adversarial + self.l1_weight * l1, {"adversarial_loss": adversarial, "l1": l1}

    def on_network_step(self, name: str) -> None:
        if name == "generator" and self.averaged is not None:
            self.averaged.update(self.networks()[name])

    def configure_optimizers(self) -> Any:
        return self.alike_optimizers(self.rates, self.optimizer_numbers, self.schedule_numbers)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.l1.update(absolute_difference(self(batch["input"]), batch["target"]), len(batch["input"]))

    def on_validation_epoch_end(self) -> None:
        self.log("val/l1", self.l1.compute(), prog_bar=True)
        self.l1.reset()

    def on_test_start(self) -> None:
        """Computes the mean picture of the training targets, one of two controls."""
        data = getattr(self.trainer, "datamodule", None)
        self.mean_target = None
        if data is not None and hasattr(data, "pictures"):
            count, total = 0, torch.zeros(())
            for batch in data.pictures("train"):
                count, total = count + len(batch["target"]), total + batch["target"].double().sum(0)
            self.mean_target = (total / count).float().to(self.device)  # (D, H, W)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, targets = batch["input"], batch["target"]
        self.l1.update(absolute_difference(self(inputs), targets), len(inputs))
        copied = as_channels(inputs, targets.shape[1])
        self.l1_of_input.update(absolute_difference(copied, targets), len(inputs))
        if self.mean_target is not None:
            self.l1_of_mean.update(absolute_difference(self.mean_target.expand_as(targets), targets), len(inputs))

    def on_test_epoch_end(self) -> None:
        metrics = {"l1": self.l1, "l1_of_input": self.l1_of_input}
        if self.mean_target is not None:
            metrics["l1_of_mean_target"] = self.l1_of_mean
        found = {name: metric.compute() for name, metric in metrics.items()}
        self.log_dict({f"test/{name}": value for name, value in found.items()})
        for metric in metrics.values():
            metric.reset()
        if self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None:
            said = {
                "l1": "the generator", "l1_of_input": "copying the input",
                "l1_of_mean_target": "the mean picture of the training targets",
            }  # fmt: skip
            table = Table("", "L1 of test pictures")
            for name, value in found.items():
                table.add_row(said[name], f"{value:.4f}")
            rich.print(table)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`pictures` (N, D, H, W) in [-1, 1], and the `index` (N,) of their inputs."""
        return {"pictures": self(batch["input"]), "index": batch["index"]}

    def picture_columns(self, batch: Batch) -> dict[str, list[Tensor]]:
        """What a picture of the run shows side by side: input, output and target, each (N, C, H, W)."""
        return {"translation": [batch["input"], self(batch["input"]), batch["target"]]}

    def prediction_writers(self) -> list[Callback]:
        return [TranslatedPictures({"pictures": None})]

    def configure_callbacks(self) -> list[Callback]:
        pictures = [TranslationPictures(self.picture_every)] if self.picture_every else []
        return [*super().configure_callbacks(), *pictures]


def absolute_difference(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two batches of pictures (L1), in float32."""
    return (first.float() - second.float()).abs().mean()
