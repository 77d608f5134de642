"""Checkpoints that are written whole or not at all, that say which classes rebuild them, and that run no code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import LightningModule
from lightning.pytorch.core import saving
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lhy_lightning.core.arguments.renamed import with_new_names
from lhy_lightning.core.arguments.signatures import constructor_arguments, takes_named_arguments_alone
from lhy_lightning.core.atomic_files import atomic_open
from lhy_lightning.core.checksums import check_archive
from lhy_lightning.core.plain_files import load_plain, why_not_read
from lhy_lightning.core.trusted_classes import (
    check_settings,
    class_from_file,
    find_class,
    public_address,
    settings_of_today,
)


def class_path(cls: type) -> str:
    """The name by which files find a class: `lhy_lightning.GAN` of a public one, `package.module.Class` of others.

    It is what jsonargparse writes, which takes the shortest path.
    """
    path = f"{cls.__module__}.{cls.__qualname__}"
    address = public_address(path)
    return address if address != path and find_class(address) is cls else path


def is_path_of(made_by: object, cls: type) -> bool:
    """Whether what a file names is a class, at the address of today or by a path of an older version."""
    return isinstance(made_by, str) and public_address(made_by) == class_path(cls)


GIVEN = "_given"
"""Under this name a loader tells which arguments it was given beside the checkpoint."""


def of_known_settings(cls: type, settings: dict[str, Any]) -> Any:
    """Makes an object of those settings in a checkpoint that its class takes, and of all that were given beside it.

    Lightning leaves out others too, such as those of another version, but not where a class hands arguments on.
    """
    settings.pop("_class_path", None)
    given = settings.pop(GIVEN, ())
    kept = with_new_names(cls, {name: value for name, value in settings.items() if name not in given})
    asked = with_new_names(cls, {name: settings[name] for name in given if name in settings})
    settings, given = {**kept, **asked}, (*asked,)
    if takes_named_arguments_alone(cls):
        known = {*constructor_arguments(cls), *given}
        settings = {name: value for name, value in settings.items() if name in known}
    return cls(**settings)


MAKER = f"{__name__}.{of_known_settings.__name__}"
if (allowed := getattr(saving, "_ALLOWED_INSTANTIATORS", None)) is not None:  # Lightning asks for that
    allowed.add(MAKER)


def without_code(load: Callable[..., Any], path: Any, *places: Any, **arguments: Any) -> Any:
    """Calls Lightning's `load_from_checkpoint` such that the file runs no code, unless the caller asks for that.

    Args:
        load: the method.
        path: file, address or open file.
        places: further arguments, in Lightning's order.
        arguments: the same by name. Where `weights_only` is left out, it is true, for addresses too.

    Raises:
        ValueError: the file holds objects that could run code.
    """
    if len(places) < 4 and arguments.get("weights_only") is None:
        arguments["weights_only"] = True
    try:
        # A checkpoint may name the function that makes the object, and a class for it. Ours do not.
        return load(path, *places, **{**arguments, "_instantiator": MAKER, "_class_path": None, GIVEN: (*arguments,)})
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {why_not_read(error)}") from None


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
    loaded = load_plain(path, "a checkpoint", mmap=True)
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise ValueError(f"{path} is no Lightning checkpoint: it holds no state_dict.")
    for named, settings in (("class_path", "hyper_parameters"), ("data_class_path", "datamodule_hyper_parameters")):
        if settings in loaded:
            loaded[settings] = settings_of_today(loaded.get(named), loaded[settings])
    return loaded


def load_modules(paths: list[Path], kind: type | str = LightningModule) -> list[Any]:
    """The modules of several checkpoints, each of the class that made it, on the CPU.

    Args:
        paths: the files.
        kind: base class of what is wanted; its public name where importing it would be a circle.

    Raises:
        ImportError, TypeError: a checkpoint names a class that it may not name, or that is not of this kind, or
            settings which the class does not have (`trusted_classes`).
    """
    wanted = find_class(kind) if isinstance(kind, str) else kind
    assert wanted is not None, f"{kind} is no public name"
    classes: list[Any] = []
    for path in paths:
        checkpoint = read_checkpoint(path)
        classes.append(class_from_file(checkpoint.get("class_path"), wanted, path))
        check_settings(checkpoint.get("hyper_parameters", {}), classes[-1], path)
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

    Lightning's own way goes through the system's temporary folder; from another disk that is a copy over the old
    file in place. Reads only files that are what was written, and plain
    content only, unless asked otherwise.
    """

    def load_checkpoint(
        self, path: _PATH, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if (local := Path(str(path).removeprefix("file://"))).is_file():
            check_archive(local)
        try:
            return super().load_checkpoint(path, map_location, weights_only is not False)
        except pickle.UnpicklingError as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {why_not_read(error)}") from None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        if "://" in str(path) and not str(path).startswith("file://"):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(str(path).removeprefix("file://"))
        try:
            with atomic_open(target, flush_to_disk=True, size=tensor_bytes(checkpoint)) as file:
                torch.save(checkpoint, file)
        except Exception as error:
            kept = "; the one that was there is untouched" if target.exists() else ""
            raise OSError(f"the checkpoint {target} could not be written{kept}: {error}") from error
