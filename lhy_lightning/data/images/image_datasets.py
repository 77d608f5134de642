"""Datasets that take a list of rows and give a batch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.images.store_pool import Pool


class TrainPictures(Dataset[dict[str, Tensor]]):
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


class EvalPictures(Dataset[dict[str, Tensor]]):
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
