"""What keeps a critic smooth: penalties on its gradient, and weight clipping."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]
"""Pictures (N, C, H, W) to scores (N,) or (N, 1, h, w); labels are bound: `lambda x: critic(x, labels)`."""


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    interpolation: Tensor | None = None,
) -> Tensor:
    """Mean squared distance of the critic's gradient norm from `target` on lines between real and fake.

    Equation 3 of Gulrajani et al. 2017 (https://arxiv.org/abs/1704.00028): E (||grad D(x^)||_2 - 1)^2 with
    x^ = e x + (1 - e) G(z), one e and one norm *per sample*. One-sided: only norms above the target cost, as
    max(0, ||grad|| - 1)^2 (Petzka et al. 2018, https://arxiv.org/abs/1709.08894). In float32, autocast or not: the
    square of a half-precision gradient overflows or vanishes.

    Args:
        critic: no batch normalization, or samples would share a gradient.
        real, fake: (N, C, H, W), same shape; neither receives a gradient.
        target: the norm asked for; 1 for a 1-Lipschitz critic.
        one_sided: let norms under the target be.
        interpolation: (N,) e, the real picture's share; None draws it uniformly from torch's generator.

    Returns:
        Scalar, not yet multiplied by lambda.

    Raises:
        ValueError: `real` and `fake` differ in shape, or `interpolation` is not one number a sample.

    Example:
        >>> import torch
        >>> from lhy_lightning import gradient_penalty
        >>> real, fake = torch.zeros(4, 1, 2, 2), torch.ones(4, 1, 2, 2)
        >>> gradient_penalty(lambda images: images.flatten(1).sum(1), real, fake).item()  # norm 2 per sample
        1.0
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"the gradient penalty draws lines between pictures of one shape, not between real {tuple(real.shape)} "
            f"and fake {tuple(fake.shape)}"
        )
    real, fake = real.detach().float(), fake.detach().float()
    if interpolation is None:
        interpolation = torch.rand(len(real), device=real.device)
    if interpolation.shape != (len(real),):
        raise ValueError(f"interpolation is ({len(real)},), one number a sample, not {tuple(interpolation.shape)}")
    e = interpolation.to(real).view(-1, *[1] * (real.dim() - 1))  # (N, 1, 1, 1)
    norms: Tensor = input_gradient(critic, torch.lerp(fake, real, e)).flatten(1).norm(dim=1)  # (N,)
    excess = norms - target
    if one_sided:
        excess = excess.relu()
    return excess.square().mean()


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """E ||grad D(x)||_2^2 over real pictures (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 9).

    In float32, autocast or not.

    Args:
        critic: no batch normalization, or samples would share a gradient.
        real: (N, C, H, W); receives no gradient.

    Returns:
        Scalar, not yet multiplied by the paper's gamma / 2.
    """
    return input_gradient(critic, real.detach().float()).flatten(1).square().sum(1).mean()


def input_gradient(critic: Critic, pictures: Tensor) -> Tensor:
    """(N, C, H, W): gradient of every sample's score by its own pixels, itself differentiable by the weights."""
    with torch.enable_grad(), torch.autocast(pictures.device.type, enabled=False):
        pictures = pictures.requires_grad_()
        # a score depends on its own sample only, so the gradient of the sum holds all of them
        scores = critic(pictures)
        (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient


@torch.no_grad()
def clip_weights_(network: nn.Module, limit: float) -> None:
    """Brings every weight into [-limit, limit], in place and in two fused calls (WGAN, Arjovsky et al. 2017).

    All parameters as in the paper's code, biases and those of norms too; buffers stay as they are.

    Raises:
        ValueError: a limit that is not above zero.
    """
    if limit <= 0:
        raise ValueError(f"weights are clipped to a limit above zero (0.01 in the WGAN paper), not {limit}")
    weights = [weight.detach() for weight in network.parameters()]
    torch._foreach_clamp_min_(weights, -limit)
    torch._foreach_clamp_max_(weights, limit)
