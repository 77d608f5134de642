"""Samplers that yield whole batches of row numbers, the same for a given (seed, epoch) on every machine.

With `batch_size=None` a loader hands each list of rows to the dataset in one call.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DistributedSampler, SequentialSampler

from lhy_lightning.core.distributed import (
    rank_and_world as rank_and_world,  # other samplers' too: one number of processes for all
)
from lhy_lightning.core.seeding import derive_seed, run_seed


def epoch_permutation(rows: int, epoch: int, *, stream: int = 0) -> np.ndarray:
    """Every row once, in an order that is a function of (run seed, epoch, stream).

    Args:
        rows: how many there are.
        epoch: counted from 0.
        stream: tells apart several orders of one epoch, such as labelled and unlabelled rows.

    Returns:
        (rows,) int64.
    """
    return np.random.Generator(np.random.PCG64(derive_seed(run_seed(), epoch, stream))).permutation(rows)


class OwnBatches(DistributedSampler[Any], SequentialSampler):
    """Base of samplers that Lightning is to leave as they are.

    Under DDP it replaces (and shuffles) every sampler but a `DistributedSampler`, on which it calls `set_epoch`; for
    `overfit_batches` every one but a `SequentialSampler`, whose single rows our datasets do not take.
    """


class TrainBatches(OwnBatches):
    """Shuffled training batches: each row at most once an epoch over all ranks, every rank the same number of batches.

    `resume_at` is (epoch, batches): in that epoch the first batches are left out, as a killed run has trained on them.
    With `same_every_epoch` all epochs take the batches of the first, for a Trainer that is to overfit.

    Args:
        rows: size of the training set.
        batch_size: rows per batch and process.
        drop_last: leave out the rows that do not fill a batch on every rank (other rows every epoch). Without it
            the last batches are shorter, and where rows run out a rank repeats one rather than hang the others.
        weights: (rows,) chances of drawing each row, with replacement, for class-balanced sampling.
        steps: batches an epoch, if not one pass over the rows; the order then goes on through fresh permutations,
            so that every row comes once before any comes twice.

    Raises:
        ValueError: no row, or fewer rows than one batch on every rank with `drop_last`.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        drop_last: bool = True,
        weights: Tensor | None = None,
        steps: int | None = None,
    ) -> None:  # the parent's constructor would ask for a process group that does not exist yet
        if rows < 1 or batch_size < 1:
            raise ValueError(f"rows={rows} and batch_size={batch_size}: both must be at least 1.")
        self.rows, self.batch_size, self.drop_last, self.steps = rows, batch_size, drop_last, steps
        self.weights = None if weights is None else weights.double().numpy() / float(weights.double().sum())
        self.epoch, self.resume_at, self.same_every_epoch = 0, (0, 0), False

    def __len__(self) -> int:
        _, world = rank_and_world()
        if self.steps is not None:
            return self.steps
        full = self.rows / (self.batch_size * world)
        if self.drop_last and full < 1:
            raise ValueError(
                f"{self.rows} training rows do not fill one batch of {self.batch_size} on each of {world} processes: "
                f"set batch_size to at most {self.rows // world}."
            )
        return math.floor(full) if self.drop_last else math.ceil(full)

    def epoch_order(self, epoch: int) -> np.ndarray:
        """All ranks' rows of one epoch in the order they are used, at most `len(self) * batch_size * world`."""
        _, world = rank_and_world()
        needed = len(self) * self.batch_size * world
        if self.weights is not None:
            generator = np.random.Generator(np.random.PCG64(derive_seed(run_seed(), epoch)))
            count = needed if self.drop_last or self.steps else self.rows
            return generator.choice(self.rows, size=count, p=self.weights)
        if self.steps is None:
            return epoch_permutation(self.rows, epoch)[:needed]
        return endless_rows(self.rows, first=epoch * needed, count=needed)

    def epoch_batches(self, epoch: int) -> list[Any]:
        """The batches of this rank for one epoch, `len(self)` of them; a subclass may build them otherwise."""
        rank, world = rank_and_world()
        order, together = self.epoch_order(epoch), self.batch_size * world
        batches = []
        for first in range(0, len(self) * together, together):
            group = order[first : first + together]
            batches.append((group[rank::world] if len(group) > rank else group[:1]).tolist())
        return batches

    def __iter__(self) -> Iterator[Any]:
        # Not used up by being read: a loader with workers asks for the iterator twice.
        epoch, batches = self.resume_at
        order = self.epoch_batches(0 if self.same_every_epoch else self.epoch)
        return iter(order[batches if epoch == self.epoch else 0 :])


def endless_rows(rows: int, *, first: int, count: int, stream: int = 1) -> np.ndarray:
    """Places `first` to `first + count` of an endless run of permutations: every row once before any comes twice.

    Returns:
        (count,) int64.
    """
    passes = range(first // rows, (first + count - 1) // rows + 1) if count else range(0)
    orders = [epoch_permutation(rows, number, stream=stream) for number in passes]
    joined = np.concatenate(orders) if orders else np.zeros(0, dtype=np.int64)
    offset = first % rows
    return joined[offset : offset + count]


class EvalBatches(OwnBatches):
    """Every row exactly once over all ranks, in order: rank r takes rows r, r + world, r + 2 · world …

    Uneven last batches are fine (nothing is gathered a batch); metrics must be torchmetrics objects, as a mean of
    rank means would be wrong.

    Raises:
        ValueError: fewer rows than processes, where a rank without a batch would hang the others.
    """

    def __init__(self, rows: int, batch_size: int) -> None:
        self.rows, self.batch_size, self.epoch = rows, batch_size, 0

    def _own(self) -> range:
        rank, world = rank_and_world()
        if self.rows < world:
            raise ValueError(f"{self.rows} rows cannot be evaluated by {world} processes: use --trainer.devices 1.")
        return range(rank, self.rows, world)

    def __len__(self) -> int:
        return math.ceil(len(self._own()) / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        own = self._own()
        return (list(own[i : i + self.batch_size]) for i in range(0, len(own), self.batch_size))
