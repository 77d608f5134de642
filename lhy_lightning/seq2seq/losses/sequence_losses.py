"""Cross entropy with label smoothing over target tokens, alone and together with the output projection.

Both take the rows of real target tokens only (the caller drops padding) and return sums, to be divided by the number
of tokens of the whole accumulated, all-rank batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CPU_LIMIT = 1 << 22
"""Logits formed at once on a CPU: 16 MiB, which stay in its cache (the fastest of 2¹⁸ to 2³⁰ measured)."""

ACCELERATOR_LIMIT = 1 << 26
"""Logits formed at once elsewhere: 256 MiB, enough rows to fill the device."""


def label_smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """(1 - ε) · -log p_target + ε / V · Σ_v -log p_v, summed over rows.

    Szegedy et al. 2015, section 7 (https://arxiv.org/abs/1512.00567), in PyTorch's form, which is the homework's: ε is
    spread over all V entries, the target among them. At the same ε two others smooth a little differently:

    * fairseq: ε over the V - 1 other entries, (1 - ε) · -log p_target + ε / (V - 1) · Σ_{v ≠ target} -log p_v;
    * joeynmt: ε over the V - 2 entries that are neither target nor padding, and the Kullback-Leibler divergence from
      that target, which is the cross entropy less the target's constant entropy: same gradient, zero at the optimum.

    Args:
        logits: (M, V), any float type; log-softmax and sums are in float32 (float64 stays).
        targets: (M,) int64, no padding.
        smoothing: ε in [0, 1].

    Returns:
        Loss and -log p_target without smoothing (detached, for perplexity), each the sum over rows.
    """
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)  # (M, V)
    nll = -log_p.gather(1, targets[:, None]).sum()
    if not smoothing:
        return nll, nll.detach()
    return (1 - smoothing) * nll - smoothing * log_p.mean(1).sum(), nll.detach()


def projected_cross_entropy(
    states: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    limit: int | None = None,
) -> tuple[Tensor, Tensor]:
    """`label_smoothed_cross_entropy(F.linear(states, weight, bias), targets)`, never forming all logits at once.

    Exact, not an approximation. The gradients of states, weight and bias are computed in the forward pass, from the
    chunk of logits at hand and in place of it, and scaled in the backward pass by what arrives there (the way of
    Liger Kernel's fused linear cross entropy, https://arxiv.org/abs/2410.10989). Logits and their gradient then take
    one chunk of memory instead of four times (M, V), and where a chunk fits the CPU's cache the loss costs little
    more than its three matrix products. Without gradient (`torch.no_grad`) only the first of them is done.

    Under autocast the products are in its dtype, loss and softmax in float32.

    Args:
        states: (M, D) outputs of the decoder at real target tokens; M may be 0.
        weight: (V, D) of the output layer, perhaps shared with the embeddings, perhaps frozen.
        bias: (V,) or None.
        targets: (M,) int64, no padding.
        smoothing: ε in [0, 1], PyTorch's form.
        limit: rows are chunked where M · V passes it; by default 2²² on a CPU (or 256 rows), 2²⁶ elsewhere.

    Returns:
        Loss and -log p_target without smoothing (detached), sums over rows, float32 (float64 for float64 states).

    Raises:
        ValueError: shapes do not fit, smoothing outside of [0, 1].
        RuntimeError: in the backward pass with create_graph=True: there is no second derivative.

    Example:
        >>> import torch
        >>> from lhy_lightning import projected_cross_entropy
        >>> loss, nll = projected_cross_entropy(torch.zeros(1, 4), torch.zeros(2, 4), None, torch.tensor([1]))
        >>> round(nll.item(), 4)  # log 2
        0.6931
    """
    if states.dim() != 2 or targets.shape != states.shape[:1] or weight.shape[1:] != states.shape[1:]:
        raise ValueError(
            f"states (M, D), weight (V, D) and targets (M,) do not fit: "
            f"{tuple(states.shape)}, {tuple(weight.shape)}, {tuple(targets.shape)}"
        )
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label smoothing lies in [0, 1], not {smoothing}")
    if limit is None:
        # a chunk of few rows would go over the whole weight for little
        limit = max(CPU_LIMIT, 256 * len(weight)) if states.device.type == "cpu" else ACCELERATOR_LIMIT
    loss, nll = _ProjectedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states, weight, bias, targets, smoothing, limit, _product_dtype(states), torch.is_grad_enabled()
    )
    return loss, nll


def _product_dtype(states: Tensor) -> torch.dtype:
    """What dtype a matrix product of `states` has here: autocast's where it is on (it leaves float64 alone)."""
    device = states.device.type
    if torch.is_autocast_enabled(device) and states.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return states.dtype


class _ProjectedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        limit: int,
        dtype: torch.dtype,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        needed = [with_gradient and need for need in ctx.needs_input_grad[:3]]
        with torch.autocast(states.device.type, enabled=False):
            loss, nll, gradients = _loss_and_gradients(states, weight, bias, targets, smoothing, limit, dtype, needed)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, grad_nll: Tensor) -> tuple[Tensor | None, ...]:
        # gradients are on only under create_graph=True; once_differentiable would let constants pass for a graph here
        if torch.is_grad_enabled():
            raise RuntimeError(
                "projected_cross_entropy has no second derivative (create_graph=True): "
                "take label_smoothed_cross_entropy of the logits."
            )
        # not in place: the saved gradients must survive a second backward over a retained graph
        scaled = [None if g is None else g * grad_loss.to(g.dtype) for g in ctx.saved_tensors]
        return *scaled, None, None, None, None, None


def _loss_and_gradients(
    states: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
    limit: int,
    dtype: torch.dtype,
    needed: list[bool],
) -> tuple[Tensor, Tensor, tuple[Tensor | None, Tensor | None, Tensor | None]]:
    """Both sums, and the gradients of the loss with respect to states, weight and bias, None where not needed."""
    rows, vocabulary = len(states), len(weight)
    exact = torch.promote_types(dtype, torch.float32)  # of softmax, loss and sums over chunks
    nll, spread = states.new_zeros(rows, dtype=exact), states.new_zeros(rows, dtype=exact)
    w, b = weight.to(dtype), None if bias is None else bias.to(dtype)

    grad_states = torch.empty_like(states) if needed[0] else None
    grad_weight = torch.zeros_like(weight, dtype=exact) if needed[1] else None
    grad_bias = torch.zeros_like(bias, dtype=exact) if bias is not None and needed[2] else None

    chunks = max(1, -(-rows * vocabulary // max(limit, 1)))
    size = max(1, -(-rows // chunks))  # equal chunks, no small one left over
    # one buffer for every chunk's logits: fresh memory would be paged in anew, at the price of the softmax
    buffer = states.new_empty((min(size, rows), vocabulary), dtype=exact)
    for start in range(0, rows, size):
        chunk = slice(start, start + size)
        x, target = states[chunk].to(dtype), targets[chunk, None]
        logits = buffer[: len(x)]  # (C, V)
        if dtype == exact:
            torch.addmm(b, x, w.t(), out=logits) if b is not None else torch.mm(x, w.t(), out=logits)
        else:
            logits.copy_(F.linear(x, w, b))
        top = logits.amax(1, keepdim=True)
        at_target = logits.gather(1, target)
        if smoothing:
            spread[chunk] = logits.sum(1)
        exponentials = logits.sub_(top).exp_()
        total = exponentials.sum(1, keepdim=True)
        log_total = top + total.log()
        nll[chunk] = (log_total - at_target).squeeze(1)
        if smoothing:  # Σ_v -log p_v
            spread[chunk].neg_().add_(log_total.squeeze(1), alpha=vocabulary)
        if not any(needed):
            continue
        # softmax less the smoothed one-hot target: the gradient of the logits, in their place
        gradient = exponentials.div_(total)
        if smoothing:
            gradient.sub_(smoothing / vocabulary)
        gradient.scatter_(1, target, gradient.gather(1, target) - (1 - smoothing))
        if grad_bias is not None:
            grad_bias += gradient.sum(0)
        g = gradient.to(dtype)
        if grad_states is not None:
            grad_states[chunk] = g @ w
        if grad_weight is not None and dtype == exact:
            grad_weight.addmm_(g.t(), x)
        elif grad_weight is not None:
            grad_weight += g.t() @ x
    loss = (1 - smoothing) * nll.sum() + smoothing / vocabulary * spread.sum()
    if grad_weight is not None:
        grad_weight = grad_weight.to(weight.dtype)
    if grad_bias is not None and bias is not None:
        grad_bias = grad_bias.to(bias.dtype)
    return loss, nll.sum(), (grad_states, grad_weight, grad_bias)
