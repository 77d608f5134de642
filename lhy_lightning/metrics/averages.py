"""Sums and means over batches and ranks that stay NaN once a value was: torchmetrics' own drop what is no number."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, SumMetric


class Sum(SumMetric):
    """A sum in which NaN shows."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(nan_strategy="disable", **arguments)


class Mean(MeanMetric):
    """A weighted mean in which NaN shows; without values it is NaN too.

    `MeanMetric(nan_strategy="disable")` leaves NaN in, but ignores weights (torchmetrics 1.9).
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(nan_strategy="disable", **arguments)

    def update(self, value: float | Tensor, weight: float | Tensor | None = None) -> None:
        """Takes values of any shape, each with its weight.

        Args:
            value: one number or many.
            weight: how much each counts, of a shape that broadcasts to that of the values; None counts all alike.
        """
        values = torch.as_tensor(value, dtype=self.dtype, device=self.device)
        weights = torch.as_tensor(1.0 if weight is None else weight, dtype=self.dtype, device=self.device).expand_as(
            values
        )
        self.mean_value += (values * weights).sum()
        self.weight += weights.sum()


def unless_nan(loss: Tensor, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns figures as they are, or all NaN where the loss of the same rows is.

    The most likely class of logits that are NaN would be the first, and the accuracy a number like any other.
    """
    return {name: torch.full_like(value, torch.nan) if loss.isnan() else value for name, value in figures.items()}
