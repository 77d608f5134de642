"""Rows of text in splits: those that a source hands out, those from other sources, those held out of training."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np

from lhy_lightning.core.seeding import derive_seed
from lhy_lightning.data.sources.folders import nearest_existing
from lhy_lightning.data.texts.leak_free_splits import hold_out_pairs
from lhy_lightning.data.texts.text_sources import Split


@dataclass(frozen=True)
class TextReading:
    """What to read and how to divide it: as the arguments of `CourseTextDataModule` of the same names."""

    source: str
    val_source: str | None
    test_source: str | None
    predict_source: str | None
    val_fraction: float
    test_fraction: float
    split_seed: int


class Rows(Protocol):
    """The rows of a split, some of which can be taken."""

    def take(self, rows: Sequence[int]) -> Self: ...


Text = TypeVar("Text", bound=Rows)


def read_splits(open_source: Callable[[str], dict[Split, Text]], how: TextReading) -> dict[Split, Text]:
    """The splits of a source, and of another one the split of its name, or all of it where it has none."""
    texts = open_source(how.source)
    others: tuple[tuple[Split, str | None], ...] = (("val", how.val_source), ("test", how.test_source))
    for role, other in others:
        if other is not None:
            found = open_source(other)
            texts[role] = found.get(role) or next(iter(found.values()))
    return texts


def hold_out(
    texts: dict[Split, Text],
    sides: Callable[[Text], tuple[Sequence[str], Sequence[str] | None]],
    how: TextReading,
) -> dict[Split, Text]:
    """Takes out of the training rows what the source hands out no split of.

    Args:
        texts: the splits that there are, training rows among them.
        sides: the strings of rows by which they belong together, one or two each; no string is on two sides.
        how: of which the shares of the training rows are taken, 0 for no such split, and the seed.
    """
    train, found = texts["train"], dict(texts)
    shares: tuple[tuple[Split, float], ...] = (("val", how.val_fraction), ("test", how.test_fraction))
    for stream, (role, share) in enumerate(shares):
        if role not in texts and share:
            held = hold_out_pairs(*sides(train), share, derive_seed(how.split_seed, stream)).held
            found[role] = train.take(np.flatnonzero(held).tolist())
            train = train.take(np.flatnonzero(~held).tolist())
    return {**found, "train": train}


def shared_with_training(
    texts: dict[Split, Text], rows: Callable[[Text], Iterable[Hashable]]
) -> list[tuple[Split, int]]:
    """How many rows of the other splits also occur in training, where any do; `rows` gives what is compared."""
    seen, others = set(rows(texts["train"])), [role for role in ("val", "test") if role in texts]
    counted = [(role, sum(row in seen for row in rows(texts[role]))) for role in others]
    return [(role, count) for role, count in counted if count]


def split_of(texts: dict[Split, Text], name: Split, source: str) -> Text:
    """A split by its name.

    Raises:
        ValueError: there is none of it; says how to come by one.
    """
    if name not in texts:
        how = "" if name == "train" else f": set --data.{name}_source or --data.{name}_fraction"
        raise ValueError(f"{source} has no {name} split{how}.")
    return texts[name]


def predict_file(given: str) -> Path:
    """The file of `predict_source`.

    Raises:
        FileNotFoundError: there is none; says what is there instead.
    """
    path = Path(given).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"predict_source {given!r} does not exist. {nearest_existing(path)}")
    return path
