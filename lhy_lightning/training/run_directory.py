"""Where a run writes its files, and whether this rank writes any."""

from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger


def run_directory(trainer: Trainer) -> Path:
    """The folder that this run writes to. Unlike `trainer.log_dir` it may be asked for on one rank alone."""
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            return Path(logger.log_dir)
    return Path(trainer.default_root_dir)


def leaves_files(trainer: Trainer) -> bool:
    """Whether this rank writes a run's figures and tables: not in a `fast_dev_run`, nor without any folder for them.

    Nor in a sanity check, when the folder may still be an earlier run's. `Trainer(logger=False)` in a script has no
    folder: its `default_root_dir` is the one that the script is run in.
    """
    if not trainer.is_global_zero or trainer.fast_dev_run or trainer.sanity_checking:  # type: ignore[attr-defined]
        return False
    return bool(trainer.loggers) or Path(trainer.default_root_dir).resolve() != Path.cwd()
