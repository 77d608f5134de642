"""Heat maps of what an anomaly detector finds strange."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from matplotlib import colormaps
from torch import Tensor

from lhy_lightning.autoencoders.anomaly.synthetic_anomalies import pasted_by_row
from lhy_lightning.autoencoders.plots import ValidationPictures
from lhy_lightning.callbacks.images import picture_grid, save_picture

COLUMNS = 8


def heat_pictures(maps: Tensor, top: float) -> Tensor:
    """Maps (N, H, W) as pictures (N, 3, H, W) in [-1, 1], black at 0 and white at `top` and where there is NaN."""
    table = torch.tensor(colormaps["inferno"](range(256)))[:, :3].float() * 2 - 1
    levels = (maps.cpu().float() / max(top, 1e-12) * 255).clamp(0, 255).nan_to_num(255).long()
    return table[levels].permute(0, 3, 1, 2)


class HeatMapPictures(ValidationPictures):
    """`samples/heat_maps.png`: validation pictures with a piece pasted in, where it is, and what the detector finds.

    Rows of eight: the pictures, the pixels that were changed, the heat maps.

    Args:
        every: validations between two pictures.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__(every, COLUMNS)

    def draw(self, trainer: Trainer, module: Any, images: Tensor) -> None:
        changed, where = pasted_by_row(images, torch.arange(len(images)))
        maps = module.heat_map(changed)
        found = heat_pictures(maps, float(maps.max()))
        colour = changed.cpu().expand(-1, 3, -1, -1)
        parts = [colour, where.cpu()[:, None].expand(-1, 3, -1, -1).float() * 2 - 1, found]
        save_picture(trainer, "heat_maps", picture_grid(torch.cat(parts), columns=len(images)))
