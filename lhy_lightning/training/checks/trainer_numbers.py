"""Numbers for Lightning's Trainer that it takes without a word and stumbles over later."""

import os
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer

SMALLEST = {
    "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "num_nodes": 1, "log_every_n_steps": 0,
    "reload_dataloaders_every_n_epochs": 0, "num_sanity_val_steps": -1, "gradient_clip_val": 0, "max_epochs": -1,
    "max_steps": -1, "min_epochs": 0, "min_steps": 0, "limit_train_batches": 0, "limit_val_batches": 0,
    "limit_test_batches": 0, "limit_predict_batches": 0, "overfit_batches": 0,
}  # fmt: skip
"""The smallest value of a setting; None is allowed everywhere."""

OTHER_NODES = ("MASTER_ADDR", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE")
"""Environment variables of which one at least is set where several nodes train together."""


def check_trainer_numbers(settings: Mapping[str, Any]) -> None:
    """Refuses what the Trainer cannot work with, as `--trainer.name value: …`.

    Args:
        settings: the Trainer's arguments by name, as far as they are given.

    Raises:
        ValueError: a number out of range, or more devices than there are.
    """
    for name, smallest in SMALLEST.items():
        value = settings.get(name)
        if isinstance(value, int | float) and value < smallest:
            raise ValueError(f"--trainer.{name} {value}: at least {smallest}.")
    interval = settings.get("val_check_interval")
    if isinstance(interval, int | float) and (interval <= 0 or (isinstance(interval, float) and interval > 1)):
        raise ValueError(
            f"--trainer.val_check_interval {interval}: training batches between validations, a whole number from 1, or "
            "a share of an epoch above 0 and up to 1.0."
        )
    nodes = settings.get("num_nodes")
    if isinstance(nodes, int) and nodes > 1 and not any(name in os.environ for name in OTHER_NODES):
        raise ValueError(
            f"--trainer.num_nodes {nodes}: nothing says where the other nodes are, so this one would wait for them: "
            "start it by torchrun or SLURM, set MASTER_ADDR and NODE_RANK on each, or leave it out for one machine."
        )
    devices, accelerator = settings.get("devices"), settings.get("accelerator")
    wanted = int(devices) if isinstance(devices, int | str) and str(devices).lstrip("-").isdecimal() else None
    there = devices_of(str(accelerator))
    if wanted is not None and there is not None and not (wanted == -1 or 1 <= wanted <= there):
        raise ValueError(
            f"--trainer.devices {devices}: accelerator {accelerator} takes at most {there}, each a process; "
            f"give 1 to {there}, or leave it out."
        )


def devices_of(accelerator: str) -> int | None:
    """How many devices there are; on the CPU one per core, but 4 at least to try several. None: Lightning knows."""
    import torch

    if accelerator in ("auto", "None"):
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator in ("gpu", "cuda"):
        return torch.cuda.device_count() or None
    return max(os.cpu_count() or 1, 4) if accelerator == "cpu" else None


def refuse_no_steps(trainer: Trainer) -> None:
    """Refuses a fit that trains on nothing, which would leave results without a checkpoint.

    Raises:
        ValueError: no epoch, no step or no batch is asked for.
    """
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if getattr(trainer, name) == 0:
            raise ValueError(
                f"--trainer.{name} 0 trains on nothing: give at least 1. To evaluate a checkpoint there are `lhy "
                "validate` and `lhy test`."
            )


def check_numbers(trainer: Trainer) -> None:
    """Refuses numbers of a Trainer made in Python that would fail in mid-run, as `lhy` does those of its flags.

    Raises:
        ValueError: names the argument and what it may be.
    """
    names = (*SMALLEST, "val_check_interval")
    check_trainer_numbers({name: getattr(trainer, name) for name in names if hasattr(trainer, name)})


def check_trainer_settings(settings: Mapping[str, Any]) -> None:
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
