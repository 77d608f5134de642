"""What the translation benchmarks share: one size of network, our side of it, and turns between training loops."""

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
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from lhy_lightning.callbacks.curves import Curves
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.data.text_tokenizer import BOS, EOS, PAD, UNK
from lhy_lightning.data.translation import TranslationDataModule
from lhy_lightning.metrics_file import RunLogger
from lhy_lightning.seq2seq.translator import Translator

LOG_EVERY, SMOOTHING, CLIP, DROPOUT = 10, 0.1, 1.0, 0.1
SPECIALS = (PAD, BOS, EOS, UNK)
Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Size:
    """A post-norm Transformer with one matrix for both embeddings and output."""

    width: int = 256
    heads: int = 4
    layers: int = 3
    feedforward: int = 1024

    def __str__(self) -> str:
        return f"width {self.width}, {self.heads} heads, {self.layers}+{self.layers} layers, ff {self.feedforward}"


def add_arguments(parser: ArgumentParser, *, max_tokens: int = 4096) -> None:
    """The options that every script has: data and size."""
    parser.add_argument("data", help="a folder of train, val and test files, as of Multi30k; or any other source")
    parser.add_argument("--source_lang", default="en")
    parser.add_argument("--target_lang", default="de")
    parser.add_argument("--vocab_size", type=int, default=8000, help="of the joint subword vocabulary")
    parser.add_argument("--max_tokens", type=int, default=max_tokens, help="padded tokens a batch")
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--cache_dir", help="where tokenised text is kept")


def add_clock(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--cpu_time",
        action="store_true",
        help="count processor time instead of the wall clock's: on a busy machine, with OMP_NUM_THREADS=1",
    )


def size_of(options: Any) -> Size:
    return Size(**{name: getattr(options, name) for name in vars(Size())})


def open_data(options: Any, **settings: Any) -> TranslationDataModule:
    """The corpus that all sides share, ready for training."""
    data = TranslationDataModule(
        options.data, source_lang=options.source_lang, target_lang=options.target_lang, cleaning=(), joint=True,
        vocab_size=options.vocab_size, max_tokens=options.max_tokens, cache_dir=options.cache_dir, **settings,
    )  # fmt: skip
    data.setup("fit")
    return data


def translator_of(size: Size, data: TranslationDataModule, **settings: Any) -> Translator:
    """Our side, its network built."""
    numbers = {"norm": "post", "dropout": DROPOUT, "label_smoothing": SMOOTHING, "max_positions": 512, **settings}
    return Translator(
        **vars(size), **numbers, source_tokenizer=data.source_tokenizer.to_json(), source_lang=data.source_lang,
        target_lang=data.target_lang, cleaning=data.cleaning,
    )  # fmt: skip


def token_rows(batches: Any) -> list[Row]:
    """Every row of a loader as source and target ids without special tokens, in the loader's order."""
    rows = []
    for batch in batches:
        for source, target in zip(batch["source_ids"].tolist(), batch["target_ids"].tolist(), strict=True):
            rows.append((source[: source.index(EOS)], target[1 : target.index(EOS)]))
    return rows


def trainer_of(folder: Path, *callbacks: Callback, **settings: Any) -> pl.Trainer:
    """A Trainer with everything that `lhy fit` switches on by default; the progress bar is drawn, but not seen."""
    bar = RichProgressBar(refresh_rate=4, console_kwargs={"file": io.StringIO(), "force_terminal": True})
    return pl.Trainer(
        accelerator="cpu", gradient_clip_val=CLIP, log_every_n_steps=LOG_EVERY, logger=RunLogger(folder),
        default_root_dir=folder, enable_model_summary=False, num_sanity_val_steps=0,
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


# --- turns ------------------------------------------------------------------------------------------------------------


@dataclass
class Turn:
    """What a side did while it was its turn: real and padded target tokens, steps, seconds."""

    tokens: int = 0
    padded: int = 0
    steps: int = 0
    seconds: float = 0.0


class Stopped(Exception):
    """Ends a side's loop from inside."""


class Side:
    """A training loop in a thread of its own, which stands still while it is another side's turn.

    Loops of four packages cannot be asked for one step; all of them can be made to wait at the end of one. So every
    side is set up once, goes on where it was, and sees whole epochs, however short the turns are.

    Args:
        name: for the table.
        loop: the training loop; it calls `step` of this object at the end of each of its steps.
        clock: what seconds are counted by: the wall's, or on a busy machine `time.process_time`.
    """

    def __init__(
        self, name: str, loop: Callable[[Side], None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.name, self.loop, self.clock = name, loop, clock
        self.turns: list[Turn] = []
        self._go, self._rest = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._stopping, self._began, self._until = False, 0.0, 0.0
        self._turn = Turn()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def step(self, tokens: int, padded: int) -> None:
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


def epochs(loader: Any) -> Iterator[Any]:
    """The batches of a training loader of ours, epoch after epoch, in the order in which a Trainer sees them."""
    for epoch in range(10**6):
        loader.sampler.set_epoch(epoch)
        yield from loader


def count(target_ids: torch.Tensor, pad: int = PAD) -> int:
    """Real tokens of targets without BOS."""
    return int((target_ids != pad).sum())
