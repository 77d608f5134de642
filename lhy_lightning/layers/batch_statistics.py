"""Batch norms that leave their running statistics alone for a while, in the midst of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics_kept(*networks: nn.Module) -> Iterator[None]:
    """Inside of `with`, batch norms in training mode go by the statistics of the batch and remember nothing of it.

    For passes with inputs that no evaluation will see, such as perturbed pictures. In evaluation mode nothing changes.
    """
    norms = [
        layer
        for network in networks
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
