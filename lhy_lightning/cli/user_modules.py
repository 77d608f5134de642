"""Modules of the user's own, which are imported because the user says so on the command line or in a recipe."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from lhy_lightning.core.trusted_classes import public_address


def import_for_user(modules: Sequence[str]) -> None:
    """Imports what `--import` names, from the current folder too, so that files may name its classes.

    Raises:
        ValueError: that is no module's name.
        ImportError: there is no such module.
    """
    if modules and not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # last: a file there hides no installed package
    for name in modules:
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"--import {name}: give a module's name, as Python's `import` takes it: my_module for my_module.py."
            )
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # it was found, and imports something itself that is not there
            raise ImportError(
                f"--import {name}: there is no such module, neither in {os.getcwd()} nor among what is installed."
            ) from error


def import_named_classes(recipes: Sequence[Mapping[str, Any]], flags: Sequence[str]) -> None:
    """Imports the modules of classes that the user's own recipes and flags name, as parsing them does later.

    A checkpoint or a run folder, which may not import anything, can then name them too. What cannot be imported is
    left to the parser, which says so.
    """
    named = [path for recipe in recipes for path in _class_paths(recipe)]
    for place, flag in enumerate(flags):
        name, joined, value = flag.partition("=")
        if name.removesuffix(".class_path") in ("--model", "--data"):
            named.append(value if joined else "".join(flags[place + 1 : place + 2]))
    for path in named:
        if (module := public_address(path).rpartition(".")[0]) not in ("", "lhy_lightning"):
            with suppress(ImportError, ValueError):
                import_module(module)


def _class_paths(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if isinstance(value, str) and name in ("class_path", "model", "data"):
                yield value
            yield from _class_paths(value)
    elif isinstance(settings, list):
        for item in settings:
            yield from _class_paths(item)
