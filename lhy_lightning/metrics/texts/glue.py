"""The figures of GLUE and CLUE by name, exact over batches and ranks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lhy_lightning.metrics.averages import Sum, unless_nan

CLASSIFICATION = ("accuracy", "f1", "macro_f1", "matthews")
REGRESSION = ("pearson", "spearman", "mse")


class TextScores(nn.Module):
    """Loss and the figures asked for.

    Classes are counted in a confusion matrix, numbers are kept, so that what is computed at the end is the figure over
    all rows and not a mean of means. GLUE's own definitions:

        accuracy   share of rows that are right
        f1         of class 1 against class 0 (MRPC, QQP)
        macro_f1   mean over the classes that occur, in truth or prediction
        matthews   correlation of truth and prediction as classes (CoLA; Gorodkin's form for more than two)
        pearson    linear correlation of two numbers (STS-B)
        spearman   the same of their ranks, equal numbers sharing the mean of their ranks
        mse        mean squared error

    Args:
        metrics: names.
        num_classes: classes K; 0 for numbers.

    Raises:
        ValueError: a name that does not exist, or that does not fit classes, numbers, or so many classes.
    """

    def __init__(self, metrics: Sequence[str], num_classes: int) -> None:
        super().__init__()
        known = CLASSIFICATION if num_classes else REGRESSION
        for name in metrics:
            if name not in known:
                kind = "classes" if num_classes else "numbers"
                raise ValueError(f"no metric of {kind} is called {name!r}: one of {', '.join(known)}.")
        if "f1" in metrics and num_classes != 2:
            raise ValueError(f"f1 is of two classes, these are {num_classes}: use macro_f1.")
        self.metrics = tuple(metrics)
        self.loss, self.rows = Sum(), Sum()
        self.confusion = MulticlassConfusionMatrix(max(2, num_classes), validate_args=False) if num_classes else None
        self.numbers = None if num_classes else NumberPairs()

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Takes one batch.

        Args:
            logits: (N, K), or numbers (N,).
            labels: (N,) classes or numbers.
            loss: scalar, its sum over the rows.
        """
        self.loss.update(loss)
        self.rows.update(len(labels))
        if self.confusion is not None:
            self.confusion.update(logits, labels)
        if self.numbers is not None:
            self.numbers.update(logits, labels)

    def compute(self) -> dict[str, Tensor]:
        """`loss`, a mean over rows, and each figure, scalars; NaN where a logit was. Empty without rows. Collective."""
        with warnings.catch_warnings():  # a rank may have no rows
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            loss, rows = self.loss.compute(), self.rows.compute()
            if not rows:
                return {}
            if self.confusion is not None:
                figures = classification_figures(self.confusion.compute())
            else:
                assert self.numbers is not None
                figures = regression_figures(*self.numbers.compute())
        return {"loss": loss / rows, **unless_nan(loss, {name: figures[name] for name in self.metrics})}

    def reset(self) -> None:
        """Forgets all rows."""
        for part in (self.loss, self.rows, self.confusion, self.numbers):
            if part is not None:
                part.reset()


class NumberPairs(Metric):
    """Keeps predicted and true numbers, of all ranks in the end."""

    full_state_update = False
    predicted: list[Tensor]
    true: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("predicted", [], dist_reduce_fx="cat")
        self.add_state("true", [], dist_reduce_fx="cat")

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Takes numbers (N,) and (N,)."""
        self.predicted.append(predicted.detach().float().flatten())
        self.true.append(true.detach().float().flatten())

    def compute(self) -> tuple[Tensor, Tensor]:
        """Both as (N,) float64 on the CPU."""
        empty = torch.zeros(0)
        parts = (self.predicted, self.true)
        predicted, true = (torch.cat(list(part)) if isinstance(part, list) and part else part for part in parts)
        first, second = (value if isinstance(value, Tensor) else empty for value in (predicted, true))
        return first.cpu().double(), second.cpu().double()


def classification_figures(confusion: Tensor) -> dict[str, Tensor]:
    """All figures of a confusion matrix (K, K), true classes in rows, predicted ones in columns."""
    counts = confusion.double()
    right, truth, said, total = counts.diagonal(), counts.sum(1), counts.sum(0), counts.sum()
    f1 = 2 * right / (truth + said).clamp(min=1)
    # Gorodkin 2004: the covariance of truth and prediction over the root of both variances
    covariance = right.sum() * total - (truth * said).sum()
    deviations = (total**2 - (said**2).sum()).sqrt() * (total**2 - (truth**2).sum()).sqrt()
    return {
        "accuracy": right.sum() / total,
        "f1": f1[1],
        "macro_f1": f1[truth + said > 0].mean(),
        "matthews": covariance / deviations if deviations > 0 else torch.zeros_like(covariance),
    }


def regression_figures(predicted: Tensor, true: Tensor) -> dict[str, Tensor]:
    """All figures of predicted and true numbers, (N,) float64 each."""
    return {
        "pearson": correlation(predicted, true),
        "spearman": correlation(ranks(predicted), ranks(true)),
        "mse": (predicted - true).square().mean(),
    }


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of two rows of numbers; 0 where one of them does not vary."""
    a, b = first - first.mean(), second - second.mean()
    norms = a.norm() * b.norm()
    return (a * b).sum() / norms if norms > 0 else torch.zeros_like(norms)


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1, equal values sharing the mean of theirs: (N,) float64."""
    _, place, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    means: Tensor = last - (counts.double() - 1) / 2
    return means[place]
