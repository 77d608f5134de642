"""What is reached without a network on the same rows: stands beside a run's score, with what helps where it wins."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Control:
    """The accuracy of a rule that needs no network.

    Attributes:
        rule: in words, such as "the most frequent class, 'pos'".
        accuracy: on the scored rows or words of one split.
        helps: what to do where a network does not do better.
    """

    rule: str
    accuracy: float
    helps: str


def most_frequent_class(train: np.ndarray, truth: np.ndarray, names: Sequence[str], helps: str) -> Control | None:
    """The accuracy of always guessing the class that most training rows have.

    Args:
        train, truth: (N,) and (M,) int64 class numbers of training rows and of the rows scored, below 0 where unknown.
        names: of the classes.
        helps: see `Control`.

    Returns:
        None where no row is labelled.
    """
    train, truth = train[train >= 0], truth[truth >= 0]
    if not len(train) or not len(truth):
        return None
    guess = int(np.bincount(train).argmax())
    return Control(f"the most frequent class, {names[guess]!r}", float((truth == guess).mean()), helps)


def most_frequent_tags(
    train: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]],
    scored: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]],
    helps: str,
) -> Control | None:
    """The accuracy of the tag that each word has most often in training; unknown words get the most frequent tag.

    Args:
        train, scored: words and tags of sentences.
        helps: see `Control`.

    Returns:
        None where there is no word.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(*train, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    if not counts:
        return None
    best = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    usual = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    right = [
        best.get(word, usual) == tag
        for words, tags in zip(*scored, strict=True)
        for word, tag in zip(words, tags, strict=True)
    ]
    return Control("each word's most frequent tag", float(np.mean(right)), helps) if right else None


def beside(scores: Mapping[str, float], datamodule: Any) -> tuple[dict[str, float], list[str]]:
    """What a data module's controls reach on the splits that were scored.

    Args:
        scores: by name, such as `test/accuracy`.
        datamodule: the run's; others than the package's have no controls.

    Returns:
        The control's accuracy by the score's name, and a line on each.
    """
    reached, lines = {}, []
    for split in ("val", "test"):
        name = f"{split}/accuracy"
        control = datamodule.control(split) if name in scores and hasattr(datamodule, "control") else None
        if control is None:
            continue
        reached[name] = control.accuracy
        worse = "" if scores[name] > control.accuracy else f". The network does no better: {control.helps}"
        lines.append(f"{name} {scores[name]:.4f} beside {control.accuracy:.4f} of {control.rule}{worse}.")
    return reached, lines
