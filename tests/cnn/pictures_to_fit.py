"""Two classes of small pictures, told apart by their brightness, and a silent trainer."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader


class Batches(torch.utils.data.Dataset):
    def __init__(self, batches: list[dict[str, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.batches[number]


def bright_or_dark(rows: int, *, seed: int, batch_size: int = 8, labels: bool = True, size: int = 8) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % 2
    image = torch.rand(rows, 1, size, size, generator=generator) + label[:, None, None, None] - 1  # over or under 0
    whole = {"image": image, "index": torch.arange(rows), **({"label": label} if labels else {})}
    parts = [{name: value[at : at + batch_size] for name, value in whole.items()} for at in range(0, rows, batch_size)]
    return DataLoader(Batches(parts), batch_size=None)


class BrightOrDark(LightningDataModule):
    """Tells what `ImageDataModule` tells: classes, size, channels, counts."""

    num_classes, class_names, image_size, channels, class_counts = 2, ("dark", "bright"), (8, 8), 1, (16, 16)

    def __init__(self, test_labels: bool = True) -> None:
        super().__init__()
        self.test_labelled = test_labels

    def train_dataloader(self) -> DataLoader:
        return bright_or_dark(32, seed=0)

    def val_dataloader(self) -> DataLoader:
        return bright_or_dark(13, seed=1)

    def test_dataloader(self) -> DataLoader:
        return bright_or_dark(11, seed=2, labels=self.test_labelled)


def silent_trainer(folder: Path, **settings: Any) -> Trainer:
    defaults = {
        "accelerator": "cpu", "default_root_dir": folder, "enable_progress_bar": False, "enable_model_summary": False,
        "logger": False, "enable_checkpointing": False, "max_epochs": 2, "num_sanity_val_steps": 0,
    }  # fmt: skip
    return Trainer(**{**defaults, **settings})


def fit(module: LightningModule, folder: Path, **settings: Any) -> Trainer:
    trainer = silent_trainer(folder, **settings)
    trainer.fit(module, datamodule=BrightOrDark())
    return trainer
