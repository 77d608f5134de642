"""What a checkpoint and the `config.yaml` of a run folder may set when the command line reads them."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.core.trusted_classes import check_settings, class_from_file

CLASSES = {"model": LightningModule, "data": LightningDataModule}
"""Groups of which the file names a class, and its kind."""
SETTINGS = {"trainer": Trainer, "best": BestCheckpoint, "last": LastCheckpoint}
"""Groups of settings of one class."""
PLAIN = ("seed_everything", "wandb", "evaluate")


def check_run_settings(settings: object, file: object) -> None:
    """Refuses settings of a file that travels with weights wherever they name code or what is not there.

    Args:
        settings: the whole file, or what a checkpoint says of its classes.
        file: for the message.

    Raises:
        ImportError, TypeError: by the rule of `trusted_classes`.
    """
    if not isinstance(settings, Mapping):
        raise TypeError(f"{file} holds no settings by name.")
    for name, value in settings.items():
        if name in CLASSES and value is not None:
            _check_class(value, CLASSES[name], file)
        elif name in SETTINGS and value is not None:
            check_settings(value, SETTINGS[name], file)
        elif name in PLAIN and not (value is None or isinstance(value, str | int | float)):
            raise TypeError(f"{file} has {value!r} as {name}, where a word or number is expected.")
        elif name not in (*CLASSES, *SETTINGS, *PLAIN):
            raise TypeError(f"{file} has the setting {name!r}, which a run folder has not: give it by --config.")


def _check_class(value: Any, kind: type, file: object) -> None:
    if not isinstance(value, Mapping) or not {"class_path"} <= set(value) <= {"class_path", "init_args"}:
        raise TypeError(f"{file} has {value!r} where class_path and init_args of a {kind.__name__} are expected.")
    check_settings(value.get("init_args") or {}, class_from_file(value["class_path"], kind, file), file)
