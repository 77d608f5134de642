"""Homework 3's `predict.csv`."""

from typing import Any

from torch import Tensor

from lhy_lightning.callbacks.class_table import ClassTable


class Homework3Csv(ClassTable):
    """`predict.csv` as homework 3 hands it in: `Id,Category`, Id from 0 in sorted path order, the folder's number.

    Raises:
        ValueError: a class name is not a number, so that the homework has no category for it.
    """

    filename = "predict.csv"

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        if wrong := [name for name in class_names if not name.isdigit()]:
            raise ValueError(f"class {wrong[0]!r} is not a number: homework 3's folders are called 00, 01 … 10.")
        chosen = probabilities.argmax(dim=1).tolist()
        return [["Id", "Category"], *([row, int(class_names[label])] for row, label in enumerate(chosen))]
