"""Entities of tags as conlleval and seqeval's default mode count them, on written-out cases."""

import pytest
import torch

from lhy_lightning.metrics.texts.entities import EntityCounts, TaggingScores, are_entity_tags, entities


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER I-PER", [("PER", 0, 0), ("PER", 1, 2)]),
        ("O I-PER I-PER O", [("PER", 1, 2)]),  # without a beginning it begins where it is first seen
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),  # another kind is another entity
        ("I-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-PER I-PER E-PER S-LOC O", [("PER", 0, 2), ("LOC", 3, 3)]),  # IOBES
        ("E-PER E-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-A-B I-A-B", [("A-B", 0, 1)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_of_tags(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == expected


def test_an_entity_counts_only_with_the_right_kind_and_both_ends() -> None:
    counts = EntityCounts()
    # PER is right, LOC too short
    counts.update(["B-PER", "I-PER", "O", "B-LOC", "O"], ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"])
    counts.update(["B-PER", "O"], ["B-LOC", "O"])  # the wrong kind
    counts.update(["O", "B-PER"], ["O", "O"])  # none there
    found = counts.compute()
    assert found["precision"].item() == pytest.approx(1 / 4)
    assert found["recall"].item() == pytest.approx(1 / 3)
    assert found["f1"].item() == pytest.approx(2 / 7)


def test_nothing_to_count_is_zero_and_not_an_error() -> None:
    counts = EntityCounts()
    counts.update(["O"], ["O"])
    assert {name: value.item() for name, value in counts.compute().items()} == {"precision": 0, "recall": 0, "f1": 0}


def test_tags_of_words_are_not_taken_for_entities() -> None:
    assert are_entity_tags(["B-PER", "I-PER", "O"])
    assert not are_entity_tags(["NOUN", "VERB", "O"])
    assert not are_entity_tags(["O"])
    assert not are_entity_tags([])


def test_an_entity_over_two_parts_of_a_sentence_is_one_whatever_the_order_of_the_parts() -> None:
    names = ("O", "B-X", "I-X")
    scores = TaggingScores(names)
    scores.loss.update(torch.tensor(6.0))
    scores.update([[2, 0], [0]], [[2, 0], [0]], [(7, 5), (3, 1)])  # the second part of sentence 7, and another one
    scores.update([[0, 1]], [[0, 1]], [(7, 4)])
    found = scores.compute()
    assert found["f1"] == found["accuracy"] == 1
    assert scores.entities is not None
    assert scores.entities.true == 1
    assert found["loss"] == 6 / 5
    scores.reset()
    assert scores.compute() == {}


def test_tags_that_mark_no_entities_have_accuracy_alone() -> None:
    scores = TaggingScores(("NOUN", "VERB"))
    scores.update([[0, 1, 1]], [[0, 0, 1]], [(0, 0)])
    assert set(scores.compute()) == {"loss", "accuracy"}
    assert scores.compute()["accuracy"].item() == pytest.approx(2 / 3)
