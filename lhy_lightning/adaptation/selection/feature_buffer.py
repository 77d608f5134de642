"""Features, logits and labels of an evaluation, of all ranks, in the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

UNKNOWN = -1


class Rows(NamedTuple):
    """What was evaluated: features (N, D), logits (N, K) float32; labels, source domains (N,) int64, -1 if unknown."""

    features: Tensor
    logits: Tensor
    labels: Tensor
    domains: Tensor

    @property
    def labelled(self) -> bool:
        """Whether all labels are known."""
        return len(self.labels) > 0 and bool((self.labels != UNKNOWN).all())

    def spread(self, number: int) -> Rows:
        """At most so many of the rows, evenly spaced: what costs the square of the rows takes these."""
        if len(self.labels) <= number:
            return self
        places = torch.linspace(0, len(self.labels) - 1, number).long().to(self.labels.device)
        return Rows(*(values[places] for values in self))


class EvaluatedRows(Metric):
    """Collects rows; `gathered` gives those of all ranks, each once, and begins anew."""

    full_state_update = False
    index: list[Tensor]
    features: list[Tensor]
    logits: list[Tensor]
    labels: list[Tensor]
    domains: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("index", "features", "logits", "labels", "domains"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Tensor, logits: Tensor, batch: Mapping[str, Any]) -> None:
        """Takes a batch of an evaluation, with its features (N, D) and logits (N, K)."""
        unknown = torch.full_like(batch["index"], UNKNOWN)
        self.index.append(batch["index"])
        self.features.append(features)
        self.logits.append(logits)
        self.labels.append(batch.get("label", unknown))
        self.domains.append(batch.get("source_domain", unknown))

    def compute(self) -> Rows:
        order = dim_zero_cat(self.index).argsort()
        collected = (self.features, self.logits, self.labels, self.domains)
        return Rows(*(dim_zero_cat(values)[order] for values in collected))

    def gathered(self) -> Rows:
        """The rows of all ranks in their order; a collective call."""
        features, logits, labels, domains = self.compute()
        self.reset()
        # torchmetrics takes the axis of a single row away
        return Rows(features, logits, labels.view(-1), domains.view(-1))


def accuracy_of(rows: Rows) -> Tensor:
    """Share of the rows whose most likely class is their label."""
    return (rows.logits.argmax(1) == rows.labels).float().mean()
