"""What `lhy predict` writes of a classifier: `predictions.csv`; the base of the homeworks' tables."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lhy_lightning.callbacks.prediction_file import PredictionFile
from lhy_lightning.core.atomic_files import csv_text


class ClassTable(PredictionFile):
    """A csv table of class probabilities; a subclass says how its rows look."""

    def inputs(self, datamodule: Any) -> list[str]:
        paths: list[str] = datamodule.paths("predict")
        return paths

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        return list(zip(outputs["index"].tolist(), outputs["probabilities"].float().tolist(), strict=True))

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        class_names = [str(name) for name in pl_module.hparams["class_names"]]
        probabilities = torch.tensor([row for _, row in rows]).view(len(rows), len(class_names))
        return csv_text(self.table(inputs, class_names, probabilities))

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        """Header and rows. `probabilities` is (N, K) float32, row n that of `paths[n]`."""
        raise NotImplementedError


class PredictionsCsv(ClassTable):
    """`predictions.csv`: path, class, probability, then the next four classes with theirs.

    Where pictures could not be read, a last column `note` says so of each.
    """

    filename = "predictions.csv"

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        top = min(5, len(class_names))
        values, classes = probabilities.topk(top, dim=1)
        header = ["path", "class", "probability"]
        header += [name for place in range(2, top + 1) for name in (f"class_{place}", f"probability_{place}")]
        rows: list[list[Any]] = [header]
        for path, names, chances in zip(paths, classes.tolist(), values.tolist(), strict=True):
            pairs = zip(names, chances, strict=True)
            rows.append([path, *(cell for name, p in pairs for cell in (class_names[name], f"{p:.6f}"))])
        return self.marked(rows)


class HomeworkTable(ClassTable):
    """Rows numbered from 0 in sorted path order, each with the number that its class's folder is called.

    A subclass names the file, its two columns, and the homework with its folders for the message.

    Raises:
        ValueError: a class name is not a number, so that the homework has none for it.
    """

    header: tuple[str, str]
    homework: int
    folders: str

    def table(self, paths: list[str], class_names: list[str], probabilities: Tensor) -> list[list[Any]]:
        if wrong := [name for name in class_names if not name.isdecimal()]:
            raise ValueError(
                f"class {wrong[0]!r} is not a number: homework {self.homework}'s folders are called {self.folders}."
            )
        chosen = probabilities.argmax(dim=1).tolist()
        return [list(self.header), *([row, int(class_names[label])] for row, label in enumerate(chosen))]
