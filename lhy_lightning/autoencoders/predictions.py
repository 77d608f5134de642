"""What `lhy predict` writes of an auto-encoder: what it keeps of each picture, how much is lost, and how that looks."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.autoencoders.plots import above_and_below
from lhy_lightning.callbacks.images import save_picture
from lhy_lightning.callbacks.prediction_file import PredictionFile
from lhy_lightning.core.atomic_files import csv_text

SHOWN = 32


class PerPicture(PredictionFile):
    """A file with a row for every picture, from one of the outputs of `predict_step`."""

    output: str

    def inputs(self, datamodule: Any) -> list[str]:
        paths: list[str] = datamodule.paths("predict")
        return paths

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        return list(zip(outputs["index"].tolist(), outputs[self.output].cpu().numpy(), strict=True))


class ErrorsCsv(PerPicture):
    """`predictions.csv`: path, and the mean squared error of what came back."""

    filename, output = "predictions.csv", "error"

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        errors = [[path, f"{row[1]:.9g}"] for path, row in zip(inputs, rows, strict=True)]
        return csv_text(self.marked([["path", "error"], *errors]))


class LatentsFile(PerPicture):
    """`codes.npy`, (N, h, w) int64, or `latents.npy`, (N, ...) float32, in the order of `predictions.csv`.

    Args:
        output: "codes" or "latents".
    """

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output, self.filename = output, f"{output}.npy"

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> bytes:
        file = io.BytesIO()
        np.save(file, np.stack([row[1] for row in rows]), allow_pickle=False)
        return file.getvalue()


class PredictedPictures(Callback):
    """`samples/predicted.png`: the first pictures, and below each row what came back of them."""

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *rest: Any
    ) -> None:
        if batch_idx == 0 and trainer.is_global_zero:
            save_picture(trainer, "predicted", above_and_below(batch["image"][:SHOWN], outputs["image"][:SHOWN]))
