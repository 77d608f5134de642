"""A run that leaves checkpoints at every moment, and what goes otherwise than in it when a run goes on from one."""

from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor

from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.resume import batches_of_open_group


def plain(value: Any) -> Any:
    """Batches as something that `==` compares."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


class Diary(Callback):
    """What happened in a run: in which epoch, at which step, at which learning rates, on which batch."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def _note(self, trainer: Trainer, what: str, *more: Any) -> None:
        if not trainer.sanity_checking:
            rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
            self.lines.append((what, trainer.current_epoch, trainer.global_step, rates, *more))

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._note(trainer, "epoch starts")

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._note(trainer, "batch starts", batch_idx, plain(batch))

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._note(trainer, "batch ends", batch_idx)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._note(trainer, "validation starts")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._note(trainer, "epoch ends")


class Everywhere(Checkpoint):
    """Writes a checkpoint in each hook in which Lightning's `ModelCheckpoint` or ours can, and where an epoch starts.

    Args:
        folder: where to.
        diary: of the same run.
    """

    def __init__(self, folder: Path, diary: Diary) -> None:
        self.folder, self.diary = folder, diary
        self.written: list[tuple[str, Path, int]] = []
        """The moment, the file, and the lines of the diary so far that a run going on from it does not repeat."""

    def _save(self, trainer: Trainer, moment: str) -> None:
        if trainer.sanity_checking:
            return
        path, what = self.folder / f"{len(self.written)}.ckpt", [line[0] for line in self.diary.lines]
        trainer.save_checkpoint(path)
        kept = len(what)
        for _ in range(batches_of_open_group(trainer.fit_loop)):  # they are taken again
            kept -= 1 + what[:kept][::-1].index("batch starts")
        if kept and what[kept - 1] == "epoch starts":  # the hook is called again
            kept -= 1
        self.written.append((f"{moment} in {path.name}, step {trainer.global_step}", path, kept))

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._save(trainer, "epoch's start")

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._save(trainer, "batch's end")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._save(trainer, "validation's end")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._save(trainer, "epoch's end")


class Fit(Protocol):
    """Builds a module and fits it with a logger and callbacks, from a checkpoint where `where` names one."""

    def __call__(self, logger: RunLogger, *callbacks: Callback, **where: Any) -> tuple[Trainer, LightningModule]: ...


class Unbroken:
    """A whole run and all its checkpoints.

    Args:
        folder: an empty folder.
        fit: as it is run and gone on with.
        optimizer_steps: that Lightning counts for a step of the loggers.
    """

    def __init__(self, folder: Path, fit: Fit, *, optimizer_steps: int = 1) -> None:
        self.folder, self.fit, self.optimizer_steps, self.diary = folder, fit, optimizer_steps, Diary()
        everywhere = Everywhere(folder, self.diary)
        self.trainer, self.module = fit(RunLogger(folder), self.diary, everywhere)
        self.checkpoints = everywhere.written
        self.metrics = (folder / "metrics.csv").read_bytes()

    def differences(self, checkpoint: Path, lines: int) -> list[str]:
        """What is not equal to the bit when the run goes on from a checkpoint: diary, step, weights, metrics.csv.

        Args:
            checkpoint: the file.
            lines: of the diary that are not repeated.
        """
        diary, folder = Diary(), self.folder / "again"
        folder.mkdir(exist_ok=True)
        (folder / "metrics.csv").write_bytes(self.metrics)  # as a run leaves it that went on after the checkpoint
        logger = RunLogger(folder, before_step=read_checkpoint(checkpoint)["global_step"] // self.optimizer_steps)
        trainer, module = self.fit(logger, diary, ckpt_path=str(checkpoint), weights_only=True)
        weights = module.state_dict()
        equal = {
            "diary": diary.lines == self.diary.lines[lines:],
            "step": trainer.global_step == self.trainer.global_step,
            # Lightning counts the epoch that max_steps cut short; where nothing is left, nothing counts it
            "epoch": trainer.current_epoch == self.trainer.current_epoch or not diary.lines,
            "weights": all(torch.equal(value, weights[name]) for name, value in self.module.state_dict().items()),
            "metrics": (folder / "metrics.csv").read_bytes() == self.metrics,
        }
        return [name for name, is_equal in equal.items() if not is_equal]

    def all_differences(self) -> dict[str, list[str]]:
        """The moments from which a run does not go on as the unbroken one, and what is not equal."""
        found = {moment: self.differences(path, lines) for moment, path, lines in self.checkpoints}
        return {moment: names for moment, names in found.items() if names}
