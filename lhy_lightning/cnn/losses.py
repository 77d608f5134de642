"""The two losses of the lecture's comparison, each with label smoothing, class weights and mixed labels.

Both divide by the number of rows, also with class weights (torch divides by their sum there): the mean over two
halves of a batch is then the loss of the batch, so two processes give one process's gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(
    logits: Tensor,
    label: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    mixed_label: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """-sum_k w_k t_k log softmax(logits)_k, averaged over rows.

    The target t is the one-hot label, smoothed to (1 - s) t + s / K (Szegedy et al. 2015, section 7) and, for mixed
    pictures, mix * t(label) + (1 - mix) * t(mixed_label) (Zhang et al. 2017, https://arxiv.org/abs/1710.09412).

    Args:
        logits: (N, K).
        label: (N,) int64.
        label_smoothing: s, share of the target spread over all classes.
        class_weights: (K,) w; ones where None.
        mixed_label: (N,) int64, the second label of each mixed picture.
        mix: (N,) float32 in [0, 1], weight of `label`.

    Returns:
        Scalar.

    Example:
        >>> import torch
        >>> from lhy_lightning import cross_entropy
        >>> round(cross_entropy(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # log 2
        0.6931
    """
    rows = F.cross_entropy(logits, label, class_weights, reduction="none", label_smoothing=label_smoothing)
    if mixed_label is not None and mix is not None:
        other = F.cross_entropy(logits, mixed_label, class_weights, reduction="none", label_smoothing=label_smoothing)
        rows = mix * rows + (1 - mix) * other
    return rows.mean()


def squared_error(
    logits: Tensor,
    label: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    mixed_label: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """Squared distance between softmax(logits) and the one-hot label, averaged over rows: the lecture's MSE.

    Summed over classes as the lecture writes it, e = sum_k (t_k - y_k)^2 with y after the softmax. Far from the
    target the softmax is flat, and so is this loss: the reason why cross entropy trains better. A row's class
    weight is the target's mean of the weights. Arguments as in `cross_entropy`.

    Example:
        >>> import torch
        >>> from lhy_lightning import squared_error
        >>> squared_error(torch.tensor([[0.0, 0.0]]), torch.tensor([0])).item() > 0
        True
    """
    target = soft_targets(
        label, logits.shape[1], label_smoothing=label_smoothing, mixed_label=mixed_label, mix=mix
    )  # (N, K)
    rows = (logits.float().softmax(1) - target).square().sum(1)
    if class_weights is not None:
        rows = rows * (target @ class_weights)
    return rows.mean()


def soft_targets(
    label: Tensor,
    num_classes: int,
    *,
    label_smoothing: float = 0.0,
    mixed_label: Tensor | None = None,
    mix: Tensor | None = None,
) -> Tensor:
    """(N,) labels to (N, K) float32 targets that sum to one; smoothing and mixing as in `cross_entropy`."""
    target = F.one_hot(label, num_classes).float()
    if mixed_label is not None and mix is not None:
        target = mix[:, None] * target + (1 - mix[:, None]) * F.one_hot(mixed_label, num_classes)
    return (1 - label_smoothing) * target + label_smoothing / num_classes


def class_weight_tensor(
    class_weights: Sequence[float] | str | None, num_classes: int, class_counts: Sequence[int] | None
) -> Tensor | None:
    """Class weights as (K,) float32; "balanced" for `balanced_class_weights` of the training rows.

    Raises:
        ValueError: not one weight a class, or "balanced" and nobody tells how many rows each class has.
    """
    if class_weights is None:
        return None
    if class_weights == "balanced":
        if class_counts is None:
            raise ValueError("class_weights='balanced' needs a data module that tells its class_counts")
        return balanced_class_weights(class_counts)
    if isinstance(class_weights, str) or len(class_weights) != num_classes:
        raise ValueError(f"{len(class_weights)} class_weights for {num_classes} classes")
    return torch.tensor(class_weights, dtype=torch.float32)


def balanced_class_weights(class_counts: Sequence[int]) -> Tensor:
    """Returns rows / (K * rows of the class): every class weighs alike, and the mean weight over training rows is one.

    Raises:
        ValueError: a class has no rows.
    """
    counts = torch.tensor(class_counts, dtype=torch.float32)
    if bool((counts == 0).any()):
        raise ValueError(f"balanced class weights need rows of every class; counts are {tuple(class_counts)}")
    return counts.sum() / (len(counts) * counts)


LOSSES = {"cross_entropy": cross_entropy, "mse": squared_error}
