"""What a run shows of an auto-encoder: pictures and what came back of them; of discrete codes the codebook and maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from matplotlib import colormaps
from torch import Tensor

from lhy_lightning.callbacks.images import picture_grid, save_picture

COLUMNS = 8


def above_and_below(images: Tensor, results: Tensor) -> np.ndarray:
    """Rows of pictures, each with a row of what came back below it; (N, C, H, W) twice to (h, w, 3) uint8."""
    count = len(images) // COLUMNS * COLUMNS or len(images)
    columns = min(COLUMNS, count)
    pairs = [
        part
        for first in range(0, count, columns)
        for part in (images[first : first + columns], results[first : first + columns])
    ]
    return picture_grid(torch.cat(pairs), columns=columns)


def code_map_pictures(codes: Tensor, size: int) -> Tensor:
    """Maps of codes (N, h, w) as pictures (N, 3, h, w) in [-1, 1]: a colour for each of the `size` codes.

    Example:
        >>> import torch
        >>> from lhy_lightning import code_map_pictures
        >>> code_map_pictures(torch.zeros(2, 4, 4, dtype=torch.long), 16).shape
        torch.Size([2, 3, 4, 4])
    """
    # neighbouring codes have nothing in common: golden-ratio steps round the colour circle tell them apart
    colours = colormaps["hsv"](np.arange(size) * 0.618034 % 1)[:, :3]
    table = torch.from_numpy(colours).float() * 2 - 1
    return table[codes.cpu()].permute(0, 3, 1, 2)


class ValidationPictures(Callback):
    """Draws the first pictures of a validation, on the first rank; a subclass says what, in `draw`.

    Args:
        every: validations between two drawings.
        count: pictures of the first batch that are drawn.
    """

    def __init__(self, every: int = 1, count: int = 32) -> None:
        self.every, self.count, self.validations = every, count, 0
        self.images: Tensor | None = None

    def draw(self, trainer: Trainer, module: Any, images: Tensor) -> None:
        """Draws what `module` makes of pictures (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to `draw`")

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *rest: Any
    ) -> None:
        if batch_idx == 0 and trainer.is_global_zero:
            self.images = batch["image"][: self.count]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        images, self.images = self.images, None
        if trainer.sanity_checking or images is None:
            return
        self.validations += 1
        if self.validations % self.every == 0:
            self.draw(trainer, pl_module, images)


class ReconstructionPictures(ValidationPictures):
    """`samples/reconstructions.png`: validation pictures, and below each row what came back of them.

    Of a module with discrete codes also `samples/codes.png`, a colour for each code, and, of one level,
    `samples/codebook.png`: what the decoder draws where a code is everywhere, the most used one first.

    Arguments as in `ValidationPictures`.
    """

    def draw(self, trainer: Trainer, module: Any, images: Tensor) -> None:
        save_picture(trainer, "reconstructions", above_and_below(images, module.reconstruct(images)))
        if hasattr(module, "codes_of"):
            height, width = module.map_shape
            fine = module.codes_of(images).flatten(1)[:, -height * width :].unflatten(1, (height, width))
            save_picture(trainer, "codes", picture_grid(code_map_pictures(fine, module.codebook_size)))
            if module.levels == 1:
                save_picture(trainer, "codebook", picture_grid(module.codebook_pictures(), columns=16))


class DenoisedPictures(ValidationPictures):
    """`samples/denoised.png`: corrupted validation pictures, and below each row what came back of them.

    Arguments as in `ValidationPictures`.
    """

    def draw(self, trainer: Trainer, module: Any, images: Tensor) -> None:
        seen = module.corrupted(images, torch.arange(len(images)))
        save_picture(trainer, "denoised", above_and_below(seen, module.reconstruct(seen)))
