"""One record in Weights & Biases for one run folder, however often the run is cut off and goes on."""

import secrets
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.core.atomic_files import atomic_write

FILE = "wandb_id.txt"


def record_id(folder: Path, *, goes_on: bool) -> str:
    """The id of a run's record: that of the run folder where the run goes on, otherwise a new one.

    Args:
        folder: the run folder. One that has no id noted has it in the name of the newest folder in its `wandb/`.
        goes_on: whether the run is resumed.
    """
    if goes_on and (folder / FILE).is_file():
        return (folder / FILE).read_text("utf8").strip()
    records = sorted((folder / "wandb").glob("*run-*-*"), key=lambda path: path.name.partition("run-")[2])
    return records[-1].name.rpartition("-")[2] if goes_on and records else secrets.token_hex(4)


class WandbRecord(Callback):
    """Notes the id of a run's record in its folder when training starts.

    Args:
        folder: the run folder.
        record: the id.
    """

    def __init__(self, folder: Path, record: str) -> None:
        self.folder, self.record = folder, record

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            atomic_write(self.folder / FILE, f"{self.record}\n")
