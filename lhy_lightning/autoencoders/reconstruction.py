"""What modules share that learn to give a picture back: sizes from the data, optimizer, figures, pictures."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.autoencoders.plots import ReconstructionPictures
from lhy_lightning.autoencoders.predictions import ErrorsCsv, PredictedPictures
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.training.module import EvaluatedSplit
from lhy_lightning.training.single_optimizer import SingleOptimizerArguments, SingleOptimizerModule


def picture_errors(images: Tensor, others: Tensor) -> Tensor:
    """Mean squared error of each picture, (N, C, H, W) twice to (N,) float32.

    Example:
        >>> import torch
        >>> from lhy_lightning import picture_errors
        >>> picture_errors(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)).tolist()
        [1.0, 1.0]
    """
    return (images.float() - others.float()).square().flatten(1).mean(1)


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels of pictures in [-1, 1], from mean squared errors of any shape."""
    return 10 * torch.log10(4 / errors.clamp(min=1e-10))


class ReconstructionArguments(SingleOptimizerArguments, total=False):
    """Arguments of `ReconstructionModule`, for the `**arguments` of those built on it."""

    plot_every_n_validations: int
    image_size: int | tuple[int, int] | None
    channels: int | None


class ReconstructionModule(SingleOptimizerModule):
    """Base of auto-encoders: a subclass builds its network and says what the losses of a batch are.

    Args:
        plot_every_n_validations: validations between two pictures; 0 disables them.
        image_size: side, or (height, width), of a picture; from the data if not given, as the next one.
        channels: 1 (grey) or 3 (colour).
        arguments: as in `SingleOptimizerModule`.
    """

    data_modules = ("ImageDataModule",)
    tests_without_labels = True

    network: nn.Module | None
    image_size: tuple[int, int] | None

    def __init__(
        self,
        *,
        plot_every_n_validations: int = 1,
        image_size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        **arguments: Unpack[SingleOptimizerArguments],
    ) -> None:
        super().__init__(**arguments)
        self.plot_every_n_validations = plot_every_n_validations
        self.set_hparam("image_size", height_and_width(image_size))
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
        size, channels = self.known_sizes()
        return (channels, *size)

    def build(self) -> None:
        self.network = self.build_network()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        sizes = ("image_size", "channels")
        self.infer_from_datamodule(sizes, equal=sizes)
        self.build_once()

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to what comes back of them, in the same shape."""
        raise NotImplementedError(f"{type(self).__name__} does not say what comes back")

    # --- training --------------------------------------------------------------------------------------------------

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What came back (N, C, H, W), and by name the "loss" of a batch and what else is to be logged."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses are")

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        _, figures = self.losses(batch["image"])
        if self.should_log(batch_idx):
            self.log_dict({f"train/{name}": value.detach() for name, value in figures.items()}, prog_bar=True)
        return figures["loss"]

    # --- evaluation ------------------------------------------------------------------------------------------------

    def mean(self, name: str, values: Tensor) -> None:
        """Adds a value for every row to a mean over rows and ranks that is logged when this evaluation ends."""
        key = name.replace("/", "-")
        if key not in self.means:
            self.means[key] = Mean().to(self.device)
        self.means[key].update(values)  # type: ignore[operator]

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> None:
        images = batch["image"]
        result, figures = self.losses(images)
        errors = picture_errors(images, result)
        self.mean(f"{split}/mse", errors)
        self.mean(f"{split}/psnr", psnr(errors))
        for name, value in figures.items():
            self.mean(f"{split}/{name}", value.expand(len(images)))

    def report(self, split: EvaluatedSplit) -> None:
        """Logs the means of one evaluation."""
        figures = {}
        for key, metric in self.means.items():
            if key.startswith(f"{split}-"):
                figures[key.replace("-", "/", 1)] = metric.compute()  # type: ignore[operator]
                metric.reset()  # type: ignore[operator]
        self.log_dict(figures, prog_bar=True, sync_dist=True)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """As `forward`, in evaluation mode and without gradients."""
        with evaluation_mode(self):
            result: Tensor = self(images.to(self.device))
        return result

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,), `image` as it came back (N, C, H, W) and its `error` (N,)."""
        return self.returned(batch, self(batch["image"]))

    def returned(self, batch: ImageBatch, result: Tensor) -> dict[str, Tensor]:
        """Of pictures that came back (N, C, H, W), what `predict_step` returns."""
        return {"index": batch["index"], "image": result, "error": picture_errors(batch["image"], result)}

    def prediction_writers(self) -> list[Callback]:
        return [ErrorsCsv(), PredictedPictures()]

    def configure_callbacks(self) -> list[Callback]:
        drawn = [ReconstructionPictures(self.plot_every_n_validations)] if self.plot_every_n_validations else []
        return [*super().configure_callbacks(), *drawn]
