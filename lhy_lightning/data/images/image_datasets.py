"""Datasets that take a list of rows and give a batch; pairs of labelled and unlabelled rows, and pseudo-labels."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.samplers import TrainBatches, endless_rows, rank_and_world
from lhy_lightning.data.splits import UNLABELLED


class TrainPictures(Dataset):
    """Training batches in uint8: augmentation and scaling follow on the device.

    Args:
        pool: all pictures.
        rows: (N,) the labelled training rows (or all, where none is labelled), as rows of the pool.
        labels: (N,) int64, or None.
        unlabelled: (M,) rows of the pool that come along without labels.
    """

    def __init__(self, pool: Pool, rows: np.ndarray, labels: Tensor | None, unlabelled: np.ndarray) -> None:
        self.pool, self.rows, self.labels, self.unlabelled = pool, rows, labels, unlabelled

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: list[int] | tuple[list[int], list[int]]) -> dict[str, Tensor]:
        own, others = rows if isinstance(rows, tuple) else (rows, [])
        batch = {"image": self.pool.take(self.rows[own])}
        if self.labels is not None:
            batch["label"] = self.labels[own]
        if others:
            batch["unlabelled_image"] = self.pool.take(self.unlabelled[others])
            batch["unlabelled_index"] = torch.tensor(others)
        return batch


class EvalPictures(Dataset):
    """Evaluation batches with `index`, the row in the split.

    Args:
        pool: all pictures.
        rows: (N,) rows of the pool, in the split's order.
        labels: (N,) int64, or None.
        crop_to: (height, width) of a centre crop and scaling to [-1, 1] at once, for loaders that no Trainer drives;
            None leaves uint8, to be finished on the device.
    """

    def __init__(
        self, pool: Pool, rows: np.ndarray, labels: Tensor | None, crop_to: tuple[int, int] | None = None
    ) -> None:
        self.pool, self.rows, self.labels, self.crop_to = pool, rows, labels, crop_to

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        image = self.pool.take(self.rows[rows])
        if self.crop_to is not None:
            image = scale_to_contract(centre_crop(image, self.crop_to))
        batch = {"image": image, "index": torch.tensor(rows)}
        if self.labels is not None:
            batch["label"] = self.labels[rows]
        return batch


class PlainPictures:
    """All pictures of a split in [-1, 1] without augmentation: the same on every rank, as often as one walks through.

    Args:
        pool: all pictures.
        rows: (N,) rows of the pool, in the split's order.
        size: (height, width) of the centre crop.
        batch_size: pictures at a time.
    """

    def __init__(self, pool: Pool, rows: np.ndarray, size: tuple[int, int], batch_size: int = 250) -> None:
        self.pool, self.rows, self.size, self.batch_size = pool, rows, size, batch_size

    def __len__(self) -> int:
        """Pictures, not batches."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Tensor]:
        for first in range(0, len(self), self.batch_size):
            yield self.take(np.arange(first, min(first + self.batch_size, len(self))))

    def take(self, places: np.ndarray) -> Tensor:
        """Pictures (B, C, H, W) float32 at places (B,) of the split."""
        return scale_to_contract(centre_crop(self.pool.take(self.rows[places]), self.size))


class PairedBatches(TrainBatches):
    """Pairs (labelled rows, unlabelled rows): the unlabelled ones in an endless order of their own.

    Args:
        rows: number of labelled rows.
        batch_size: labelled rows a batch and process.
        unlabelled_per_batch: unlabelled rows a batch and process.
        available: tells, given the epoch, which unlabelled rows may be drawn in it: (M,) row numbers; without any,
            the second list is empty.
        **options: as in `TrainBatches`.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        unlabelled_per_batch: int,
        available: Callable[[int], np.ndarray],
        **options: Any,
    ) -> None:
        super().__init__(rows, batch_size, **options)
        self.unlabelled_per_batch, self.available = unlabelled_per_batch, available

    def epoch_batches(self, epoch: int) -> list[Any]:
        labelled, available = super().epoch_batches(epoch), self.available(epoch)
        if not len(available):
            return [(rows, []) for rows in labelled]
        rank, world = rank_and_world()
        together = self.unlabelled_per_batch * world
        needed = together * len(labelled)
        order = available[endless_rows(len(available), first=epoch * needed, count=needed, stream=2)]
        return [
            (rows, order[number * together : (number + 1) * together][rank::world].tolist())
            for number, rows in enumerate(labelled)
        ]


class PseudoLabels:
    """Labels that a model gave to unlabelled rows. An epoch keeps those that it began with, also when resumed.

    Args:
        rows: number of unlabelled rows.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.latest = torch.full((rows,), UNLABELLED)
        self.in_use, self.epoch = self.latest, -1

    def replace(self, index: Tensor, label: Tensor) -> None:
        """From the next epoch on, rows `index` (M,) have `label` (M,), and no others have one."""
        labels = torch.full((self.rows,), UNLABELLED)
        labels[index.cpu()] = label.cpu()
        self.latest = labels

    def rows_of(self, epoch: int) -> np.ndarray:
        """Rows with a label in an epoch that begins or goes on: (M,) int64."""
        if epoch != self.epoch:  # otherwise it was begun before, and is resumed
            self.in_use, self.epoch = self.latest, epoch
        return np.flatnonzero(self.in_use.cpu().numpy() >= 0)

    def of(self, index: Tensor) -> Tensor:
        """(M,) int64, on the device of `index`."""
        self.in_use = self.in_use.to(index.device)
        return self.in_use[index]

    def state_dict(self) -> dict[str, Any]:
        return {"pseudo_labels": self.latest, "pseudo_labels_in_use": self.in_use.cpu(), "pseudo_epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        latest = state["pseudo_labels"]
        if len(latest) != self.rows:
            raise ValueError(f"the checkpoint has pseudo-labels for {len(latest)} rows, not for {self.rows}.")
        self.latest, self.in_use, self.epoch = latest, state["pseudo_labels_in_use"], state["pseudo_epoch"]
