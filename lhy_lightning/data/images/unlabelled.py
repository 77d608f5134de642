"""Unlabelled rows beside the labelled ones of a training batch: which of them it has, and their pseudo-labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lhy_lightning.core.distributed import rank_and_world
from lhy_lightning.data.samplers import TrainBatches, endless_rows
from lhy_lightning.data.splits import UNLABELLED


class PairedBatches(TrainBatches):
    """Pairs (labelled rows, unlabelled rows): the unlabelled ones in an endless order of their own.

    Args:
        rows: number of labelled rows.
        batch_size: labelled rows per batch and process.
        unlabelled_per_batch: unlabelled rows per batch and process.
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


def batches_of_both(
    rows: int, unlabelled: int, given: Any, *, weights: Tensor | None, pseudo_labels: PseudoLabels | None
) -> PairedBatches:
    """Labelled and unlabelled rows of each batch.

    Args:
        rows: number of labelled rows.
        unlabelled: number of unlabelled ones.
        given: the arguments of `ImageDataModule`.
        weights: (rows,) how often each labelled row is drawn, or None for all alike.
        pseudo_labels: only rows that have one are drawn; None draws all.

    Raises:
        ValueError: there are no unlabelled ones.
    """
    if not unlabelled:
        raise ValueError(
            "unlabelled_per_batch is set, but there are no unlabelled pictures: set "
            "--data.unlabelled_source or --data.labelled_per_class."
        )
    return PairedBatches(
        rows,
        given.batch_size,
        weights=weights,
        steps=given.steps_per_epoch,
        unlabelled_per_batch=given.unlabelled_per_batch,
        available=partial(_all_rows, unlabelled) if pseudo_labels is None else pseudo_labels.rows_of,
    )


def _all_rows(count: int, epoch: int) -> np.ndarray:
    return np.arange(count)
