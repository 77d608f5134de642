"""Inception Score: are samples of clear classes, and of many?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


def inception_score(probabilities: Tensor, *, splits: int = 1) -> tuple[Tensor, Tensor]:
    """The exponential of the mean KL divergence of p(y | x) from p(y), between 1 and the number of classes.

    Salimans et al. 2016 (https://arxiv.org/abs/1606.03498), section 4, who take 10 splits of 5,000 samples. A score
    in another classifier than their Inception is no Inception Score to compare with papers.

    Args:
        probabilities: (N, K), rows sum to 1.
        splits: equal parts of the samples, in their order, that are scored alone; rows left over are in the first.

    Returns:
        Mean and standard deviation (over splits, 0 for one) of the score, scalars float64.

    Raises:
        ValueError: not (N, K), rows that are no probabilities, or fewer samples than splits.
    """
    if probabilities.ndim != 2 or not 1 <= splits <= len(probabilities):
        raise ValueError(f"expected (N, K) with N >= splits={splits}, not {tuple(probabilities.shape)}")
    _check_rows(probabilities)
    scores = []
    for part in probabilities.double().tensor_split(splits):
        scores.append(_score(part.sum(0), torch.special.entr(part).sum(), len(part)))
    stacked = torch.stack(scores)
    return stacked.mean(), stacked.std(correction=0)


def _score(total: Tensor, entropy: Tensor, count: int | Tensor) -> Tensor:
    """exp(H(y) − H(y | x)): the mean KL divergence is the difference of two entropies."""
    divergence: Tensor = torch.special.entr(total / count).sum() - entropy / count
    return divergence.exp()


def _check_rows(probabilities: Tensor) -> None:
    sums = probabilities.detach().double().sum(1)
    if not (((sums - 1).abs() <= 1e-2) & (probabilities >= 0).all(1)).all():
        raise ValueError(
            f"rows must be probabilities; sums go from {sums.min().item():.3g} to {sums.max().item():.3g}: "
            "apply softmax to logits first"
        )


class InceptionScore(Metric):
    """The score of all samples (one split), exact over batches and ranks.

    Args:
        num_classes: classes K.

    Raises:
        ValueError: on `update`, what `inception_score` raises; on `compute`, no samples.
    """

    full_state_update = False
    higher_is_better = True

    total: Tensor
    entropy: Tensor
    count: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("total", torch.zeros(num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("entropy", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor) -> None:
        """Takes a batch of probabilities (N, K)."""
        if probabilities.ndim != 2 or probabilities.shape[1] != self.num_classes:
            raise ValueError(f"expected probabilities (N, {self.num_classes}), not {tuple(probabilities.shape)}")
        _check_rows(probabilities)
        probabilities = probabilities.detach().double()
        self.total = self.total + probabilities.sum(0)
        self.entropy = self.entropy + torch.special.entr(probabilities).sum()
        self.count = self.count + len(probabilities)

    def compute(self) -> Tensor:
        """The score, scalar float64. Over ranks this is a collective call."""
        if not self.count:
            raise ValueError("there are no samples to score")
        return _score(self.total, self.entropy, self.count)
