"""Recipes of several steps: what a recipe's `before` names is run first, each in a process of its own.

    before:
      - fit --config hw05/reverse --name {name}-reverse
      - predict --ckpt_path {root}/{name}-reverse --data.predict_source {data.monolingual}

`{name}` is the run's name, `{root}` the folder of runs, and `{data.monolingual}` any setting of the command line or of
the recipe. A step that is done with the settings asked for is not run again (but by `--overwrite`), one that was cut
off goes on, the last one too. A `fit` gets the `--trainer` flags of the command line, the `--data` flags that its data
module has, and, where the last step starts from its weights (`start_from`), the `--model` flags of what both have
alike, such as the network's width; but for those that a placeholder takes. A `predict` gets the `--trainer` flags.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhy_lightning.cli.flags import option, overwrites
from lhy_lightning.cli.recipes import RecipeError, find_recipe
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.runs.asked_settings import Resolve, check_same, differences, flat
from lhy_lightning.cli.settings_file import read_settings
from lhy_lightning.core.atomic_files import write_whole
from lhy_lightning.training.checks.resumed_settings import same_value

PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
DONE = {"fit": "results.json", "predict": "predictions.tsv"}
NOTE = "predict_step.json"
OF_THE_CALL = (
    "--config",
    "--name",
    "--overwrite",
    "--ckpt_path",
    "--traceback",
    "--trainer.default_root_dir",
    "--import",
)


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


def run_steps(argv: list[str], run_one: Callable[[list[str]], int], resolve: Resolve) -> int:
    """Runs the steps before a `fit` that are not done. Returns 0, or the exit code of the step that failed.

    Args:
        argv: the command line.
        run_one: runs one command line and returns its exit code.
        resolve: tells all settings of a `fit`.

    Raises:
        ValueError: a placeholder without a value, a step that is there with other settings, or several processes that
            `torchrun` or SLURM started.
    """
    if not argv or argv[0] != "fit" or {"--help", "-h", "--print_config"} & set(argv):
        return 0
    if option(argv, "--ckpt_path")[0] is not None or run_folder.started_by_another_process():
        return 0
    if (found := last_recipe(argv)) is None:
        return 0
    recipe, name = found
    look_up = settings_of(argv, recipe, name)
    overwrite, _ = overwrites(argv)
    resolve(argv)  # a flag that the last step cannot take is told of before the first one
    taken = {f"--{key}" for line in recipe["before"] for key in PLACEHOLDER.findall(line)}
    steps = [
        Step.of([fill(word, look_up) for word in shlex.split(line)], argv, taken, look_up, resolve)
        for line in recipe["before"]
    ]
    to_do = [step for step in steps if overwrite or not step.is_done()]
    if to_do and run_folder.launched_from_outside():
        raise ValueError(
            "this recipe has steps before it, which start processes of their own; under torchrun or SLURM run them one "
            "by one: " + " · ".join("lhy " + shlex.join(step.words(overwrite)) for step in to_do)
        )
    tell_of_flags(argv, steps, taken)
    for place, step in enumerate(steps, 1):
        words = step.words(overwrite)
        print(f"step {place} of {len(steps) + 1}: lhy {shlex.join(words)}", flush=True)
        if step not in to_do and step.is_done():  # what an earlier step replaces is no longer there
            print(f"    done before: {step.result}", flush=True)
            continue
        os.environ.pop(run_folder.ENVIRONMENT_KEY, None)
        if code := run_one(words):
            return code
        step.note_done()
    print(f"step {len(steps) + 1} of {len(steps) + 1}: lhy {shlex.join(argv)}", flush=True)
    return 0


def go_on(argv: list[str], resolve: Resolve) -> list[str]:
    """The command line of a recipe with steps, going on from its checkpoint where its last step was cut off.

    Raises:
        ValueError: the last step of the name given was cut off with other settings.
    """
    if not argv or argv[0] != "fit" or option(argv, "--ckpt_path")[0] is not None or overwrites(argv)[0]:
        return argv
    if (found := last_recipe(argv)) is None:
        return argv
    folder = Path(option(argv, "--trainer.default_root_dir")[0] or "runs") / found[1]
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file() or run_folder.is_finished(folder):
        return argv
    asked = resolve(argv)
    if option(argv, "--name")[0] is not None:
        check_same(folder, asked, "the run that was cut off in")
    elif differences(folder, asked):
        return argv  # another run of this recipe, which gets a number
    return [*argv, "--ckpt_path", str(last)]


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
            write_whole(self.folder / NOTE, json.dumps(self._note(), indent=2) + "\n")

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


def tell_of_flags(argv: list[str], steps: list[Step], taken: set[str]) -> None:
    """Prints which flags no step before the last one gets, nor a placeholder."""
    before = {word.split("=")[0] for step in steps for word in (*step.flags, *step.command)} | taken | set(OF_THE_CALL)
    flags = [argument.split("=")[0] for argument in argv if argument.startswith("--")]
    if only := [flag for flag in dict.fromkeys(flags) if flag not in before]:
        print(f"only the last step gets {', '.join(only)}", flush=True)
