"""Says in plain words when the domain classifier has won, or has died."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

WON, STEPS = 0.95, 500
DEAD, FRESH = 0.52, 0.7
LOOK_EVERY = 100  # steps; looking waits for the device


class DomainWatch(Callback):
    """Follows the domain accuracy of training steps.

    Above .95 for 500 steps on end the domains stay apart: features cannot fool the classifier. At .52 or less it has
    either been fooled or has stopped learning; a fresh classifier on the same features tells which, from step 500 on.
    """

    def __init__(self) -> None:
        self.streak: Tensor | None = None  # steps on end above WON, on the device
        self.recent: Tensor | None = None  # moving average of the accuracy
        self.warned: set[str] = set()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        accuracy: Tensor | None = pl_module._last_figures.get("train/domain_accuracy")  # type: ignore[union-attr,operator]
        if accuracy is None:
            return
        if self.streak is None or self.recent is None:
            self.streak, self.recent = torch.zeros_like(accuracy), accuracy.clone()
        self.streak = (self.streak + 1) * (accuracy > WON)
        self.recent = self.recent.lerp(accuracy, 0.02)
        if trainer.global_step % LOOK_EVERY == 0 and self.streak >= STEPS:
            self._warn(
                "won",
                f"the domain classifier has told the domains apart with more than {WON:.0%} for {STEPS} steps: the "
                "features do not come together. Give it fewer units (domain_hidden), a larger coefficient, or a "
                "smaller learning rate.",
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        distance = trainer.callback_metrics.get("val/proxy_distance")
        early = trainer.sanity_checking or trainer.global_step < STEPS  # it has hardly begun to learn
        if early or distance is None or self.recent is None or self.recent > DEAD:
            return
        fresh = float(distance) / 4 + 0.5
        if fresh > FRESH:
            self._warn(
                "died",
                f"the domain classifier guesses ({float(self.recent):.2f} right), but a fresh one on the same "
                f"features is right {fresh:.2f} of the time: it has died, and its gradient says nothing. Give it more "
                "units (domain_hidden), or a smaller coefficient at the start (reversal: annealed).",
            )

    def _warn(self, what: str, message: str) -> None:
        if what not in self.warned:
            self.warned.add(what)
            rank_zero_warn(message)
