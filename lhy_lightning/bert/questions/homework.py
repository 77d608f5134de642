"""The submission of homework 7."""

import re
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lhy_lightning.bert.predictions import AnswerFile
from lhy_lightning.core.atomic_files import csv_text

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # line ends, tabs, NUL: what a line of csv cannot have

UNKNOWN = "。"
"""What stands where a question has no candidate: a leaderboard takes no empty cell."""


class Homework7Csv(AnswerFile):
    """`result.csv` as homework 7 hands it in: `ID,Answer`, one row a question, ASCII commas removed, none empty;
    alike in 2021, 2022 and 2023.

    Where nothing is left of the best span it is the next one's turn. Other questions (`--data.predict_source`) are no
    submission and are left to `predictions.json`.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework7Csv
        >>> trainer = Trainer(callbacks=[Homework7Csv()], accelerator="cpu", logger=False)
    """

    filename = "result.csv"

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule.predict_source is None:  # type: ignore[attr-defined]
            super().on_predict_end(trainer, pl_module)

    def content(self, ids: list[str], questions: list[str], answers: list[dict[str, Any]]) -> str:
        written = [self._answer(answer) for answer in answers]
        if empty := [name for name, text in zip(ids, written, strict=True) if not text]:
            rank_zero_warn(f"{len(empty)} questions have no answer, {empty[0]} first: {UNKNOWN} stands there.")
        rows = [[name, text or UNKNOWN] for name, text in zip(ids, written, strict=True)]
        return csv_text([["ID", "Answer"], *rows])

    def _answer(self, answer: dict[str, Any]) -> str:
        spans = (span["text"] for span in answer["n_best"])
        texts = (_CONTROLS.sub(" ", text.replace(",", "")).strip() for text in (answer["text"], *spans))
        return next((text for text in texts if text), "")
