"""Run folders that cannot be taken, and runs that would train on nothing."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import BadInput, command, nothing, text

FIT = ("fit", "--config", "quickstart", "--name", "mine")


def locked(**holder: object) -> Callable[[Path], None]:
    """A run folder that another process holds: the parent of the tests, on this machine if no other is named."""

    def make(folder: Path) -> None:
        here = {"pid": os.getppid(), "host": socket.gethostname(), "since": "2026-11-30 10:00:00+00:00"}
        text("runs/mine/run.lock", json.dumps(here | holder))(folder)

    return make


def files(run: str) -> Callable[[Path], None]:
    """A finished run with a learning rate of its own."""

    def make(folder: Path) -> None:
        text(f"runs/{run}/config.yaml", "model: {init_args: {lr: 9}}")(folder)
        text(f"runs/{run}/results.json", '{"step": 9, "results": {}}')(folder)

    return make


INPUTS = [
    *(
        BadInput(
            f"no steps: {flag} 0",
            nothing,
            command("fit", "--config", "quickstart", f"--trainer.{flag}", "0"),
            rf"--trainer\.{flag} 0 trains on nothing: give at least 1",
            kind="runs",
        )
        for flag in ("max_epochs", "max_steps", "limit_train_batches")
    ),
    BadInput(
        "the run's name is a file's",
        text("runs/mine", "a file"),
        command(*FIT),
        "runs/mine cannot be written, as runs/mine is a file and no folder: choose",
        kind="runs",
    ),
    BadInput(
        "the folder of runs is a file",
        text("runs", "a file"),
        command(*FIT),
        "runs/mine cannot be written, as .*runs is a file and no folder: choose",
        kind="runs",
    ),
    BadInput(
        "another process trains there",
        locked(),
        command(*FIT),
        r"runs/mine is in use: process \d+ has been training there since 2026.*choose another --name",
        kind="runs",
    ),
    BadInput(
        "another process trains there, which is to be replaced",
        locked(),
        command(*FIT, "--overwrite", "true"),
        "runs/mine is in use",
        kind="runs",
    ),
    BadInput(
        "another process trains there, on another machine",
        locked(host="node7"),
        command(*FIT, "--ckpt_path", "last"),
        r"held by process \d+ on node7 .*removing runs/mine/run.lock",
        kind="runs",
    ),
    BadInput(
        "a finished run whose checkpoints were removed",
        text("runs/mine/results.json", '{"step": 9, "results": {}}'),
        command(*FIT),
        "runs/mine already holds a run.*--overwrite true",
        kind="runs",
    ),
    BadInput(
        "going on with a finished run whose checkpoints were removed",
        text("runs/mine/results.json", '{"step": 9, "results": {}}'),
        command(*FIT, "--ckpt_path", "last"),
        r"last\.ckpt is missing \(checkpoints there: none\)",
        kind="runs",
    ),
    BadInput(
        "a fold that was trained with other settings",
        files("quickstart-folds/fold-0"),
        command("fit", "--config", "quickstart", "--data.folds", "3"),
        r"fold-0 was made with other settings: model\.lr is 9, not .*--overwrite true",
        kind="runs",
    ),
    BadInput(
        "a step of a recipe that was trained with other settings",
        files("mine-classifier"),
        command("fit", "--config", "gan/quickstart", "--name", "mine"),
        r"a step of this recipe, runs/mine-classifier was made with other settings: model\.lr is 9, not",
        kind="runs",
    ),
    BadInput(
        "a flag that only a recipe's last step would have stumbled over",
        nothing,
        command("fit", "--config", "gan/quickstart", "--model.widht", "8"),
        "widht.*Did you mean .*width",
        kind="runs",
    ),
]
