"""Checkpoints that are written whole or not at all, and that say which classes rebuild them."""

import importlib
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lhy_lightning.checksums import check_archive
from lhy_lightning.whole_file import whole_file


def class_path(cls: type) -> str:
    """`package.module.Class`, the form in which jsonargparse and checkpoints name a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def import_class(path: str) -> type:
    """The class that a checkpoint names.

    Raises:
        ImportError: there is no such module or class here.
    """
    module, _, name = path.rpartition(".")
    try:
        found: type = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"the checkpoint was made by {path}, which cannot be imported here: {error}") from error
    return found


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint's plain content (numbers, strings, tensors) without running code from the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint, is cut off or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}.")
    check_archive(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from error
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise ValueError(f"{path} is no Lightning checkpoint: it holds no state_dict.")
    return loaded


def load_modules(paths: list[Path]) -> list[Any]:
    """The modules of several checkpoints, each of the class that made it, on the CPU."""
    classes: list[Any] = [import_class(read_checkpoint(path)["class_path"]) for path in paths]
    return [
        made_by.load_from_checkpoint(path, map_location="cpu") for made_by, path in zip(classes, paths, strict=True)
    ]


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples: nearly the size of a checkpoint of them."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(tensor_bytes, items))


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to disk, then renames: a full disk or a kill leaves the old file as it was.

    Reads only files that are what was written.

    Lightning's own way goes through the system's temporary folder; from another disk that is a copy over the old
    file in place.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        if "://" in str(path) and not str(path).startswith("file://"):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(str(path).removeprefix("file://"))
        try:
            with whole_file(target, flush_to_disk=True, size=tensor_bytes(checkpoint)) as file:
                torch.save(checkpoint, file)
        except Exception as error:
            kept = "; the one that was there is untouched" if target.exists() else ""
            raise OSError(f"the checkpoint {target} could not be written{kept}: {error}") from error

    def load_checkpoint(self, path: _PATH, *arguments: Any, **settings: Any) -> dict[str, Any]:
        if (local := Path(str(path).removeprefix("file://"))).is_file():
            check_archive(local)
        return super().load_checkpoint(path, *arguments, **settings)
