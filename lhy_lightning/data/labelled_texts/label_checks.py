"""Finds before training what is wrong with the labels of texts: none, of one kind only, no class, no number."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lhy_lightning.data.class_counts import describe_classes, doubtful_classes
from lhy_lightning.data.labelled_texts.gold_labels import as_numbers, is_gold, told_missing
from lhy_lightning.data.labelled_texts.labelled_files import label_names
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.splits import UNLABELLED, labelled_otherwise
from lhy_lightning.data.texts.text_sources import Split


def with_gold(
    text: LabelledText, role: Split, classes: Sequence[str] | None, report: Callable[[str], None]
) -> LabelledText:
    """Leaves out the rows that have no gold label; of a test split they stay, to be predicted and not scored.

    Args:
        text: rows of a split.
        role: which one.
        classes: that are known; None with numbers for labels.
        report: is told how many there are.
    """
    if text.labels is None:
        return text
    labels = label_names(text)
    gold = is_gold(labels, classes)
    if not gold.any():
        return replace(text, labels=None)
    if gold.all():
        return text
    kept = "are predicted and not scored" if role == "test" else "are left out"
    report(f"{text.origin}: {told_missing(labels, gold)}: they {kept}.")
    if role == "test":
        return replace(text, labels=[label if here else None for label, here in zip(labels, gold, strict=True)])
    return text.take(np.flatnonzero(gold).tolist())


def coded_labels(text: LabelledText, classes: Sequence[str] | None) -> np.ndarray:
    """Labels as (N,) int64 places in `classes`, -1 where there is none; without classes float32 numbers and NaN.

    Raises:
        ValueError: a label that is no class, or no finite number; its row in the file is named.
    """
    labels = label_names(text)
    if classes is None:
        return as_numbers(labels, is_gold(labels, None), text.origin, text.places)
    place: dict[str | None, int] = {label: number for number, label in enumerate(classes)}
    place[None] = UNLABELLED
    wrong = next((row for row, label in enumerate(labels) if label not in place), None)
    if wrong is not None:
        raise ValueError(
            f"{text.origin}, row {text.places[wrong]}: the label {labels[wrong]!r} is none of the {len(classes)} "
            f"classes of the training rows ({', '.join(classes[:10])}{' …' if len(classes) > 10 else ''})."
        )
    return np.array([place[label] for label in labels], dtype=np.int64)


def without_labels(text: LabelledText) -> str:
    """What is said of a split that needs labels and has none."""
    why = text.unlabelled or "has no labels: set --data.label_column to the column that holds them"
    return f"{text.origin} {why}."


def check_pairs(text: LabelledText, pairs: bool | None) -> None:
    """Raises ValueError where a split has two texts per row and training has one, or the other way round."""
    if pairs is not None and (text.second is not None) != pairs:
        kinds = ("single texts", "pairs of texts")
        raise ValueError(
            f"{text.origin} holds {kinds[not pairs]}, the training rows are {kinds[pairs]}: set --data.text_column "
            "and --data.pair_column."
        )


def check_variety(labels: np.ndarray, origin: str, classes: Sequence[str] | None) -> None:
    """Raises ValueError where all training labels are one: accuracy would be 1 from the first step."""
    if labels.min() == labels.max():
        said = f"have the number {labels[0]:g}" if classes is None else f"are of class {classes[labels[0]]!r}"
        raise ValueError(
            f"{origin}: all {len(labels):,} training rows {said}: there is nothing to tell apart. Set "
            "--data.label_column if the labels stand in another column."
        )


def told_twofold(text: LabelledText, labels: np.ndarray) -> str:
    """Returns `4 rows have a text that stands elsewhere with another label, such as …`; empty where none has."""
    number: dict[tuple[str, str], int] = {}
    pairs = zip(text.first, text.second or text.first, strict=True)
    content = np.array([number.setdefault(pair, len(number)) for pair in pairs])
    rows = np.flatnonzero(labelled_otherwise(content, labels))
    if not len(rows):
        return ""
    row = int(rows[0])
    return (
        f"{len(rows):,} of {len(labels):,} training rows have a text that stands elsewhere with another label, such as "
        f"row {text.places[row]}: {text.first[row][:40]!r}"
    )


def describe_labels(labels: np.ndarray, classes: Sequence[str] | None) -> tuple[str, list[str]]:
    """Says how many training rows each class has, or between what the numbers are, and which classes are doubtful."""
    if classes is None:
        return (
            f"{len(labels):,} training labels from {labels.min():g} to {labels.max():g}, mean {labels.mean():.3g}",
            [],
        )
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    return describe_classes(classes, counts), doubtful_classes(classes, counts)
