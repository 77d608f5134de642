"""Recipes of several steps as they are read: what `before` may say, and what its placeholders stand for."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lhy_lightning.cli.flags import option
from lhy_lightning.cli.recipes import RecipeError, find_recipe
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.settings_file import read_settings

PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
DONE = {"fit": "results.json", "predict": "predictions.tsv"}
"""The commands that a step may be, and the file that each leaves when it is done."""


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A recipe's settings.

    Raises:
        ValueError: the file holds none, is no YAML of settings, or its `before` is no list of command lines.
    """
    settings = read_settings(path)
    if not settings:
        raise ValueError(f"{path} holds no settings: `lhy copy quickstart my.yaml` makes a recipe to change.")
    before = settings.get("before")
    if before is not None and not (isinstance(before, list) and all(isinstance(line, str) for line in before)):
        raise ValueError(f"{path}: `before` is a list of command lines, such as `- fit --config quickstart`.")
    for line in before or []:
        _check_step(Path(path), line)
    return settings


def _check_step(path: Path, line: str) -> None:
    """Refuses a line of `before` that cannot be run.

    Raises:
        ValueError: it is neither a `fit` nor a `predict`, a quotation does not end, or it runs the recipe itself.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"{path}: the step `{line}` of `before`: {error}.") from error
    if not words or words[0] not in DONE:
        raise ValueError(f"{path}: the step `{line}` of `before` begins with neither {' nor '.join(DONE)}.")
    config = option(words, "--config")[0]
    try:
        found = find_recipe(config) if config is not None else None
    except RecipeError:  # told when the step is run, which may have been done
        return
    if found is not None and found.resolve() == path.resolve():
        raise ValueError(f"{path}: the step `{line}` of `before` runs this recipe itself, without end.")


def settings_of(argv: list[str], recipe: Mapping[str, Any], name: str) -> Callable[[str], str]:
    """Looks a placeholder up: the command line first, then the recipe.

    Raises:
        ValueError: (when looking up) neither has it.
    """
    root = option(argv, "--trainer.default_root_dir")[0] or "runs"

    def look_up(key: str) -> str:
        if key in ("name", "root"):
            return name if key == "name" else root
        given = option(argv, f"--{key}")[0]
        if given is not None:
            return given
        value: Any = recipe
        for part in key.split("."):
            value = value.get("init_args", value).get(part) if isinstance(value, Mapping) else None
        if value is None:
            raise ValueError(f"this recipe needs --{key} (its `before` steps use it).")
        return str(value)

    return look_up


def fill(text: str, look_up: Callable[[str], str]) -> str:
    """Text with its placeholders replaced."""
    return PLACEHOLDER.sub(lambda found: look_up(found[1]), text)


def filled(value: Any, look_up: Callable[[str], str]) -> Any:
    """Settings with the placeholders of their strings replaced."""
    if isinstance(value, dict):
        return {key: filled(item, look_up) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, look_up) for item in value]
    return fill(value, look_up) if isinstance(value, str) else value


def last_recipe(argv: list[str]) -> tuple[dict[str, Any], str] | None:
    """Settings of the command line's recipe and the run's name, if the recipe has steps before it."""
    config = option(argv, "--config")[0]
    if config is None:
        return None
    recipe = read_recipe(find_recipe(config))
    if not recipe.get("before"):
        return None
    return recipe, option(argv, "--name")[0] or run_folder.name_of_recipe(config)
