"""Batch normalization over several processes."""

from __future__ import annotations

import warnings

import torch
from torch import nn


def batch_norm_over_ranks(network: nn.Module, device: torch.device) -> nn.Module:
    """Makes batch normalization take its statistics over all ranks, where torch can: on GPUs.

    On a CPU the network comes back as it is, with a warning if it has any batch normalization.
    """
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return network
    if device.type == "cuda":
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return synchronized
    warnings.warn(
        "batch normalization takes its statistics from each process's own rows: torch synchronizes them on GPUs only. "
        "Training differs from one process; norm='group' does not.",
        stacklevel=2,
    )
    return network
