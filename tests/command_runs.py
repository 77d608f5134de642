"""Runs through the command line, in a process that may be killed in mid-run, and what they left behind."""

import csv
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from matplotlib.figure import Figure

from lhy_lightning.callbacks.curves import Curves
from lhy_lightning.cli.__main__ import main

EVERY_RUN: dict[str, Any] = {
    "--trainer.log_every_n_steps": 1, "--trainer.enable_progress_bar": "false", "--trainer.accelerator": "cpu",
    "--last.every_n_steps": 5, "--evaluate": "false", "--seed_everything": 3,
}  # fmt: skip


def _white(figure: Figure) -> np.ndarray:
    width, height = figure.canvas.get_width_height()
    return np.full((height, width, 3), 255, dtype=np.uint8)


def _empty(*_: object, **__: object) -> Figure:
    return Figure(figsize=(1, 1))


@contextmanager
def undrawn() -> Iterator[None]:
    """Leaves attention out, curves and figures white: laying their texts out takes longer than a tiny training."""
    with (
        mock.patch("lhy_lightning.callbacks.curves.draw_curves", _empty),
        mock.patch("lhy_lightning.bert.plots.AttentionPictures.on_validation_end"),
        mock.patch("lhy_lightning.cnn.plots.confusion_figure", _empty),
        mock.patch("lhy_lightning.cnn.plots.prediction_grid", _empty),
        mock.patch("lhy_lightning.seq2seq.plots.translation_attention_figure", _empty),
        mock.patch("lhy_lightning.callbacks.images.figure_to_array", _white),
    ):
        yield


def fit(
    root: Path,
    name: str,
    settings: dict[str, Any],
    *more: str,
    die_at: int | None = None,
    by: tuple[int, ...] = (signal.SIGKILL,),
    hook: str = "on_train_batch_start",
    drawn: bool = False,
    **changed: Any,
) -> int:
    """`lhy fit` in the folder `root/name`. Returns its exit code.

    Args:
        root, name: where to.
        settings: flags, beside those of `EVERY_RUN`, which they replace.
        more: more of the command line.
        die_at: the step at which the process sends itself signals.
        by: these signals.
        hook: of a callback, in which it does so.
        drawn: whether its curves and figures are drawn.
        changed: flags by their names with `__` for a dot, which come last.
    """
    if die_at is not None:

        def die(self: Curves, trainer: Any, *arguments: object, **named: object) -> None:
            if trainer.global_step == die_at and not trainer.sanity_checking:
                for number in by:
                    os.kill(os.getpid(), number)

        setattr(Curves, hook, die)
    flags = {
        "--trainer.default_root_dir": root, "--name": name, **EVERY_RUN, **settings,
        **{"--" + key.replace("__", "."): value for key, value in changed.items()},
    }  # fmt: skip
    with nullcontext() if drawn else undrawn():
        return main(["fit", *(str(part) for pair in flags.items() for part in pair), *more]) or 0


def predict(root: Path, name: str, *more: str) -> None:
    """`lhy predict` by the last checkpoint of a run."""
    main(["predict", "--trainer.default_root_dir", str(root), "--name", name, "--ckpt_path", "last", *more])


def metrics(root: Path, name: str) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (root / name / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def last_validation(root: Path, name: str) -> dict[str, float]:
    """The figures of a run's last validation."""
    return {key: float(value) for key, value in metrics(root, name)[-1].items() if key.startswith("val/")}
