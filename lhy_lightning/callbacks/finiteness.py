"""Training that stops at the first loss that is not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lhy_lightning.training.finite_losses import WHOLE_MODULE


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
