"""Recipes of several steps: what a recipe's `before` names is run first, each in a process of its own.

    before:
      - fit --config hw05/reverse --name {name}-reverse
      - predict --ckpt_path {root}/{name}-reverse --data.predict_source {data.monolingual}

`{name}` is the run's name, `{root}` the folder of runs, and `{data.monolingual}` any setting of the command line or of
the recipe. A step that is done is not run again, one that was cut off goes on. A `fit` gets the `--trainer` and
`--data` flags of the command line too, but for those that a placeholder takes; a `predict` gets the `--trainer` flags.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lhy_lightning import run_folder
from lhy_lightning.folds import option
from lhy_lightning.recipes import find_recipe
from lhy_lightning.settings_file import read_settings

PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
DONE = {"fit": "results.json", "predict": "predictions.tsv"}


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
    return settings


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


def run_steps(argv: list[str], run_one: Callable[[list[str]], int]) -> int:
    """Runs the steps before a `fit`. Returns 0, or the exit code of the step that failed.

    Args:
        argv: the command line.
        run_one: runs one command line and returns its exit code.

    Raises:
        ValueError: a placeholder without a value, or several processes that `torchrun` or SLURM started.
    """
    if not argv or argv[0] != "fit" or {"--help", "-h", "--print_config"} & set(argv):
        return 0
    if option(argv, "--ckpt_path")[0] is not None or (found := last_recipe(argv)) is None:
        return 0
    recipe, name = found
    look_up = settings_of(argv, recipe, name)
    commands = [[fill(word, look_up) for word in shlex.split(line)] for line in recipe["before"]]
    if run_folder.launched_from_outside():
        raise ValueError(
            "this recipe has steps before it, which start processes of their own; under torchrun or SLURM run them one "
            "by one: " + " · ".join("lhy " + shlex.join(command) for command in commands)
        )
    taken = {f"--{key}" for line in recipe["before"] for key in PLACEHOLDER.findall(line)}
    for place, command in enumerate(commands, 1):
        print(f"step {place} of {len(commands) + 1}: lhy {shlex.join(command)}", flush=True)
        if code := run_step(command, passed_on(argv, command, taken), look_up("root"), run_one):
            return code
    print(f"step {len(commands) + 1} of {len(commands) + 1}: {name}", flush=True)
    return 0


def passed_on(argv: list[str], command: list[str], taken: set[str]) -> list[str]:
    """The flags of the command line that a step gets too."""
    kinds = ("--trainer.", "--data.") if command[0] == "fit" else ("--trainer.",)
    flags: list[str] = ["--traceback"] if "--traceback" in argv else []
    for place, argument in enumerate(argv):
        flag = argument.split("=")[0]
        if not flag.startswith(kinds) or flag in taken or flag in command:
            continue
        value = [] if "=" in argument or place + 1 == len(argv) else [argv[place + 1]]
        flags += [argument, *value]
    return flags


def run_step(command: list[str], flags: list[str], root: str, run_one: Callable[[list[str]], int]) -> int:
    """Runs one step unless it is done; a `fit` that was cut off goes on."""
    name = option(command, "--name")[0]
    checkpoint = option(command, "--ckpt_path")[0]
    folder = Path(root) / name if name else Path(checkpoint or root)
    done = folder / DONE.get(command[0], "results.json")
    if done.is_file():
        print(f"    done before: {done}", flush=True)
        return 0
    os.environ.pop(run_folder.ENVIRONMENT_KEY, None)
    go_on: list[str] = []
    if command[0] == "fit":
        last = folder / "checkpoints" / "last.ckpt"
        go_on = ["--ckpt_path", str(last)] if last.is_file() else ["--overwrite", "true"]
    return run_one([*command, *flags, *go_on])
