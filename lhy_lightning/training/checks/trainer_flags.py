"""Arguments of Lightning's Trainer that it takes without a word and that cannot work, or not with our runs."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer

from lhy_lightning.training.checks.trainer_numbers import SMALLEST, check_trainer_numbers


def check_numbers(trainer: Trainer) -> None:
    """Refuses numbers of a Trainer made in Python that would fail in mid-run, as `lhy` does those of its flags.

    Raises:
        ValueError: names the argument and what it may be.
    """
    names = (*SMALLEST, "val_check_interval")
    check_trainer_numbers({name: getattr(trainer, name) for name in names if hasattr(trainer, name)})


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuses arguments of a Trainer that `lhy` has no use for, before the Trainer speaks of its own parts.

    Raises:
        ValueError: says what to set instead.
    """
    if settings.get("barebones"):
        raise ValueError(
            "--trainer.barebones true is for timing Lightning itself: it has no metrics, checkpoints or progress bar, "
            "which a run of `lhy` writes. Leave it out; Trainer(barebones=True) works in Python."
        )
    if settings.get("enable_checkpointing") is False:
        raise ValueError(
            "--trainer.enable_checkpointing false: a run is evaluated by its best.ckpt and goes on from its last.ckpt. "
            "Leave it out, or try without leaving files by --trainer.fast_dev_run true."
        )
