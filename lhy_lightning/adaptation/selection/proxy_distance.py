"""The domain shift in features: how well a fresh classifier tells two domains apart, proxy A-distance."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor


def fresh_domain_accuracy(source_features: Tensor, target_features: Tensor, *, seed: int = 0) -> float:
    """Accuracy, on rows that it has not seen, of a linear classifier of the domain trained on frozen features.

    Logistic regression on standardized features (Ganin et al. 2016 take a linear SVM), fitted on a random half of each
    domain and tested on the other; the mean of the two domains' accuracies, so .5 is chance at any sizes.

    Args:
        source_features: (N, D), on any device; no gradient.
        target_features: (M, D).
        seed: of the halves.

    Returns:
        0 to 1.

    Raises:
        ValueError: not (N, D) and (M, D), fewer than two rows of a domain, or features that are not finite.

    Example:
        >>> import torch
        >>> from lhy_lightning import fresh_domain_accuracy
        >>> features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        >>> fresh_domain_accuracy(features, features + 10)  # told apart
        1.0
    """
    rows, domains = domain_rows(source_features, target_features)
    random = np.random.default_rng(seed)
    # numbers 0 … N - 1 of each domain in random order: the even ones train
    order = np.concatenate([random.permutation(len(source_features)), random.permutation(len(target_features))])
    trained = order % 2 == 0
    right = domain_classifier().fit(rows[trained], domains[trained]).predict(rows[~trained]) == domains[~trained]
    return float(np.mean([right[domains[~trained] == domain].mean() for domain in (0, 1)]))


def proxy_a_distance(accuracy: float) -> float:
    """2 (1 - 2 error) of a domain classifier of this accuracy: 0 at chance, 2 where the domains are told apart.

    Section 3.2 of Ganin et al. 2016 (https://arxiv.org/abs/1505.07818), after Ben-David et al. 2006. A little below
    zero for an accuracy that is below chance by chance.

    Raises:
        ValueError: an accuracy outside 0 … 1.

    Example:
        >>> from lhy_lightning import proxy_a_distance
        >>> proxy_a_distance(0.5), proxy_a_distance(1.0)
        (0.0, 2.0)
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"an accuracy is in 0 … 1, not {accuracy}")
    return 2 * (1 - 2 * (1 - accuracy))


def domain_classifier() -> Pipeline:
    """A classifier of rows to fit, in which both domains count alike whatever their sizes."""
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))


def domain_rows(source_features: Tensor, target_features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both domains' rows (N + M, D) float64, source first, and their domains (N + M,), 0 and 1.

    Raises:
        ValueError: as in `fresh_domain_accuracy`.
    """
    shapes = f"{tuple(source_features.shape)} of source and {tuple(target_features.shape)} of target"
    if source_features.dim() != 2 or target_features.dim() != 2 or source_features.shape[1] != target_features.shape[1]:
        raise ValueError(f"features are (N, D) and (M, D), not {shapes}")
    if min(len(source_features), len(target_features)) < 2:
        raise ValueError(f"a domain classifier is trained and tested on two rows a domain at least, not {shapes}")
    both = [features.detach().cpu().double().numpy() for features in (source_features, target_features)]
    rows = np.concatenate(both)
    if not np.isfinite(rows).all():
        raise ValueError(f"features that are not finite, in {(~np.isfinite(rows)).any(1).sum()} rows")
    return rows, np.repeat([0, 1], [len(features) for features in both])
