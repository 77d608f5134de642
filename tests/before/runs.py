"""A short run of every public module through the command line, unbroken and killed, and what its checkpoint tells.

Only public names of the package are used and helpers of the tests, so that files of the package may move.
"""

import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor

import lhy_lightning
from lhy_lightning.cli.__main__ import main
from tests.processes import run_forked
from tests.smallest_data import DATA, FROM_DATA
from tests.smallest_modules import SETTINGS

SEED, EPOCHS, BATCHES, KILLED_AT = 3, 2, 7, 5
"""A run's seed, epochs, batches an epoch, and the batch of the last epoch before which the killed one ends."""

RUN: dict[str, Any] = {
    "seed_everything": SEED,
    "trainer": {
        "accelerator": "cpu", "max_epochs": EPOCHS, "limit_train_batches": BATCHES, "limit_val_batches": 1,
        "log_every_n_steps": 1, "enable_progress_bar": False,
    },
    "last": {"every_n_steps": 4},  # in mid-epoch for one optimizer as for several, at least a batch before the kill
    "evaluate": False,
}  # fmt: skip
LAST = "runs/killed/checkpoints/last.ckpt"
STARTS = {"DIRTT": "VADA", "BleuTranslator": "Translator"}
"""Modules that begin with the weights of another's run."""
START = "start.ckpt"

GENERATORS = ("GAN", "SNGAN", "WGAN", "WGANGP", "CodePrior")
"""Modules that predict nothing for a row: images that they draw are written when prediction ends."""

ROWS, VALUES = 4, 64
"""How many rows of predictions are kept, and how many numbers of each row's tensors together."""


def data_class(name: str) -> type[LightningDataModule]:
    """The data module class that a public module is run with."""
    return _smallest_data(name)[0]


@cache
def _smallest_data(name: str) -> tuple[type[LightningDataModule], dict[str, Any]]:
    data = DATA[name]()
    constructors = [inspect.signature(base) for base in reversed(type(data).__mro__) if "__init__" in vars(base)]
    defaults = {key: value.default for one in constructors for key, value in one.parameters.items()}
    return type(data), {key: value for key, value in data.hparams.items() if value != defaults.get(key)}


def recipe(name: str) -> dict[str, Any]:
    """The recipe of a public module at its smallest."""
    settings = {key: value for key, value in SETTINGS[name]().items() if key not in FROM_DATA}
    if name in GENERATORS:
        settings["samples"] = 16
    if name in STARTS:
        settings["start_from"] = START
    cls, data = _smallest_data(name)
    parts = {"model": {"class_path": name, "init_args": settings}}
    parts["data"] = {"class_path": cls.__name__, "init_args": data}
    plain: dict[str, Any] = json.loads(json.dumps({**RUN, **parts}))  # tuples as lists
    return plain


def command(
    folder: Path, *argv: str, kill: str | None = None, environments: tuple[dict[str, str], ...] = ({},)
) -> None:
    """Calls `lhy` in a process of its own, or in several, whose current folder is `folder`.

    Args:
        folder: where to.
        argv: the command line.
        kill: name of a public module; its process kills itself with -9 before batch `KILLED_AT` of the last epoch.
        environments: one for each process.

    Raises:
        RuntimeError: it ended otherwise than it should; with the last lines that it printed.
    """
    wanted = -signal.SIGKILL if kill else 0
    with tempfile.NamedTemporaryFile("r") as said:
        codes = run_forked(_in_child, folder, argv, kill, said.name, environments=environments)
        if set(codes) != {wanted}:
            told = "".join(said.readlines()[-20:])
            raise RuntimeError(f"`lhy {' '.join(argv)}` in {folder} ended with {codes}, not {wanted}:\n{told}")


def _in_child(folder: Path, argv: tuple[str, ...], kill: str | None, said: str) -> None:
    os.chdir(folder)
    with open(said, "a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    if kill is not None:
        _kill_in_mid_epoch(getattr(lhy_lightning, kill))
    sys.exit(main(argv) or 0)


def _kill_in_mid_epoch(cls: type[LightningModule]) -> None:
    before: Callable[..., Any] = cls.on_train_batch_start

    def on_train_batch_start(self: LightningModule, batch: Any, batch_idx: int) -> Any:
        if (self.trainer.current_epoch, batch_idx) == (EPOCHS - 1, KILLED_AT):
            os.kill(os.getpid(), signal.SIGKILL)
        return before(self, batch, batch_idx)

    cls.on_train_batch_start = on_train_batch_start  # type: ignore[method-assign]


def run_whole_and_killed(name: str, folder: Path) -> None:
    """Leaves `recipe.yaml`, `runs/whole` and `runs/killed` in a folder beside those of other modules."""
    folder.mkdir(parents=True)
    if name in STARTS:
        shutil.copyfile(folder.parent / STARTS[name] / LAST, folder / START)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(name), sort_keys=False))
    command(folder, "fit", "--config", "recipe.yaml", "--name", "whole")
    command(folder, "fit", "--config", "recipe.yaml", "--name", "killed", kill=name)


def go_on(folder: Path) -> tuple[bytes, bytes]:
    """Goes on with the killed run in a folder.

    Returns:
        Its `metrics.csv` and that of the unbroken run.
    """
    command(folder, "fit", "--ckpt_path", "last", "--name", "killed")
    killed, whole = ((folder / "runs" / run / "metrics.csv").read_bytes() for run in ("killed", "whole"))
    return killed, whole


def outputs(module: Any, data: LightningDataModule, folder: Path) -> dict[str, Any]:
    """Predictions for the first rows of a data module, images that are written, and scores of its first test batch.

    Args:
        module: one of a public class, loaded.
        data: what it was trained with.
        folder: where callbacks write to.
    """
    found: dict[str, Any] = {}
    with chdir(folder):
        seed_everything(SEED, verbose=False)
        writers = module.prediction_writers() if type(module).__name__ in GENERATORS else ()
        found["predictions"] = _first(_trainer(writers).predict(module, datamodule=data))
        found["pixels"] = {path.as_posix(): _pixels(path) for path in sorted(Path().rglob("*.png"))[:ROWS]}
        if getattr(data, "has_test", True):
            seed_everything(SEED, verbose=False)
            [scores] = _trainer().test(module, datamodule=data, verbose=False)
            found["scores"] = dict(scores)
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _trainer(callbacks: Sequence[Callback] = ()) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, limit_test_batches=1, limit_predict_batches=1, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir="runs", callbacks=list(callbacks),
    )  # fmt: skip


def _pixels(path: Path) -> list[int]:
    with Image.open(path) as image:
        return list(image.convert("L").tobytes()[:VALUES])


def _first(value: Any) -> Any:
    """Nested tensors as lists, of each the first rows and of each row the first numbers, and their shapes."""
    if isinstance(value, Tensor):
        rows = value[:ROWS].detach().to(torch.float64)
        kept = rows.flatten(1)[:, : VALUES // ROWS] if rows.ndim > 1 else rows
        return {"shape": list(value.shape), "first": kept.tolist()}
    if isinstance(value, dict):
        return {str(key): _first(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_first(item) for item in value[:ROWS]]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
