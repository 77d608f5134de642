"""Samplers that fill batches by number of tokens: rows of similar length together, in an order drawn anew each epoch.

A batch costs what it is padded to, rows × the longer side after rounding, and never more than the limit.
"""

import heapq
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from lhy_lightning.data import samplers
from lhy_lightning.data.samplers import OwnBatches, TrainBatches, endless_rows, epoch_permutation

SHUFFLE, SYNTHETIC, STEPS = 2, 3, 4  # streams of random order; a redrawn epoch counts on from REDRAWN
REDRAWN, REDRAWS = 16, 8
SIMULATED = 3  # epochs whose batches are counted before training
SPARE = 0.002  # share of batches above the largest count seen: other epochs differ by about a tenth of it


def round_up(lengths: np.ndarray, multiple: int) -> np.ndarray:
    """Lengths (N,) after padding to a multiple, int64."""
    return -(-lengths.astype(np.int64) // multiple) * multiple


def padded_widths(
    source_lengths: np.ndarray, target_lengths: np.ndarray | None, *, max_tokens: int, pad_to_multiple: int, split: str
) -> np.ndarray:
    """What each row counts for alone: its longer side, rounded up.

    Args:
        source_lengths, target_lengths: (N,) with the special tokens; no targets in unlabelled splits.
        max_tokens: the limit.
        pad_to_multiple: to which both sides are padded.
        split: for the message.

    Returns:
        (N,) int64.

    Raises:
        ValueError: a row is longer than a whole batch may be.
    """
    longer = source_lengths if target_lengths is None else np.maximum(source_lengths, target_lengths)
    widths = round_up(longer, pad_to_multiple)
    if len(widths) and widths.max() > max_tokens:
        row = int(widths.argmax())
        raise ValueError(
            f"{split} row {row} has {int(longer[row])} tokens, {int(widths[row])} when padded, but a batch holds at "
            f"most max_tokens={max_tokens}: raise --data.max_tokens (--data.eval_max_tokens in evaluation) or lower "
            "--data.max_length."
        )
    return widths


def fill_batches(widths: np.ndarray, ends: np.ndarray, max_tokens: int) -> np.ndarray:
    """Cuts sorted rows greedily into batches of at most `max_tokens`: rows × the largest width among them.

    Args:
        widths: (N,) int64, padded lengths in the order in which the rows are taken; none above `max_tokens`.
        ends: increasing places that no batch reaches over, the last one N: where buckets end.
        max_tokens: the limit.

    Returns:
        (B,) int64, where each batch ends.
    """
    found, start = [], 0
    for end in ends.tolist():
        while start < end:
            window = widths[start : min(end, start + max_tokens // int(widths[start]))]
            costs = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
            fitting = int(np.searchsorted(costs, max_tokens, side="right"))  # costs never fall
            start += fitting
            found.append(start)
    return np.array(found, dtype=np.int64)


def split_batches(widths: np.ndarray, ends: np.ndarray, batches: int) -> np.ndarray:
    """Halves the most expensive batches until there are `batches` of them; never one of a single row.

    Args:
        widths: (N,) int64 in the rows' order.
        ends: (B,) int64, where each batch ends.
        batches: at most N.

    Returns:
        (batches,) int64, where each batch ends.
    """
    if batches <= len(ends):
        return ends

    def entry(first: int, end: int) -> tuple[int, int, int]:
        cost = int(widths[first:end].max()) * (end - first) if end - first > 1 else 0
        return -cost, first, end

    heap = [entry(first, end) for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    heapq.heapify(heap)
    while len(heap) < batches:
        _, first, end = heapq.heappop(heap)
        middle = (first + end) // 2
        heapq.heappush(heap, entry(first, middle))
        heapq.heappush(heap, entry(middle, end))
    return np.sort(np.array([end for _, _, end in heap], dtype=np.int64))


def batch_widths(widths: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The largest width of each batch, (B,) int64."""
    return np.maximum.reduceat(widths, np.concatenate([[0], ends[:-1]]))


class TokenBatches(TrainBatches):
    """Training batches by number of tokens: every row exactly once an epoch over all ranks.

    An epoch's rows are shuffled and cut into buckets; each bucket is sorted by target, then source length and filled
    greedily into batches. The number of batches is the same in every epoch (a Trainer reads the loader's length
    once) and on every rank (uneven ranks hang): a little more than the most that a few epochs would make, a multiple
    of the number of ranks, reached by halving the most expensive batches. The ranks of a step get batches of similar
    shape, so that none waits long for another; the order of the steps is shuffled.

    Args:
        source_lengths, target_lengths: (N,) tokens of each row, special tokens included.
        max_tokens: limit of rows × longer padded side, in a batch of one process.
        pad_to_multiple: to which each side is padded.
        bucket_batches: how many batches' rows are sorted together.
        synthetic: the last so many rows are synthetic: an epoch takes only `synthetic_per_epoch` of them, every
            one before any a second time.
        synthetic_per_epoch: see `synthetic`.

    Raises:
        ValueError: no row, a row longer than `max_tokens`, or fewer batches to be had than processes.
    """

    def __init__(
        self,
        source_lengths: np.ndarray,
        target_lengths: np.ndarray,
        max_tokens: int,
        *,
        pad_to_multiple: int = 8,
        bucket_batches: int = 100,
        synthetic: int = 0,
        synthetic_per_epoch: int = 0,
    ) -> None:
        if bucket_batches < 1 or pad_to_multiple < 1 or max_tokens < 1:
            raise ValueError(
                f"max_tokens={max_tokens}, pad_to_multiple={pad_to_multiple} and bucket_batches={bucket_batches}: "
                "all must be at least 1."
            )
        real = len(source_lengths) - synthetic
        super().__init__(real + (synthetic_per_epoch if synthetic else 0), 1)
        self.max_tokens, self.bucket_batches = max_tokens, bucket_batches
        self.real, self.synthetic = real, synthetic
        self.widths = padded_widths(
            source_lengths, target_lengths, max_tokens=max_tokens, pad_to_multiple=pad_to_multiple, split="training"
        )
        # target first, in the steps in which it is padded, then source: within a step a longer target costs nothing
        self.sort_key = (round_up(target_lengths, pad_to_multiple) << 31) + source_lengths
        self._least: int | None = None

    def __len__(self) -> int:
        _, world = samplers.rank_and_world()
        batches = math.ceil(self._enough() / world) * world
        if batches > self.rows:
            raise ValueError(
                f"{self.rows} training rows in {self._enough()} batches of at most {self.max_tokens} tokens cannot be "
                f"dealt evenly to {world} processes: raise --data.max_tokens or use --trainer.devices 1."
            )
        return batches // world

    def _enough(self) -> int:
        """Batches that an epoch has at least, whatever the number of processes: found once, alike on all of them."""
        if self._least is None:
            most = max(len(self._filled(epoch)[1]) for epoch in range(SIMULATED))
            self._least = min(most + math.ceil(SPARE * most), self.rows) if most > 1 else most
        return self._least

    def epoch_rows(self, epoch: int, stream: int = SHUFFLE) -> np.ndarray:
        """The rows of an epoch in random order, (rows,) int64: all real ones, and its share of the synthetic ones."""
        rows = np.arange(self.real)
        if self.synthetic:
            count = self.rows - self.real
            drawn = endless_rows(self.synthetic, first=epoch * count, count=count, stream=SYNTHETIC)
            rows = np.concatenate([rows, self.real + drawn])
        shuffled: np.ndarray = rows[epoch_permutation(len(rows), epoch, stream=stream)]
        return shuffled

    def _filled(self, epoch: int, stream: int = SHUFFLE) -> tuple[np.ndarray, np.ndarray]:
        """The rows of an epoch sorted within their buckets, and where each batch ends."""
        rows = self.epoch_rows(epoch, stream)
        per_bucket = self.bucket_batches * self.max_tokens / self.widths[rows].mean()
        buckets = max(1, round(len(rows) / per_bucket))
        edges = np.arange(buckets + 1) * len(rows) // buckets
        for first, end in pairwise(edges.tolist()):
            bucket = rows[first:end]
            rows[first:end] = bucket[np.argsort(self.sort_key[bucket], kind="stable")]
        return rows, fill_batches(self.widths[rows], edges[1:], self.max_tokens)

    def epoch_steps(self, epoch: int) -> list[list[np.ndarray]]:
        """The steps of an epoch, each a batch of rows for every rank."""
        _, world = samplers.rank_and_world()
        batches = len(self) * world
        rows, ends = self._filled(epoch)
        for redrawn in range(REDRAWS):
            if len(ends) <= batches:
                break
            rows, ends = self._filled(epoch, REDRAWN + redrawn)
        if len(ends) > batches:
            rows, ends = self._filled(0)  # is among those that were counted
        widths = self.widths[rows]
        ends = split_batches(widths, ends, batches)
        made = np.split(rows, ends[:-1])
        wide = batch_widths(widths, ends)
        similar = np.lexsort((wide * np.diff(ends, prepend=0), wide)).reshape(-1, world)
        order = epoch_permutation(len(similar), epoch, stream=STEPS)
        return [[made[place] for place in step] for step in similar[order]]

    def epoch_batches(self, epoch: int) -> list[list[int]]:
        rank, _ = samplers.rank_and_world()
        return [step[rank].tolist() for step in self.epoch_steps(epoch)]


class TokenEvalBatches(OwnBatches):
    """Every row exactly once over all ranks, rows of similar length together; batches are dealt in turn.

    The order is by length, the longest last; batches carry `index`, by which results are put in order again.

    Args:
        source_lengths: (N,) tokens, special tokens included.
        target_lengths: the same of the targets; None where there are none.
        max_tokens: limit of rows × longer padded side.
        pad_to_multiple: to which each side is padded.
        split: for messages.

    Raises:
        ValueError: a row longer than `max_tokens`; fewer rows than processes.
    """

    def __init__(
        self,
        source_lengths: np.ndarray,
        target_lengths: np.ndarray | None,
        max_tokens: int,
        *,
        pad_to_multiple: int = 8,
        split: str = "evaluation",
    ) -> None:  # the parent's constructor would ask for a process group that does not exist yet
        self.epoch, self.rows, self.max_tokens = 0, len(source_lengths), max_tokens
        widths = padded_widths(
            source_lengths, target_lengths, max_tokens=max_tokens, pad_to_multiple=pad_to_multiple, split=split
        )
        keys = (source_lengths,) if target_lengths is None else (source_lengths, target_lengths)
        self._sorted = np.lexsort(keys)
        self._widths = widths[self._sorted]
        self._ends = fill_batches(self._widths, np.array([self.rows]), max_tokens)

    def _own(self) -> list[np.ndarray]:
        rank, world = samplers.rank_and_world()
        if self.rows < world:
            raise ValueError(f"{self.rows} rows cannot be evaluated by {world} processes: use --trainer.devices 1.")
        return np.split(self._sorted, split_batches(self._widths, self._ends, world)[:-1])[rank::world]

    def __len__(self) -> int:
        return len(self._own())

    def __iter__(self) -> Iterator[Any]:
        return (batch.tolist() for batch in self._own())
