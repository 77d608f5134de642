"""`average.ckpt`: the mean of the weights of the last k epochs."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.training.checkpoints import WholeFileCheckpointIO, read_checkpoint
from lhy_lightning.training.run_directory import run_directory


def average_checkpoints(paths: list[Path]) -> dict[str, Any]:
    """The last of several checkpoints with the mean of all their weights (Vaswani et al. 2017, section 6.1).

    Args:
        paths: checkpoints of one run.

    Returns:
        A checkpoint without the state of an optimizer; what is not a floating number is the last one's.

    Raises:
        ValueError: no path, or checkpoints of different weights.
    """
    if not paths:
        raise ValueError("no checkpoint to average.")
    checkpoints = [read_checkpoint(path) for path in paths]
    last = checkpoints[-1]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        if checkpoint["state_dict"].keys() != last["state_dict"].keys():
            raise ValueError(f"{path} and {paths[-1]} hold different weights: average checkpoints of one run.")
    state = {}
    for name, newest in last["state_dict"].items():
        if newest.is_floating_point():
            total = sum(checkpoint["state_dict"][name].double() for checkpoint in checkpoints)
            state[name] = (total / len(checkpoints)).to(newest.dtype)
        else:
            state[name] = newest
    left_out = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "native_amp_scaling_state")
    return {name: value for name, value in last.items() if name not in left_out} | {"state_dict": state}


class AverageCheckpoints(Callback):
    """Keeps the weights of the last epochs and writes their mean, `checkpoints/average.ckpt`, when training ends.

    After `lhy fit` the better one of `average.ckpt` and `best.ckpt` on validation rows is tested.

    Args:
        last: how many to average.
        every_n_epochs: epochs between two of them.

    Raises:
        ValueError: numbers below 1.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import AverageCheckpoints
        >>> trainer = Trainer(callbacks=[AverageCheckpoints(last=3)], accelerator="cpu", logger=False)
    """

    def __init__(self, last: int = 5, every_n_epochs: int = 1) -> None:
        if last < 1 or every_n_epochs < 1:
            raise ValueError(f"last={last} and every_n_epochs={every_n_epochs}: both must be at least 1.")
        self.last, self.every_n_epochs = last, every_n_epochs

    def folder(self, trainer: Trainer) -> Path:
        return run_directory(trainer) / "checkpoints"

    def kept(self, trainer: Trainer) -> list[Path]:
        """The files that are there, oldest first."""
        return sorted(self.folder(trainer).glob("epoch-*.ckpt"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # What a killed run has written beyond the point at which this one goes on.
        if trainer.is_global_zero:
            for path in self.kept(trainer):
                if int(path.stem.removeprefix("epoch-")) >= trainer.current_epoch:
                    path.unlink()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run or (trainer.current_epoch + 1) % self.every_n_epochs:  # type: ignore[attr-defined]
            return
        path = self.folder(trainer) / f"epoch-{trainer.current_epoch:05d}.ckpt"
        trainer.save_checkpoint(path, weights_only=True)
        if trainer.is_global_zero:
            for old in self.kept(trainer)[: -self.last]:
                old.unlink()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and (paths := self.kept(trainer)):
            with torch.no_grad():
                average = average_checkpoints(paths)
            WholeFileCheckpointIO().save_checkpoint(average, self.folder(trainer) / "average.ckpt")
        trainer.strategy.barrier()
