"""What a run shows of a classifier: the table of layers, predictions, the confusion matrix, accuracy per class."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import rich
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from lhy_lightning.callbacks.images import save_picture
from lhy_lightning.core.atomic_files import atomic_write, csv_text
from lhy_lightning.layers.model_summary import layer_table
from lhy_lightning.training.run_directory import leaves_files, run_directory

MOST_PICTURES = 24
MOST_NAMED_CLASSES = 30


class Classified(Protocol):
    """A classifier with its classes, and the confusion matrix of the last evaluation."""

    num_classes: int | None
    class_names: tuple[str, ...] | None
    confusion: Tensor | None


def prediction_grid(images: Tensor, predicted: list[str], true: list[str] | None = None) -> Figure:
    """Pictures with the predicted name above each, and the true one beside it where it is known and another.

    Args:
        images: (N, C, H, W) in [-1, 1], C 1 or 3.
        predicted: N names.
        true: N names; None where there are no labels.

    Example:
        >>> import torch
        >>> from lhy_lightning import prediction_grid
        >>> figure = prediction_grid(torch.zeros(2, 1, 8, 8), ["cat", "dog"], ["cat", "cat"])
        >>> type(figure).__name__
        'Figure'
    """
    columns = min(8, len(images))
    lines = math.ceil(len(images) / columns)
    pixels = ((images.float().cpu() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    height, width = pixels.shape[1:3]
    step_down, step_right = round(1.25 * height) + 1, round(1.05 * width) + 1
    # one picture of all: twenty axes would take matplotlib seconds
    sheet = np.full((lines * step_down, columns * step_right, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(1.5 * columns, 1.5 * columns * sheet.shape[0] / sheet.shape[1]))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    for row, picture in enumerate(pixels):
        line, column = divmod(row, columns)
        top, left = (line + 1) * step_down - height, column * step_right
        sheet[top : top + height, left : left + width] = picture  # one channel spreads over three
        right = true is None or true[row] == predicted[row]
        title = predicted[row] if right or true is None else f"{predicted[row]}, not {true[row]}"
        place = (left + width / 2 - 0.5, top - 0.1 * height)
        axis.text(*place, title, fontsize=8, ha="center", va="bottom", color="black" if right else "crimson")
    axis.imshow(sheet, interpolation="nearest", aspect="auto")
    return figure


def confusion_figure(confusion: Tensor, class_names: tuple[str, ...]) -> Figure:
    """The confusion matrix, coloured by shares of the true class; counts are written in where there is room.

    Example:
        >>> import torch
        >>> from lhy_lightning import confusion_figure
        >>> figure = confusion_figure(torch.tensor([[3, 1], [0, 4]]), ("cat", "dog"))
        >>> type(figure).__name__
        'Figure'
    """
    counts = confusion.cpu().numpy()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    classes = len(counts)
    side = min(12.0, 2.5 + 0.4 * classes)
    figure = Figure(figsize=(side + 1, side))
    axis = figure.add_axes((0.2, 0.2, 0.75, 0.75))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="true")
    if classes <= MOST_NAMED_CLASSES:
        axis.set_xticks(range(classes), class_names, rotation=90, fontsize=8)
        axis.set_yticks(range(classes), class_names, fontsize=8)
        for true, predicted in zip(*np.nonzero(counts), strict=True):
            color = "white" if shares[true, predicted] > 0.5 else "black"
            axis.text(predicted, true, f"{counts[true, predicted]}", ha="center", va="center", fontsize=7, color=color)
    return figure


def per_class_rows(confusion: Tensor, class_names: tuple[str, ...]) -> list[tuple[str, int, float]]:
    """(class name, rows, accuracy) of every class; NaN where a class has no rows."""
    rows = confusion.sum(1)
    accuracy = confusion.diagonal().float() / rows
    return list(zip(class_names, rows.tolist(), accuracy.tolist(), strict=True))


class LayerTable(Callback):
    """Prints the table of layers when training starts, unless the trainer is told to be quiet (no progress bar)."""

    @torch.no_grad()
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if trainer.is_global_zero and trainer.progress_bar_callback is not None:
            shape = (module.channels, *module.image_size)
            rich.print(layer_table(module.network, shape, title=type(pl_module).__name__))


class ClassificationPictures(Callback):
    """Saves predictions and confusion matrix of the last (or best) epoch's validation and of the test, with a table.

    `samples/val_predictions.png`, `samples/val_confusion.png`, the same for the test, and `per_class.csv`.
    """

    def __init__(self) -> None:
        self.images: Tensor | None = None
        self.logits: Tensor | None = None
        self.labels: Tensor | None = None

    def keep(self, outputs: Any, batch: dict[str, Tensor], batch_idx: int) -> None:
        if batch_idx == 0 and isinstance(outputs, Tensor):
            self.images = batch["image"][:MOST_PICTURES].detach().clone()
            self.logits = outputs[:MOST_PICTURES].detach().clone()
            self.labels = batch["label"][:MOST_PICTURES].clone() if "label" in batch else None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self.keep(outputs, batch, batch_idx)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self.keep(outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.draw(trainer, pl_module, "val")  # type: ignore[arg-type]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of the best epoch, behind training: also where a run goes on that was cut off after its last validation.
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.draw(trainer, pl_module, "val")  # type: ignore[arg-type]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.draw(trainer, pl_module, "test")  # type: ignore[arg-type]
        confusion, names = pl_module.confusion, class_names_of(pl_module)  # type: ignore[arg-type]
        if not trainer.is_global_zero or not isinstance(confusion, Tensor):
            return
        rows = per_class_rows(confusion, names)
        table_rows = [("class", "rows", "accuracy"), *((name, count, f"{share:.4f}") for name, count, share in rows)]
        if leaves_files(trainer):
            atomic_write(run_directory(trainer) / "per_class.csv", csv_text(table_rows))
        if trainer.progress_bar_callback is not None:
            table = Table("class", "rows", "accuracy", title="test accuracy by class")
            for name, count, accuracy in rows:
                table.add_row(name, str(count), f"{accuracy:.4f}")
            rich.print(table)

    def draw(self, trainer: Trainer, module: Classified, stage: str) -> None:
        if not trainer.is_global_zero or self.images is None or self.logits is None:
            return
        names = class_names_of(module)
        predicted = [names[k] for k in self.logits.argmax(1).tolist()]
        true = None if self.labels is None else [names[k] for k in self.labels.tolist()]
        save_picture(trainer, f"{stage}_predictions", prediction_grid(self.images, predicted, true))
        if module.confusion is not None:
            save_picture(trainer, f"{stage}_confusion", confusion_figure(module.confusion, names))
        self.images = self.logits = self.labels = None


def class_names_of(module: Classified) -> tuple[str, ...]:
    """The module's class names, or their numbers."""
    assert module.num_classes is not None
    return module.class_names or tuple(map(str, range(module.num_classes)))
