"""One step of a recipe: the flags that it gets, whether it was done before, and the command that does it.

A `fit` gets the `--trainer` flags of the command line, the `--data` flags that its data
module has, and, where the last step starts from its weights (`start_from`), the `--model` flags of what both have
alike, such as the network's width; but for those that a placeholder takes. A `predict` gets the `--trainer` flags.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhy_lightning.cli.flags import option
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.runs.asked_settings import Resolve, check_same, flat
from lhy_lightning.cli.step_recipes import DONE, fill, last_recipe
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.training.checks.resumed_settings import same_value

NOTE = "predict_step.json"
"""Beside predictions: what made them."""


@dataclass
class Step:
    """One step of a recipe.

    Attributes:
        command: as the recipe has it, filled.
        flags: of the command line that it gets too.
        folder: the run that it makes, or predicts with.
        resolve: tells all settings of a `fit`.
    """

    command: list[str]
    flags: list[str]
    folder: Path
    resolve: Resolve

    @classmethod
    def of(
        cls, command: list[str], argv: list[str], taken: set[str], look_up: Callable[[str], str], resolve: Resolve
    ) -> "Step":
        """A step with the flags of the command line that it has settings for, but for those that placeholders take."""
        root = look_up("root")
        name, checkpoint = option(command, "--name")[0], option(command, "--ckpt_path")[0]
        folder = Path(root) / name if name else Path(checkpoint or root)
        here = {argument.split("=")[0] for argument in command}
        flags = [(flag, words) for flag, words in flags_of(argv) if flag not in taken | here]
        imports = [word for flag, words in flags_of(argv, ("--import",)) if flag == "--import" for word in words]
        if command[0] != "fit":
            trainer = [word for flag, words in flags if flag.startswith("--trainer.") for word in words]
            return cls(command, [*imports, *trainer], folder, resolve)
        kinds: tuple[str, ...] = ("--data.", "--model.") if gives_weights(argv, folder, look_up) else ("--data.",)
        own: dict[str, Any] = {}
        if any(flag.startswith(kinds) for flag, _ in flags):
            own = dict(flat(resolve([*command, *imports])))
        if any(flag.startswith(kinds[1:]) for flag, _ in flags):
            of_network = [word for flag, words in flags_of(argv) if flag.startswith("--model.") for word in words]
            last = dict(flat(resolve([word for word in argv if word not in of_network])))
            own = {
                key: value for key, value in own.items() if key.startswith("data.") or same_value(last.get(key), value)
            }
        passed = [
            word
            for flag, words in flags
            if flag.startswith("--trainer.") or (flag.startswith(kinds) and setting(flag) in own)
            for word in words
        ]
        return cls(command, [*imports, *passed], folder, resolve)

    @property
    def result(self) -> Path:
        """The file that is there when the step is done."""
        return self.folder / DONE.get(self.command[0], "results.json")

    def is_done(self) -> bool:
        """Whether the step was done before, as it is asked for now.

        Raises:
            ValueError: a `fit` that was done, or was cut off, with other settings.
        """
        if self.command[0] != "fit":
            return self.result.is_file() and self._note() == _read(self.folder / NOTE)
        if run_folder.is_run(self.folder):
            check_same(self.folder, self.resolve([*self.command, *self.flags]), "a step of this recipe,")
        return run_folder.is_finished(self.folder)

    def words(self, overwrite: bool) -> list[str]:
        """The whole command; a `fit` that was cut off goes on."""
        last = self.folder / "checkpoints" / "last.ckpt"
        cut_off = self.command[0] == "fit" and run_folder.is_run(self.folder) and not self.result.is_file()
        more: list[str] = []
        if self.command[0] == "fit" and (overwrite or (cut_off and not last.is_file())):
            more = ["--overwrite", "true"]
        elif cut_off:
            more = ["--ckpt_path", str(last)]
        return [*self.command, *self.flags, *more]

    def note_done(self) -> None:
        """Notes beside predictions what made them; a `fit` has its config.yaml."""
        if self.command[0] != "fit":
            atomic_write(self.folder / NOTE, json.dumps(self._note(), indent=2) + "\n")

    def _note(self) -> dict[str, Any]:
        return {"command": self.command, "of": _read(self.folder / "results.json")}


def _read(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or it was cut off."""
    try:
        return json.loads(path.read_text("utf8"))
    except (OSError, ValueError):
        return None


def flags_of(
    argv: list[str], kinds: tuple[str, ...] = ("--trainer.", "--data.", "--model.")
) -> list[tuple[str, list[str]]]:
    """The flags of a command line that begin so, each with its words."""
    found = []
    for place, argument in enumerate(argv):
        if argument.startswith(kinds):
            value = [] if "=" in argument or place + 1 == len(argv) else [argv[place + 1]]
            found.append((argument.split("=")[0], [argument, *value]))
    return found


def setting(flag: str) -> str:
    """`model.width` of `--model.width` or `--model.init_args.width`."""
    return flag[2:].replace(".init_args.", ".")


def gives_weights(argv: list[str], folder: Path, look_up: Callable[[str], str]) -> bool:
    """Whether the recipe's training starts from the weights of the run in `folder`: then both are one network."""
    found = last_recipe(argv)
    model = found[0].get("model") if found else None
    arguments = model.get("init_args") if isinstance(model, Mapping) else None
    start = arguments.get("start_from") if isinstance(arguments, Mapping) else None
    return start is not None and Path(fill(str(start), look_up)).is_relative_to(folder)
