"""A run that replaces another begins in a folder without its files."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.training.run_files import clear_run


class CleanStart(Callback):
    """Removes what an earlier run wrote when training starts, so that a start that fails before leaves it whole.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            clear_run(self.folder)
