"""Dropout that does not wait for its random numbers on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 1 << 16


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """`F.dropout`: each value is zero with probability `rate`, independently, and divided by 1 - rate otherwise.

    Srivastava et al. 2014 (https://jmlr.org/papers/v15/srivastava14a.html). See `kept` for what is different on a CPU.

    Args:
        x: any shape, floating point.
        rate: in [0, 1).
        training: False returns `x`.
    """
    if rate == 0 or not training:
        return x
    if not drawn_here(x):
        return F.dropout(x, rate)
    noise, scale = kept(x, rate)
    return x * noise.mul_(scale)


def add_dropped(residual: Tensor, x: Tensor, rate: float, training: bool) -> Tensor:
    """`residual + dropout(x)`, on a CPU in one pass over memory. Both of one shape."""
    if rate == 0 or not training:
        return residual + x
    if not drawn_here(x):
        return residual + F.dropout(x, rate)
    noise, scale = kept(x, rate)
    return torch.addcmul(residual, x, noise, value=scale)


def drawn_here(x: Tensor) -> bool:
    """Whether `kept` is the faster way; elsewhere torch draws and multiplies in one kernel."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def kept(x: Tensor, rate: float) -> tuple[Tensor, float]:
    """Which values of `x` stay: 1 or 0 in its shape and type, and what the others are to be multiplied with.

    torch draws one Bernoulli number of a CPU at a time from a whole word of the generator (7.4 ns on the machine where
    this was measured); here a word of 64 random bits decides on four values by 16 bits each (1.2 ns). The rate is
    rounded to 1/65536, and the factor belongs to the rounded one, so the expectation is exact.

    Raises:
        ValueError: the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout is a share in [0, 1), not {rate}")
    dropped = min(round(rate * LEVELS), LEVELS - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    noise = torch.empty_like(bits, dtype=x.dtype)
    torch.ge(bits, dropped - LEVELS // 2, out=noise)
    return noise, LEVELS / (LEVELS - dropped)
