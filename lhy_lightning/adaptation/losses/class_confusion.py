"""How much a batch of predictions mixes classes up, without labels and without a second domain."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.special import entr

from lhy_lightning.layers.precision import widened


def class_confusion(logits: Tensor, *, temperature: float = 2.5) -> Tensor:
    """Minimum class confusion: the share of a batch's class correlations that lies between different classes.

    Section 3 of Jin et al. 2020 (https://arxiv.org/abs/1912.03699), in its order:

    1. probability rescaling: Y = softmax(Z / T);
    2. uncertainty reweighting: W_ii = N (1 + exp(-H(Y_i))) / sum_i' (1 + exp(-H(Y_i'))), sure rows count more;
       without gradient, as in the authors' code;
    3. class correlation: C = Y^T W Y, (K, K);
    4. category normalization: every row of C divided by its sum;
    5. the mean over classes of what is off the diagonal: 0 where every row is sure and every class is there, 1 - 1/K
       where every row is uniform. A class that no row is predicted as is near 1: batches should be several times K.

    Args:
        logits: (N, K) of target rows.
        temperature: T; the paper has 2.5 on most of its tasks.

    Returns:
        Scalar float32.

    Raises:
        ValueError: logits that are not (N, K), or a temperature that is not above zero.
    """
    if logits.dim() != 2:
        raise ValueError(f"logits are (N, K), not {tuple(logits.shape)}")
    if temperature <= 0:
        raise ValueError(f"a temperature is above zero, not {temperature}")
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = (widened(logits) / temperature).softmax(1)
        certainty = 1 + (-entr(probabilities.detach()).sum(1)).exp()  # (N,)
        weights = certainty / certainty.mean()
        correlation = (probabilities * weights[:, None]).T @ probabilities  # (K, K)
        # the limit for a class that no row gives any probability is a confusion of 1, not 0 / 0
        totals = correlation.sum(1).clamp(min=torch.finfo(correlation.dtype).tiny)
        confusion: Tensor = 1 - (correlation.diagonal() / totals).mean()
        return confusion
