"""Scores of tagged words: accuracy, and for B- and I- tags the entities found, as conlleval and seqeval count them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lhy_lightning.metrics.averages import Sum, unless_nan

Entity = tuple[str, int, int]
"""Its kind, its first and its last word."""

_TAG = re.compile(r"^(?:O|[BIES]-.+)$")


def are_entity_tags(names: Sequence[str]) -> bool:
    """Whether tags mark entities (O, B-…, I-…, and E-… and S-… of IOBES) and are not classes of words."""
    return any(name != "O" for name in names) and all(_TAG.match(name) for name in names)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence, as conlleval and seqeval's default mode read its tags.

    An entity begins at B- and S-, behind E- and S-, and at any other tag that does not go on the one before it: behind
    O and where the kind changes. So `O I-PER I-PER` is an entity, and `B-PER I-LOC` are two.
    """
    found: list[Entity] = []
    kind, first, before = "", 0, "O"
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, here = tag.partition("-")
        ends = before != "O" and (prefix in "OBS" or before in "ES" or here != kind)
        if ends:
            found.append((kind, first, place - 1))
        if prefix != "O" and (ends or before == "O"):
            first = place
        kind, before = here, prefix
    return found


class EntityCounts(Metric):
    """How many entities there are, were said to be, and are right in kind, first and last word."""

    full_state_update = False
    right: Tensor
    said: Tensor
    true: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "said", "true"):
            self.add_state(name, torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[str], gold: Sequence[str]) -> None:
        """Takes the tags of one sentence."""
        said, true = set(entities(predicted)), set(entities(gold))
        self.right += len(said & true)
        self.said += len(said)
        self.true += len(true)

    def compute(self) -> dict[str, Tensor]:
        """`precision`, `recall` and `f1` over all entities, scalars; 0 where nothing is to be counted."""
        right, said, true = (value.double() for value in (self.right, self.said, self.true))
        return {
            "precision": right / said.clamp(min=1),
            "recall": right / true.clamp(min=1),
            "f1": 2 * right / (said + true).clamp(min=1),
        }


class TaggingScores(nn.Module):
    """Loss, accuracy over words and, where tags mark entities, precision, recall and F1.

    A long sentence may come in parts, even in several batches: entities are counted when all is there. All parts of a
    sentence have to come to one rank.

    Args:
        tag_names: what the tags' numbers stand for.
    """

    def __init__(self, tag_names: Sequence[str]) -> None:
        super().__init__()
        self.tag_names = tuple(tag_names)
        self.loss, self.right, self.words = Sum(), Sum(), Sum()
        self.entities = EntityCounts() if are_entity_tags(tag_names) else None
        self._parts: list[tuple[int, int, list[int], list[int]]] = []

    def update(self, predicted: list[list[int]], gold: list[list[int]], places: list[tuple[int, int]]) -> None:
        """Takes a batch: for each row the tags of its words, and the sentence and the part of it that it is."""
        self.right.update(sum(a == b for p, g in zip(predicted, gold, strict=True) for a, b in zip(p, g, strict=True)))
        self.words.update(sum(map(len, gold)))
        if self.entities is not None:
            self._parts += [(*place, p, g) for place, p, g in zip(places, predicted, gold, strict=True)]

    def compute(self) -> dict[str, Tensor]:
        """`loss` and `accuracy`, means over words, and the figures of entities; empty without words. Collective."""
        if self.entities is not None:
            self._count(self.entities)
        with warnings.catch_warnings():  # a rank may have no rows
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            loss, right, words = self.loss.compute(), self.right.compute(), self.words.compute()
            counted = {} if self.entities is None else self.entities.compute()
        if not words:
            return {}
        return {"loss": loss / words, **unless_nan(loss, {"accuracy": right / words, **counted})}

    def _count(self, counts: EntityCounts) -> None:
        whole: dict[int, tuple[list[str], list[str]]] = {}
        for sentence, _, predicted, gold in sorted(self._parts, key=lambda part: part[:2]):
            sides = whole.setdefault(sentence, ([], []))
            for side, tags in zip(sides, (predicted, gold), strict=True):
                side += [self.tag_names[tag] for tag in tags]
        for said, true in whole.values():
            counts.update(said, true)
        self._parts.clear()

    def reset(self) -> None:
        """Forgets all rows."""
        self._parts.clear()
        for part in (self.loss, self.right, self.words, self.entities):
            if part is not None:
                part.reset()
