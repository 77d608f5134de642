"""Datasets and samplers of domain adaptation: labelled source rows and target rows without a label, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.core.distributed import rank_and_world
from lhy_lightning.data.images.image_datasets import EvalPictures
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.samplers import TrainBatches, endless_rows

Epoch = Literal["source", "target", "longer"]


class DomainPictures(Dataset[dict[str, Tensor]]):
    """Training batches in uint8. Labels of the target are not in here.

    Args:
        source: pictures of all source domains.
        source_rows: (N,) rows of `source`, domain by domain.
        source_labels: (N,) int64.
        source_domain: (N,) int64, or None for one domain.
        target: pictures of the target, or None without one.
        target_rows: (M,) rows of `target`.
    """

    def __init__(
        self,
        source: Pool,
        source_rows: np.ndarray,
        source_labels: Tensor,
        source_domain: Tensor | None,
        target: Pool | None,
        target_rows: np.ndarray,
    ) -> None:
        self.source, self.source_rows, self.source_labels = source, source_rows, source_labels
        self.source_domain, self.target, self.target_rows = source_domain, target, target_rows

    def __len__(self) -> int:
        return len(self.source_rows)

    def __getitem__(self, rows: tuple[list[int], list[int]]) -> dict[str, Tensor]:
        own, others = rows
        batch = {"source_image": self.source.take(self.source_rows[own]), "source_label": self.source_labels[own]}
        if self.source_domain is not None:
            batch["source_domain"] = self.source_domain[own]
        if self.target is not None:
            batch["target_image"] = self.target.take(self.target_rows[others])
        return batch


class EvalDomainPictures(EvalPictures):
    """Evaluation batches that also tell the source domain of every row.

    Args:
        domain: (N,) int64, or None.
        *arguments: as in `EvalPictures`.
    """

    def __init__(self, domain: Tensor | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.domain = domain

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        batch = super().__getitem__(rows)
        return batch if self.domain is None else {**batch, "source_domain": self.domain[rows]}


class DomainBatches(TrainBatches):
    """Pairs (source rows, target rows). Each domain goes on through permutations of its own, across epochs.

    So every row of a domain comes once before any comes twice, whatever an epoch is, and the rows of a batch are a
    function of (run seed, epoch, batch).

    Args:
        source_rows: rows of each source domain; they are numbered through, domain by domain.
        target_rows: rows of the target.
        batch_size: source rows per batch and process, equally many of every source domain.
        target_batch_size: target rows per batch and process; 0 takes none.
        epoch: one pass over the rows of all source domains together, over the target, or over what takes more batches.
        steps: batches an epoch, if not one pass.
        names: of the source domains and the target, for messages.

    Raises:
        ValueError: source domains cannot have equally many rows, or the target is to give an epoch without rows.
    """

    def __init__(
        self,
        source_rows: Sequence[int],
        target_rows: int,
        batch_size: int,
        *,
        target_batch_size: int,
        epoch: Epoch = "source",
        steps: int | None = None,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(sum(source_rows), batch_size, steps=steps)
        self.source_rows, self.target_rows = tuple(source_rows), target_rows
        self.target_batch_size, self.pass_over = target_batch_size, epoch
        self.names = tuple(names) or (*(f"source {n}" for n in range(len(source_rows))), "target")
        if batch_size % len(source_rows):
            raise ValueError(
                f"batch_size={batch_size} cannot be shared equally by {len(source_rows)} source domains: set "
                f"--data.batch_size to a multiple of {len(source_rows)}."
            )
        self.share = batch_size // len(source_rows)
        if not target_batch_size and epoch != "source" and steps is None:
            raise ValueError(
                f"epoch={epoch!r} counts target rows, but target_batch_size=0 takes none: set --data.epoch source."
            )

    def __len__(self) -> int:
        _, world = rank_and_world()
        self._check(world)
        if self.steps is not None:
            return self.steps
        source = math.floor(sum(self.source_rows) / (self.batch_size * world))
        if self.pass_over == "source":
            return source
        target = math.floor(self.target_rows / (self.target_batch_size * world))
        return target if self.pass_over == "target" else max(source, target)

    def _check(self, world: int) -> None:
        """Refuses a batch that would have a row twice; here, as the processes are not known any earlier."""
        wanted = [(self.share, name, "batch_size") for name in self.names[: len(self.source_rows)]]
        wanted += [(self.target_batch_size, self.names[-1], "target_batch_size")]
        for rows, (share, name, argument) in zip((*self.source_rows, self.target_rows), wanted, strict=True):
            if rows < share * world:
                most = rows // world * (len(self.source_rows) if argument == "batch_size" else 1)
                hint = f"set --data.{argument} to at most {most}" if most else "use fewer processes"
                raise ValueError(
                    f"{name} has {rows} training rows, fewer than a step takes: {share} on each of {world} "
                    f"processes. {hint[0].upper()}{hint[1:]}."
                )

    def epoch_batches(self, epoch: int) -> list[Any]:
        steps, (rank, world) = len(self), rank_and_world()

        def drawn(rows: int, share: int, stream: int) -> list[np.ndarray]:
            if not share:
                return [np.zeros(0, dtype=np.int64)] * steps
            together = share * world
            order = endless_rows(rows, first=epoch * steps * together, count=steps * together, stream=stream)
            return [order[step * together : (step + 1) * together][rank::world] for step in range(steps)]

        starts = np.cumsum([0, *self.source_rows])
        of_sources = [
            [start + chosen for chosen in drawn(rows, self.share, 2 + number)]
            for number, (start, rows) in enumerate(zip(starts[:-1], self.source_rows, strict=True))
        ]
        sources = [np.concatenate(parts).tolist() for parts in zip(*of_sources, strict=True)]
        targets = [chosen.tolist() for chosen in drawn(self.target_rows, self.target_batch_size, 1)]
        return list(zip(sources, targets, strict=True))
