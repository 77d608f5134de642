"""`lhy fit | validate | test | predict`: LightningCLI with recipes by name, stable run folders and readable errors.

Settings come in the order recipe < checkpoint < flags. To that end the command line is rewritten before it is
parsed: recipes first, then what the checkpoint says of its classes, then the flags.
"""

import logging
import os
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import lhy_lightning
from lhy_lightning.cli.command_line import Command, nodes, own_flags, prepare, remove_temporary_files, without_steps
from lhy_lightning.cli.cross_validation import run_folds
from lhy_lightning.cli.errors import message_for_user, report
from lhy_lightning.cli.library_errors import Phase, in_library_words
from lhy_lightning.cli.pipeline import go_on, run_steps
from lhy_lightning.cli.runs import run_folder, run_lock
from lhy_lightning.cli.stopped import WHOLE_COMMAND, is_of_a_lost_process, told, told_of_a_lost_process
from lhy_lightning.cli.training_cli import TrainingCLI, recipe_of
from lhy_lightning.cli.user_modules import import_for_user
from lhy_lightning.core.trusted_classes import PUBLIC_NAMES
from lhy_lightning.training.stop_signals import Stopped, ended_by_signals

TAKES_MODULES_FROM_HERE = bool({"", os.getcwd()} & set(sys.path))
"""Whether Python was started such that modules of the current folder come first, as `python -m` does and `lhy` not."""


class _Settings(TrainingCLI):
    """Reads a command line and does nothing more."""

    def _set_seed(self) -> None: ...

    def instantiate_classes(self) -> None: ...

    def _run_subcommand(self, subcommand: str) -> None: ...


def settings_of_fit(argv: list[str]) -> dict[str, Any]:
    """All settings of a `fit` that starts from nothing, as the config.yaml of its run has them."""
    own, flags = own_flags(argv[1:])
    import_for_user(own.modules)
    recipes = [part for name in own.config for part in ("--config", without_steps(name, argv, own.name))]
    arguments = ["fit", *recipes, "--trainer.default_root_dir", own.root, *flags, *nodes(flags)]
    cli = _Settings(Command("fit", arguments, Path()), Phase())
    return recipe_of(cli._parser("fit"), cli.config["fit"])


def quiet() -> None:
    """Turns off remarks of the stack that ask for nothing of the user."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # `Generating train split: 0 examples`
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*smaller than the logging interval.*",
        ".*LightningCLI's args parameter.*",
        ".*isinstance.*LeafSpec.*",
        ".*could not find the monitored key.*",  # of a run without a validation, which `after_fit` tells in our words
        ".*callbacks used to create the checkpoint need to be provided.*",
    ):
        warnings.filterwarnings("ignore", text)


def in_new_process(argv: list[str]) -> int:
    """Runs one training command in a process of its own, so that several of them share nothing.

    `python -m` alone would take modules from the current folder before installed ones: a file torch.py there would run.
    """
    environment = {WHOLE_COMMAND: shlex.join(["lhy", *sys.argv[1:]]), **os.environ}
    python = [sys.executable] if TAKES_MODULES_FROM_HERE else [sys.executable, "-P"]
    process = subprocess.Popen([*python, "-m", "lhy_lightning.cli", *argv], env=environment)
    while True:
        try:
            code = process.wait()
        except Stopped as stopped:  # it writes its checkpoint first; a terminal's Ctrl-C has reached it already
            if stopped.number == signal.SIGTERM:
                process.terminate()
        else:
            return code if code >= 0 else 128 - code


def main(argv: list[str]) -> int:
    """Runs one training command. Returns its exit code; an error about input is one line on standard error."""
    for name in PUBLIC_NAMES:
        getattr(lhy_lightning, name)  # imported classes can be named without their module
    quiet()
    traceback = "--traceback" in argv or bool(os.environ.get("LHY_TRACEBACK"))
    phase, command = Phase(), None
    try:
        with ended_by_signals():
            if (code := run_folds(argv, in_new_process, settings_of_fit)) is not None:
                return code
            if code := run_steps(argv, in_new_process, settings_of_fit):
                return code
            command = prepare(go_on(argv, settings_of_fit))
            TrainingCLI(command, phase)
    except Stopped as stopped:
        if run_folder.started_by_another_process():
            return 0  # the process that started this one tells; by another code it would be killed while it does
        if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0:
            print(told(stopped, argv, command.folder, command.root) if command else "stopped", file=sys.stderr)
        return 128 + stopped.number
    except Exception as error:
        if command is not None and not traceback and is_of_a_lost_process(error):
            print(f"lhy: error: {told_of_a_lost_process(argv, command.folder, command.root)}", file=sys.stderr)
            return 1
        said = message_for_user(error) or (None if phase.running else in_library_words(error, argv))
        if said is None or traceback:
            raise
        report(said)
    finally:
        run_lock.release()
        remove_temporary_files()
    return 0
