"""Divides pictures into training, validation, test and unlabelled rows; reports corrupt and repeated ones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lhy_lightning.core.messages import first_of
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role
from lhy_lightning.data.splits import duplicates_between, first_of_each_class, fold_of_row, held_out, labelled_otherwise


@dataclass(frozen=True)
class Division:
    """How to divide: as the arguments of `ImageDataModule` of the same names."""

    val_fraction: float
    test_fraction: float
    split_seed: int
    folds: int | None = None
    fold: int | None = None
    labelled_per_class: int | None = None


@dataclass(frozen=True)
class Split:
    """The rows of one split.

    Attributes:
        pool: the pictures.
        rows: (N,) int64, rows of the pool.
        truth: (N,) int64, -1 where unknown.
    """

    pool: Pool
    rows: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64, or None unless every row is labelled."""
        known = len(self.truth) > 0 and bool((self.truth >= 0).all())
        return torch.from_numpy(self.truth) if known else None

    @property
    def content(self) -> np.ndarray:
        content: np.ndarray = self.pool.content[self.rows]
        return content

    @property
    def bad(self) -> list[int]:
        return np.flatnonzero(self.pool.bad[self.rows]).tolist()

    def names(self, rows: list[int] | np.ndarray) -> list[str]:
        return [self.pool.name(int(self.rows[row])) for row in rows]


def divide(
    pool: Pool, labels: np.ndarray, handed: dict[Role, np.ndarray], how: Division, report: Callable[[str], None]
) -> dict[str, Split]:
    """Makes the splits that the source does not hand out.

    Args:
        pool: all pictures read.
        labels: (rows of the pool,) int64, -1 where unknown.
        handed: the rows of each split that is handed out; `unlabelled` alone is trained on as it is.
        how: fractions, folds, seeds.
        report: is told what was left out.

    Returns:
        `train`, `val`, `unlabelled`, and `test` where there is one.

    Raises:
        ValueError: a split is empty.
    """

    def readable(name: Role) -> np.ndarray:
        rows = handed.get(name, np.zeros(0, dtype=np.int64))
        bad = rows[pool.bad[rows]]
        if len(bad):
            named = first_of([pool.name(int(row)) for row in bad[:6]], 5)
            report(f"{_counted(len(bad), name)} left out, for they cannot be read: {named}.")
        whole: np.ndarray = rows[~pool.bad[rows]]
        return whole

    train, val, unlabelled = readable("train"), readable("val"), readable("unlabelled")
    if "train" not in handed:
        train, unlabelled = unlabelled, unlabelled[:0]
    if not len(train):
        raise ValueError("the training split is empty.")
    for sentence in pool.doubts(train):
        report(f"training images: {sentence}.")
    twofold = np.flatnonzero(labelled_otherwise(pool.content[train], labels[train]))
    if len(twofold):
        named = first_of([pool.name(int(train[row])) for row in twofold[:6]], 5)
        report(f"{_counted(len(twofold), 'train')} that occur with another label too, pixel by pixel: {named}.")
    test, made_test = handed.get("test"), 0.0 if "test" in handed else how.test_fraction
    if made_test:
        chosen = held_out(labels[train], pool.content[train], made_test, how.split_seed)
        train, test = train[~chosen], train[chosen]
    if how.folds is not None:
        if how.fold is None:
            raise ValueError(f"folds={how.folds} without a fold: `lhy fit` runs all, --data.fold 0 the first alone.")
        train = np.concatenate([train, val])
        fold = fold_of_row(labels[train], pool.content[train], how.folds, how.split_seed)
        train, val = train[fold != how.fold], train[fold == how.fold]
    elif "val" not in handed:
        fraction = how.val_fraction / (1 - made_test)
        chosen = held_out(labels[train], pool.content[train], fraction, how.split_seed, stream=1)
        train, val = train[~chosen], train[chosen]
    if how.labelled_per_class is not None:
        keep = first_of_each_class(labels[train], how.labelled_per_class, how.split_seed)
        train, unlabelled = train[keep], np.concatenate([train[~keep], unlabelled])
    repeated = duplicates_between(pool.content[val], pool.content[unlabelled])
    if repeated.any():
        report(f"{_counted(int(repeated.sum()), 'unlabelled')} left out, for the validation split has them too.")
        unlabelled = unlabelled[~repeated]
    rows = {"train": train, "val": val, "unlabelled": unlabelled} | ({} if test is None else {"test": test})
    for name in ("train", "val", *(["test"] if test is not None else [])):
        if not len(rows[name]):
            why = "" if name in handed else _why_empty(pool, labels, np.concatenate([*rows.values()]))
            raise ValueError(f"the {name} split is empty{why or '; check val_fraction, test_fraction and folds.'}")
    return {name: Split(pool, chosen, labels[chosen]) for name, chosen in rows.items()}


def _why_empty(pool: Pool, labels: np.ndarray, rows: np.ndarray) -> str:
    """What in the images or labels at these rows leaves nothing to hold out; "" if nothing can be seen."""
    different = len(np.unique(pool.content[rows]))
    if 2 * different <= len(rows):
        return (
            f": equal images stay in one split, and of {len(rows):,} images {different:,} are different. Are they read "
            "as they are meant?"
        )
    known = labels[rows][labels[rows] >= 0]
    if len(known) and np.bincount(known).max() < 3:
        return (
            f": one image of a class is held out where it has three, and none of the {len(np.unique(known)):,} classes "
            "has. Are the labels classes, or numbers of another kind (identities, dates, values to predict)?"
        )
    return ""


def report_duplicates(splits: dict[str, Split], report: Callable[[str], None]) -> None:
    """Counts pictures of one split that another one has too, pixel by pixel."""
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        if first in splits and second in splits:
            one, other = splits[first], splits[second]
            repeated = duplicates_between(one.content, other.content) & ~other.pool.bad[other.rows]
            if repeated.any():
                named, number = first_of(other.names(np.flatnonzero(repeated)[:6]), 5), int(repeated.sum())
                report(f"{_counted(number, second)} that the {first} split has too, pixel by pixel: {named}.")


def report_unreadable(name: str, split: Split, report: Callable[[str], None]) -> None:
    """Test and prediction rows stay, so that every input row has its output row."""
    if split.bad:
        named = first_of(split.names(split.bad[:6]), 5)
        report(f"{_counted(len(split.bad), name)} cannot be read; a grey one stands in for each: {named}.")


def _counted(number: int, split: str) -> str:
    return f"{number:,} {split} picture{'s' * (number != 1)}"
