"""What modules share that learn to give a picture back: sizes from the data, optimizer, figures, pictures."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.autoencoders.pictures import ReconstructionPictures
from lhy_lightning.autoencoders.predictions import ErrorsCsv, PredictedPictures
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.optim import build_optimizer, parameter_groups
from lhy_lightning.training.module import CourseModule

Batch = dict[str, Tensor]


def picture_errors(images: Tensor, others: Tensor) -> Tensor:
    """Mean squared error of each picture, (N, C, H, W) twice to (N,) float32."""
    return (images.float() - others.float()).square().flatten(1).mean(1)


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels of pictures in [-1, 1], from mean squared errors of any shape."""
    return 10 * torch.log10(4 / errors.clamp(min=1e-10))


class ReconstructionModule(CourseModule):
    """Base of auto-encoders: a subclass builds its network and says what the losses of a batch are.

    Args:
        optimizer: any of `torch.optim` by its name in small letters.
        lr: learning rate after the warm-up.
        betas: of Adam and its kin.
        weight_decay: of weights with two or more axes.
        schedule: "constant", "linear" or "cosine".
        warmup_steps: steps in which the learning rate rises from zero.
        final_lr_factor: share of `lr` at which linear and cosine end.
        picture_every: validations between two pictures; 0 for none.
        image_size: (height, width) of a picture; from the data if not given, as the next one.
        channels: 1 (grey) or 3 (colour).
    """

    data_modules = ("ImageDataModule",)
    headline_metric: tuple[str, Literal["max", "min"]] = ("val/loss", "min")
    tests_without_labels = True

    network: nn.Module | None

    def __init__(
        self,
        *,
        optimizer: str = "adam",
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        schedule: Literal["constant", "linear", "cosine"] = "constant",
        warmup_steps: int = 0,
        final_lr_factor: float = 0.0,
        picture_every: int = 1,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        self.optimizer_numbers: dict[str, Any] = {"name": optimizer, "lr": lr, "betas": betas}
        self.weight_decay, self.picture_every = weight_decay, picture_every
        self.schedule_numbers: dict[str, Any] = {
            "schedule": schedule, "warmup_steps": warmup_steps, "final_factor": final_lr_factor,
        }  # fmt: skip
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.channels = channels
        self.network = None
        self.means = nn.ModuleDict()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_network(self) -> nn.Module:
        """Returns the network. Override it to train one of your own; `self.shape` is known when it is called."""
        raise NotImplementedError(f"{type(self).__name__} does not say what network it has")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture, once it is known."""
        if self.image_size is None or self.channels is None:
            raise ValueError(
                f"give {type(self).__name__} image_size and channels, or fit it with a data module that tells them"
            )
        return (self.channels, *self.image_size)

    def build_if_known(self) -> None:
        """At the end of a constructor: builds the network where the arguments tell the pictures' shape."""
        if self.image_size is not None and self.channels is not None:
            self.network = self.build_network()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        sizes = ("image_size", "channels")
        self.learn_from_data(sizes, equal=sizes)
        if self.network is None:
            self.network = self.build_network()

    def built(self) -> Any:
        if self.network is None:
            raise RuntimeError("there is no network yet: give image_size and channels, or fit first")
        return self.network

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to what comes back of them, in the same shape."""
        raise NotImplementedError(f"{type(self).__name__} does not say what comes back")

    # --- training --------------------------------------------------------------------------------------------------

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What came back (N, C, H, W), and by name the "loss" of a batch and what else is to be logged."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses are")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        _, figures = self.losses(batch["image"])
        if self.logs_now(batch_idx):
            self.log_dict({f"train/{name}": value.detach() for name, value in figures.items()}, prog_bar=True)
        return figures["loss"]

    def configure_optimizers(self) -> Any:
        numbers = self.optimizer_numbers
        groups = parameter_groups(self.built(), numbers["lr"], self.weight_decay)
        return self.scheduled(build_optimizer(groups, **numbers), **self.schedule_numbers)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def mean(self, name: str, values: Tensor) -> None:
        """Adds a value for every row to a mean over rows and ranks that is logged when this evaluation ends."""
        key = name.replace("/", "-")
        if key not in self.means:
            self.means[key] = Mean().to(self.device)
        self.means[key].update(values)  # type: ignore[operator]

    def evaluate(self, stage: str, batch: Batch) -> None:
        images = batch["image"]
        result, figures = self.losses(images)
        errors = picture_errors(images, result)
        self.mean(f"{stage}/mse", errors)
        self.mean(f"{stage}/psnr", psnr(errors))
        for name, value in figures.items():
            self.mean(f"{stage}/{name}", value.expand(len(images)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate("val", batch)

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate("test", batch)

    def on_test_epoch_end(self) -> None:
        self.report("test")

    def report(self, stage: str) -> None:
        """Logs the means of one evaluation."""
        figures = {}
        for key, metric in self.means.items():
            if key.startswith(f"{stage}-"):
                figures[key.replace("-", "/", 1)] = metric.compute()  # type: ignore[operator]
                metric.reset()  # type: ignore[operator]
        self.log_dict(figures, prog_bar=True, sync_dist=True)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """As `forward`, in evaluation mode and without gradients."""
        with evaluation_mode(self):
            result: Tensor = self(images.to(self.device))
        return result

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Returns `index` (N,), `image` as it came back (N, C, H, W) and its `error` (N,)."""
        return self.returned(batch, self(batch["image"]))

    def returned(self, batch: Batch, result: Tensor) -> Batch:
        """Of pictures that came back (N, C, H, W), what `predict_step` returns."""
        return {"index": batch["index"], "image": result, "error": picture_errors(batch["image"], result)}

    def prediction_writers(self) -> list[Callback]:
        return [ErrorsCsv(), PredictedPictures()]

    def configure_callbacks(self) -> list[Callback]:
        drawn = [ReconstructionPictures(self.picture_every)] if self.picture_every else []
        return [*super().configure_callbacks(), *drawn]
