"""Samplers for texts that are padded: rows of like length together, in an order drawn anew each epoch.

By number of rows here; by number of tokens `TokenBatches` does it, which `length_batches` calls.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lhy_lightning.data import samplers
from lhy_lightning.data.samplers import OwnBatches, TrainBatches, epoch_permutation
from lhy_lightning.data.sequences.token_batches import TokenBatches, fill_batches, padded_widths, round_up

SHUFFLE, STEPS = 5, 6  # streams of random order


class LengthBatches(TrainBatches):
    """Training batches of like length by number of rows: every row exactly once an epoch over all ranks.

    An epoch's rows are shuffled and cut into buckets, each bucket is sorted by length and cut into steps of
    `batch_size` rows a rank; the order of the steps is shuffled. The rows of a step are dealt in turn to the ranks, so
    that all of them pad to nearly the same width. Steps differ by at most one row, instead of a short one at the end.

    Args:
        lengths: (N,) tokens of each row, special tokens included.
        batch_size: rows of a batch and process.
        pad_to_multiple: to which rows are padded: lengths that pad alike count as alike.
        bucket_batches: how many steps' rows are sorted together; 0 is plain shuffling.

    Raises:
        ValueError: no row, or (when asked) fewer rows than processes.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import LengthBatches
        >>> batches = LengthBatches(np.array([3, 9, 4, 8]), batch_size=2)
        >>> sum(len(rows) for rows in batches.epoch_batches(0))
        4
    """

    def __init__(
        self, lengths: np.ndarray, batch_size: int, *, pad_to_multiple: int = 8, bucket_batches: int = 50
    ) -> None:
        if bucket_batches < 0 or pad_to_multiple < 1:
            raise ValueError(
                f"pad_to_multiple={pad_to_multiple} and bucket_batches={bucket_batches}: at least 1, and not negative."
            )
        super().__init__(len(lengths), batch_size, drop_last=False)
        self.widths, self.bucket_batches = round_up(lengths, pad_to_multiple), bucket_batches

    def __len__(self) -> int:
        _, world = samplers.rank_and_world()
        if self.rows < world:
            raise ValueError(f"{self.rows} training rows cannot be dealt to {world} processes: --trainer.devices 1.")
        return min(math.ceil(self.rows / (self.batch_size * world)), self.rows // world)

    def epoch_steps(self, epoch: int) -> list[np.ndarray]:
        """The rows of each step of an epoch, all ranks' together."""
        steps = len(self)
        rows = epoch_permutation(self.rows, epoch, stream=SHUFFLE)
        edges = np.arange(steps + 1) * self.rows // steps
        if self.bucket_batches:
            buckets = max(1, round(steps / self.bucket_batches))
            ends = edges[np.arange(buckets + 1) * steps // buckets]
            for first, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                bucket = rows[first:end]
                rows[first:end] = bucket[np.argsort(self.widths[bucket], kind="stable")]
        made = np.split(rows, edges[1:-1])
        return [made[place] for place in epoch_permutation(steps, epoch, stream=STEPS)]

    def epoch_batches(self, epoch: int) -> list[list[int]]:
        rank, world = samplers.rank_and_world()
        return [step[rank::world].tolist() for step in self.epoch_steps(epoch)]


class LengthEvalBatches(OwnBatches):
    """Every row exactly once over all ranks, rows of like length together, the longest first.

    The longest come first so that memory that does not suffice is noticed at once; batches carry `index`, by which
    results are put in order again.

    Args:
        lengths: (N,) tokens of each row, special tokens included.
        batch_size: rows of a batch; or, where `max_tokens` is given, the most rows it may have.
        max_tokens: limit of rows × padded length.
        pad_to_multiple: to which rows are padded.
        groups: (N,) numbers; rows of one number are on one rank, such as the parts of a long text.
        split: for messages.

    Raises:
        ValueError: a row longer than `max_tokens`, or (when asked) fewer rows, or groups, than processes.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        *,
        max_tokens: int | None = None,
        pad_to_multiple: int = 8,
        groups: np.ndarray | None = None,
        split: str = "evaluation",
    ) -> None:  # the parent's constructor would ask for a process group that does not exist yet
        self.epoch, self.batch_size, self.max_tokens, self.split = 0, batch_size, max_tokens, split
        limit = np.iinfo(np.int64).max if max_tokens is None else max_tokens
        self.widths = padded_widths(lengths, None, max_tokens=limit, pad_to_multiple=pad_to_multiple, split=split)
        self.groups = np.arange(len(lengths)) if groups is None else np.unique(groups, return_inverse=True)[1]

    def _own(self) -> list[np.ndarray]:
        rank, world = samplers.rank_and_world()
        tokens = np.bincount(self.groups, weights=self.widths)
        if len(tokens) < world:
            raise ValueError(
                f"{len(tokens)} {self.split} rows cannot be evaluated by {world} processes: use --trainer.devices 1."
            )
        order = np.argsort(-tokens, kind="stable")  # dealt in turn from the longest, so that ranks have like work
        owner = np.empty(len(order), dtype=np.int64)
        owner[order] = np.arange(len(order)) % world
        rows = np.flatnonzero(owner[self.groups] == rank)
        rows = rows[np.argsort(-self.widths[rows], kind="stable")]
        if self.max_tokens is None:
            return np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        ends = fill_batches(self.widths[rows], np.array([len(rows)]), self.max_tokens)
        filled = np.split(rows, ends[:-1])
        return [part for rows in filled for part in np.split(rows, range(self.batch_size, len(rows), self.batch_size))]

    def __len__(self) -> int:
        return len(self._own())

    def __iter__(self) -> Iterator[Any]:
        return (batch.tolist() for batch in self._own())


@dataclass(frozen=True)
class Filling:
    """How training batches are filled: as the arguments of `length_batches` and of data modules of the same names."""

    batch_size: int
    max_tokens: int | None
    pad_to_multiple: int
    bucket_batches: int


def length_batches(
    lengths: np.ndarray,
    *,
    batch_size: int,
    max_tokens: int | None = None,
    pad_to_multiple: int = 8,
    bucket_batches: int = 50,
) -> TrainBatches:
    """Training batches of like length, by rows or, where `max_tokens` is given, by tokens.

    Args:
        lengths: (N,) tokens of each row, special tokens included.
        batch_size: rows of a batch and process, where there is no `max_tokens`.
        max_tokens: limit of rows × padded length of a batch and process.
        pad_to_multiple: to which rows are padded.
        bucket_batches: how many batches' rows are sorted together; 0 for plain shuffling.
    """
    if max_tokens is None:
        return LengthBatches(lengths, batch_size, pad_to_multiple=pad_to_multiple, bucket_batches=bucket_batches)
    return TokenBatches(
        lengths, lengths, max_tokens, pad_to_multiple=pad_to_multiple, bucket_batches=max(1, bucket_batches)
    )
