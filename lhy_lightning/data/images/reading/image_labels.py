"""Labels in tables of images: the classes that occur, by the names that the file has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lhy_lightning.data.sources.folders import natural

LONGEST_NUMBER = 18  # digits; longer ones are names


def read_labels(values: Sequence[Any], where: str) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Numbers the labels of a column by the natural order of their names: `01` is a class of its own beside `1`.

    Args:
        values: texts or numbers; None, an empty cell and NaN are missing, and so is -1 where no row has another label.
        where: file and column, for messages.

    Returns:
        (N,) int64 and the names of the classes; None and None where all are missing.

    Raises:
        ValueError: labels that are missing in part, or are neither names nor whole numbers; the first row is named.
    """
    names = [_name(value, f"{where}, row {row}") for row, value in enumerate(values)]
    if all(name in (None, "-1") for name in names):
        return None, None
    empty = [row for row, name in enumerate(names) if name is None]
    if empty:
        raise ValueError(
            f"{where}: {len(empty):,} of {len(names):,} rows have no label, such as row {empty[0]}; keep those in an "
            "unlabelled source."
        )
    classes = tuple(sorted({name for name in names if name is not None}, key=natural))
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place[name] for name in names if name is not None], dtype=np.int64), classes


def read_class_labels(values: Sequence[Any], classes: Sequence[str], where: str) -> np.ndarray | None:
    """Labels of a column whose type has the names of the classes: (N,) int64, None where all are missing (None, -1).

    Raises:
        ValueError: labels that are missing in part, or beyond the classes; the first row is named.
    """
    labels = np.array([-1 if value is None else int(value) for value in values], dtype=np.int64)
    missing, beyond = np.flatnonzero(labels == -1), np.flatnonzero((labels < -1) | (labels >= len(classes)))
    if len(beyond):
        row = int(beyond[0])
        raise ValueError(f"{where}, row {row}: label {labels[row]}, but there are {len(classes)} classes.")
    if len(missing) == len(labels):
        return None
    if len(missing):
        raise ValueError(
            f"{where}: {len(missing):,} of {len(labels):,} rows have no label, such as row {missing[0]}; keep those in "
            "an unlabelled source."
        )
    return labels


def _name(value: Any, where: str) -> str | None:
    """The name of a class, None where the label is missing."""
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, bool | int | np.integer):
        return str(value)
    if isinstance(value, float):
        if np.isnan(value):
            return None
        if value.is_integer():  # whole numbers beside a gap are floats in most tables
            return str(int(value))
        raise ValueError(f"{where}: the label {value:g} is no name and no whole number.")
    several = isinstance(value, list | tuple | dict)
    raise ValueError(
        f"{where}: the label is {'several' if several else type(value).__name__} ({value!r:.60}); an image has one, a "
        "name or a whole number."
    )


# --- one column a class -----------------------------------------------------------------------------------------------


def one_hot_columns(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Names of the columns that hold nothing but 0 and 1, in natural order; none where there is only one."""
    found = [name for name, values in columns.items() if all(_bit(value) is not None for value in values)]
    return sorted(found, key=natural) if len(found) > 1 else []


def read_one_hot(columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels of columns that are a class each: (N,) int64, and the rows that have not exactly one 1."""
    bits = np.array([[_bit(value) for value in columns[name]] for name in names], dtype=np.int64)
    return bits.argmax(0), np.flatnonzero(bits.sum(0) != 1)


def _bit(value: Any) -> int | None:
    if isinstance(value, str):
        return {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "True": 1, "False": 0}.get(value.strip())
    return int(value) if isinstance(value, bool | int | float | np.number) and value in (0, 1) else None


# --- class numbers among several sources ------------------------------------------------------------------------------


def places_of(own: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The number of each class that occurs, among names that were given for them.

    Names stand for themselves. Where all that occur are whole numbers and none of the names, they are the numbers of
    the names, or, where there are as many but they begin with 1 or have gaps, stand for them in order.

    Args:
        own: the classes that occur, in natural order.
        names: of all classes.

    Returns:
        Classes that are none of the names are left out.
    """
    place = {name: number for number, name in enumerate(names)}
    if set(own) <= set(names) or not all(name.isdecimal() and len(name) <= LONGEST_NUMBER for name in own):
        return {name: place[name] for name in own if name in place}
    numbers = [int(name) for name in own]
    if len(set(numbers)) == len(numbers) and max(numbers) < len(names):
        return dict(zip(own, numbers, strict=True))
    if len(own) == len(names):
        return {name: number for number, name in enumerate(own)}
    return {name: number for name, number in zip(own, numbers, strict=True) if number < len(names)}
