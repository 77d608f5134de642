"""How good a model is on the target, without target labels: one function a score, higher = better.

`information_maximisation` of `losses/entropy.py` is one of them too. None of them is sure to be right:
`rank_correlation` says how well a score ordered the checkpoints of a run whose target accuracies are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn.functional import normalize

from lhy_lightning.adaptation.losses.entropy import information_maximisation
from lhy_lightning.adaptation.selection.proxy_distance import domain_classifier, domain_rows
from lhy_lightning.layers.precision import widened

__all__ = [
    "density_ratio",
    "importance_weighted_accuracy",
    "importance_weighted_mean",
    "information_maximisation",
    "rank_correlation",
    "soft_neighbourhood_density",
]


@torch.no_grad()
def soft_neighbourhood_density(vectors: Tensor, *, temperature: float = 0.05, chunk: int = 1024) -> Tensor:
    """Mean entropy of the rows' soft neighbourhoods: high where target rows lie in dense clusters.

    Section 3 of Saito et al. 2021 (https://arxiv.org/abs/2108.10860): rows of unit length, P_ij the softmax over
    j ≠ i of their cosines divided by the temperature, and the mean over i of -sum_j P_ij log P_ij. A model that gives
    every row the same prediction has the highest score, log(N - 1).

    Args:
        vectors: (N, D) of target rows; the paper takes class probabilities, `logits.softmax(1)`.
        temperature: τ.
        chunk: rows of P that are in memory at once; the result is the same.

    Returns:
        Scalar float32, in nats.

    Raises:
        ValueError: not (N, D), fewer than two rows, or a temperature or chunk that is not above zero.
    """
    if vectors.dim() != 2 or len(vectors) < 2:
        raise ValueError(f"a neighbourhood takes (N, D) of two rows or more, not {tuple(vectors.shape)}")
    if temperature <= 0 or chunk < 1:
        raise ValueError(f"temperature and chunk are above zero, not {temperature} and {chunk}")
    units = normalize(widened(vectors), dim=1)
    total = units.new_zeros((), dtype=torch.float64)
    with torch.autocast(units.device.type, enabled=False):
        for start in range(0, len(units), chunk):
            similarity = units[start : start + chunk] @ units.T / temperature  # (chunk, N)
            rows = torch.arange(len(similarity), device=units.device)
            similarity[rows, start + rows] = -math.inf  # a row is not its own neighbour
            log_p = similarity.log_softmax(1)
            total += -(log_p.exp() * log_p.masked_fill(log_p.isinf(), 0)).sum(dtype=torch.float64)
    return (total / len(units)).to(units.dtype)


def density_ratio(source_features: Tensor, target_features: Tensor, *, folds: int = 5, seed: int = 0) -> Tensor:
    """p_target / p_source at every source row, from classifiers of the domain that have not seen the row.

    w(x) = p(target | x) / p(source | x) of a logistic regression in which both domains count alike (Bickel et al.
    2007); each row is held out of the fit that weighs it, since a classifier is too sure on rows that it was fitted on.

    Args:
        source_features: (N, D), of rows that the model was not trained on.
        target_features: (M, D).
        folds: fits; fewer where a domain has fewer rows.
        seed: of the folds.

    Returns:
        (N,) float64 on the CPU, above zero, with a mean near 1 where the ratio is estimated well.

    Raises:
        ValueError: not (N, D) and (M, D), fewer than two rows of a domain, or features that are not finite.
    """
    rows, domains = domain_rows(source_features, target_features)
    n = len(source_features)
    folds = min(folds, n, len(target_features))
    weights = np.empty(len(rows))
    for trained, held_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, domains):
        log_odds = domain_classifier().fit(rows[trained], domains[trained]).decision_function(rows[held_out])
        weights[held_out] = np.exp(log_odds)
    return torch.from_numpy(weights[:n])


def importance_weighted_mean(values: Tensor, weights: Tensor, *, control_variate: bool = False) -> float:
    """Mean of `values` over the target, from their values on source rows.

    Importance-weighted validation: mean of w l (Sugiyama et al. 2007, https://jmlr.org/papers/v8/sugiyama07a.html).
    Deep embedded validation takes the weights' known mean of 1 for a control variate (You et al. 2019,
    https://proceedings.mlr.press/v97/you19a.html, algorithm 1): mean(w l) + η (mean(w) - 1), with
    η = -Cov(w l, w) / Var(w).

    Args:
        values: (N,) losses or correctness of held-out source rows.
        weights: (N,) of `density_ratio`.
        control_variate: deep embedded validation rather than the plain mean.

    Raises:
        ValueError: not (N,) both, or no rows.
    """
    if values.dim() != 1 or values.shape != weights.shape or len(values) == 0:
        raise ValueError(f"values and weights are (N,), not {tuple(values.shape)} and {tuple(weights.shape)}")
    w = weights.detach().cpu().double()
    weighted = w * values.detach().cpu().double()
    if not control_variate:
        return weighted.mean().item()
    variance = (w - w.mean()).square().mean()
    if variance == 0:  # weights that are all alike vary with nothing
        return weighted.mean().item()
    covariance = ((w - w.mean()) * (weighted - weighted.mean())).mean()
    return (weighted.mean() - covariance / variance * (w.mean() - 1)).item()


def importance_weighted_accuracy(
    source_correct: Tensor,
    source_features: Tensor,
    target_features: Tensor,
    *,
    control_variate: bool = False,
    seed: int = 0,
) -> float:
    """Accuracy on the target, estimated from held-out source rows that count as much as they look like target.

    Args:
        source_correct: (N,) whether the model is right, on labelled source rows that it was not trained on.
        source_features: (N, D) of these rows.
        target_features: (M, D).
        control_variate: deep embedded validation; its score is 1 minus the paper's risk of the errors.
        seed: of the folds.

    Returns:
        Near 0 … 1, and outside of it where the weights are badly off.

    Raises:
        ValueError: as in `density_ratio` and `importance_weighted_mean`.
    """
    weights = density_ratio(source_features, target_features, seed=seed)
    return importance_weighted_mean(source_correct, weights, control_variate=control_variate)


def rank_correlation(scores: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Spearman's correlation of a score with target accuracy over checkpoints, ties by mean rank.

    Returns:
        -1 to 1; None where it says nothing: fewer than three checkpoints, all of one score or accuracy, or a number
        that is not finite.

    Raises:
        ValueError: not one score an accuracy.
    """
    if len(scores) != len(accuracies):
        raise ValueError(f"{len(scores)} scores for {len(accuracies)} accuracies")
    if len(scores) < 3 or not all(map(math.isfinite, [*scores, *accuracies])):
        return None
    if len(set(scores)) == 1 or len(set(accuracies)) == 1:
        return None
    return float(spearmanr(scores, accuracies).statistic)
