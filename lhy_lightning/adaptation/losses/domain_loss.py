"""What a domain classifier pays, and how often it is right: one logit a row, source is 0 and target is 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lhy_lightning.layers.precision import widened


def domain_loss(
    source_logits: Tensor,
    target_logits: Tensor,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    """Mean of the two domains' mean cross-entropies, so that batches of different size count alike.

    The domain terms of Ganin et al. 2016 (https://arxiv.org/abs/1505.07818, section 4), halved as cross-entropy
    over one batch of both halves them: log 2 where nothing is told apart. With weights, the discriminator's loss of
    CDAN+E (Long et al. 2018, https://arxiv.org/abs/1705.10667).

    Args:
        source_logits: (N,), one a row: below zero says source.
        target_logits: (M,); above zero says target.
        source_weights, target_weights: (N,) and (M,), a row's share in its domain's mean; None counts all alike.

    Returns:
        Scalar float32.

    Raises:
        ValueError: logits that are not one a row, a domain without rows, or weights of another shape.

    Example:
        >>> import torch
        >>> from lhy_lightning import domain_loss
        >>> round(domain_loss(torch.zeros(4), torch.zeros(4)).item(), 4)
        0.6931
    """
    # with D = sigmoid(s) the probability of target: -log(1 - D) = softplus(s) and -log D = softplus(-s)
    source = _mean(softplus(_checked("source", source_logits)), source_weights)
    target = _mean(softplus(-_checked("target", target_logits)), target_weights)
    return (source + target) / 2


def domain_accuracy(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Mean of the two domains' accuracies: .5 for a classifier that says the same of every row, at any batch size.

    Args:
        source_logits: (N,); at or below zero is right.
        target_logits: (M,); above zero is right.

    Returns:
        Scalar float32 without gradient.

    Raises:
        ValueError: logits that are not one a row, or a domain without rows.
    """
    source, target = _checked("source", source_logits), _checked("target", target_logits)
    return ((source <= 0).float().mean() + (target > 0).float().mean()) / 2


def _checked(domain: str, logits: Tensor) -> Tensor:
    if logits.dim() != 1 or len(logits) == 0:
        raise ValueError(f"{domain}_logits are (N,), one a row and at least one row, not {tuple(logits.shape)}")
    return widened(logits)


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return losses.mean()
    if weights.shape != losses.shape:
        raise ValueError(f"{tuple(weights.shape)} weights for {tuple(losses.shape)} rows of a domain")
    weights = weights.to(torch.promote_types(weights.dtype, losses.dtype))
    return (weights * losses).sum() / weights.sum()
