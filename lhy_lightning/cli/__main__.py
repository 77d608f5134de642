"""The `lhy` command: answers what needs no torch itself and hands training over to `training_cli`.

Nothing here may import torch, Lightning, numpy or a data library at the top: `lhy --help`, `lhy recipes` and
`lhy copy` are to answer at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from lhy_lightning import __version__
from lhy_lightning.cli.recipes import RecipeError, comment_block, find_recipe, list_recipes, recipe_table, recipe_text
from lhy_lightning.core.writable import make_folder, write_error

TRAINING_COMMANDS = ("fit", "validate", "test", "predict")

HELP = """\
lhy: train, evaluate and use the models of Hung-yi Lee's course

usage: lhy COMMAND [OPTIONS]

  fit        train:              lhy fit --config hw03/strong --data.source food-11/
  validate   validation score:   lhy validate --ckpt_path best --config hw03/strong
  test       test score:         lhy test --ckpt_path runs/quickstart
  predict    label pictures:     lhy predict --ckpt_path runs/hw03/strong --data.source photos/

  recipes    list the recipes with data, time and expected score; `lhy recipes NAME` shows one
  copy       copy a recipe to change it:   lhy copy hw03/strong mine.yaml && lhy fit --config mine.yaml

A recipe is a YAML file; --config takes its short name or a path, and every value in it can be overridden:
  lhy fit --config quickstart --model.lr 0.01 --trainer.max_epochs 5
An own class comes from a module of yours: lhy fit --import my_module --model my_module.Net ...
A run leaves runs/<recipe>/, or runs/<name>/ by --name, with config.yaml, metrics.csv, curves.png, checkpoints/ and
samples/. With --ckpt_path last it goes on where it was killed; --ckpt_path also takes best, a run folder, or a file.

  lhy COMMAND --help   all options of a command; --traceback shows where an error was raised
  lhy --version
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Runs one command line.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        The exit code; None is success.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("--help", "-h", "help"):
        return _until_the_reader_leaves(lambda: print(HELP, end=""))
    if command == "--version":
        print(f"lhy_lightning {__version__}")
        return 0
    if command in TRAINING_COMMANDS:
        try:
            from lhy_lightning.cli.training import main as train

            return train(arguments)
        except KeyboardInterrupt:  # while torch is imported; later ones are answered there
            return 130
    if command in _FRONT_COMMANDS:
        try:
            return _until_the_reader_leaves(lambda: _FRONT_COMMANDS[command](arguments[1:]))
        except (RecipeError, OSError) as error:
            return _fail(str(error))
    return _fail(_unknown_command(command))


def _until_the_reader_leaves(answer: Callable[[], int | None]) -> int:
    """Prints an answer; `lhy recipes | head` has read enough before its end, which is no error."""
    try:
        code = answer()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        return 0
    return code or 0


class _Parser(argparse.ArgumentParser):
    """argparse, with an error of one line as those of all other commands."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{message} ({self.format_usage().strip()})")


def recipes(arguments: Sequence[str]) -> int:
    """`lhy recipes`: the table of all recipes, or one recipe's header."""
    parser = _Parser(prog="lhy recipes", description="List the recipes, or show what one says of itself.")
    parser.add_argument("recipe", nargs="?", metavar="NAME", help="a recipe's name or path: print its header")
    name = parser.parse_args(arguments).recipe
    if name is None:
        print(recipe_table(list_recipes()))
        print("\nlhy recipes NAME shows one, lhy fit --config NAME runs it, lhy copy NAME FILE copies it.")
        return 0
    path = find_recipe(name)
    print("\n".join(comment_block(recipe_text(path))).strip())
    print(f"\n{path}")
    return 0


def copy(arguments: Sequence[str]) -> int:
    """`lhy copy`: a recipe written to a file of the user's, whole or not at all."""
    parser = _Parser(prog="lhy copy", description="Copy a recipe, to change it.")
    parser.add_argument("recipe", metavar="NAME", help="a recipe's name or path")
    parser.add_argument("destination", metavar="FILE", type=Path, help="the new file, or a folder to put it in")
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it is there")
    given = parser.parse_args(arguments)
    source = find_recipe(given.recipe)
    destination: Path = given.destination
    if destination.is_dir():
        destination = destination / source.name
    if destination.exists() and not given.force:
        return _fail(f"{destination} is already there; --force overwrites it")
    content = source.read_bytes()
    make_folder(destination.parent)
    unfinished = destination.with_name(f".{destination.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(destination)
    except OSError as error:
        raise write_error(destination, error) from error
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{destination}: a copy of {given.recipe}; run it with: lhy fit --config {destination}")
    return 0


_FRONT_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"recipes": recipes, "copy": copy}


def _unknown_command(command: str) -> str:
    if command.startswith("-"):
        return f"options come after the command, as in `lhy fit {command} ...` (`lhy --help` lists the commands)"
    commands = [*TRAINING_COMMANDS, *_FRONT_COMMANDS]
    near = get_close_matches(command, [*commands, "train"], n=1, cutoff=0.5)
    hint = {"train": "fit"}.get(near[0], near[0]) if near else ""
    message = f"there is no command {command!r}"
    return message + (f"; did you mean {hint!r}?" if hint else f"; commands: {', '.join(commands)}")


def _fail(message: str) -> int:
    print(f"lhy: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
