"""Datasets and samplers of two sides at once: rows that belong together, and rows that have nothing in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.core.distributed import rank_and_world
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.samplers import TrainBatches, endless_rows

SIDES = ("a", "b")


class PairPictures(Dataset[dict[str, Tensor]]):
    """Batches of pairs in uint8.

    Args:
        sides: the pools of `input` and `target`, or one of them; of one length and order.
        rows: (N,) rows of the pools, in the split's order.
        index: hand `index` out too.
    """

    def __init__(self, sides: dict[str, Pool], rows: np.ndarray, *, index: bool) -> None:
        self.sides, self.rows, self.index = sides, rows, index

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        batch = {name: pool.take(self.rows[rows]) for name, pool in self.sides.items()}
        return {**batch, "index": torch.tensor(rows)} if self.index else batch


class UnpairedPictures(Dataset[dict[str, Tensor]]):
    """Training batches of two domains in uint8, without labels.

    Args:
        splits: of domain `a` and `b`.
    """

    def __init__(self, splits: dict[str, Split]) -> None:
        self.splits = splits

    def __len__(self) -> int:
        return max(map(len, self.splits.values()))

    def __getitem__(self, rows: tuple[list[int], list[int]]) -> dict[str, Tensor]:
        chosen = zip(SIDES, rows, strict=True)
        return {side: self.splits[side].pool.take(self.splits[side].rows[own]) for side, own in chosen}


class EvalUnpairedPictures(Dataset[dict[str, Tensor]]):
    """Evaluation batches of two domains, or of one: row i of each, as long as it has so many.

    Args:
        splits: of domain `a`, `b` or both.
    """

    def __init__(self, splits: dict[str, Split]) -> None:
        self.splits = splits

    def __len__(self) -> int:
        return max(map(len, self.splits.values()))

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        batch = {}
        for side, split in self.splits.items():
            own = [row for row in rows if row < len(split)]
            if own:
                batch[side], batch[f"index_{side}"] = split.pool.take(split.rows[own]), torch.tensor(own)
                if split.labels is not None:
                    batch[f"label_{side}"] = split.labels[own]
        return batch


class UnpairedBatches(TrainBatches):
    """Pairs (rows of a, rows of b), drawn independently. An epoch is one pass over the larger domain.

    The smaller one goes on through permutations of its own across epochs, so that its rows come equally often. Which
    rows meet is different in every epoch.

    Args:
        rows: sizes of both domains.
        batch_size: rows of each a batch and process.
        steps: batches an epoch, if not one pass.
    """

    def __init__(self, rows: tuple[int, int], batch_size: int, *, steps: int | None = None) -> None:
        super().__init__(max(rows), batch_size, steps=steps)
        self.smaller, self.a_is_larger = min(rows), rows[0] >= rows[1]

    def epoch_batches(self, epoch: int) -> list[Any]:
        larger, (rank, world) = super().epoch_batches(epoch), rank_and_world()
        together = self.batch_size * world
        needed = together * len(larger)
        order = endless_rows(self.smaller, first=epoch * needed, count=needed, stream=2)
        smaller = [order[first : first + together][rank::world].tolist() for first in range(0, needed, together)]
        return list(zip(larger, smaller, strict=True) if self.a_is_larger else zip(smaller, larger, strict=True))
