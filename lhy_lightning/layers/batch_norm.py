"""Batch normalization over several processes, and over too few values."""

from __future__ import annotations

import warnings
from typing import Any

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


def refuse_single_values(network: nn.Module) -> None:
    """Lets batch norms that are given one value per channel in training say what to change, where torch names shapes.

    Called where a batch has one row: whether a norm then has a whole map per channel only its first input tells.
    """

    def check(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        if norm.training and inputs[0].numel() == inputs[0].shape[1]:
            raise ValueError(
                "batch_size=1: batch normalization takes mean and variance over the rows of a batch, and here over "
                "one number: set --data.batch_size to 2 or more, or a norm other than batch."
            )

    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
            module.register_forward_pre_hook(check)
