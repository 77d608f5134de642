"""What a bad input is: a few lines that make it, how a user would give it to us, and the sentence that must come."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Trainer

from lhy_lightning.cli.__main__ import TRAINING_COMMANDS, main

Ending = Literal["line", "counted", "right"]
"""`line`: one line of error before training; `counted`: goes on and says so by number; `right`: read as it is meant."""


@dataclass(frozen=True)
class BadInput:
    """One input that went wrong once, here or for users of like projects.

    Attributes:
        what: a few words for the table.
        make: writes the input into an empty folder, which is also the current one.
        read: gives it to the package as a user would; for `right` it asserts what must come.
        says: regular expression that the line of error, or one of the warnings, must match.
        ends: how it must end.
        kind: the part of the package that it goes to, such as "tables" or "images".
    """

    what: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    says: str = ""
    ends: Ending = "line"
    kind: str = ""


def nothing(folder: Path) -> None:
    """For inputs that are settings alone."""


def command(*arguments: str) -> Callable[[Path], None]:
    """`lhy …` in process; `{folder}` in an argument is the folder of the input."""

    def run(folder: Path) -> None:
        quick = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
        words = [word.replace("{folder}", str(folder)) for word in arguments]
        if code := main([words[0], *(quick if words[0] in TRAINING_COMMANDS else []), *words[1:]]):
            raise SystemExit(code)

    return run


def set_up(data_module: Callable[..., Any], source: str = "", **arguments: Any) -> Callable[[Path], None]:
    """`DataModule(source=folder/source, …).setup("fit")`, what the Trainer would call; without a source the default."""

    def run(folder: Path) -> None:
        given = {
            name: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
            for name, value in arguments.items()
        }
        if source:
            given["source"] = source if source.startswith("embedded:") else str(folder / source)
        data_module(**given).setup("fit")

    return run


def fit(
    model: Callable[..., Any], data_module: Callable[..., Any], settings: dict[str, Any] | None = None, **arguments: Any
) -> Callable[[Path], None]:
    """`Trainer().fit` in Python of a model on a data module, whose `source` is a file in the folder where given."""

    def run(folder: Path) -> None:
        given = {
            name: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
            for name, value in arguments.items()
        }
        if "source" in given:
            given["source"] = str(folder / given["source"])
        trainer = Trainer(
            max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(model(**(settings or {})), data_module(**given))

    return run


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    """Writes one file, texts as UTF-8."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make
