"""Batch normalization with statistics of its own for each domain, or scale and shift too."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class DomainBatchNorm(nn.Module):
    """Two batch norms, of which source rows go through the first and target rows through the second.

    Chang et al. 2019 (https://arxiv.org/abs/1906.03950); with shared scale and shift, Li et al. 2016 (AdaBN,
    https://arxiv.org/abs/1603.04779) and DIRT-T. A batch has its source rows first; `tell_source_rows` says to all such
    layers of a network how many.

    Args:
        norm: the layer that it takes the place of.
        shared: one scale and shift for both.
    """

    def __init__(self, norm: _BatchNorm, *, shared: bool = False) -> None:
        super().__init__()
        self.source, self.target = norm, deepcopy(norm)
        if shared:
            self.target.weight, self.target.bias = norm.weight, norm.bias
        self.source_rows = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        rows = self.source_rows
        if rows == 0:
            return torch.as_tensor(self.target(inputs))
        if rows >= len(inputs):
            return torch.as_tensor(self.source(inputs))
        return torch.cat((self.source(inputs[:rows]), self.target(inputs[rows:])))


def with_domain_norms(network: nn.Module, *, shared: bool = False) -> int:
    """Replaces every batch norm of a network by two, in place, and returns how many it replaced.

    Args:
        network: it is changed.
        shared: both have the same scale and shift.
    """
    found = [(parent, name) for parent in network.modules() for name, child in parent.named_children()
             if isinstance(child, _BatchNorm) and not isinstance(parent, DomainBatchNorm)]  # fmt: skip
    for parent, name in found:
        setattr(parent, name, DomainBatchNorm(getattr(parent, name), shared=shared))
    return len(found)


def tell_source_rows(network: nn.Module, rows: int) -> None:
    """Says how many rows of the batches that follow are source rows; they come first, the others are target rows."""
    for module in network.modules():
        if isinstance(module, DomainBatchNorm):
            module.source_rows = rows
