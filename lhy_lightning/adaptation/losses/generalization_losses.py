"""Learning from several labelled sources for a domain that is not there: GroupDRO, IRM, Mixup across domains."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lhy_lightning.core.distributed import rank_and_world, sum_over_ranks
from lhy_lightning.layers.precision import widened


class GroupDRO(nn.Module):
    """The loss of the domains, each weighted by how badly it has gone: sum_g q_g L_g.

    Algorithm 1 of Sagawa et al. 2020 (https://arxiv.org/abs/1911.08731): q_g <- q_g exp(η L_g) for the domains of the
    batch, normalized, then the loss with the new q. The weights are a buffer (as logarithms, which do not underflow):
    in the checkpoint, and moved in training mode only.

    In distributed training L_g is the mean over all ranks' rows: q is the same on each rank, and the mean of the ranks'
    gradients is that of the whole batch. Every rank has to call it, then, in training mode.

    Args:
        domains: how many there are.
        step_size: η.

    Raises:
        ValueError: fewer than one domain, or a step size below zero.
    """

    log_weights: Tensor

    def __init__(self, domains: int, *, step_size: float = 0.01) -> None:
        super().__init__()
        if domains < 1 or step_size < 0:
            raise ValueError(f"there is a domain and a step size of zero or more, not {domains} and {step_size}")
        self.step_size = step_size
        self.register_buffer("log_weights", torch.full((domains,), -math.log(domains)))

    @property
    def weights(self) -> Tensor:
        """(G,) q, with a sum of 1."""
        return self.log_weights.exp()

    def forward(self, losses: Tensor, domains: Tensor) -> Tensor:
        """The batch's loss.

        Args:
            losses: (N,) of every row.
            domains: (N,) int64 in 0 … G - 1; a domain without rows in the batch adds nothing.

        Returns:
            Scalar float32.

        Raises:
            ValueError: not (N,) both.
        """
        if losses.dim() != 1 or losses.shape != domains.shape:
            raise ValueError(f"losses and domains are (N,), not {tuple(losses.shape)} and {tuple(domains.shape)}")
        losses = widened(losses)
        members = one_hot(domains, len(self.log_weights)).to(losses)  # (N, G)
        sums, counts = (losses[:, None] * members).sum(0), members.sum(0)  # (G,) both
        ranks = 1
        if self.training:
            ranks = rank_and_world()[1]
            total, counts = sum_over_ranks(torch.stack([sums.detach(), counts]))
            moved = self.log_weights + self.step_size * total / counts.clamp(min=1)
            self.log_weights.copy_(moved.log_softmax(0))
        # the gradients' mean over ranks, times their number, is the sum that goes with all ranks' counts
        return (self.weights * sums / counts.clamp(min=1)).sum() * ranks


def irm_penalty(logits: Tensor, labels: Tensor) -> Tensor:
    """Squared gradient of one domain's risk by a scale on the logits: zero where the classifier is the domain's best.

    IRMv1 of Arjovsky et al. 2019 (https://arxiv.org/abs/1907.02893, section 3.1): ||∇_w R(w · Φ)||^2 at w = 1. The
    *unbiased* estimate of their appendix: the product of the gradients on even and on odd rows, which may be below
    zero. The gradient by w of cross-entropy at 1 is mean sum_k (p_k - y_k) z_k, taken so: one backward is enough.

    Args:
        logits: (N, K) of rows of one domain; call it for each, and average.
        labels: (N,) int64.

    Returns:
        Scalar float32.

    Raises:
        ValueError: not (N, K) and (N,), or fewer than two rows.
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1] or len(labels) < 2:
        raise ValueError(
            f"the penalty of a domain takes logits (N, K) and labels (N,) of two rows or more, not "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    logits = widened(logits)
    errors = logits.softmax(1) - one_hot(labels, logits.shape[1]).to(logits)  # (N, K)
    slopes = (errors * logits).sum(1)  # (N,)
    return slopes[::2].mean() * slopes[1::2].mean()


class MixedRows(NamedTuple):
    """What `mixup_across_domains` returns; the loss is share · CE(labels) + (1 - share) · CE(partner_labels)."""

    images: Tensor
    """(N, ...)"""
    labels: Tensor
    """(N,) int64, as given."""
    partner_labels: Tensor
    """(N,) int64, of the rows that were mixed in."""
    share: Tensor
    """(N,) float32, of the row itself."""


def mixup_across_domains(
    images: Tensor, labels: Tensor, domains: Tensor, *, alpha: float = 0.2, generator: torch.Generator | None = None
) -> MixedRows:
    """Every row mixed with a random row of another domain.

    Inter-domain Mixup (Yan et al. 2020, https://arxiv.org/abs/2001.00677; DomainBed's `Mixup`): λ x_i + (1 - λ) x_j
    with domain j ≠ domain i, λ from Beta(α, α), a row at a time. Any row of the other domains is as likely.

    Args:
        images: (N, ...).
        labels: (N,) int64.
        domains: (N,) int64.
        alpha: α; DomainBed's default is .2.
        generator: draws partners and shares, on its own device; None is torch's own on the CPU.

    Raises:
        ValueError: sizes that differ, α not above zero, or a batch of one domain.
    """
    if labels.shape != images.shape[:1] or domains.shape != labels.shape:
        raise ValueError(
            f"labels and domains are one a row of {len(images)}, not {tuple(labels.shape)} and {tuple(domains.shape)}"
        )
    if alpha <= 0:
        raise ValueError(f"alpha is above zero, not {alpha}")
    others = domains[:, None] != domains[None, :]  # (N, N)
    if not others.any():
        raise ValueError("every row of the batch is of one domain: there is nothing to mix it with")
    device = torch.device("cpu") if generator is None else generator.device
    draws = torch.rand(others.shape, generator=generator, device=device).to(images.device)
    partners = draws.masked_fill(~others, -1).argmax(1)  # (N,)
    uniform = torch.rand(len(images), generator=generator, device=device, dtype=torch.float64)
    # by the inverse of Beta's distribution function: torch's own Beta takes no generator
    share = torch.from_numpy(betaincinv(alpha, alpha, uniform.cpu().numpy())).to(images.device, torch.float32)
    weight = share.view(-1, *[1] * (images.dim() - 1)).to(images)
    return MixedRows(torch.lerp(images[partners], images, weight), labels, labels[partners], share)
