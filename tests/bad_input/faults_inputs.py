"""Recipes that are no YAML, folders that cannot be written, packages that are missing, numbers out of range."""

import sys
from collections.abc import Callable
from pathlib import Path

from lhy_lightning.training.checks.trainer_numbers import check_trainer_numbers
from tests.bad_input.case import BadInput, command, nothing, text

BROKEN: list[tuple[str, bytes, str]] = [
    ("a second colon", b"model:\n  class_path: A\n  init_args: a: b\n", "r.yaml, line 3, column 15: mapping values"),
    ("a tab", b"model:\n\tclass_path: ImageClassifier\n", "r.yaml, line 2, column 1: .*tab"),
    ("an open bracket", b"trainer:\n  callbacks: [a, b\nmodel: x\n", r"r.yaml, line \d, column \d: "),
    ("an open quotation mark", b"model: 'ImageClassifier\ndata: x\n", "r.yaml, line 3, column 1: "),
    ("a line without a colon", b"model: A\ndata\ntrainer: x\n", "r.yaml, line 3, column 1: could not find"),
    ("a list", b"- model\n- data\n", "r.yaml holds a list; settings are lines"),
    ("a text", b"hello\n", "r.yaml holds 'hello'; settings are lines"),
    ("binary", bytes(range(256)), "r.yaml, line .*no UTF-8|no YAML file"),
    ("zeros", bytes(64), "r.yaml is no YAML file"),
    ("UTF-16", "model: ImageClassifier\n".encode("utf-16"), "r.yaml is UTF-16: save it as UTF-8"),
    ("Latin-1", b"# M\xfcnchen\nmodel: x\n", "r.yaml, line 1: byte 0xfc is no UTF-8"),
    ("a Python object", b"model: !!python/object/apply:os.getcwd []\n", "r.yaml, line 1.*tag.*plain values"),
    ("a date that there is not", b"model: 2020-13-45\n", "r.yaml cannot be read as YAML"),
    ("steps that are no list", b"before: fit --config quickstart\n", "r.yaml: `before` is a list of command lines"),
]  # fmt: skip


def run_folder(settings: bytes) -> Callable[[Path], None]:
    """A run folder whose settings are broken; its checkpoint is never reached."""

    def make(folder: Path) -> None:
        text("runs/a/config.yaml", settings)(folder)
        text("runs/a/checkpoints/best.ckpt", b"")(folder)

    return make


def without(module: str, *arguments: str) -> Callable[[Path], None]:
    """`lhy …` as if a package were not installed."""

    def run(folder: Path) -> None:
        before = sys.modules.get(module)
        sys.modules[module] = None  # type: ignore[assignment]
        try:
            command(*arguments)(folder)
        finally:
            del sys.modules[module]
            if before is not None:
                sys.modules[module] = before

    return run


ROOT = ("--trainer.default_root_dir",)
QUICK = ("fit", "--config", "quickstart")
IN_THE_WAY = text("taken", "a file")
NUMBERS: list[tuple[str, float | str, str]] = [
    ("accumulate_grad_batches", 0, "at least 1"),
    ("check_val_every_n_epoch", 0, "at least 1"),
    ("val_check_interval", 0, "a whole number from 1, or a share"),
    ("val_check_interval", 1.5, "a whole number from 1, or a share"),
    ("devices", 99, "accelerator cpu takes at most .*give 1 to"),
    ("devices", "0", "accelerator cpu takes at most .*give 1 to"),
    ("log_every_n_steps", -1, "at least 0"),
    ("gradient_clip_val", -0.5, "at least 0"),
    ("max_epochs", -5, "at least -1"),
    ("limit_train_batches", -1, "at least 0"),
    ("num_nodes", 0, "at least 1"),
]
"""Settings of the Trainer that this package looks at; one of them goes through the command line as well."""

FLAGS: list[tuple[str, str, str]] = [
    ("--trainer.accumulate_grad_batches", "0", "^--trainer.accumulate_grad_batches 0: at least 1"),
    ("--trainer.accelerator", "toaster", "toaster"),
    ("--data.num_workers", "-1", "num_workers"),
    ("--model.dropout", "2", "dropout.*2"),
    ("--seed_everything", "-1", "^--seed_everything -1: .*not in bounds"),
]


def trainer_number(name: str, value: float | str) -> Callable[[Path], None]:
    """What the command line asks of the Trainer's settings."""
    return lambda folder: check_trainer_numbers({"accelerator": "cpu", name: value})


INPUTS = [
    *[
        BadInput(f"a recipe with {what}", text("r.yaml", content), command("fit", "--config", "r.yaml"), says,
                 kind="settings")
        for what, content, says in BROKEN
    ],
    *[
        BadInput(
            f"a run folder's settings with {what}", run_folder(content), command("test", "--ckpt_path", "runs/a"),
            says.replace("r.yaml", "config.yaml"), kind="settings",
        )
        for what, content, says in BROKEN[:1] + BROKEN[5:6] + BROKEN[7:10]
    ],
    BadInput("an empty recipe", text("r.yaml", ""), command("fit", "--config", "r.yaml"),
             "r.yaml holds no settings", kind="settings"),
    BadInput("a recipe without a model", text("r.yaml", "trainer: {max_epochs: 1}\n"),
             command("fit", "--config", "r.yaml"), "there is no model: give a recipe", kind="settings"),
    BadInput("a broken recipe to be shown", text("r.yaml", b"# M\xfcnchen\n"), command("recipes", "r.yaml"),
             "r.yaml is not UTF-8", kind="settings"),
    BadInput("a broken recipe in the list", text("recipes/mine.yaml", "model: a: b\n"), command("recipes"),
             r"mine \(yours\) .*cannot be read", ends="right", kind="settings"),
    *[
        BadInput(f"{what} that is a file", IN_THE_WAY, command(*arguments), says, kind="folders")
        for what, arguments, says in [
            ("a folder of runs", (*QUICK, *ROOT, "taken"), "taken is a file and no folder: choose another by --name"),
            ("a folder above it", (*QUICK, *ROOT, "taken/runs"), "taken is a file and no folder: choose"),
            ("a run's name", (*QUICK, *ROOT, ".", "--name", "taken"), "taken is a file and no folder: choose"),
            ("a folder of the run's name", (*QUICK, *ROOT, ".", "--name", "taken/x"), "taken is a file and no folder"),
            ("a folder of a copied recipe", ("copy", "quickstart", "taken/x.yaml"), "taken is a file and no folder"),
            ("a copied recipe", ("copy", "quickstart", "taken"), "taken is already there"),
        ]
    ],
    *[
        BadInput(f"{module} that is not installed", nothing, without(module, *arguments), says, kind="packages")
        for module, arguments, says in [
            ("wandb", (*QUICK, "--wandb", "p"), r'--wandb p needs Weights.*: pip install "lhy-lightning\[wandb\]"'),
            ("cv2", ("fit", "--model", "DANN", "--data", "DomainDataModule", "--data.source_transform", "edges"),
             r'edges.* needs OpenCV: pip install "lhy-lightning\[edges\]"'),
        ]
    ],
    *[
        BadInput(f"--trainer.{name} {value}", nothing, trainer_number(name, value),
                 f"^--trainer.{name} {value}: .*{says}", kind="numbers")
        for name, value, says in NUMBERS
    ],
    *[
        BadInput(f"{flag} {value} in a command", nothing, command(*QUICK, flag, value), says, kind="numbers")
        for flag, value, says in FLAGS
    ],
]  # fmt: skip
