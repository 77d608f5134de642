"""Averaged weights (EMA) beside the raw ones."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn

from lhy_lightning.layers.precision import keeping_precision, take_any_input


class AveragedWeights(nn.Module):
    """An exponential moving average of a network's weights and floating-point buffers, usable as the network.

    average <- d average + (1 - d) weight after every optimizer step, with d = min(decay, (1 + t) / (10 + t)) at
    update t, so that the random start is forgotten early (Polyak and Juditsky 1992; the ramp is TensorFlow's).
    Batch statistics are averaged like weights: they are those of the averaged network, nearly. Whole-number buffers
    are copied. It stays in float32 where the network is brought to half precision. As a submodule it lies in the state
    dict beside the raw network and never replaces it.

    Args:
        network: the network to follow; it is copied here.
        decay: d, in [0, 1).

    Raises:
        ValueError: a decay outside of [0, 1).

    Example:
        >>> import torch
        >>> from lhy_lightning import AveragedWeights
        >>> network = torch.nn.Linear(1, 1)
        >>> averaged = AveragedWeights(network, decay=0.5)
        >>> averaged.update(network)
        >>> torch.equal(averaged(torch.ones(1, 1)), network(torch.ones(1, 1)))
        True
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay of averaged weights lies in [0, 1), not {decay}")
        self.network = deepcopy(network).requires_grad_(False)
        take_any_input(self.network)
        self.decay = decay
        # a whole number on the CPU's side would cost a wait for the GPU; as extra state it stays a Python int
        self.count = 0

    def _apply(self, fn: Callable[[Tensor], Tensor], *rest: Any) -> Self:
        # Steps of a thousandth of the way would be rounded off in half precision.
        super()._apply(keeping_precision(fn), *rest)  # type: ignore[no-untyped-call]
        return self

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.count)

    def set_extra_state(self, state: Tensor) -> None:
        self.count = int(state)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged network's output, always in evaluation mode: it is never trained."""
        if self.network.training:
            self.network.eval()
        return self.network(*args, **kwargs)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards `network`, in one fused call over all its tensors."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        averaged = [*self.network.parameters(), *self.network.buffers()]
        current = [*network.parameters(), *network.buffers()]
        floats = [(a, c) for a, c in zip(averaged, current, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [c.detach().to(a.dtype) for a, c in floats], 1 - decay)
        for a, c in zip(averaged, current, strict=True):
            if not a.is_floating_point():
                a.copy_(c)
