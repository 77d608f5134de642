"""`best.ckpt`: the epoch with the best headline figure on validation rows."""

from typing import Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lhy_lightning.callbacks.pictures import run_directory


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` of one file, `checkpoints/best.ckpt`, monitoring the module's headline figure.

    Args:
        monitor: name of the logged figure; the module's `headline_metric` if None.
        mode: whether more or less of it is better; needed with `monitor`.
        folder: where to; `checkpoints/` of the run folder if None.

    Raises:
        ValueError: `monitor` without `mode`.
    """

    def __init__(
        self, monitor: str | None = None, mode: Literal["max", "min"] | None = None, folder: str | None = None
    ) -> None:
        if (monitor is None) != (mode is None):
            raise ValueError(f"best.monitor={monitor} and best.mode={mode}: give both, or neither.")
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode or "min",
            save_top_k=1,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.monitor is None:
            self.monitor, self.mode = getattr(pl_module, "headline_metric", ("val/loss", "min"))
            self.kth_value = torch.tensor(float("inf") if self.mode == "min" else -float("inf"))
        if self.dirpath is None:
            self.dirpath = str(run_directory(trainer) / "checkpoints")
        super().setup(trainer, pl_module, stage)
