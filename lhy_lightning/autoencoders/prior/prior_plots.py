"""What a run shows of a prior: pictures that it draws, and the training pictures that are most like them."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.callbacks.images import picture_grid, save_picture, with_column_names
from lhy_lightning.core.seeding import derive_seed, run_seed
from lhy_lightning.metrics.generation.nearest_images import nearest_pictures

ROWS, COLUMNS, SHOWN = 8, 8, 16


class DrawnPictures(Callback):
    """`samples/drawn.png`, of a conditional prior a class a column, and `samples/nearest.png`, when training ends.

    The latter has drawn pictures, and below each the training picture that is nearest to it in pixels.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        module: Any = pl_module
        columns = module.classes if module.conditional else COLUMNS
        drawn = module.sample(ROWS * columns, seed=derive_seed(run_seed(), 8, 0))
        data: Any = getattr(trainer, "datamodule", None)
        grid = picture_grid(drawn, columns=columns)
        if module.conditional:
            known = getattr(data, "class_names", ())
            grid = with_column_names(grid, known if len(known) == columns else [str(label) for label in range(columns)])
        save_picture(trainer, "drawn", grid)
        if hasattr(data, "pictures"):
            training, shown = data.pictures("train"), drawn[:SHOWN]
            rows = nearest_pictures(shown, training).rows[:, 0].cpu().numpy()
            save_picture(trainer, "nearest", picture_grid(torch.cat((shown.cpu(), training.take(rows))), columns=SHOWN))
