"""Homework 3's `predict.csv`."""

from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from lhy_lightning.callbacks.prediction_tables import HomeworkTable
from lhy_lightning.core.arguments.ranges import check_name


class Homework3Csv(HomeworkTable):
    """`predict.csv` as homework 3 hands it in: `Id,Category`, in sorted path order, the category the folder's number.

    Args:
        ids: "rows", counted from 0, as in the notebook of 2021, or "names" of the pictures' files without their
            ending, such as 0001, as in those of 2022 and 2023.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework3Csv
        >>> trainer = Trainer(callbacks=[Homework3Csv(ids="names")], accelerator="cpu", logger=False)
    """

    filename, header = "predict.csv", ("Id", "Category")
    homework, folders = 3, "00, 01 … 10"

    def __init__(self, ids: Literal["rows", "names"] = "rows") -> None:
        super().__init__()
        check_name("ids", ids, ("rows", "names"))
        self.ids = ids

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        header, *rows = super().table(paths, class_names, probabilities)
        if self.ids == "names":
            rows = [[Path(path).stem, category] for path, (_, category) in zip(paths, rows, strict=True)]
        return [header, *rows]
