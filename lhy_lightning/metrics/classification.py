"""Loss, accuracy, accuracy per class and confusion matrix, right over ranks with unequal rows."""

from __future__ import annotations

import warnings

from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from lhy_lightning.metrics.averages import Sum, unless_nan


class ClassificationScores(nn.Module):
    """Collects logits and labels of an evaluation; every figure comes from two torchmetrics objects.

    Accuracy is the confusion matrix's diagonal over its sum, so its counts, not averages of averages, are added
    over batches and ranks.

    Args:
        num_classes: classes K.

    Raises:
        ValueError: more classes than a confusion matrix can be of.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        check_number_of_classes(num_classes)
        self.loss = Sum()
        self.confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)

    def update(self, logits: Tensor, label: Tensor, loss: Tensor) -> None:
        """Takes one batch: logits or probabilities (N, K), labels (N,), and its mean loss."""
        self.loss.update(loss * label.numel())
        self.confusion.update(logits, label)

    def compute(self) -> dict[str, Tensor]:
        """`loss` and `accuracy`, scalars; `per_class` (K,), NaN for a class without rows; `confusion` (K, K) int64.

        Loss and accuracies are NaN where a logit was. The matrix has true classes in rows and predicted ones in
        columns. Over ranks this is a collective call.
        """
        with warnings.catch_warnings():  # a rank may have no rows, or none that are labelled
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            confusion, loss = self.confusion.compute(), self.loss.compute()
        right = confusion.diagonal().float()
        rows = confusion.sum().clamp(min=1)
        shares = {"accuracy": right.sum() / rows, "per_class": right / confusion.sum(1)}
        return {"loss": loss / rows, **unless_nan(loss, shares), "confusion": confusion}

    def reset(self) -> None:
        """Forgets all rows."""
        self.loss.reset()
        self.confusion.reset()


MOST_CLASSES = 32_768
"""The confusion matrix of more takes over 8 GiB; ImageNet's 21,841 classes are among the most that anyone has."""


def check_number_of_classes(number: int) -> None:
    """Refuses a number that cannot be one of classes, as when labels such as 20230001 are taken for class numbers.

    Raises:
        ValueError: more than `MOST_CLASSES`.
    """
    if number > MOST_CLASSES:
        raise ValueError(
            f"{number:,} classes are more than {MOST_CLASSES:,}, whose confusion matrix takes {8 * MOST_CLASSES**2:,} "
            "bytes: are the labels classes, or numbers of another kind (identities, dates, values to predict)?"
        )
