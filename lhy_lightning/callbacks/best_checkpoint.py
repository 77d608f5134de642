"""`best.ckpt`: the epoch with the best headline figure on validation rows."""

import difflib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lhy_lightning.training.run_directory import run_directory


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` of one file, `checkpoints/best.ckpt`, monitoring the module's headline figure.

    Args:
        monitor: name of the logged figure; the module's `monitor` if None.
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
            self.monitor, self.mode = getattr(pl_module, "monitor", ("val/loss", "min"))
            self.kth_value = torch.tensor(float("inf") if self.mode == "min" else -float("inf"))
        if self.dirpath is None:
            self.dirpath = str(run_directory(trainer) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            self._check_monitor(trainer, pl_module)
        super().on_validation_end(trainer, pl_module)

    def _check_monitor(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a figure that the first validation batches do not log, where all are logged by then.

        Raises:
            ValueError: names the nearest that are logged.
        """
        later = getattr(pl_module, "later_metrics", ("*",))  # of someone's own module nothing is known
        logged = sorted(trainer.callback_metrics)
        monitor, others = str(self.monitor), (*later, "train/*", "step", "epoch")
        if not logged or monitor in logged or any(fnmatch(monitor, name) for name in others):
            return
        near = difflib.get_close_matches(monitor, logged, 3, 0.5) or logged
        raise ValueError(f"--best.monitor {monitor}: nothing of that name is logged; there is {', '.join(near)}.")

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether the epoch is the best so far: never one whose figure, or whose `val/loss`, is infinite or NaN.

        Lightning takes the first epoch whatever its figure is.
        """
        for name in dict.fromkeys((str(self.monitor), "val/loss")):
            value = current if name == self.monitor else trainer.callback_metrics.get(name)
            bad = value is not None and not bool(torch.as_tensor(value).isfinite())
            if trainer.strategy.reduce_boolean_decision(bad, all=False):
                rank_zero_warn(f"{name} is {value} at step {trainer.global_step}: not taken for the best epoch.")
                return False
        return super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The score of `best.ckpt` comes along however the run's folder is called now.

        Lightning forgets it where the folder's path is another string than before: a whole path instead of a relative
        one, or another disk. The next epoch would then replace a better one.
        """
        here, before = Path(str(self.dirpath)) / "best.ckpt", Path(state_dict["best_model_path"])
        if here.is_file() and before.parts[-3:] == here.parts[-3:]:  # run, `checkpoints`, file
            moved = {"dirpath": self.dirpath, "best_model_path": str(here), "kth_best_model_path": str(here)}
            state_dict = {**state_dict, **moved, "best_k_models": {str(here): state_dict["best_model_score"]}}
        elif not state_dict["best_model_path"]:  # killed before the first validation: nothing is forgotten
            state_dict = {**state_dict, "dirpath": self.dirpath}
        super().load_state_dict(state_dict)

    def _should_remove_checkpoint(self, trainer: Trainer, previous: str, current: str) -> bool:
        """Never: the one file is replaced in place, and the name of any other came out of a checkpoint."""
        return False
