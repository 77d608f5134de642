"""Losses on attention weights, and a figure of how diagonal they are.

All take attention (N, T, S) float32 that sums to one over the source, and masks that say what is no padding. Lengths
are each sentence's own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def guided_attention_loss(attention: Tensor, source_mask: Tensor, target_mask: Tensor, *, width: float = 0.2) -> Tensor:
    """Mean of attention times distance from the diagonal: Tachibana et al. 2017 (https://arxiv.org/abs/1710.08969).

        W_nt = 1 - exp(-(n/N - t/T)^2 / 2 g^2)

    for token n of N of the source and t of T of the target, counted from 0 (the paper does not say from where), and
    the mean of A_nt W_nt over all such pairs of the batch, padding excluded. It is small in itself, as A's mean is
    1/N: the weight that it gets in the sum with the cross entropy should grow with sentences.

    Args:
        attention: (N, T, S).
        source_mask: (N, S) bool, True at tokens.
        target_mask: (N, T) bool.
        width: g; pairs further than about 2g of the length away cost nearly the most.

    Returns:
        Scalar; zero for a batch without tokens.
    """
    distance = _distances(source_mask, target_mask).to(attention.dtype)
    cost = 1 - torch.exp(-(distance**2) / (2 * width**2))
    real = target_mask[:, :, None] & source_mask[:, None, :]
    return (attention * cost).masked_fill(~real, 0.0).sum() / real.sum().clamp(min=1)


def diagonality(attention: Tensor, source_mask: Tensor, target_mask: Tensor, *, band: float = 0.2) -> Tensor:
    """Share of the attention that lies near the diagonal: |n/N - t/T| <= band, averaged over target tokens.

    The diagonal focus rate that text-to-speech logs to see whether alignment has been learned, with the band of a
    fifth of the length that PortaSpeech's training code takes (Ren et al. 2021, https://arxiv.org/abs/2109.15166;
    `get_diagonal_focus_rate`), averaged over target tokens rather than sentences. It is 1 for a diagonal and about
    2 band (1 - band / 2) = .36 for uniform attention over long sentences.

    Args:
        attention: (N, T, S).
        source_mask: (N, S) bool, True at tokens.
        target_mask: (N, T) bool.
        band: half the width.

    Returns:
        Scalar in [0, 1]; zero for a batch without target tokens.
    """
    near = (_distances(source_mask, target_mask) <= band) & target_mask[:, :, None] & source_mask[:, None, :]
    return attention.masked_fill(~near, 0.0).sum() / target_mask.sum().clamp(min=1)


def coverage_loss(attention: Tensor, target_mask: Tensor) -> Tensor:
    """sum_s min(a_ts, c_ts) with coverage c_t = sum_{u < t} a_u, averaged over target tokens.

    Equation 12 of See et al. 2017 (https://arxiv.org/abs/1704.04368): attending again to what was attended to costs.

    Args:
        attention: (N, T, S), zero at the source's padding.
        target_mask: (N, T) bool; target padding stands behind the tokens.

    Returns:
        Scalar; zero for a batch without target tokens.
    """
    coverage = F.pad(attention[:, :-1].cumsum(1), (0, 0, 1, 0))
    again = torch.minimum(attention, coverage).sum(2)
    return again.masked_fill(~target_mask, 0.0).sum() / target_mask.sum().clamp(min=1)


def _distances(source_mask: Tensor, target_mask: Tensor) -> Tensor:
    """|n/N - t/T| for each sentence, (N, T, S) float32."""
    source, target = (_shares(mask) for mask in (source_mask, target_mask))
    return (target[:, :, None] - source[:, None, :]).abs()


def _shares(mask: Tensor) -> Tensor:
    """(N, L) bool to places 0, 1/l, 2/l, ... of each row's own length l, float32."""
    places = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32)
    return places / mask.sum(1, keepdim=True).clamp(min=1)
