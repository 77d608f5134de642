"""Two small domains to adapt between, and a silent fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.data.base import CourseDataModule, ResumableLoader
from lhy_lightning.data.samplers import TrainBatches

Batch = dict[str, Tensor]
SIZES: dict[str, Any] = {"num_classes": 3, "image_size": (8, 8), "channels": 1}
SMALL: dict[str, Any] = {**SIZES, "width": 4, "label_hidden": (8,), "projection": "none"}


def pictures(number: int, seed: int, *, brighter: float = 0.0) -> tuple[Tensor, Tensor]:
    """Three classes by which rows of the picture are light."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 3
    images = torch.rand(number, 1, 8, 8, generator=draws) * 0.6 - 1 + brighter
    for row, label in enumerate(labels):
        images[row, :, 2 * label : 2 * label + 2] += 0.9
    return images, labels


class Batches(Dataset[Batch]):
    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, row: int) -> Batch:
        return self.batches[row]


class TwoDomains(LightningDataModule):
    """Light on dark, and the same on grey; target labels are in evaluation batches only."""

    def __init__(self, *, garbage: bool = False, steps: int = 12) -> None:
        super().__init__()
        self.steps, self.num_classes, self.image_size, self.channels = steps, 3, (8, 8), 1
        self.source, self.target = pictures(48, 0), pictures(48, 1, brighter=0.5)
        if garbage:
            self.target = (self.target[0], self.target[1].flip(0) * 0)
        self.val = pictures(30, 2), pictures(30, 3, brighter=0.5)
        if garbage:
            self.val = (self.val[0], (self.val[1][0], torch.zeros(30, dtype=torch.int64)))

    def loader(self, batches: list[Batch]) -> DataLoader[Batch]:
        return DataLoader(Batches(batches), batch_size=None)

    def train_dataloader(self) -> DataLoader[Batch]:
        (source, labels), (target, _) = self.source, self.target
        parts = [torch.arange(16 * (step % 3), 16 * (step % 3) + 16) for step in range(self.steps)]
        return self.loader(
            [{"source_image": source[p], "source_label": labels[p], "target_image": target[p]} for p in parts]
        )

    def evaluation(self, images: Tensor, labels: Tensor) -> DataLoader[Batch]:
        rows = torch.arange(len(images)).split(15)
        return self.loader([{"image": images[r], "label": labels[r], "index": r} for r in rows])

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        return [self.evaluation(*part) for part in self.val]

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.evaluation(*self.val[1])


def fit(module: Any, folder: Path, data: TwoDomains | None = None, *callbacks: Any, epochs: int = 2) -> Trainer:
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[BestCheckpoint(folder=str(folder)), *callbacks], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, datamodule=data or TwoDomains())
    return trainer


def some_batch() -> Batch:
    return TwoDomains().train_dataloader().dataset[0]


class Rows(Dataset[Batch]):
    """Both domains' training pictures, row by row."""

    def __init__(self) -> None:
        self.data = TwoDomains()

    def __getitem__(self, rows: list[int]) -> Batch:
        (source, labels), (target, _) = self.data.source, self.data.target
        return {"source_image": source[rows], "source_label": labels[rows], "target_image": target[rows]}


class ResumableDomains(CourseDataModule):
    """The same domains in random batches whose place a checkpoint keeps."""

    num_classes, image_size, channels = 3, (8, 8), 1

    def __init__(self, batch_size: int = 12) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> ResumableLoader:
        return self.train_loader(Rows(), TrainBatches(48, self.batch_size))

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        return TwoDomains().val_dataloader()
