"""What a run shows of a generator: a grid from fixed noise each so many steps, and ways from one noise to another."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lhy_lightning.callbacks.images import picture_grid, save_picture, with_column_names
from lhy_lightning.callbacks.periodic_plot import DrawnEvery
from lhy_lightning.core.seeding import derive_seed, run_seed

COLUMNS = 8
STEPS = 8


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Points on the great circle from `start` to `end`: normal noise keeps its length on it (White 2016,
    https://arxiv.org/abs/1609.04468).

    Args:
        start, end: (N, Z) float32.
        share: (T,) float32 in 0 … 1.

    Returns:
        (N, T, Z) float32.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.arccos()[:, None, None]
    share = share[None, :, None]
    first = ((1 - share) * angle).sin() * start[:, None]
    return (first + (share * angle).sin() * end[:, None]) / angle.sin()


class GeneratorPictures(DrawnEvery):
    """`samples/grid_<step>.png` from the same noise throughout, `samples/interpolation.png` when training ends.

    Of a conditional generator a column is a class, named above it. Both show the generator that is used at inference.

    Args:
        every: discriminator steps between two grids; the last step has one as well.
        rows: lines of the grid.
    """

    def __init__(self, every: int = 500, rows: int = 8) -> None:
        super().__init__(every)
        self.rows = rows

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if trainer.is_global_zero:
            module: Any = pl_module
            start, end = module.noise(self.rows, seed=self.seed(1)), module.noise(self.rows, seed=self.seed(2))
            between = slerp(start, end, torch.linspace(0, 1, STEPS, device=start.device)).flatten(0, 1)
            labels = module.labels_in_turn(self.rows)
            images = module.generate(between, None if labels is None else labels.repeat_interleave(STEPS))
            save_picture(trainer, "interpolation", picture_grid(images, columns=STEPS))

    def seed(self, stream: int) -> int:
        return derive_seed(run_seed(), 6, stream)

    def draw(self, trainer: Trainer, module: Any) -> None:
        columns = module.num_classes if module.conditional else COLUMNS
        count = self.rows * columns
        images = module.generate(module.noise(count, seed=self.seed(0)), module.labels_in_turn(count))
        grid = picture_grid(images, columns=columns)
        if module.conditional:
            grid = with_column_names(grid, module.class_names or [str(label) for label in range(columns)])
        save_picture(trainer, f"grid_{trainer.global_step:06d}", grid)
