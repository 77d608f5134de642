"""The decoder as a generator: what it draws at random, and on the way from one picture to another."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lhy_lightning.callbacks.images import picture_grid, save_picture
from lhy_lightning.core.seeding import derive_seed, run_seed

ROWS = 8


class LatentPictures(Callback):
    """`samples/samples.png` and `samples/interpolation.png` when training ends, and of the best epoch behind it."""

    def __init__(self) -> None:
        self.images: Tensor | None = None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *rest: Any
    ) -> None:
        if batch_idx == 0 and trainer.is_global_zero:
            self.images = batch["image"][: 2 * ROWS]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of the best epoch, behind training: also where a run goes on that was cut off after its last validation.
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.draw(trainer, pl_module)

    def draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws both, on the first rank; the interpolation is between pictures of the last validation."""
        if not trainer.is_global_zero:
            return
        module: Any = pl_module
        save_picture(trainer, "samples", picture_grid(module.sample(64, seed=derive_seed(run_seed(), 7, 0))))
        if self.images is not None and len(self.images) > 1:
            half = len(self.images) // 2
            between = module.interpolate(self.images[:half], self.images[half : 2 * half], ROWS)
            save_picture(trainer, "interpolation", picture_grid(torch.flatten(between, 0, 1), columns=ROWS))
