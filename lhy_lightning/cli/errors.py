"""Errors of the command line as one readable message that names the wrong option and the nearest right ones."""

import ast
import difflib
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.core.trusted_classes import PUBLIC_NAMES, find_class

PACKAGE = Path(__file__).parents[1]

ELSEWHERE = {
    "doc_stride": " It means the overlap of two windows in transformers and the step between them in homework 7: set "
    "--data.window_overlap, the overlap in tokens.",
    "import": " Modules are imported by `--import my_module` on the command line alone; no file may ask for it.",
}
"""Settings that other packages have and this one calls, or counts, otherwise."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean a, b?`, or nothing if no name is near."""
    if (other := ELSEWHERE.get(word.rpartition(".")[2].lstrip("-"))) is not None:
        return other
    names = sorted(set(known))
    holding = [name for name in names if word in name.split("_")]  # `lr` of `generator_lr`
    found = list(dict.fromkeys([*difflib.get_close_matches(word, names, n=3, cutoff=0.55), *holding]))[:3]
    return f" Did you mean {', '.join(found)}?" if found else ""


def explain(message: str, options: Iterable[str]) -> str:
    """Turns jsonargparse's message into a short one with suggestions.

    Args:
        message: what the parser says, often several lines with a chain of causes.
        options: all option strings of the parser, such as `--trainer.max_epochs`.
    """
    options = list(options)
    if match := re.search(r"class_path '?([\w.]+)'?[\s\S]*?(?:Option|Key|Parameter) '([\w.]+)' is not", message):
        path, name = match.groups()
        return f"{path.rpartition('.')[2]} has no setting {name!r}.{nearest(name.split('.')[0], parameters(path))}"
    if match := re.search(r"^(?:Option|Key) '([\w.]+)' is not (?:accepted|expected)", message):
        if (asked := of_a_class(match[1])) is not None:
            return asked
        settings = [option.removeprefix("--") for option in options]
        return f"there is no setting {match[1]!r}.{nearest(match[1], settings)}"
    if match := re.search(r"(?:[Uu]nrecognized arguments:|does not accept option) '?(?:--)?([\w.-]+)", message):
        word = f"--{match[1]}"
        group, _, name = word.removeprefix("--").partition(".")
        for cls in re.findall(r"--(?:model|data)[ =]([\w.]+)", " ".join(sys.argv)):
            options += [f"--{group}.{parameter}" for parameter in parameters(cls)]
        return f"there is no option {word}.{nearest(word, options)}"
    if (said := wrong_class(message)) is not None:
        return said
    if match := re.search(r"Expected a dot import path string: (\w+)|Import path (\S+) does not", message):
        word = next(filter(None, match.groups()))
        return f"there is no class {word!r}.{nearest(word, modules_by_name())}"
    if re.search(r"arguments are required: (?:\w+\.)?model\b", message):
        return "there is no model: give a recipe that names one by --config, or classes by --model and --data."
    if match := re.search(r"given class_path '(\S+)':\s+No module named", message):
        key = re.search(r'Parser key "([\w.]+)"', message)
        return f"{key[1] if key else 'a setting'} names {match[1]!r}, and there is no such class."
    if (said := wrong_value(message)) is not None:
        return said
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return one_line("\n".join(dict.fromkeys(lines[:6])))


IN_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null",
    "tuple": "a list", "list": "a list", "dict": "settings by name",
}  # fmt: skip


def wrong_value(message: str) -> str | None:
    """`metric is 'squad' or null, not 'bleu'.` for jsonargparse's list of types; None where it says something else."""
    key, given = re.search(r'Parser key "([\w.]+)"', message), re.search(r"(?:Got|Given) value: (.*)", message)
    types = re.findall(r"Expected an? (?:typing\.Literal(\[[^\]]*\])|<class '(\w+)'>)", message)
    if key is None or given is None or not types or len(types) != message.count("Expected a"):
        return None
    choices = [choice for listed, _ in types if listed for choice in ast.literal_eval(listed)]
    wanted = [*map(repr, choices), *(IN_WORDS.get(name, name) for _, name in types if name)]
    either = f"{', '.join(wanted[:-1])} or {wanted[-1]}" if len(wanted) > 1 else wanted[0]
    return f"{key[1]} is {either}, not {given[1]!r}.{nearest(given[1], (c for c in choices if isinstance(c, str)))}"


KINDS = {"model": ("a model", "LightningModule"), "data": ("a data module", "LightningDataModule")}
"""What the two settings that name a class take, in words and by base class."""


def modules_by_name() -> list[str]:
    """The public names that a command line takes as model or data module."""
    bases = [base for _, base in KINDS.values()]
    classes = [cls for name in PUBLIC_NAMES if (cls := find_class(name)) is not None]
    return [cls.__name__ for cls in classes if any(parent.__name__ in bases for parent in cls.__mro__)]


def wrong_class(message: str) -> str | None:
    """A sentence on a value of `model` or `data` that is no class, or is one of the other kind."""
    key, given = re.search(r'Parser key "(model|data)"', message), re.search(r"(?:Got|Given) value: (.*)", message)
    if key is None or given is None:
        return None
    kind, value = KINDS[key[1]][0], given[1].strip()
    if (cls := find_class(value)) is not None:
        for other, (words, base) in KINDS.items():
            if other != key[1] and any(parent.__name__ == base for parent in cls.__mro__):
                return f"{key[1]} is {kind}, and {cls.__name__} is {words}: give it by --{other}."
    if settings := re.search(r"Problem with given class_path '\S*?(\w+)':\s+'(\w+)' object has no attribute", message):
        return f"{key[1]}: init_args of {settings[1]} are settings by name (`name: value`), not of type {settings[2]}."
    if "class_path" not in value and (re.search(r"[\s\d\[{(]", value) or not value):
        return f"{key[1]} is {kind}, by its name or as class_path and init_args, not {value!r}."
    return None


def of_a_class(name: str) -> str | None:
    """`GAN has no setting 'lr' (--model.lr). Did you mean …?`; None where the command line does not name the class."""
    from lhy_lightning.cli.flags import option
    from lhy_lightning.cli.recipes import RecipeError, find_recipe
    from lhy_lightning.cli.settings_file import read_settings

    for group in KINDS:
        flag = f"--{group}.{name}"
        if not any(word.split("=")[0] == flag for word in sys.argv):
            continue
        path, config = option(sys.argv, f"--{group}")[0], option(sys.argv, "--config")[0]
        if path is None and config is not None:
            try:
                said = read_settings(find_recipe(config)).get(group)
            except (RecipeError, OSError, ValueError):
                return None
            path = said.get("class_path") if isinstance(said, dict) else said
        if isinstance(path, str) and find_class(path) is not None:
            return f"{path.rpartition('.')[2]} has no setting {name!r} ({flag}).{nearest(name, parameters(path))}"
    return None


def parameters(path: str) -> list[str]:
    """Names of the constructor arguments of a class given by its path or its public short name."""
    cls = find_class(path)
    return [] if cls is None else list(constructor_arguments(cls))


def report(message: str) -> NoReturn:
    """Prints `lhy: error: …` and leaves with exit code 2."""
    print(f"lhy: error: {message}", file=sys.stderr)
    raise SystemExit(2)


def message_for_user(error: BaseException) -> str | None:
    """What a user is told of an error, at whatever time of a run, by those who know; None for anything else.

    These are errors of this package (the innermost frame is ours), of Lightning where it says that the configuration
    is wrong, and of the machine. What a library raises while input is read is `in_library_words`.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from lhy_lightning.cli.library_errors import fault_of_the_machine
    from lhy_lightning.training.finite_losses import NonFiniteError

    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in chain:
        chain.append(step)
        step = step.__cause__ or step.__context__
    for cause in chain:
        frames = traceback.extract_tb(cause.__traceback__)
        ours = bool(frames) and PACKAGE in Path(frames[-1].filename).parents
        if isinstance(cause, MisconfigurationException) or (
            ours and isinstance(cause, ValueError | TypeError | OSError | ImportError | NonFiniteError)
        ):
            return one_line(str(cause))
        if (said := fault_of_the_machine(cause)) is not None:
            return said
    return None


def one_line(text: str) -> str:
    """A message without its line breaks; of one that quotes a library at length the beginning."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:6]) + (" …" if len(lines) > 6 else "")


class CommandParser(LightningArgumentParser):
    """Lightning's parser, with errors for people; an abbreviated option is a misspelt one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_abbrev = False

    def add_class_arguments(self, *arguments: Any, **settings: Any) -> Any:
        """As jsonargparse has it, but no value is the name of a file of settings, as Lightning asks for.

        Any file called `auto` in the current folder would be read in place of the word, which is a default.
        """
        return super().add_class_arguments(*arguments, **{**settings, "sub_configs": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if ex is not None and (said := message_for_user(ex)):
            report(said)
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        options = [option for action in parser._actions for option in action.option_strings]
        for action in parser._actions:
            if choices := getattr(action, "_name_parser_map", None):
                options += [o for sub in choices.values() for a in sub._actions for o in a.option_strings]
        report(explain(message, options))
