"""How much a prediction changes in the direction in which it changes most (virtual adversarial training)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from lhy_lightning.layers.precision import widened

Network = Callable[[Tensor], Tensor]
"""Pictures (N, C, H, W) to logits (N, K), a row at a time in effect."""


def virtual_adversarial_loss(
    network: Network,
    images: Tensor,
    logits: Tensor,
    *,
    radius: float,
    xi: float = 1e-2,
    iterations: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean KL(p(x) ‖ p(x + r)), r of norm `radius` where the divergence grows fastest: the local smoothness of p.

    Section 3.3 of Miyato et al. 2018 (https://arxiv.org/abs/1704.03976); a term of VADA and DIRT-T (Shu et al. 2018,
    https://arxiv.org/abs/1802.08735) on source and on target rows. p(x) takes no gradient, r neither.

    The network runs 1 + `iterations` times, without `logits`' own run, and once more under autocast: batch norm in
    training mode moves its statistics and couples the rows each time, and dropout draws a mask each time. Both are the
    caller's business.

    Args:
        network: maps pictures to logits, with gradients for its weights from the last run only.
        images: (N, C, H, W), or any (N, ...).
        logits: (N, K) of `images`; no gradient reaches them.
        radius: the norm of r, one norm a row.
        xi, iterations, generator: as in `virtual_adversarial_perturbation`.

    Returns:
        Scalar float32.

    Raises:
        ValueError: `logits` are not one row a picture; `radius` or `xi` not above zero; no iteration.
    """
    return virtual_adversarial_divergences(
        network, images, logits, radius=radius, xi=xi, iterations=iterations, generator=generator
    ).mean()


def virtual_adversarial_divergences(
    network: Network,
    images: Tensor,
    logits: Tensor,
    *,
    radius: float,
    xi: float = 1e-2,
    iterations: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """What `virtual_adversarial_loss` is the mean of: (N,), the divergence of every row."""
    if logits.dim() != 2 or len(logits) != len(images):
        raise ValueError(f"logits are (N, K), one row a picture of {len(images)}, not {tuple(logits.shape)}")
    exact = logits.dtype == torch.float32 and not torch.is_autocast_enabled(images.device.type)
    perturbation = virtual_adversarial_perturbation(
        network, images, radius=radius, xi=xi, iterations=iterations, generator=generator,
        logits=logits.detach() if exact else None,
    )  # fmt: skip
    return divergence(logits.detach(), network(images.detach() + perturbation))


def virtual_adversarial_perturbation(
    network: Network,
    images: Tensor,
    *,
    radius: float,
    xi: float = 1e-2,
    iterations: int = 1,
    generator: torch.Generator | None = None,
    logits: Tensor | None = None,
) -> Tensor:
    """The r above: power iteration for the largest eigenvector of KL's Hessian at x, times `radius`.

    Section 3.3 of Miyato et al. 2018: d <- gradient by r of KL(p(x) ‖ p(x + r)) at r = ξ d, brought to norm 1. In
    float32, autocast or not, p(x) too: a step of ξ is lost in half precision. Weights get no gradient from it.

    Args:
        network: as above.
        images: (N, ...).
        radius: the norm of r, one norm a row.
        xi: ξ, the norm of the step. The paper's 1e-6 is below what float32 tells apart for most networks.
        iterations: of the power method; the paper takes one.
        generator: draws the first direction; None is torch's own.
        logits: (N, K) float32 of `images`, which save a run of the network.

    Returns:
        (N, ...) float32 without gradient; zero for a row on which the prediction does not change at all.

    Raises:
        ValueError: `radius` or `xi` not above zero; no iteration.
    """
    if radius <= 0 or xi <= 0 or iterations < 1:
        raise ValueError(
            f"radius and xi are above zero and there is an iteration, not {radius}, {xi} and {iterations} iterations"
        )
    images = widened(images.detach())
    device = images.device if generator is None else generator.device
    noise = torch.randn(images.shape, generator=generator, device=device)
    direction = _unit(noise.to(images))
    with torch.autocast(images.device.type, enabled=False):
        if logits is None:
            with torch.no_grad():
                logits = network(images)
        for _ in range(iterations):
            with torch.enable_grad():
                direction.requires_grad_()
                # a row's divergence depends on its own direction only, so the gradient of the sum holds all of them
                total = divergence(logits, network(images + xi * direction)).sum()
                (gradient,) = torch.autograd.grad(total, direction)
            direction = _unit(gradient)
    return radius * direction


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p ‖ q) of every row: (N, K) twice to (N,)."""
    p, q = widened(logits).log_softmax(1), widened(others).log_softmax(1)
    return kl_div(q, p, reduction="none", log_target=True).sum(1)


def _unit(directions: Tensor) -> Tensor:
    """(N, ...) of norm 1 a row; zeros stay zeros. By the largest number first: squares of tiny ones would be lost."""
    rows = directions.flatten(1)
    tiny = torch.finfo(rows.dtype).tiny
    rows = rows / rows.abs().amax(1, keepdim=True).clamp(min=tiny)
    norms: Tensor = rows.norm(dim=1, keepdim=True)
    return (rows / norms.clamp(min=tiny)).view_as(directions)
