"""How much two classifiers on the same features disagree: what MCD's classifiers raise and its extractor lowers."""

from __future__ import annotations

from torch import Tensor

from lhy_lightning.layers.precision import widened


def classifier_discrepancy(first_logits: Tensor, second_logits: Tensor) -> Tensor:
    """Mean over rows and classes of |p_1k - p_2k|.

    d(p_1, p_2) = 1/K sum_k |p_1k - p_2k|, averaged over target rows: section 3.2 of Saito et al. 2018
    (https://arxiv.org/abs/1712.02560). At most 2 / K.

    Args:
        first_logits, second_logits: (N, K); both receive gradients.

    Returns:
        Scalar float32.

    Raises:
        ValueError: the two differ in shape, or are not (N, K).
    """
    if first_logits.shape != second_logits.shape or first_logits.dim() != 2:
        raise ValueError(
            f"two classifiers' logits are (N, K) both, not {tuple(first_logits.shape)} and {tuple(second_logits.shape)}"
        )
    return (widened(first_logits).softmax(1) - widened(second_logits).softmax(1)).abs().mean()
