"""Mode coverage: which of a classifier's classes a generator shows, and how often. Mode collapse and mode dropping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


class Coverage(NamedTuple):
    """How samples spread over classes.

    Attributes:
        shares: (K,) float64, each class's share of the samples that are recognised; zeros where none is.
        recognised: share of all samples that the classifier names with enough confidence.
        covered: (K,) bool, classes that hold at least `least_share`.
        effective_classes: exp of the entropy of `shares`: K where all are even, 1 where one has everything.
        samples: number of samples.
        least_share: see `ModeCoverage`.
    """

    shares: Tensor
    recognised: Tensor
    covered: Tensor
    effective_classes: Tensor
    samples: int
    least_share: float

    @property
    def num_covered(self) -> int:
        """How many classes are covered."""
        return int(self.covered.sum())

    def warning(self, class_names: Sequence[str] | None = None) -> str | None:
        """What is wrong, in a sentence with the numbers; None where nothing is.

        Mode collapse: samples have less variety than half of the classes evenly would give. Mode dropping: some
        classes are (nearly) missing.
        """
        classes = len(self.shares)
        names = [str(k) for k in range(classes)] if class_names is None else list(class_names)
        if not self.samples:
            return None
        if self.recognised < 0.1:
            return (
                f"only {self.recognised:.1%} of {self.samples:,} samples are recognised by the classifier: "
                "coverage says nothing about them yet"
            )
        missing = [
            f"{names[k]} ({self.shares[k]:.1%})" for k in range(classes) if not self.covered[k]
        ]  # fmt: skip
        listed = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        if self.effective_classes < classes / 2:
            top = int(self.shares.argmax())
            return (
                f"mode collapse: {self.effective_classes:.1f} effective classes of {classes}, {names[top]} alone has "
                f"{self.shares[top]:.1%} of the recognised samples; under {self.least_share:.1%}: {listed or 'none'}"
            )
        if missing:
            return f"mode dropping: {len(missing)} of {classes} classes hold under {self.least_share:.1%}: {listed}"
        return None


class ModeCoverage(Metric):
    """Counts samples by the class that a classifier names with confidence, exact over batches and ranks.

    It sees missing classes only: a generator with one picture for each class passes (recall and nearest pictures
    tell), and confidence on what is no picture of any class is the classifier's fault, so compare with noise.

    Args:
        num_classes: classes K of the classifier.
        confidence: probability from which a sample counts as recognised.
        least_share: share of the recognised samples that a covered class holds; None for .3 / K, three tenths of an
            even share, which is 3 % of ten classes.

    Raises:
        ValueError: a number outside of [0, 1].

    Example:
        >>> import torch
        >>> from lhy_lightning import ModeCoverage
        >>> coverage = ModeCoverage(num_classes=4)
        >>> coverage.update(torch.eye(4)[:3])  # the classes of three samples, known for sure
        >>> coverage.compute().num_covered
        3
    """

    full_state_update = False

    counts: Tensor
    count: Tensor

    def __init__(self, num_classes: int, *, confidence: float = 0.9, least_share: float | None = None) -> None:
        super().__init__()
        self.num_classes, self.confidence = num_classes, confidence
        self.least_share = 0.3 / num_classes if least_share is None else least_share
        for name, value in (("confidence", confidence), ("least_share", self.least_share)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {value}")
        self.add_state("counts", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor) -> None:
        """Takes a batch of probabilities (N, K)."""
        if probabilities.ndim != 2 or probabilities.shape[1] != self.num_classes:
            raise ValueError(f"expected probabilities (N, {self.num_classes}), not {tuple(probabilities.shape)}")
        best = probabilities.detach().max(1)
        sure = (best.values >= self.confidence).to(self.counts)  # (N,) 0 or 1
        self.counts = self.counts.scatter_add(0, best.indices, sure)
        self.count = self.count + len(probabilities)

    def compute(self) -> Coverage:
        """The spread over classes. Over ranks this is a collective call."""
        recognised = self.counts.sum()
        shares = self.counts.double() / recognised.clamp(min=1)
        effective = torch.special.entr(shares).sum().exp() * (recognised > 0)
        return Coverage(
            shares, recognised.double() / self.count.clamp(min=1), (shares >= self.least_share) & (self.counts > 0),
            effective, int(self.count), self.least_share,
        )  # fmt: skip
