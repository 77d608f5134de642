"""Features, logits and labels of an evaluation, of all ranks, in the order of the rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

UNKNOWN = -1


class Rows(NamedTuple):
    """What was evaluated: features (N, D), logits (N, K), float32, and labels (N,) int64, -1 where unknown."""

    features: Tensor
    logits: Tensor
    labels: Tensor

    @property
    def labelled(self) -> bool:
        """Whether all labels are known."""
        return len(self.labels) > 0 and bool((self.labels != UNKNOWN).all())

    def spread(self, number: int) -> Rows:
        """At most so many of the rows, evenly spaced: what costs the square of the rows takes these."""
        if len(self.labels) <= number:
            return self
        places = torch.linspace(0, len(self.labels) - 1, number).long().to(self.labels.device)
        return Rows(self.features[places], self.logits[places], self.labels[places])


class EvaluatedRows(Metric):
    """Collects rows; `gathered` gives those of all ranks, each once, and begins anew."""

    full_state_update = False
    index: list[Tensor]
    features: list[Tensor]
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("index", "features", "logits", "labels"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Tensor, logits: Tensor, batch: dict[str, Tensor]) -> None:
        """Takes a batch of an evaluation, with its features (N, D) and logits (N, K)."""
        unknown = torch.full_like(batch["index"], UNKNOWN)
        self.index.append(batch["index"])
        self.features.append(features)
        self.logits.append(logits)
        self.labels.append(batch.get("label", unknown))

    def compute(self) -> Rows:
        index, features, logits, labels = (
            dim_zero_cat(values) for values in (self.index, self.features, self.logits, self.labels)
        )
        order = index.argsort()
        return Rows(features[order], logits[order], labels[order])

    def gathered(self) -> Rows:
        """The rows of all ranks in their order; a collective call."""
        features, logits, labels = self.compute()
        self.reset()
        return Rows(features, logits, labels.view(-1))  # torchmetrics takes the axis of a single row away


def accuracy_of(rows: Rows) -> Tensor:
    """Share of the rows whose most likely class is their label."""
    return (rows.logits.argmax(1) == rows.labels).float().mean()
