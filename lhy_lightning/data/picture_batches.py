"""Datasets that take a list of rows and give a batch, and the sampler that pairs labelled with unlabelled rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.augmentation_steps import centre_crop, scale_to_contract
from lhy_lightning.data.picture_store import Pool
from lhy_lightning.data.samplers import TrainBatches, endless_rows, rank_and_world


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


class PairedBatches(TrainBatches):
    """Pairs (labelled rows, unlabelled rows): the unlabelled ones in an endless order of their own.

    Args:
        rows: number of labelled rows.
        batch_size: labelled rows a batch and process.
        unlabelled_per_batch: unlabelled rows a batch and process.
        available: tells at the start of an epoch which unlabelled rows may be drawn: (M,) row numbers; without any,
            the second list is empty.
        **options: as in `TrainBatches`.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        unlabelled_per_batch: int,
        available: Callable[[], np.ndarray],
        **options: Any,
    ) -> None:
        super().__init__(rows, batch_size, **options)
        self.unlabelled_per_batch, self.available = unlabelled_per_batch, available

    def epoch_batches(self, epoch: int) -> list[Any]:
        labelled, available = super().epoch_batches(epoch), self.available()
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
