"""What homework 11 hands in."""

from typing import Any

from torch import Tensor

from lhy_lightning.callbacks.class_table import ClassTable


class Homework11Csv(ClassTable):
    """`submission.csv` as homework 11 hands it in: `id,label`, id from 0 in file order, label the folder's number.

    Raises:
        ValueError: a class name is not a number, so that the homework has no label for it.
    """

    filename = "submission.csv"

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        if wrong := [name for name in class_names if not name.isdigit()]:
            raise ValueError(f"class {wrong[0]!r} is not a number: homework 11's folders are called 0, 1 … 9.")
        chosen = probabilities.argmax(dim=1).tolist()
        return [["id", "label"], *([row, int(class_names[label])] for row, label in enumerate(chosen))]
