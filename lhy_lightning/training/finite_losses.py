"""Losses that stop being finite: noticed in every step, read only where a wait for the device is due anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.parameter import is_lazy

NEVER = 2**62
SKIPPED_STEPS = 20
"""Steps in a row that a gradient scaler may skip: 16 halvings take its first scale of 2^16 to 1."""

HELD_LOSSES = 64
"""Losses that are kept on the device before they are looked at, all in one call."""

WHOLE_MODULE = ""
"""The network's name where one optimizer trains all of a module."""

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a weight is infinite or not a number: training cannot go on from here."""


class FiniteLosses:
    """For each network the first step at which its loss was not finite, or its gradients were not many times in a row.

    Asking `loss.isfinite()` in Python makes the CPU wait for the GPU in every step. Here losses stay on the device,
    and `check` looks at all of them at once.
    """

    def __init__(self) -> None:
        self.first: dict[str, Tensor] = {}  # scalar int64 each: the step, or NEVER
        self.skipped: dict[str, Tensor] = {}  # scalar int64 each: steps skipped in a row
        self._held: dict[str, list[tuple[int, Tensor]]] = {}  # steps and losses not looked at yet

    def see_loss(self, name: str, loss: Tensor, step: int) -> None:
        """Takes a loss of one number of network `name`; for training without a gradient scaler."""
        self.hold_loss(name, loss.detach().clone(), step)

    def hold_loss(self, name: str, loss: Tensor, step: int) -> None:
        """As `see_loss`, of a loss that nobody changes in place: it is neither copied nor looked at yet."""
        held = self._held.setdefault(name, [])
        held.append((step, loss))
        if len(held) >= HELD_LOSSES:
            self._look(name)

    def see_scaled_step(self, name: str, skipped: Tensor, step: int) -> None:
        """Notes whether the gradient scaler skipped a step of network `name` (scalar bool): it may, now and then."""
        before = self.skipped.get(name)
        self.skipped[name] = skipped.long() if before is None else (before + 1) * skipped
        self._note(name, torch.where(self.skipped[name] >= SKIPPED_STEPS, step, NEVER))

    def _look(self, name: str) -> None:
        """Finds the first of the held losses that is not finite, on the device."""
        steps, losses = zip(*self._held.pop(name), strict=True)
        finite = torch.cat([loss.reshape(1) for loss in losses]).isfinite()
        self._note(name, torch.tensor(steps, device=finite.device).masked_fill_(finite, NEVER).min())

    def _note(self, name: str, step: Tensor) -> None:
        self.first[name] = torch.minimum(self.first[name], step) if name in self.first else step

    def check(self, world_size: int = 1, cures: Callable[[str], str] | None = None) -> None:
        """Waits for the device, agrees over ranks and raises on all of them alike.

        Args:
            world_size: ranks; all of them must call.
            cures: what may help, by the network's name, such as "lower its learning rate".

        Raises:
            NonFiniteError: names the network that failed first, and its step.
        """
        for name in list(self._held):
            self._look(name)
        if not self.first:
            return
        names = sorted(self.first)
        first = torch.stack([self.first[name] for name in names])
        if world_size > 1:
            dist.all_reduce(first, op=dist.ReduceOp.MIN)
        step, name = min(zip(first.tolist(), names, strict=True))
        if step == NEVER:
            return
        whose, help_ = f"the {name}'s" if name else "the", cures(name) if cures else "lower its learning rate"
        if name in self.skipped:
            raise NonFiniteError(
                f"{whose} gradients were not finite in {SKIPPED_STEPS} steps in a row, up to step {step}, with an "
                f"ever smaller loss scale: {help_}, or train with precision bf16-mixed or 32-true. Checkpoints "
                "that were written are from before."
            )
        raise NonFiniteError(
            f"{whose} loss was not finite at step {step}: {help_}, or look at the data; with precision 16-mixed "
            "or bf16-mixed try 32-true. Checkpoints that were written are from before."
        )


def non_finite(state: Mapping[str, Any]) -> tuple[list[str], list[Tensor]]:
    """Names of the floating-point tensors of a state dict, and for each a scalar bool tensor: it is not finite.

    Args:
        state: tensors by their names; what is no tensor, or of no usual floating-point type, is left out.
    """
    floats = {
        name: value
        for name, value in state.items()
        if isinstance(value, Tensor) and value.dtype in FLOATS and not is_lazy(value)
    }
    return list(floats), [~value.detach().isfinite().all() for value in floats.values()]


def check_weights(
    state: Mapping[str, Any], world_size: int = 1, *, device: torch.device | None = None, then: str
) -> None:
    """Waits for the device, agrees over ranks and raises on all of them where a tensor of a state dict is not finite.

    Args:
        state: tensors by their names; only floating-point ones are looked at.
        world_size: ranks; all of them must call.
        device: where ranks agree, if there are several.
        then: what follows from it, and what to do.

    Raises:
        NonFiniteError: names the first such tensor.
    """
    names, bad = non_finite(state)
    if not names and world_size == 1:
        return
    device = device or (bad[0].device if bad else torch.device("cpu"))
    found = torch.stack([value.to(device) for value in bad]) if bad else torch.zeros(1, dtype=torch.bool, device=device)
    anywhere = found.any().long()
    if world_size > 1:
        dist.all_reduce(anywhere, op=dist.ReduceOp.MAX)
    if not anywhere:
        return
    name = next((name for name, here in zip(names, found.tolist(), strict=False) if here), None)
    raise NonFiniteError(f"{f'{name} is' if name else 'weights of another rank are'} not finite: {then}.")


class StopAtNonFiniteLoss(Callback):
    """Sees the loss of every training step, and stops the run at one that is infinite or no number.

    It waits for the device only where that is due anyway: at logging steps, before a validation and at the end of an
    epoch; before a checkpoint is written the module itself does. `CourseModule` adds it to its Trainer, so that it
    holds for every module, whichever hooks a subclass overrides. With a gradient scaler it counts skipped steps
    instead: one now and then is how the scaler finds its scale.
    """

    def __init__(self, module: Any) -> None:
        self.module: Any = module
        self._step, self._one, self._scale = 1, torch.ones(()), torch.ones(())

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._watches(pl_module):
            self.module.find_open_buffers()
            then = "nothing can be trained from here. Start from another checkpoint, or from new weights"
            self.module.check_weights(dict(pl_module.named_parameters()), then)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._step = trainer.global_step + 1
        if self._watches(pl_module) and self._counts_skips:
            self._one = self._one.to(pl_module.device)
            self._scale = self.module.gradient_scaler.scale(self._one)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._watches(pl_module):
            return
        losses, loop = self.module.finite_losses, trainer.fit_loop.epoch_loop
        accumulating = loop._should_accumulate()
        if self.module.gradient_scaler is None:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if isinstance(loss, Tensor) and loss.numel() == 1:  # Lightning's own copy where it optimizes by itself
                see = losses.hold_loss if self.module.automatic_optimization else losses.see_loss
                see(WHOLE_MODULE, loss.detach(), self._step)
        elif self._counts_skips and not accumulating:
            after = self.module.gradient_scaler.scale(self._one)
            losses.see_scaled_step(WHOLE_MODULE, after < self._scale, self._step)
        if accumulating:
            return
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if loop._is_training_done or (every and trainer.global_step % every == 0):
            self.module.check_losses()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Figures, tables and plots of weights that are no numbers would be wrong, or fail in words of their own.
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and self._watches(pl_module):
            self.module.check_losses()
            self.module.check_weights(dict(pl_module.named_parameters()))

    def _watches(self, module: LightningModule) -> bool:
        """Whether it is the module it was made for: a Trainer may go on with another one."""
        return module is self.module

    @property
    def _counts_skips(self) -> bool:
        return bool(self.module.automatic_optimization and self.module.gradient_scaler is not None)


def stop_at_non_finite_losses(trainer: Trainer, module: LightningModule) -> None:
    """Adds the callback to a Trainer, in place of one of an earlier fit; before others, which may write checkpoints."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    others = [callback for callback in callbacks if not isinstance(callback, StopAtNonFiniteLoss)]
    callbacks[:] = [StopAtNonFiniteLoss(module), *others]


class FiniteModule(LightningModule):
    """A module that stops where a loss or a weight is no number, and writes and loads no such weights."""

    def __init__(self) -> None:
        super().__init__()
        self.finite_losses = FiniteLosses()
        self.open_buffers: set[str] | None = None
        """Buffers that are not finite before training, once known: masks of -inf, or numbers still to be found."""

    @property
    def gradient_scaler(self) -> GradScaler | None:
        """That of precision 16-mixed."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def cures(self, name: str) -> str:
        """What may help where the loss of network `name`, "" for all of the module, is not finite."""
        lr = self.hparams.get("lr")
        slower = "lower the learning rate" + ("" if lr is None else f" (--model.lr, now {lr})")
        clip = self.trainer.gradient_clip_val
        return slower + ", clip gradients (--trainer.gradient_clip_val" + (f", now {clip})" if clip else " 1)")

    def check_losses(self) -> None:
        """Waits for the device and stops all ranks where the loss of a step so far was not finite.

        Raises:
            NonFiniteError: names the first such step.
        """
        self.finite_losses.check(self.trainer.world_size, self.cures)

    def find_open_buffers(self) -> None:
        """Notes which buffers are not finite in a module that has not been trained or loaded yet."""
        names, bad = non_finite(dict(self.named_buffers()))
        self.open_buffers = (self.open_buffers or set()) | {n for n, found in zip(names, bad, strict=True) if found}

    def checked(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of a state dict has to be finite: all but `open_buffers`."""
        if self.open_buffers is None:
            self.find_open_buffers()
        return {name: value for name, value in state.items() if name not in (self.open_buffers or ())}

    def check_weights(self, state: Mapping[str, Tensor], then: str | None = None) -> None:
        """Waits for the device and stops all ranks where weights of a state dict are not finite.

        Args:
            state: (part of) a state dict; `open_buffers` are left out.
            then: what follows from it; if not given, what it means in training.

        Raises:
            NonFiniteError: names the first such tensor.
        """
        check_weights(
            self.checked(state),
            self.trainer.world_size,
            device=self.trainer.strategy.root_device,
            then=then or f"{self.cures('')}. No checkpoint is written of it",
        )

    def check_loaded(self, state: Mapping[str, Tensor], source: str) -> None:
        """Refuses weights that are not finite, on each rank alike, as all read them from one file.

        Raises:
            NonFiniteError: names the first such tensor.
        """
        then = f"{source} is of a run that diverged. Take a checkpoint from before"
        check_weights(self.checked(state), then=then)
