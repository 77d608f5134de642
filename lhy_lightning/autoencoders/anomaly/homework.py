"""What `lhy predict` writes of an anomaly detector: `predictions.csv`, and homework 8's submission."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule

from lhy_lightning.callbacks.prediction_file import PredictionFile
from lhy_lightning.core.atomic_files import csv_text


class AnomalyTable(PredictionFile):
    """`predictions.csv`: path, raw score, and whether it is above the threshold."""

    filename = "predictions.csv"

    def inputs(self, datamodule: Any) -> list[str]:
        paths: list[str] = datamodule.paths("predict")
        return paths

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        columns = (outputs[name].tolist() for name in ("index", "score", "anomaly"))
        return list(zip(*columns, strict=True))

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        table = [
            [path, f"{score:.9g}", int(anomaly)]  # 9 digits: every float32 is told from its neighbours
            for path, (_, score, anomaly) in zip(inputs, rows, strict=True)
        ]
        return csv_text(self.marked([["path", "score", "anomaly"], *table]))


class Homework8Csv(AnomalyTable):
    """`submission.csv` as homework 8 hands it in: the row of `testingset.npy` and its raw score.

    Args:
        header: names of both columns: `ID,score` in the notebooks of 2022 and 2023, `Id,Predicted` in that of 2021.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework8Csv
        >>> trainer = Trainer(callbacks=[Homework8Csv()], accelerator="cpu", logger=False)
    """

    filename = "submission.csv"

    def __init__(self, header: tuple[str, str] = ("ID", "score")) -> None:
        super().__init__()
        self.header = header

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        return csv_text([list(self.header), *([row, f"{score:.9g}"] for row, score, _ in rows)])
