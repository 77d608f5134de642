"""Which classes and settings a file may name that travels with weights: the one place that decides it.

Checkpoints, `save_pretrained` folders and the `config.yaml` of a run folder may come from anyone, so what they name
must not run code: neither by being imported, nor by being called with arguments from the file. A recipe that the user
names by `--config`, and a module that the user imports, are the user's own word and are not asked here.
"""

import difflib
import enum
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module
from pathlib import PurePath
from typing import Any

import yaml

import lhy_lightning
from lhy_lightning.core.arguments.renamed import OLD_NAMES, with_new_names
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.core.messages import short

PUBLIC_NAMES: tuple[str, ...] = tuple(vars(lhy_lightning)["__all__"])
"""By vars, as type checkers read `__init__.pyi`, where each name stands once."""

PACKAGES = ("lhy_lightning", "lightning")
"""Whose modules a file may have imported. All others must have been imported by the user."""

PLAIN = (
    str, bytes, int, float, complex, types.NoneType, list, tuple, set, frozenset, dict, os.PathLike, PurePath, date,
    timedelta, enum.Enum,
)  # fmt: skip
"""Types whose values are no objects of a class that a file could choose."""


def public_address(path: str) -> str:
    """`lhy_lightning.GAN` for any path of ours that ends in this public name, as files of older versions have them.

    Any other path, and the short name alone, are as they are.
    """
    name = path.rpartition(".")[2]
    ours = path.startswith("lhy_lightning.") and name in PUBLIC_NAMES
    return f"lhy_lightning.{name}" if ours else path


def with_names_of_today(value: Any) -> Any:
    """Settings with each old path of a public class, wherever it stands as a text, as its address, and its arguments
    by the names that they have now.
    """
    if isinstance(value, Mapping):
        value = {name: with_names_of_today(item) for name, item in value.items()}
        if "init_args" in value:
            value["init_args"] = settings_of_today(value.get("class_path"), value["init_args"])
        return value
    if isinstance(value, list):
        return [with_names_of_today(item) for item in value]
    return public_address(value) if isinstance(value, str) else value


def settings_of_today(path: object, settings: Any) -> Any:
    """The settings of a class that a file names, arguments by the names that they have now.

    The class is only looked up, and its module imported, where an old name is among them.
    """
    if not isinstance(path, str) or not isinstance(settings, Mapping) or OLD_NAMES.isdisjoint(settings):
        return settings
    kind = find_class(path)
    return settings if kind is None else with_new_names(kind, settings)


def find_class(path: str) -> type | None:
    """The class of a dotted path or public short name, without importing a module that is not ours or Lightning's.

    A path of ours that ends in a public name means the class of this name, whether its module is there or not.

    Returns:
        None where there is none, where the name means something else than a class, or where its module is another's and
        has not been imported.
    """
    module, _, name = public_address(path).rpartition(".")
    if module in ("", "lhy_lightning"):
        found = getattr(lhy_lightning, name) if name in PUBLIC_NAMES else None
    elif module.split(".")[0] in PACKAGES:
        try:
            found = getattr(import_module(module), name, None)
        except ImportError:
            return None
    else:  # not by getattr: a module may import others when it is asked for a name
        found = vars(sys.modules.get(module, types.ModuleType(module))).get(name)
    return found if isinstance(found, type) else None


def class_from_file(path: object, kinds: type | tuple[type, ...], file: object) -> type:
    """The class that a file names, found before anything else is imported.

    Args:
        path: what stands in the file.
        kinds: what the class must be a subclass of.
        file: for the message.

    Raises:
        ImportError: the name is not of this package or of Lightning, and its module has not been imported.
        TypeError: the name is that of a function, a module, or a class of another kind.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(path, str):
        there = "nothing" if path is None else repr(path)
        raise TypeError(f"{file} has {there} where the name of its class, a {wanted}, is expected.")
    module, _, name = public_address(path).rpartition(".")
    found = find_class(path)
    if found is not None and issubclass(found, kinds):
        return found
    if found is not None or name in vars(sys.modules.get(module, object)) or (not module and name in PUBLIC_NAMES):
        raise TypeError(f"{file} names {path}, which is no {wanted}.")
    if module == "__main__":
        where = "was made in a script or notebook: move the class into a module, and save again."
    elif not module or module.split(".")[0] in PACKAGES or module in sys.modules:
        where = "is not there in the versions installed here."
    else:
        where = (
            f"a file from elsewhere may not have imported. If {module} is yours, import it first: `--import {module}` "
            f"on the command line, `import {module}` in Python."
        )
    raise ImportError(f"{file} names {path}, which {where}")


class _Unreadable:
    """Stands for a class that an annotation names and that only a type checker knows: no file can name one of it."""


@dataclass(frozen=True)
class Takes:
    """What a parameter takes by its annotation.

    Attributes:
        kinds: classes of which a file may name a subclass.
        text: any text.
        code: functions, modules, or classes as such.
        anything: there is no annotation, or one that allows any value.
    """

    kinds: tuple[type, ...] = ()
    text: bool = False
    code: bool = False
    anything: bool = False


def takes(annotation: Any) -> Takes:
    """Reads an annotation; containers and unions take what their parts take."""
    if annotation in (inspect.Parameter.empty, Any, object) or isinstance(annotation, typing.TypeVar):
        return Takes(anything=True)
    if isinstance(annotation, str | typing.ForwardRef):  # could not be resolved
        return Takes(kinds=(_Unreadable,), code="Callable" in str(annotation))
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return Takes()
    if annotation in (Callable, typing.Callable, type, type[Any], types.ModuleType, types.FunctionType) or origin in (
        Callable,
        type,
    ):
        return Takes(code=True)
    if hasattr(annotation, "__supertype__") or isinstance(annotation, getattr(typing, "TypeAliasType", ())):
        return takes(getattr(annotation, "__supertype__", None) or annotation.__value__)
    if origin is not None:
        parts = [takes(part) for part in typing.get_args(annotation)[: 1 if origin is typing.Annotated else None]]
        if isinstance(origin, type) and not issubclass(origin, Iterable | types.UnionType):
            parts.append(takes(origin))
        return Takes(
            kinds=tuple(dict.fromkeys(kind for part in parts for kind in part.kinds)),
            text=any(part.text for part in parts),
            code=any(part.code for part in parts),
            anything=any(part.anything for part in parts),
        )
    if annotation is None or annotation is ... or not isinstance(annotation, type) or issubclass(annotation, PLAIN):
        return Takes(text=annotation is str)
    if getattr(annotation, "_is_protocol", False):
        return Takes(code=True)
    return Takes(kinds=(annotation,))


def check_settings(settings: object, cls: type, file: object) -> None:
    """Refuses settings from a file that the class does not have, and such as name code.

    Args:
        settings: constructor arguments by name; nested `class_path` and `init_args` are gone through.
        cls: whose settings they are.
        file: for the message.

    Raises:
        ImportError: a nested class is not one that a file may name.
        TypeError: no such setting; one that names a function; a nested class of another kind.
    """
    if not isinstance(settings, Mapping):
        raise TypeError(f"{file} has {settings!r} where the settings of {cls.__name__} are expected.")
    known = constructor_arguments(cls)
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.55)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise TypeError(f"{file} has the setting {name!r}, which {cls.__name__} has not.{meant}")
        _check_value(value, takes(known[name]), f"{cls.__name__}.{name}", file)


def _check_value(value: object, of: Takes, setting: str, file: object) -> None:
    """Goes through one value, however deep, of a setting that takes `of`."""
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _check_value(item, of, setting, file)
    elif (of.code and value is not None and not isinstance(value, bool | int | float)) or callable(value):
        raise TypeError(
            f"{file} names code, {short(value, 80)}, as {setting}: files that travel with weights may not. If it is "
            "your own, say it in a recipe and give that by --config."
        )
    elif isinstance(value, str):
        _check_text(value, of, setting, file)
    elif isinstance(value, Mapping):
        _check_mapping(value, of, setting, file)


def _check_text(value: str, of: Takes, setting: str, file: object) -> None:
    if of.kinds and "." in value and all(part.isidentifier() for part in value.split(".")):
        class_from_file(value, of.kinds, file)
    elif of.kinds and (set(value) & set("/\\") or os.path.exists(value)):
        raise TypeError(f"{file} has {short(value)} as {setting}, which the parser would read as a file of settings.")
    elif of.kinds and not of.text and not value.replace("_", "").isalnum():
        raise TypeError(f"{file} has {short(value)} as {setting}, which is no name of a class.")
    elif of.kinds or of.anything:  # where a text may be something else, the parser reads it as YAML
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            return
        if not isinstance(read, str):
            _check_value(read, of, setting, file)


def _check_mapping(value: Mapping[Any, Any], of: Takes, setting: str, file: object) -> None:
    if "class_path" in value or "init_args" in value:
        if extra := set(value) - {"class_path", "init_args"}:
            raise TypeError(f"{file} has {', '.join(map(str, sorted(extra, key=str)))} beside the class of {setting}.")
        if not of.kinds:
            named = short(value.get("class_path"), 80)
            raise TypeError(f"{file} names a class, {named}, as {setting}, which takes none.")
        found = class_from_file(value.get("class_path"), of.kinds, file)
        check_settings(value.get("init_args") or {}, found, file)
    elif of.kinds:  # settings of the class itself, not named
        fitting = [kind for kind in of.kinds if set(value) <= set(constructor_arguments(kind))]
        if not fitting:
            raise TypeError(f"{file} has {short(value)} as {setting}, which is no class and its settings.")
        check_settings(value, fitting[0], file)
    else:
        for item in value.values():
            _check_value(item, of, setting, file)
