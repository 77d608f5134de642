"""What `lhy predict` writes: `predictions.tsv`, and homework 5's submission."""

from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from lhy_lightning.callbacks.pictures import run_directory
from lhy_lightning.whole_file import write_whole

LEADERBOARD_LIMIT = 700_000
"""Bytes above which the homework's judge refuses a file."""


class TranslationFile(Callback):
    """Gathers the translations of all ranks, in the order of the input lines, and writes them at the end.

    A subclass says what a line looks like. The file appears whole or not at all.
    """

    filename: str

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, float]] = []

    def lines(self, sources: list[str], translations: list[str], scores: list[float]) -> list[str]:
        """The lines of the file, one for each source line."""
        raise NotImplementedError

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rows = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._rows += zip(outputs["index"].tolist(), outputs["text"], outputs["score"].tolist(), strict=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rows = self._rows
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(parts, rows)
            rows = [row for part in parts for row in part]
        if not trainer.is_global_zero:
            return
        rows = sorted(rows)
        sources = trainer.datamodule.sources("predict")  # type: ignore[attr-defined]
        if [row for row, _, _ in rows] != list(range(len(sources))):
            raise RuntimeError(f"{len(rows)} translations for {len(sources)} lines: {self.filename} is not written.")
        lines = self.lines(sources, [one_line(text) for _, text, _ in rows], [score for _, _, score in rows])
        path = run_directory(trainer) / self.filename
        write_whole(path, "".join(line + "\n" for line in lines))
        print(f"{path}: {len(lines)} lines")
        self.check(path)

    def check(self, path: Path) -> None:
        """Looks at the finished file."""


def one_line(text: str) -> str:
    """A text without line ends and tabs, which would shift the lines or columns of a file."""
    return " ".join(text.split()) if any(mark in text for mark in "\n\r\t\u2028\u2029\x85\v\f") else text


class TranslationsFile(TranslationFile):
    """`predictions.tsv`: translation, source and score a line, separated by tabs.

    Of a reverse model's translations of one-language text this is the corpus that back-translation trains on: a
    written source, a real target.
    """

    filename = "predictions.tsv"

    def lines(self, sources: list[str], translations: list[str], scores: list[float]) -> list[str]:
        rows = zip(translations, sources, scores, strict=True)
        return [f"{text}\t{one_line(source)}\t{score:.4f}" for text, source, score in rows]


class Homework5Txt(TranslationFile):
    """`submission.txt` as homework 5 hands it in: one translation a line, as many as `test.en`, none empty.

    Other texts (`--data.predict_source`) are no submission and are left to `predictions.tsv`.
    """

    filename = "submission.txt"

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule.predict_source is None:  # type: ignore[attr-defined]
            super().on_predict_end(trainer, pl_module)

    def lines(self, sources: list[str], translations: list[str], scores: list[float]) -> list[str]:
        empty = [row for row, text in enumerate(translations) if not text.strip()]
        if empty:
            rank_zero_warn(f"{len(empty)} translations are empty, line {empty[0] + 1} first: a full stop stands there.")
        return [text if text.strip() else "。" for text in translations]

    def check(self, path: Path) -> None:
        if (size := path.stat().st_size) > LEADERBOARD_LIMIT:
            rank_zero_warn(f"{path} has {size:,} bytes; the homework takes at most {LEADERBOARD_LIMIT:,}.")
