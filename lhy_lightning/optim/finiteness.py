"""Losses that stop being finite: noticed on the device in every step, read only where a wait is due anyway."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

NEVER = 2**62
SKIPPED_STEPS = 20
"""Steps in a row that a gradient scaler may skip: 16 halvings take its first scale of 2^16 to 1."""


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a weight is infinite or not a number: training cannot go on from here."""


class FiniteLosses:
    """For each network the first step at which its loss was not finite, or its gradients were not many times in a row.

    Asking `loss.isfinite()` in Python makes the CPU wait for the GPU in every step. Here the answer stays on the
    device, and `check` reads all of them at once.
    """

    def __init__(self) -> None:
        self.first: dict[str, Tensor] = {}  # scalar int64 each: the step, or NEVER
        self.skipped: dict[str, Tensor] = {}  # scalar int64 each: steps skipped in a row

    def see_loss(self, name: str, loss: Tensor, step: int) -> None:
        """Notes whether a scalar loss of network `name` is finite; for training without a gradient scaler."""
        self._note(name, ~loss.detach().isfinite(), step)

    def see_scaled_step(self, name: str, skipped: Tensor, step: int) -> None:
        """Notes whether the gradient scaler skipped a step of network `name` (scalar bool): it may, now and then."""
        before = self.skipped.get(name)
        self.skipped[name] = skipped.long() if before is None else (before + 1) * skipped
        self._note(name, self.skipped[name] >= SKIPPED_STEPS, step)

    def _note(self, name: str, bad: Tensor, step: int) -> None:
        now = torch.where(bad, step, NEVER)
        self.first[name] = torch.minimum(self.first[name], now) if name in self.first else now

    def check(self, world_size: int = 1, advice: Mapping[str, str] | None = None) -> None:
        """Waits for the device, agrees over ranks and raises on all of them alike.

        Args:
            world_size: ranks; all of them must call.
            advice: a network's argument that clips its gradients, by the network's name.

        Raises:
            NonFiniteError: names the network that failed first, and its step.
        """
        if not self.first:
            return
        names = sorted(self.first)
        first = torch.stack([self.first[name] for name in names])
        if world_size > 1:
            dist.all_reduce(first, op=dist.ReduceOp.MIN)
        step, name = min(zip(first.tolist(), names, strict=True))
        if step == NEVER:
            return
        clip = (advice or {}).get(name)
        cures = "lower its learning rate" + (f", clip its gradients ({clip})" if clip else "")
        if name in self.skipped:
            raise NonFiniteError(
                f"the {name}'s gradients were not finite in {SKIPPED_STEPS} steps in a row, up to step {step}, with an "
                f"ever smaller loss scale: {cures}, or train with precision bf16-mixed or 32-true. The last checkpoint "
                "is from before."
            )
        raise NonFiniteError(
            f"the {name}'s loss was not finite at step {step}: {cures}, or look at the data; with precision 16-mixed "
            "or bf16-mixed try 32-true. The last checkpoint is from before."
        )


def check_weights(state: Mapping[str, Tensor], world_size: int = 1) -> None:
    """Waits for the device, agrees over ranks and raises on all of them where a tensor of a state dict is not finite.

    Args:
        state: tensors by their names; only floating-point ones are looked at.
        world_size: ranks; all of them must call.

    Raises:
        NonFiniteError: names the first such tensor.
    """
    floats = {name: value.detach() for name, value in state.items() if value.is_floating_point()}
    if not floats:
        return
    device = next(iter(floats.values())).device
    finite = torch.stack([value.isfinite().all().to(device) for value in floats.values()])
    everywhere = finite.all().long()
    if world_size > 1:
        dist.all_reduce(everywhere, op=dist.ReduceOp.MIN)
    if everywhere:
        return
    name = next((name for name, whole in zip(floats, finite.tolist(), strict=True) if not whole), None)
    raise NonFiniteError(
        f"{f'{name} is' if name else 'weights of another rank are'} not finite: this checkpoint is not written, the "
        "last one stays. Resume from it with a lower learning rate or clipped gradients."
    )
