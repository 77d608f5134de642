"""What unlabelled rows say through the predictions on them: sure one by one, and diverse together.

Every function takes logits (N, K) and computes in float32 from log-probabilities, so sure rows give finite gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lhy_lightning.layers.precision import widened


def entropy(logits: Tensor) -> Tensor:
    """-sum_k p_k log p_k of every row, in nats: (N, K) to (N,), from 0 to log K.

    Raises:
        ValueError: logits that are not (N, K).
    """
    log_probabilities = _log_probabilities(logits)
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def conditional_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the rows, scalar: what entropy minimization lowers on target rows.

    Grandvalet and Bengio 2004 (https://papers.nips.cc/paper/2740); the conditional entropy loss of VADA, section 4 of
    Shu et al. 2018 (https://arxiv.org/abs/1802.08735).

    Raises:
        ValueError: logits that are not (N, K).
    """
    return entropy(logits).mean()


def information_maximisation(logits: Tensor) -> Tensor:
    """Entropy of the mean prediction minus mean entropy: higher is better, the negative is the loss.

    The mutual information of row and predicted class (Shi and Sha 2012, https://arxiv.org/abs/1206.6438); as a loss,
    L_ent + L_div of SHOT (equation 3 of Liang et al. 2020, https://arxiv.org/abs/2002.08546). From 0, where every row
    has the same prediction, to log K, where all are sure and all classes even.

    Args:
        logits: (N, K).

    Returns:
        Scalar float32.

    Raises:
        ValueError: logits that are not (N, K).
    """
    mean = _log_mean(logits)
    return -(mean.exp() * mean).sum() - conditional_entropy(logits)


def label_balance(logits: Tensor, prior: Tensor | None = None) -> Tensor:
    """KL(mean prediction ‖ prior): zero where the classes are predicted as often as they are expected.

    With a uniform prior it is log K minus SHOT's diversity (equation 3, as above).

    Args:
        logits: (N, K).
        prior: (K,) shares or counts of the classes, each above zero (else the loss is infinite), brought to a sum of 1
            here; None is uniform.

    Returns:
        Scalar float32.

    Raises:
        ValueError: logits that are not (N, K), or a prior that is not (K,).
    """
    mean = _log_mean(logits)
    if prior is None:
        return (mean.exp() * (mean + math.log(len(mean)))).sum()
    if prior.shape != mean.shape:
        raise ValueError(f"a prior is ({len(mean)},), one share a class, not {tuple(prior.shape)}")
    prior = prior.to(mean)
    return (mean.exp() * (mean - (prior / prior.sum()).log())).sum()


class PseudoLabelLoss(NamedTuple):
    """What `pseudo_label_loss` returns."""

    loss: Tensor
    """Scalar float32."""
    share: Tensor
    """Share of the rows that were sure enough, scalar without gradient."""


def pseudo_label_loss(logits: Tensor, threshold: float) -> PseudoLabelLoss:
    """Cross-entropy of rows with their own most probable class, over rows whose probability reaches a threshold.

    Lee 2013 (pseudo-labels) with the confidence threshold of FixMatch (Sohn et al. 2020,
    https://arxiv.org/abs/2001.07685), here the mean over the rows *used*. Labels and choice take no gradient.

    Args:
        logits: (N, K).
        threshold: of the largest probability; 0 uses every row.

    Returns:
        The loss, zero and still with a graph where no row is used, and the share of rows used.

    Raises:
        ValueError: logits that are not (N, K), or a threshold outside 0 … 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"a threshold of probabilities is in 0 … 1, not {threshold}")
    sureness, labels = _log_probabilities(logits).detach().exp().max(1)  # (N,) both
    used = (sureness >= threshold).float()
    losses = cross_entropy(widened(logits), labels, reduction="none")  # (N,)
    return PseudoLabelLoss((losses * used).sum() / used.sum().clamp(min=1), used.mean())


def _log_probabilities(logits: Tensor) -> Tensor:
    if logits.dim() != 2:
        raise ValueError(f"logits are (N, K), not {tuple(logits.shape)}")
    return widened(logits).log_softmax(1)


def _log_mean(logits: Tensor) -> Tensor:
    """Logarithm of the mean prediction: (N, K) to (K,)."""
    return torch.logsumexp(_log_probabilities(logits), 0) - math.log(len(logits))
