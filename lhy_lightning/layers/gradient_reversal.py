"""Gradient reversal: the identity forward, -coefficient times the gradient backward."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


class _Reversal(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(inputs: Tensor, coefficient: Tensor) -> Tensor:
        return inputs.view_as(inputs)  # no copy

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (coefficient,) = ctx.saved_tensors
        wide = torch.promote_types(gradient.dtype, coefficient.dtype)  # a half-precision gradient is rounded once
        return (gradient.to(wide) * -coefficient.to(wide)).to(gradient.dtype), None


def gradient_reversal(inputs: Tensor, coefficient: Tensor | float = 1.0) -> Tensor:
    """What comes in, with a gradient that is multiplied by -coefficient on its way back.

    The R_λ of Ganin and Lempitsky 2015 (https://arxiv.org/abs/1409.7495), section 3.1: what follows learns to tell the
    domains apart, what precedes learns that they cannot be told apart.

    Args:
        inputs: any shape, floating point.
        coefficient: λ, a scalar tensor on the device of `inputs`, whose value may change every step without compiling
            anew (it must not change between a forward and its backward), or a number. It takes no gradient.

    Returns:
        A view of `inputs`; can be differentiated twice.

    Example:
        >>> import torch
        >>> from lhy_lightning import gradient_reversal
        >>> x = torch.ones(2, requires_grad=True)
        >>> gradient_reversal(x, 0.5).sum().backward()
        >>> x.grad
        tensor([-0.5000, -0.5000])
    """
    if not isinstance(coefficient, Tensor):
        coefficient = torch.tensor(coefficient, device=inputs.device)
    return cast(Tensor, _Reversal.apply(inputs, coefficient.detach()))  # type: ignore[no-untyped-call]


class GradientReversal(nn.Module):
    """`gradient_reversal` as a layer. Its coefficient is a buffer: set it by `reversal.coefficient.fill_(0.3)`.

    Args:
        coefficient: λ at the start.

    Example:
        >>> import torch
        >>> from lhy_lightning import GradientReversal
        >>> x = torch.ones(2, requires_grad=True)
        >>> GradientReversal(0.5)(x).sum().backward()
        >>> x.grad
        tensor([-0.5000, -0.5000])
    """

    coefficient: Tensor

    def __init__(self, coefficient: float = 1.0) -> None:
        super().__init__()
        # not in the state dict: schedules compute it from the step
        self.register_buffer("coefficient", torch.tensor(float(coefficient)), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape to the same."""
        return gradient_reversal(inputs, self.coefficient)

    def extra_repr(self) -> str:
        """For `print`."""
        return f"coefficient={float(self.coefficient):.4g}"
