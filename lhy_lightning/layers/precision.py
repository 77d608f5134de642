"""Losses in float32, whatever the networks before them compute in."""

import torch
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """Half precision to float32, where sums over a batch or a map would lose digits. Doubles stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
