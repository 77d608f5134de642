"""Settings and files of `save_pretrained`, of a folder or of the Hugging Face Hub."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from lhy_lightning.core.trusted_classes import check_settings
from lhy_lightning.training.checkpoints import (
    class_path,
    is_path_of,
)
from lhy_lightning.training.checks.checkpoint_fit import json_settings


def plain(value: Any) -> Any:
    """Tuples to lists and the like, as JSON would have it."""
    return json.loads(json.dumps(value))


def tuples(value: Any) -> Any:
    """Lists back to tuples, the form that constructor arguments take in Python."""
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value


def as_tuple(value: Any) -> Any:
    """A list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def saved_file(model_id: str, name: str, **place: Any) -> Path:
    """A file of a saved module: of a local folder, whether it is there or not, else downloaded from the hub.

    Args:
        model_id: folder or hub id.
        name: of the file.
        place: which revision, and where and how it is kept, as `hf_hub_download` takes them.
    """
    folder = Path(model_id)
    return folder / name if folder.is_dir() else Path(hf_hub_download(model_id, name, **place))


def saved_settings(file: Path, cls: type) -> dict[str, Any]:
    """The constructor arguments in a file that `save_pretrained` wrote.

    Raises:
        TypeError: another class wrote it, or it has settings that the class does not have.
    """
    settings = json_settings(file)
    if not is_path_of(made_by := settings.pop("class_path", class_path(cls)), cls):
        raise TypeError(f"{file.parent} was saved by {made_by}, not by {class_path(cls)}: load it with its own class.")
    check_settings(settings, cls, file)
    return settings
