"""Gradients past a step that has none: copied, or turned along with the vector."""

from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, quantized: Tensor) -> Tensor:
        return quantized.view_as(quantized)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(vectors: Tensor, quantized: Tensor) -> Tensor:
    """`quantized` as it is, whose gradient goes to `vectors` unchanged (Bengio et al. 2013,
    https://arxiv.org/abs/1308.3432).

    The same as `vectors + (quantized - vectors).detach()`, without its rounding and its three passes over memory.

    Args:
        vectors, quantized: one shape and dtype.
    """
    result: Tensor = _StraightThrough.apply(vectors, quantized.detach())  # type: ignore[no-untyped-call]
    return result


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, quantized: Tensor) -> Tensor:
        ctx.save_for_backward(vectors, quantized)
        return quantized.view_as(quantized)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        vectors, quantized = ctx.saved_tensors
        norm, length = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6), quantized.norm(dim=-1, keepdim=True)
        start, end = vectors / norm, quantized / length.clamp(min=1e-6)
        middle = torch.nn.functional.normalize(start + end, dim=-1, eps=1e-6)
        along_middle = (gradient * middle).sum(-1, keepdim=True)
        along_end = (gradient * end).sum(-1, keepdim=True)
        return length / norm * (gradient - 2 * along_middle * middle + 2 * along_end * start), None


def rotation_trick(vectors: Tensor, quantized: Tensor) -> Tensor:
    """`quantized` as it is; its gradient is turned and scaled to `vectors` as the vector was to its code.

    Equation 4.2 of Fifty et al. 2024 (https://arxiv.org/abs/2410.06424): quantized = c R x, where the rotation
    R = 1 - 2 r r^T + 2 e x^T (of directions x and e, r their normalised sum) and c = |quantized| / |vectors| are
    constants to the gradient.

    Args:
        vectors, quantized: (..., D), one shape and dtype.
    """
    result: Tensor = _Rotation.apply(vectors, quantized.detach())  # type: ignore[no-untyped-call]
    return result
