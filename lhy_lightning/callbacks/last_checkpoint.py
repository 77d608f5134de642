"""`last.ckpt`: the newest state of a run, written every so many minutes and at the end of every epoch."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lhy_lightning.core.atomic_files import remove_partials
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.run_directory import run_directory
from lhy_lightning.training.stop_signals import NotedSignals, Stopped


class LastCheckpoint(Checkpoint):
    """Saves `checkpoints/last.ckpt` so that a killed run loses minutes, not epochs, and one that is told to stop none.

    SIGTERM and Ctrl-C stop training behind the step under way, with a checkpoint and the exit code 143 or 130.

    `ModelCheckpoint(train_time_interval=…)` never saves under manual optimization and not at epoch ends.

    Args:
        every_n_minutes: time between two checkpoints within an epoch; None disables it.
        every_n_steps: optimizer steps between two checkpoints; None disables it.
        folder: where to; `checkpoints/` of the run folder if None.

    Raises:
        ValueError: a number that is not above 0.
    """

    CHECK_EVERY = 10
    """Batches between two looks at the clock: over ranks a look is a broadcast."""

    def __init__(
        self, every_n_minutes: float | None = 5.0, every_n_steps: int | None = None, folder: str | None = None
    ) -> None:
        if every_n_minutes is not None and not every_n_minutes > 0:
            raise ValueError(f"last.every_n_minutes={every_n_minutes}: above 0, or null for the ends of epochs alone.")
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"last.every_n_steps={every_n_steps}: at least 1, or null for none.")
        self.every_n_minutes, self.every_n_steps, self.folder = every_n_minutes, every_n_steps, folder
        self._saved_at, self._saved_step = time.monotonic(), 0
        self._signals = NotedSignals()

    def path(self, trainer: Trainer) -> Path:
        return (Path(self.folder) if self.folder else run_directory(trainer) / "checkpoints") / "last.ckpt"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        self._signals.begin()
        if trainer.is_global_zero:
            remove_partials(self.path(trainer).parent)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The last batch's checkpoint is the epoch's, which comes next. In the middle of an accumulated group it would
        # lead back to the group's start.
        loop = trainer.fit_loop.epoch_loop
        if loop.batch_progress.is_last_batch or loop._should_accumulate():
            return
        number = self._signals.on_any_rank(trainer)
        if number or self._steps_are_up(trainer) or self._time_is_up(trainer, batch_idx):
            self._log_this_batch(trainer)
            self._save(trainer)
        self._stop_by(number)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        # Ranks may have one batch more or less of it than others: these stop behind the validation.
        if self._signals.number and trainer.world_size == 1:
            self._save(trainer)
            self._stop_by(self._signals.number)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)
        self._stop_by(self._signals.on_any_rank(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._signals.end()
        self._stop_by(self._signals.on_any_rank(trainer))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._signals.end()
        # Lightning's own, where signals are not ours to take (in a thread). It is raised between two batches, of
        # training or of validation, and on all ranks, unlike other exceptions.
        if isinstance(exception, SIGTERMException) and trainer.state.fn == TrainerFn.FITTING:
            self._save(trainer)

    def _stop_by(self, number: int) -> None:
        if number:
            raise Stopped(number, self._saved_step)

    def _steps_are_up(self, trainer: Trainer) -> bool:
        return self.every_n_steps is not None and trainer.global_step - self._saved_step >= self.every_n_steps

    def _time_is_up(self, trainer: Trainer, batch_idx: int) -> bool:
        if self.every_n_minutes is None or (batch_idx + 1) % self.CHECK_EVERY:
            return False
        due = time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        if trainer.world_size > 1:
            answer = torch.tensor([int(due)], device=trainer.strategy.root_device)
            torch.distributed.broadcast(answer, src=0)
            due = bool(answer.item())
        return due

    @staticmethod
    def _log_this_batch(trainer: Trainer) -> None:
        """Writes the batch's row of metrics.csv now: Lightning logs it after this hook, when a kill would lose it.

        The row is written again afterwards with the same values, which `MetricsFile` makes one row.
        """
        connector = trainer._logger_connector
        if connector.should_update_logs and (metrics := connector.metrics["log"]):
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step)

    def _save(self, trainer: Trainer) -> None:
        if trainer.fast_dev_run or trainer.sanity_checking:  # type: ignore[attr-defined]
            return
        trainer.save_checkpoint(self.path(trainer))
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
