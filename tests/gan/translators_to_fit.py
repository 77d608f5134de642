"""What tests translate, dark pictures to bright ones and pictures to negatives, and a callback that stops a run."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lhy_lightning.data.base import CourseDataModule, ResumableLoader
from lhy_lightning.data.image_pairs.pair_datasets import UnpairedBatches
from lhy_lightning.data.samplers import TrainBatches


def domain(side: str, rows: int, size: int = 8) -> Tensor:
    """Dark pictures of A and bright ones of B; the left half is brighter in every other one, which is its label."""
    draw = torch.Generator().manual_seed(rows)
    pictures = torch.rand(rows, 1, size, size, generator=draw) * 0.2 + (-0.7 if side == "a" else 0.5)
    pictures[1::2, ..., : size // 2] += 0.15
    pictures[0::2, ..., size // 2 :] += 0.15
    return pictures


class Unpaired(Dataset):
    def __init__(self, rows: dict[str, int], size: int) -> None:
        self.pictures = {side: domain(side, count, size) for side, count in rows.items()}

    def __len__(self) -> int:
        return max(map(len, self.pictures.values()))

    def __getitem__(self, rows: Any) -> dict[str, Tensor]:
        if isinstance(rows, tuple):
            return {side: self.pictures[side][own] for side, own in zip("ab", rows, strict=True)}
        batch: dict[str, Tensor] = {}
        for side, pictures in self.pictures.items():
            if own := [row for row in rows if row < len(pictures)]:
                batch |= {side: pictures[own], f"index_{side}": torch.tensor(own)}
                batch[f"label_{side}"] = torch.tensor(own) % 2
        return batch


class DarkAndBright(CourseDataModule):
    """Tells what `UnpairedImageDataModule` tells."""

    channels, domain_names = 1, ("dark", "bright")

    def __init__(self, size: int = 8, batch_size: int = 2) -> None:
        super().__init__()
        self.image_size, self.batch_size = (size, size), batch_size

    def paths(self, split: str, side: str) -> list[str]:
        return [f"{side}/{number}.jpg" for number in range(7 if side == "a" else 4)]

    def train_dataloader(self) -> ResumableLoader:
        rows = Unpaired({"a": 8, "b": 16}, self.image_size[0])
        return self.train_loader(rows, UnpairedBatches((8, 16), self.batch_size))

    def val_dataloader(self) -> DataLoader:
        return self.eval_loader(Unpaired({"a": 7, "b": 4}, self.image_size[0]), 4)

    test_dataloader = predict_dataloader = val_dataloader


class Pairs(Dataset):
    """Random pictures; the target is half of the input's negative."""

    def __init__(self, rows: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.input = torch.rand(rows, 1, 16, 16, generator=draw) * 2 - 1

    def __len__(self) -> int:
        return len(self.input)

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        return {"input": self.input[rows], "target": -self.input[rows] / 2, "index": torch.tensor(rows)}


class Negatives(CourseDataModule):
    """Tells what `PairedImageDataModule` tells."""

    image_size, input_channels, target_channels = (16, 16), 1, 1
    train, held_out = Pairs(16, 0), Pairs(7, 1)

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def pictures(self, split: str) -> list[dict[str, Tensor]]:
        return [self.train[list(range(16))]]

    def paths(self, split: str) -> list[str]:
        return [f"photos/{number}.jpg" for number in range(7)]

    def train_dataloader(self) -> ResumableLoader:
        return self.train_loader(self.train, TrainBatches(16, self.batch_size))

    def val_dataloader(self) -> DataLoader:
        return self.eval_loader(self.held_out, 4)

    test_dataloader = predict_dataloader = val_dataloader


class KilledError(Exception):
    pass


class Kill(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise KilledError
