"""Reads the labels of texts: what a file says, as strings, None where a row has no gold label; numbers where asked."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from lhy_lightning.data.class_counts import NO_GOLD_LABEL
from lhy_lightning.data.sources.folders import natural

HIDDEN = "-1"
"""How the hub and GLUE write the labels of a split that are hidden: all of them."""

Labels = list[str | None]


def read_labels(values: Sequence[Any], where: str, classes: Sequence[str] | None = None) -> Labels | None:
    """Reads one column of labels.

    Args:
        values: N strings or numbers; None, NaN and blanks are missing.
        where: they come from, for messages.
        classes: names that numbers stand for, of which -1 is missing.

    Returns:
        N labels; None where all are missing, or all are -1: the labels of this split are hidden.

    Raises:
        ValueError: a list or an object, or a number that stands for no class; the row is named.
    """
    known: dict[Any, str | None] = {}  # labels recur
    labels: Labels = []
    for row, value in enumerate(values):
        key = value if isinstance(value, str | int) else None
        if key is None or key not in known:
            known[key] = _label(value, row, where, classes)
        labels.append(known[key])
    return None if all(label in (None, HIDDEN) for label in labels) else labels


def _label(value: Any, row: int, where: str, classes: Sequence[str] | None) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple | dict | np.ndarray | bytes):
        told = repr(value)
        raise ValueError(
            f"{where}, row {row}: the label is {told[:60]}{'…' if len(told) > 60 else ''}, not one class or number: "
            "a row has one label here."
        )
    if classes and isinstance(value, int):
        if value == -1:
            return None
        if not 0 <= value < len(classes):
            raise ValueError(f"{where}, row {row}: the label {value} is none of the {len(classes)} classes from 0 on.")
        return classes[value]
    if isinstance(value, float) and value.is_integer():  # a column of whole numbers with a gap
        return str(int(value))
    return str(value).strip() or None


def classes_of(labels: Labels, classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes of training rows in natural order, or in the source's own.

    "-" is one only where it has to be: beside "+", or where less than two classes are left without it.
    """
    if classes:
        return tuple(classes)
    found = sorted({label for label in labels if label is not None}, key=natural)
    others = [name for name in found if name not in NO_GOLD_LABEL]
    return tuple(others if len(others) > 1 and "+" not in others else found)


def is_gold(labels: Labels, classes: Collection[str] | None) -> np.ndarray:
    """Which rows have a label: (N,) bool; not "-", unless that is a class."""
    known = set(classes or ())
    missing = [label is None or (label in NO_GOLD_LABEL and label not in known) for label in labels]
    return ~np.array(missing, dtype=bool)


def told_missing(labels: Labels, gold: np.ndarray) -> str:
    """Returns `15 of 10,000 rows without a gold label (15 '-')`; empty where all have one."""
    if gold.all():
        return ""
    marks = Counter("empty" if labels[row] is None else repr(labels[row]) for row in np.flatnonzero(~gold))
    listed = ", ".join(f"{count:,} {mark}" for mark, count in sorted(marks.items()))
    return f"{int((~gold).sum()):,} of {len(gold):,} rows have no label ({listed})"


def as_numbers(labels: Labels, gold: np.ndarray, where: str, rows: np.ndarray) -> np.ndarray:
    """Labels as float32, NaN where there is none.

    Raises:
        ValueError: a label that is no finite number; the row is named.
    """
    numbers = np.full(len(labels), np.nan, dtype=np.float32)
    for place in np.flatnonzero(gold):
        try:
            told = str(labels[place])
            number = math.nan if "_" in told else float(told)  # Python would read 1_5 as 15
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(
                f"{where}, row {rows[place]}: the label {labels[place]!r} is no finite number; with regression every "
                "label is a number."
            )
        numbers[place] = number
    return numbers
