"""What `lhy predict` writes: `predictions.tsv`, and homework 5's submission."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lhy_lightning.callbacks.prediction_file import PredictionFile

LEADERBOARD_LIMIT = 700_000
"""Bytes above which the homework's judge refuses a file."""


class TranslationFile(PredictionFile):
    """A file of one line a translation; a subclass says what a line looks like."""

    def inputs(self, datamodule: Any) -> list[str]:
        lines: list[str] = datamodule.sources("predict")
        return lines

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        return list(zip(outputs["index"].tolist(), outputs["text"], outputs["score"].tolist(), strict=True))

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        lines = self.lines(inputs, [one_line(text) for _, text, _ in rows], [score for _, _, score in rows])
        return "".join(line + "\n" for line in lines)

    def lines(self, sources: list[str], translations: list[str], scores: list[float]) -> list[str]:
        """The lines of the file, one for each source line."""
        raise NotImplementedError


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

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework5Txt
        >>> trainer = Trainer(callbacks=[Homework5Txt()], accelerator="cpu", logger=False)
    """

    filename = "submission.txt"

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule.predict_source is None:  # type: ignore[attr-defined]
            super().on_predict_end(trainer, pl_module)

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        content = super().text(pl_module, inputs, rows)
        if (size := len(content.encode())) > LEADERBOARD_LIMIT:
            rank_zero_warn(f"{self.filename} has {size:,} bytes; the homework takes at most {LEADERBOARD_LIMIT:,}.")
        return content

    def lines(self, sources: list[str], translations: list[str], scores: list[float]) -> list[str]:
        empty = [row for row, text in enumerate(translations) if not text.strip()]
        if empty:
            rank_zero_warn(f"{len(empty)} translations are empty, line {empty[0] + 1} first: a full stop stands there.")
        return [text if text.strip() else "。" for text in translations]
