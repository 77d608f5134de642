"""Turns between training loops in one process, so that a busy machine slows all of them, and our side's Trainer."""

from __future__ import annotations

import io
import logging
import threading
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import rich
from lightning.pytorch.callbacks import Callback, RichProgressBar

from lhy_lightning.callbacks.curves import Curves
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.training.csv_logger import RunLogger

LOG_EVERY = 10


def add_clock(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--cpu_time",
        action="store_true",
        help="count processor time instead of the wall clock's: on a busy machine, with OMP_NUM_THREADS=1",
    )


def default_trainer(folder: Path, *callbacks: Callback, **settings: Any) -> pl.Trainer:
    """A Trainer with everything that `lhy fit` switches on by default; the progress bar is drawn, but not seen."""
    bar = RichProgressBar(refresh_rate=4, console_kwargs={"file": io.StringIO(), "force_terminal": True})
    return pl.Trainer(
        accelerator="cpu", log_every_n_steps=LOG_EVERY, logger=RunLogger(folder), default_root_dir=folder,
        enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[bar, Curves(), LastCheckpoint(), *callbacks], **settings,
    )  # fmt: skip


@contextmanager
def quietly() -> Iterator[None]:
    """Without the remarks of four packages; leaves their settings and the console as they were."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        rich.reconfigure()  # progress bars took the console


@dataclass
class Turn:
    """What a side did while it was its turn: steps, seconds, and in translation real and padded target tokens."""

    tokens: int = 0
    padded: int = 0
    steps: int = 0
    seconds: float = 0.0


class Stopped(Exception):
    """Ends a side's loop from inside."""


class Contestant:
    """A training loop in a thread of its own, which stands still while it is another side's turn.

    Loops of four packages cannot be asked for one step; all of them can be made to wait at the end of one. So every
    side is set up once, goes on where it was, and sees whole epochs, however short the turns are.

    Args:
        name: for the table.
        loop: the training loop; it calls `step` of this object at the end of each of its steps.
        clock: what seconds are counted by: the wall's, or on a busy machine `time.process_time`.
    """

    def __init__(
        self, name: str, loop: Callable[[Contestant], None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.name, self.loop, self.clock = name, loop, clock
        self.turns: list[Turn] = []
        self._go, self._rest = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._stopping, self._began, self._until = False, 0.0, 0.0
        self._turn = Turn()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def step(self, tokens: int = 0, padded: int = 0) -> None:
        """Called by the loop: counts the step and waits, once the turn is over."""
        now = self.clock()
        self._turn.tokens += tokens
        self._turn.padded += padded
        self._turn.steps += 1
        if now < self._until:
            return
        self._turn.seconds = now - self._began
        self._wait()
        if self._stopping:
            raise Stopped

    def turn(self, seconds: float) -> Turn:
        """Lets the loop run for so many seconds, at least one step."""
        if not self._thread.is_alive():
            self._thread.start()
        self._turn, self._until = Turn(), self.clock() + seconds
        self._rest.clear()
        self._go.set()
        self._rest.wait()
        if self._error is not None:
            raise self._error
        self.turns.append(self._turn)
        return self._turn

    def stop(self) -> None:
        self._stopping, self._until = True, 0.0
        self._go.set()
        self._thread.join()

    def _wait(self) -> None:
        self._rest.set()
        self._go.wait()
        self._go.clear()
        self._began = self.clock()

    def _run(self) -> None:
        self._go.wait()
        self._go.clear()
        self._began = self.clock()
        try:
            self.loop(self)
            raise RuntimeError(f"{self.name} ended by itself")
        except Stopped:
            pass
        except BaseException as error:
            self._error = error
            self._rest.set()
