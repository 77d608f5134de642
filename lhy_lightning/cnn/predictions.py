"""What `lhy predict` writes: `predictions.csv`, and homework 3's `predict.csv`."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning.callbacks.pictures import run_directory
from lhy_lightning.whole_file import csv_text, write_whole


class PredictionFile(Callback):
    """Gathers the probabilities of all ranks, in the order of the rows, and writes them at the end.

    A subclass says how the rows look. The file appears whole or not at all.
    """

    filename: str

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor]] = []

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        """Header and rows. `probabilities` is (N, K) float32, row n that of `paths[n]`."""
        raise NotImplementedError

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._batches = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._batches.append((outputs["index"].cpu(), outputs["probabilities"].float().cpu()))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        index = torch.cat([index for index, _ in self._batches])
        probabilities = torch.cat([rows for _, rows in self._batches])
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(parts, (index, probabilities))
            index = torch.cat([part[0] for part in parts])
            probabilities = torch.cat([part[1] for part in parts])
        if not trainer.is_global_zero:
            return
        order = index.argsort()
        paths = trainer.datamodule.paths("predict")  # type: ignore[attr-defined]
        if index[order].tolist() != list(range(len(paths))):
            raise RuntimeError(f"{len(index)} predictions for {len(paths)} pictures: {self.filename} is not written.")
        class_names = [str(name) for name in pl_module.hparams["class_names"]]
        path = run_directory(trainer) / self.filename
        write_whole(path, csv_text(self.table(paths, class_names, probabilities[order])))
        print(f"{path}: {len(paths)} rows")


class PredictionsCsv(PredictionFile):
    """`predictions.csv`: path, class, probability, then the next four classes with theirs."""

    filename = "predictions.csv"

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        top = min(5, len(class_names))
        values, classes = probabilities.topk(top, dim=1)
        header = ["path", "class", "probability"]
        header += [name for place in range(2, top + 1) for name in (f"class_{place}", f"probability_{place}")]
        rows: list[list[Any]] = [header]
        for path, names, chances in zip(paths, classes.tolist(), values.tolist(), strict=True):
            pairs = zip(names, chances, strict=True)
            rows.append([path, *(cell for name, p in pairs for cell in (class_names[name], f"{p:.6f}"))])
        return rows


class Homework3Csv(PredictionFile):
    """`predict.csv` as homework 3 hands it in: `Id,Category`, Id from 0 in sorted path order, the folder's number.

    Raises:
        ValueError: a class name is not a number, so that the homework has no category for it.
    """

    filename = "predict.csv"

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        if wrong := [name for name in class_names if not name.isdigit()]:
            raise ValueError(f"class {wrong[0]!r} is not a number: homework 3's folders are called 00, 01 … 10.")
        chosen = probabilities.argmax(dim=1).tolist()
        return [["Id", "Category"], *([row, int(class_names[label])] for row, label in enumerate(chosen))]
