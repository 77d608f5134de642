"""Labelled texts as they were read: rows of one split, before they become batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lhy_lightning.data.labelled_texts.gold_labels import Labels


@dataclass
class LabelledText:
    """Rows of one split, as they are in the source.

    Attributes:
        first: N texts.
        second: the second text of each pair; None for single texts.
        labels: N strings, None where a row has none, or numbers of the classes in `names`; None where the split has
            none.
        origin: where they come from, for messages.
        names: of all classes, in order, where the source tells them.
        groups: N strings; rows of one may not be divided between splits. None where each row stands for itself.
        told: what was found in reading them that the user is to know.
        unlabelled: why there are no labels, where a column was asked for.
        without_header: the file, where its columns are told by their number alone.
        rows: (N,) int64, place of each row in its source, counted from 0; None where all are there in order.
    """

    first: list[str]
    second: list[str] | None
    labels: Labels | list[float] | None
    origin: str
    names: tuple[str, ...] | None = None
    groups: list[str] | None = None
    told: str = ""
    unlabelled: str = ""
    without_header: Path | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int]) -> "LabelledText":
        """Some of the rows."""

        def some(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [values[row] for row in rows]

        return replace(
            self,
            first=[self.first[row] for row in rows],
            second=some(self.second),
            labels=some(self.labels),
            groups=some(self.groups),
            rows=self.places[np.asarray(rows, dtype=np.int64)],
        )

    @property
    def places(self) -> np.ndarray:
        """Place of each row in its source: (N,) int64."""
        return np.arange(len(self)) if self.rows is None else self.rows
