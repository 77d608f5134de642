"""Errors that a library raises while input is read: one line in its words, with the file or setting it came from.

Two rules. Until the first batch goes through the model (`Phase`) every error is about input, as nothing else has been
done yet. Where it came from is read off the traceback: which of the data module, the model and the Trainer was at work,
and which file the innermost function of this package had been given.
"""

import errno
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import nn

from lhy_lightning.core.messages import first_of

PACKAGE = Path(__file__).parents[1]
LONGEST = 400
"""Characters of a library's own words."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG)


class Phase(Callback):
    """Notes when the first batch goes through the model: an error from then on may be a bug, and keeps its traceback.

    Attributes:
        running: whether a batch of the stage at work has been trained on, validated, tested or predicted.
    """

    running = False

    def setup(self, *arguments: Any, **named: Any) -> None:
        self.running = False  # also of what is evaluated after training, which reads other rows

    def on_train_batch_start(self, *arguments: Any) -> None:
        self.running = True

    def on_validation_batch_start(self, *arguments: Any) -> None:
        self.running = True

    def on_test_batch_start(self, *arguments: Any) -> None:
        self.running = True

    def on_predict_batch_start(self, *arguments: Any) -> None:
        self.running = True


def in_library_words(error: BaseException, argv: Sequence[str] = ()) -> str:
    """`--data.source a.parquet: no magic bytes in footer (pyarrow's words; --traceback shows the rest)`.

    Args:
        error: what was raised while input was read.
        argv: the command line, for the settings that it came from.
    """
    cause = root_cause(error)
    places = [place for place in (settings_at_work(error, argv), file_at_work(error)) if place]
    if len(places) == 2 and places[1] in places[0]:
        places.pop()
    return ": ".join([*places, f"{words(cause)} ({speaker(cause)}; --traceback shows the rest)"])


def fault_of_the_machine(error: BaseException) -> str | None:
    """What is said, at any time of a run, of a full or read-only disk or of memory that is used up; else None."""
    if isinstance(error, torch.OutOfMemoryError):
        return "the accelerator's memory is used up: lower --data.batch_size (and --data.eval_batch_size)."
    if isinstance(error, OSError) and error.errno in DISK and error.filename:
        return f"{error.filename}: {error.strerror}."
    return None


def root_cause(error: BaseException) -> BaseException:
    """What was raised first: a library's wrapper, as `datasets` has it, says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def words(error: BaseException) -> str:
    """The first line of an error, as a phrase where it is only a name."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, KeyError) and error.args:
        return f"there is no {error.args[0]!r}"
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return f"{type(error).__name__} without a message"
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return text.rstrip(".") if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def speaker(error: BaseException) -> str:
    """Whose words these are: `torch's words`, or the bare kind of error where they are Python's."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = Path(frames[-1].filename).parts if frames else ()
    where = next((number for number, part in enumerate(parts) if part == "site-packages"), None)
    kind = type(error).__name__
    return kind if where is None else f"{kind}, {parts[where + 1].removesuffix('.py')}'s words"


def frames_of(error: BaseException) -> list[FrameType]:
    """The frames that an error went through, the innermost first, with those of its causes."""
    found: list[FrameType] = []
    step: BaseException | None = error
    while step is not None:
        found += [frame for frame, _ in traceback.walk_tb(step.__traceback__)]
        step = step.__cause__
    return found[::-1]


def owner(error: BaseException) -> tuple[str, Any] | None:
    """The group of settings at work, `data`, `model` or `trainer`, and the object; None before any is built."""
    layer: Any = None
    for frame in frames_of(error):
        this = frame.f_locals.get("self")
        if isinstance(this, LightningDataModule):
            return "data", this
        if isinstance(this, LightningModule):
            return "model", this
        if isinstance(this, Trainer):
            return ("trainer", this) if layer is None else ("model", layer)
        if isinstance(this, nn.Module):  # a layer is built and run by the model, an augmentation by the data module
            layer = this
    return None if layer is None else ("model", layer)


def settings_at_work(error: BaseException, argv: Sequence[str]) -> str:
    """Flags of the group that was at work, such as `--data.source a.parquet`; else the recipe."""
    given = flags(argv)
    found = owner(error)
    said = str(root_cause(error))
    if found is None:
        named = [f"{name} {value}" for name, value in given.items() if value and value in said.split()]
        return ", ".join(named) or given_recipe(given)
    group, at_work = found
    own = {name: value for name, value in given.items() if name.startswith(f"--{group}.")}
    if group == "data":
        source = getattr(at_work, "hparams", {}).get("source")
        if "--data.source" not in own and isinstance(source, str):
            own = {"--data.source": source, **own}
    if not own:
        name = type(at_work).__name__ if group != "trainer" else "Trainer"
        return " ".join(part for part in (given_recipe(given), f"({group} {name})") if part)
    telling = {name: value for name, value in own.items() if name.rpartition(".")[2] in said}
    shown = [f"{name} {value}" for name, value in (telling or own).items()]
    return first_of(shown, 4)


def given_recipe(given: dict[str, str]) -> str:
    """`--config hw03/strong`, or nothing."""
    return f"--config {given['--config']}" if "--config" in given else ""


def flags(argv: Sequence[str]) -> dict[str, str]:
    """The options of a command line and their values."""
    found: dict[str, str] = {}
    for place, argument in enumerate(argv):
        if not argument.startswith("--"):
            continue
        name, joined, value = argument.partition("=")
        if not joined and place + 1 < len(argv) and not argv[place + 1].startswith("--"):
            value = argv[place + 1]
        found[name] = value
    return found


def file_at_work(error: BaseException) -> str:
    """The file that the innermost function of this package was reading, as far as a variable of it tells."""
    for frame in frames_of(error):
        if PACKAGE not in Path(frame.f_code.co_filename).parents:
            continue
        for name in ("path", "file", "source"):
            value = frame.f_locals.get(name)
            if isinstance(value, Path) or (isinstance(value, str) and 0 < len(value) < 300 and Path(value).exists()):
                return str(value)
    return ""
