"""Settings of the Trainer and of the checkpoints that cannot work."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lhy_lightning import DANN, VADA, BertTagger, ImageClassifier, ImageDataModule, TaggingDataModule
from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.training.checks.trainer_numbers import check_trainer_settings
from tests.bad_input.case import BadInput, command, nothing
from tests.smallest_modules import smallest


def fitted(**settings: Any) -> Any:
    def read(folder: Path) -> None:
        quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        module = ImageClassifier(network="vgg", depth=3, width=4)
        Trainer(**{**quiet, **settings}).fit(module, datamodule=ImageDataModule())

    return read


def kept(**settings: Any) -> Any:
    """A fit that keeps its best epoch by a figure."""

    def read(folder: Path) -> None:
        fitted(enable_checkpointing=True, callbacks=[BestCheckpoint(**settings)], max_steps=1)(folder)

    return read


def tags(folder: Path) -> None:
    rows = "".join(
        f"we O\nsaw O\nOslo{n % 7} B-PLACE\n" + ("x domain=en\n" if n % 9 == 0 else "") + "\n" for n in range(60)
    )
    (folder / "tags.conll").write_text(rows)


def tagged(folder: Path) -> None:
    data = TaggingDataModule(str(folder / "tags.conll"), batch_size=4, vocab_size=60, max_length=16)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    module = BertTagger(layers=1, width=8, heads=2, feedforward=8)
    Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", **quiet).fit(module, datamodule=data)


def set_up(name: str, precision: Any) -> Any:
    def read(folder: Path) -> None:
        module = smallest(name)
        module.trainer = Trainer(precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False)
        module.setup("fit")

    return read


def flag(name: str, value: Any) -> Any:
    return lambda folder: check_trainer_settings({name: value})


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
    BadInput(
        "--best.monitor of a figure that is not logged",
        nothing,
        kept(monitor="val/nothing", mode="min"),
        r"--best.monitor val/nothing: nothing of that name is logged; there is .*val/",
        kind="checkpoints",
    ),
    BadInput(
        "--best.monitor misspelt",
        nothing,
        kept(monitor="val/acuracy", mode="max"),
        r"--best.monitor val/acuracy: .*; there is val/accuracy",
        kind="checkpoints",
    ),
    BadInput(
        "--best.mode that is none",
        nothing,
        lambda folder: command("fit", "--config", "quickstart", "--best.monitor", "val/loss", "--best.mode", "most")(
            folder
        ),
        r"best.mode is 'max', 'min' or null, not 'most'",
        kind="checkpoints",
    ),
    *(
        BadInput(
            f"--last.{name} {value}",
            nothing,
            lambda folder, given={name: value}: LastCheckpoint(**given),
            says,
            kind="checkpoints",
        )
        for name, value, says in (
            ("every_n_minutes", -1.0, r"last.every_n_minutes=-1.0: above 0"),
            ("every_n_minutes", 0.0, r"last.every_n_minutes=0.0: above 0"),
            ("every_n_minutes", float("nan"), r"last.every_n_minutes=nan: above 0"),
            ("every_n_steps", 0, r"last.every_n_steps=0: at least 1"),
        )
    ),
    BadInput(
        "a tag that marks no entity among those that do",
        tags,
        tagged,
        r"accuracy over words is reported .*'domain=en' of the 3 tags",
        "counted",
        kind="tagged words",
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
