"""Settings of the Trainer and of the checkpoints that cannot work."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lhy_lightning import DANN, VADA, BertTagger, ImageClassifier, ImageDataModule
from lhy_lightning.trainer_flags import check_settings
from tests.bad_input.case import BadInput, nothing
from tests.smallest_modules import smallest


def fitted(**settings: Any) -> Any:
    def read(folder: Path) -> None:
        quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        module = ImageClassifier(network="vgg", depth=3, width=4)
        Trainer(**{**quiet, **settings}).fit(module, datamodule=ImageDataModule())

    return read


def set_up(name: str, precision: Any) -> Any:
    def read(folder: Path) -> None:
        module = smallest(name)
        module.trainer = Trainer(precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False)
        module.setup("fit")

    return read


def flag(name: str, value: Any) -> Any:
    return lambda folder: check_settings({name: value})


INPUTS = [
    *(
        BadInput(f"--trainer.{name} {value}", nothing, fitted(**{name: value}), says, kind="Trainer")
        for name, value, says in (
            ("accumulate_grad_batches", 0, r"--trainer.accumulate_grad_batches 0: at least 1"),
            ("accumulate_grad_batches", -1, r"--trainer.accumulate_grad_batches -1: at least 1"),
            ("check_val_every_n_epoch", 0, r"--trainer.check_val_every_n_epoch 0: at least 1"),
            ("val_check_interval", 0, r"--trainer.val_check_interval 0: .*above 0"),
            ("gradient_clip_val", -1.0, r"--trainer.gradient_clip_val -1.0: at least 0"),
            ("log_every_n_steps", -5, r"--trainer.log_every_n_steps -5: at least 0"),
        )
    ),
    *(
        BadInput(
            f"{cls.__name__} with precision {precision}", nothing, set_up(cls.__name__, precision), says, kind="Trainer"
        )
        for cls, precision, says in (
            (ImageClassifier, "16-true", r"ImageClassifier cannot .* precision 16-true: .*bf16-mixed"),
            (BertTagger, "16-true", r"BertTagger cannot .* precision 16-true: .*bf16-mixed"),
            (DANN, "16-true", r"DANN cannot .* precision 16-true: .*bf16-mixed"),
            (VADA, "bf16-true", r"VADA cannot .* precision bf16-true: .*virtual adversarial.*bf16-mixed"),
        )
    ),
    BadInput("--trainer.barebones", nothing, flag("barebones", True), r"barebones true .*Leave it out", kind="Trainer"),
    BadInput(
        "--trainer.enable_checkpointing false",
        nothing,
        flag("enable_checkpointing", False),
        r"enable_checkpointing false: .*best.ckpt.*fast_dev_run",
        kind="Trainer",
    ),
]
