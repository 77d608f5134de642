"""What a run shows and writes of an image-to-image translator: rows of pictures while training, files in prediction."""

import os
from collections import Counter
from pathlib import PurePath
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning.callbacks.images import picture_file, picture_grid, save_picture, to_bytes
from lhy_lightning.callbacks.periodic_plot import DrawnEvery
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.data.augmentation.edges import grey
from lhy_lightning.training.run_directory import run_directory


def as_channels(pictures: Tensor, channels: int) -> Tensor:
    """Pictures (N, C, H, W) in [-1, 1] with 1 or 3 channels instead: the luma, or grey as a colour."""
    if pictures.shape[1] == channels:
        return pictures
    return grey(pictures) if channels == 1 else pictures.expand(-1, channels, -1, -1)


class TranslationPictures(DrawnEvery):
    """`samples/<name>_<step>.png` of the same validation pictures throughout, a row for each.

    The module's `picture_columns(batch)` says which pictures stand side by side: `{name: [input, output, target]}`.

    Args:
        every: steps between two grids; the last step has one as well.
        rows: pictures of each grid.
    """

    def __init__(self, every: int = 500, rows: int = 8) -> None:
        super().__init__(every)
        self.rows, self.shown = rows, dict[str, Tensor]()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.shown and trainer.is_global_zero:  # the first batch of the sanity check, or of a validation
            self.shown = {name: value[: self.rows].clone() for name, value in batch.items()}

    @torch.no_grad()
    def draw(self, trainer: Trainer, module: Any) -> None:
        if not self.shown:  # there was no validation yet
            return
        for name, columns in module.picture_columns(self.shown).items():
            channels = max(pictures.shape[1] for pictures in columns)
            rows = torch.stack([as_channels(pictures.float(), channels) for pictures in columns], 1).flatten(0, 1)
            save_picture(trainer, f"{name}_{trainer.global_step:06d}", picture_grid(rows, columns=len(columns)))


class TranslatedPictures(Callback):
    """What `lhy predict` writes of a translator: a png file for every input, called like it.

    Each rank writes its own.

    Args:
        sides: which of a step's outputs are pictures, which is also the folder that they go to, and the domain that
            their inputs are of: `index_<side>` has their rows. None where there is one kind of input: `index`.
    """

    def __init__(self, sides: dict[str, str | None]) -> None:
        self.sides = sides
        self.names: dict[str, list[str]] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.names = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        for folder, side in self.sides.items():
            if folder not in outputs:
                continue
            index = outputs["index" if side is None else f"index_{side}"]
            if folder not in self.names:
                paths = data.paths("predict") if side is None else data.paths("predict", side)
                self.names[folder] = file_names(paths)
            for row, picture in zip(index.tolist(), to_bytes(outputs[folder]), strict=True):
                atomic_write(run_directory(trainer) / folder / self.names[folder][row], picture_file(picture))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            for folder, names in self.names.items():
                print(f"{run_directory(trainer) / folder}: {len(names)} pictures")


def file_names(paths: list[str]) -> list[str]:
    """What the translation of each input is called: its path below the inputs' common folder, ending with .png.

    `faces/a.jpg` and `faces/old/b.jpg` become `a.png` and `old/b.png`; row 3 of a table, `source#3`, becomes `3.png`.
    Where `a.jpg` and `a.bmp` lie beside each other, both keep their endings: `a.jpg.png`.
    """
    places = [PurePath(path.rpartition("#")[2] if _is_row(path) else path) for path in paths]
    files = [place for path, place in zip(paths, places, strict=True) if not _is_row(path)]
    common = os.path.commonpath([place.parent for place in files]) if files else ""
    inside = [place if _is_row(path) else place.relative_to(common) for path, place in zip(paths, places, strict=True)]
    count = Counter(place.with_suffix("") for place in inside)
    return [str(place.with_suffix(".png") if count[place.with_suffix("")] == 1 else f"{place}.png") for place in inside]


def _is_row(path: str) -> bool:
    return path.rpartition("#")[2].isdecimal() and "#" in path
