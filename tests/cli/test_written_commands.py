"""A header is a promise: the command line takes every `lhy` command that recipes' headers and READMEs show."""

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Trainer

import lhy_lightning
from lhy_lightning.cli.__main__ import TRAINING_COMMANDS
from lhy_lightning.cli.command_line import Command
from lhy_lightning.cli.errors import parameters
from lhy_lightning.cli.library_errors import Phase
from lhy_lightning.cli.recipes import comment_block, find_recipe, list_recipes, shipped_folder
from lhy_lightning.cli.training_cli import TrainingCLI

ROOT = Path(__file__).parents[2]
OPTIONAL = re.compile(r"\[(--[^\]]*)\]")
CALLBACKS = ("--best.", "--last.")
ALWAYS = {
    "--config", "--ckpt_path", "--name", "--overwrite", "--evaluate", "--wandb", "--seed_everything", "--traceback",
    "--import", "--print_config", "--help",
}  # fmt: skip
NOT_SETTINGS = ("--config", "--ckpt_path", "--import")


def joined_lines(lines: list[str]) -> str:
    """Text in which a command's indented or escaped continuation stands in its line."""
    text = ""
    for line in lines:
        goes_on = line.startswith((" ", "\t")) or text.rstrip().endswith("\\")
        text = text.rstrip().rstrip("\\") + " " + line.strip() if goes_on else text + "\n" + line
    return text


def commands_of(text: str) -> Iterator[str]:
    """Commands behind `key: ` in a header, or alone in a line of a code block."""
    for line in text.splitlines():
        found = re.match(r"\s*(?:[a-z0-9 ]+:\s+)?(lhy (?:fit|validate|test|predict)\s.*)", line)
        if found and "NAME" not in found[1] and "COMMAND" not in found[1]:
            yield re.split(r"  #| && |   | \(", found[1])[0].strip().rstrip(";.,")


def written_commands() -> list[tuple[str, str]]:
    """Where it stands, and the command."""
    found = []
    for recipe in list_recipes(ROOT / "no folder of the user's"):
        header = joined_lines(list(comment_block(recipe.path.read_text("utf8"))))
        found += [(f"recipe {recipe.name}", command) for command in commands_of(header)]
    readmes = [*ROOT.glob("*.md"), *ROOT.glob("lhy_lightning/**/*.md")] if shipped_folder() == ROOT / "recipes" else []
    for path in readmes:
        blocks = re.findall(r"```(?:sh|bash)?\n(.*?)```", path.read_text("utf8"), re.DOTALL)
        for block in blocks:
            found += [
                (str(path.relative_to(ROOT)), command) for command in commands_of(joined_lines(block.split("\n")))
            ]
    return list(dict.fromkeys(found))


class Found(Exception):
    """Raised to leave the command line once its parser is there."""


class ParserAlone(TrainingCLI):
    """The command line up to its parser."""

    def parse_arguments(self, parser: Any, args: Any) -> None:
        raise Found(parser)


@pytest.fixture(scope="module")
def parser() -> Any:
    for name in lhy_lightning.__all__:
        getattr(lhy_lightning, name)
    with pytest.raises(Found) as raised:
        ParserAlone(Command("fit", ["fit"], Path()), Phase())
    return raised.value.args[0]


def test_commands_are_found() -> None:
    found = written_commands()
    assert len(found) > 60
    assert all(command.split()[1] in TRAINING_COMMANDS for _, command in found)


def without_steps(recipe: Path, folder: Path) -> Path:
    """The recipe as the parser gets it: what runs before it is commands of its own."""
    settings = yaml.safe_load(recipe.read_text("utf8"))
    settings.pop("before", None)
    plain = folder / f"{recipe.parent.name}-{recipe.name}"
    plain.write_text(yaml.safe_dump(settings))
    return plain


def known_options(recipes: list[Path], words: list[str]) -> tuple[set[str], list[str]]:
    """Options of the command line whatever the classes, and those of the classes that recipe and flags name."""
    options = {f"--trainer.{name}" for name in inspect.signature(Trainer).parameters} | ALWAYS
    named: list[str] = []
    for group in ("model", "data"):
        given = [words[n + 1] for n, word in enumerate(words) if word == f"--{group}"]
        settings = [yaml.safe_load(recipe.read_text("utf8")).get(group) for recipe in recipes]
        given += [found["class_path"] for found in settings if isinstance(found, dict)]
        named += given
        options |= {f"--{group}.{name}" for path in given[:1] for name in parameters(path)}
    return options, named


def test_every_written_command_names_recipes_and_options_that_are_there() -> None:
    wrong = []
    for place, command in written_commands():
        words = shlex.split(OPTIONAL.sub(r"\1", command))[1:]
        names = [words[n + 1] for n, word in enumerate(words) if word == "--config"]
        shipped = [name for name in names if not name.endswith((".yaml", ".yml"))]  # others are the user's own
        options, classes = known_options([find_recipe(name) for name in shipped], words)
        given = {word.split("=")[0] for word in words if word.startswith("--")} - {"--model", "--data"}
        if not classes or "--import" in words:  # a checkpoint or the user's own file names the classes
            given = {word for word in given if not word.startswith(("--model.", "--data."))}
        wrong += [f"{place}: {command}: {option}" for option in given - options if not option.startswith(CALLBACKS)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_every_written_command_is_one_that_the_command_line_takes(
    parser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    for place, command in written_commands():
        words = shlex.split(OPTIONAL.sub(r"\1", command))[1:]
        names = [words[n + 1] for n, word in enumerate(words) if word == "--config"]
        shipped = [name for name in names if not name.endswith((".yaml", ".yml"))]  # others are the user's own
        settings = [word for n, word in enumerate(words[1:], 1) if not {word, words[n - 1]} & set(NOT_SETTINGS)]
        try:
            files = [str(without_steps(find_recipe(name), tmp_path)) for name in shipped]
        except ValueError as error:
            refused.append(f"{place}: {command}: {error}")
            continue
        if not settings or (names and not shipped) or "--import" in words:
            continue  # that recipes parse, others test; classes of the user's are not here
        if not files and "--model" not in words:  # the checkpoint names the classes, which are not known here
            settings = [word for word in settings if word.startswith("--trainer.")]
            settings += ["--model", "ImageClassifier", "--data", "ImageDataModule"]
        monkeypatch.setattr("sys.argv", ["lhy", *words])
        try:
            parser.parse_args([words[0], *(part for file in files for part in ("--config", file)), *settings])
        except SystemExit:
            refused.append(f"{place}: {command}: {capsys.readouterr().err.strip()}")
    assert not refused, "\n".join(refused)
