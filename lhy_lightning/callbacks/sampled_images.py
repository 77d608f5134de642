"""What `lhy predict` writes of a module that draws pictures."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.callbacks.images import picture_file, to_bytes
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.core.seeding import run_seed
from lhy_lightning.training.run_directory import run_directory


class SampledPictures(Callback):
    """What `lhy predict` writes of a module with `sample`: `pictures/1.png` and so on, of all classes in turn.

    Args:
        count: how many.
    """

    def __init__(self, count: int = 64) -> None:
        self.count = count

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        module: Any = pl_module
        folder = run_directory(trainer) / "pictures"
        for number, picture in enumerate(to_bytes(module.sample(self.count, seed=run_seed())), 1):
            atomic_write(folder / f"{number}.png", picture_file(picture))
        print(f"{folder}: {self.count} pictures")
