"""The command line before it is parsed: files found, settings in the order recipe < checkpoint < flags."""

import argparse
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.runs.run_settings import check_run_settings
from lhy_lightning.cli.step_recipes import filled, read_recipe, settings_of
from lhy_lightning.cli.user_modules import import_for_user, import_named_classes
from lhy_lightning.core.arguments.renamed import OLD_NAMES, with_new_names
from lhy_lightning.core.plain_values import plain
from lhy_lightning.core.trusted_classes import find_class, public_address, with_names_of_today
from lhy_lightning.core.writable import check_writable
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.checks.checkpoint_fit import check_resumable

_OLD_PATH = re.compile(r"(?<![\w./\\-])lhy_lightning(?:\.\w+){2,}(?![\w./\\-])")
"""What may be the path of a class in a flag, alone or within JSON; no part of a file's name."""


NOT_IN_RECIPES = ("ckpt_path", "name", "overwrite", "traceback", "weights_only", "verbose", "return_predictions")


ELSEWHERE = "choose another by --name or --trainer.default_root_dir"


@dataclass
class Command:
    """A command line with its files found and its order put right."""

    subcommand: str
    arguments: list[str]
    folder: Path
    checkpoints: list[Path] = field(default_factory=list)
    resumed_step: int | None = None
    flags: list[str] = field(default_factory=list)
    clears: bool = False
    """Whether an earlier run's files in the folder are removed when training starts."""
    root: Path = Path("runs")


class FirstParser(argparse.ArgumentParser):
    """Errors as the second parser's: one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}.")


def prepare(argv: list[str]) -> Command:
    """Finds recipe, run folder and checkpoints, and puts the settings in order.

    Raises:
        FileNotFoundError, FileExistsError: recipe or checkpoint missing; a run of that name is there.
        ValueError: several checkpoints for another command than `predict` or `test`.
    """
    subcommand, *rest = argv
    own, flags = own_flags(rest)
    if "--help" in flags or "-h" in flags:
        return Command(subcommand, [subcommand, *flags], Path())

    import_for_user(own.modules)
    root = Path(own.root)
    recipes = [without_steps(name, argv, own.name) for name in own.config]
    recipe = None if not own.config else run_folder.name_of_recipe(own.config[-1])
    command = Command(subcommand, [subcommand], Path(), flags=flags, root=root)
    with_files: list[str] = list(recipes)
    if own.name:
        run_folder.check_name(root, own.name)
    if own.name or own.ckpt_path is None:
        check_writable(root / own.name if own.name else (root / (recipe or "run")).parent, ELSEWHERE)
    overwrite = own.overwrite.lower() in ("true", "1", "yes")
    if not overwrite and own.overwrite.lower() not in ("false", "0", "no"):
        raise ValueError(f"--overwrite {own.overwrite!r}: true or false.")
    again = run_folder.start_again(own.ckpt_path, root, own.name, recipe) if subcommand == "fit" else None
    if again is not None:
        own.ckpt_path, own.name = None, str(again.relative_to(root))
        if not recipes and (again / "config.yaml").is_file():
            settings = _without(again / "config.yaml", NOT_IN_RECIPES)
            check_run_settings(settings, again / "config.yaml")
            recipes = with_files = [_as_file(settings)]
    if own.ckpt_path is not None:
        command.checkpoints = [
            run_folder.find_checkpoint(which.strip(), root, own.name, recipe) for which in own.ckpt_path.split(",")
        ]
        if len(command.checkpoints) > 1 and subcommand not in ("predict", "test"):
            raise ValueError(
                f"--ckpt_path names {len(command.checkpoints)} files; only `lhy predict` and `lhy test` average them."
            )
        import_named_classes([read_recipe(recipe) for recipe in recipes], flags)
        run = run_folder.run_of(command.checkpoints[0])
        if not recipes and run is not None and (run / "config.yaml").is_file():
            settings = _without(run / "config.yaml", NOT_IN_RECIPES)
            check_run_settings(settings, run / "config.yaml")
            if subcommand == "predict" and _other_source(flags):
                # a homework's submission is of the homework's pictures
                (settings.get("trainer") or {}).pop("callbacks", None)
            with_files.append(_as_file(settings))
        named = root / own.name if own.name else None
        command.folder = (run if run and named in (None, run) else named) or root / command.checkpoints[0].stem
        checkpoint = read_checkpoint(command.checkpoints[0])
        _check_class(checkpoint, recipes, command.checkpoints[0])
        settings = _settings_of(checkpoint, subcommand, flags)
        check_run_settings(settings, command.checkpoints[0])
        with_files.append(_as_file(settings))
        if subcommand == "fit":
            check_resumable(checkpoint, command.checkpoints[0])
            command.resumed_step = int(checkpoint["global_step"])
            command.clears = run_folder.take_resumed(command.folder, run, overwrite=overwrite)
    elif subcommand == "fit":
        if not recipes and not any(flag.startswith("--model") for flag in flags):
            raise ValueError(
                "no recipe given: add --config NAME (`lhy recipes` lists them), or name the classes, for example "
                "--model ImageClassifier --data ImageDataModule --data.source photos/."
            )
        command.folder = run_folder.new_run_folder(root, own.name, recipe or "run", overwrite=overwrite)
        command.clears = overwrite or (command.folder / "config.yaml").is_file()
    else:
        raise ValueError(f"`lhy {subcommand}` needs --ckpt_path: best, last, a run folder or a checkpoint file.")
    check_writable(command.folder, ELSEWHERE)
    flags = flags_of_today(flags, with_files)
    command.arguments += [part for file in with_files for part in ("--config", file)]
    command.arguments += ["--trainer.default_root_dir", str(root), *flags, *nodes(flags)]
    return command


def own_flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags that the command line answers before it is parsed, and all others, classes at today's addresses."""
    first = FirstParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", "-c", action="append", default=[])
    first.add_argument("--name")
    first.add_argument("--overwrite", nargs="?", const="true", default="false")
    first.add_argument("--ckpt_path")
    first.add_argument("--trainer.default_root_dir", dest="root", default="runs")
    first.add_argument("--import", dest="modules", action="append", default=[])
    own, flags = first.parse_known_args(arguments)
    return own, [_OLD_PATH.sub(lambda found: public_address(found[0]), flag) for flag in flags]


def without_steps(recipe: str, argv: list[str], name: str | None) -> str:
    """A recipe's file as it is; of one with steps before it a file without them, its placeholders filled.

    One that names classes by the paths of an older version is such a file too: the parser would import their modules.
    """
    path = str(find_recipe(recipe))
    settings = read_recipe(path)
    if not settings.pop("before", None):
        today = with_names_of_today(settings)
        return path if settings == today else _as_file(today)
    return _as_file(filled(settings, settings_of(argv, settings, name or run_folder.name_of_recipe(recipe))))


def flags_of_today(flags: list[str], files: list[str]) -> list[str]:
    """Flags of the model's and the data module's arguments by their names of today.

    Args:
        flags: of the command line.
        files: recipes and settings before them, the last of which names the class where no flag does.
    """
    names = [flag.split("=")[0].rpartition(".")[2] for flag in flags if flag.startswith(("--model.", "--data."))]
    if OLD_NAMES.isdisjoint(names):
        return flags
    kinds = {group: _class_of(group, flags, files) for group in ("model", "data")}

    def today(flag: str) -> str:
        name, equals, value = flag.partition("=")
        group, _, argument = name.removeprefix("--").rpartition(".")
        kind = kinds.get(group.removesuffix(".init_args"))
        if not flag.startswith("--") or argument not in OLD_NAMES or kind is None:
            return flag
        return f"--{group}.{next(iter(with_new_names(kind, {argument: None})))}{equals}{value}"

    return [today(flag) for flag in flags]


def _class_of(group: str, flags: list[str], files: list[str]) -> type | None:
    """The class of `model` or `data`: by the last flag that names it, else by the last file."""
    for at in reversed(range(len(flags))):
        name, equals, value = flags[at].partition("=")
        if name in (f"--{group}", f"--{group}.class_path"):
            return find_class(value if equals else flags[at + 1] if at + 1 < len(flags) else "")
    for file in reversed(files):
        said = read_recipe(file).get(group)
        path = said.get("class_path") if isinstance(said, dict) else said
        if isinstance(path, str):
            return find_class(path)
    return None


def _other_source(flags: list[str]) -> bool:
    return any(flag.split("=")[0] == "--data.source" for flag in flags)


def _without(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    settings = {key: value for key, value in read_recipe(path).items() if key not in keys}
    kept: dict[str, Any] = with_names_of_today(settings)
    return kept


def _as_file(settings: dict[str, Any]) -> str:
    """Settings, classes at their addresses of today, as a temporary YAML file.

    It is removed when it is read, or this process ends.

    It lies in a folder of its own: a value such as `auto` may be the name of a file of settings beside it.
    """
    folder = tempfile.mkdtemp(prefix="lhy-")
    _temporary_folders.append(folder)
    file = Path(folder) / "settings.yaml"
    file.write_text(yaml.safe_dump(with_names_of_today(settings)), "utf8")
    return str(file)


_temporary_folders: list[str] = []


def remove_temporary_files() -> None:
    """Removes the files that settings were written into for the parser."""
    while _temporary_folders:
        shutil.rmtree(_temporary_folders.pop(), ignore_errors=True)


def _check_class(checkpoint: dict[str, Any], recipes: list[str], path: Path) -> None:
    """Refuses a checkpoint of another class than the recipe's."""
    made_by = str(checkpoint.get("class_path", ""))
    for recipe in recipes:
        model = read_recipe(recipe).get("model")
        asked = model.get("class_path", "") if isinstance(model, dict) else (model or "")
        if asked and made_by and asked.rpartition(".")[2] != made_by.rpartition(".")[2]:
            raise ValueError(
                f"{path} was made by {made_by}, but {recipe} asks for {asked}: use the recipe it came from."
            )


def _settings_of(checkpoint: dict[str, Any], subcommand: str, flags: list[str]) -> dict[str, Any]:
    """What a checkpoint says of its classes, as one more config file."""
    settings: dict[str, Any] = {}
    if "class_path" in checkpoint:
        init = plain(dict(checkpoint.get("hyper_parameters", {})))
        settings["model"] = {"class_path": checkpoint["class_path"], "init_args": init}
    if "data_class_path" in checkpoint:
        init = plain(dict(checkpoint.get("datamodule_hyper_parameters", {})))
        if subcommand != "fit" and _other_source(flags):
            # Another source brings its own splits: those that the training data named apart are not its.
            init |= {name: None for name in init if name.endswith("_source")}
        settings["data"] = {"class_path": checkpoint["data_class_path"], "init_args": init}
    if "seed" in checkpoint:
        settings["seed_everything"] = checkpoint["seed"]
    return settings


def nodes(flags: list[str]) -> list[str]:
    """Devices and nodes as torchrun or SLURM started them: left unsaid, every node would train on its own."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        devices, nodes = local, world // local
    elif SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", os.environ.get("SLURM_JOB_NUM_NODES", "1")))
        devices = int(os.environ["SLURM_NTASKS"]) // nodes
    else:
        return []
    given = {flag.split("=")[0] for flag in flags}
    said = {"--trainer.devices": devices, "--trainer.num_nodes": nodes}
    return [part for name, value in said.items() if name not in given for part in (name, str(value))]
