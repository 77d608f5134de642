"""Exact match and F1 of answers on cases written out by hand from the official scripts' definitions."""

import pytest
import torch

from lhy_lightning.metrics.texts.answer_texts import DEFINITIONS, longest_common_run, mixed_segmentation, treebank_words
from lhy_lightning.metrics.texts.question_answering import AnswerScores


def scores(definition: str, answer: str, *references: str) -> tuple[float, float]:
    return DEFINITIONS[definition].scores(answer, references)


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1, 1),  # case, article, punctuation
        ("the a an", "", 1, 1),  # nothing is left of either
        ("theatre", "the atre", 0, 0),  # articles are whole words
        ("big red dog", "red dog house", 0, 2 * (2 / 3) * (2 / 3) / (4 / 3)),
        ("dog dog", "dog", 0, 2 * 0.5 * 1 / 1.5),  # a word counts as often as both have it
        ("U.S.", "US", 1, 1),
        ("", "Paris", 0, 0),  # SQuAD 2: no answer where there is one
        ("“Paris”", "Paris", 0, 0),  # only ASCII punctuation is taken off
    ],
)
def test_squad(answer: str, reference: str, exact: float, f1: float) -> None:
    assert scores("squad", answer, reference) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "f1"),
    [
        ("《战国无双3》", "战国无双3", 1, 1),
        ("光荣和ω-force", "光荣和Ω-FORCE", 1, 1),
        ("光荣", "光荣和ω-force", 0, 2 * 1 * (2 / 4) / (3 / 2)),  # ω-force is one word: ωforce
        ("1963年5月", "1963年", 0, 2 * (2 / 4) * 1 / (3 / 2)),  # 1963 is one segment
        ("河内总主教", "总主教", 0, 2 * (3 / 5) * 1 / (8 / 5)),
        ("东西北", "东南北", 0, 2 * (1 / 3) * (1 / 3) / (2 / 3)),  # a run, not a subsequence
        ("中国", "美元", 0, 0),
        ("new york", "newyork", 0, 0),  # spaces inside count, in exact match as in segments
        ("，。", "，", 1, 0),  # the script's own: no segment in common is an F1 of 0
    ],
)
def test_cmrc(answer: str, reference: str, exact: float, f1: float) -> None:
    assert scores("cmrc", answer, reference) == pytest.approx((exact, f1))


def test_cmrc_segments_are_characters_and_english_words() -> None:
    assert mixed_segmentation("他在NBA打了3.5年, I can't say.") == [
        "他", "在", "nba", "打", "了", "3.5", "年", ",", "i", "ca", "n't", "say", ".",
    ]  # fmt: skip
    assert treebank_words("1,000 (or so): yes!") == ["1,000", "(", "or", "so", ")", ":", "yes", "!"]
    assert treebank_words('it\'s a "good" day...') == ["it", "'s", "a", "``", "good", "''", "day", "..."]


def test_longest_common_run_is_a_substring() -> None:
    assert longest_common_run("abcde", "xbcdy") == 3
    assert longest_common_run("axbxc", "abc") == 1
    assert longest_common_run("", "a") == 0


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "f1"),
    [
        ("「歐洲」，", "歐洲", 1, 1),
        ("ＡＢ！", "ＡＢ", 1, 1),
        ("洲歐", "歐洲", 0, 1),  # a bag has no order
        ("歐洲人", "歐洲", 0, 2 * (2 / 3) * 1 / (5 / 3)),
        ("20℃", "20", 0, 2 * (2 / 3) * 1 / (5 / 3)),  # a unit is no punctuation
    ],
)
def test_drcd(answer: str, reference: str, exact: float, f1: float) -> None:
    assert scores("drcd", answer, reference) == pytest.approx((exact, f1))


def test_homework_compares_letter_by_letter_after_commas_are_removed() -> None:
    assert scores("homework", "1,234人", "1234人")[0] == 1
    assert scores("homework", "歐洲，", "歐洲")[0] == 0, "a full-width comma is another character"
    assert scores("homework", "NBA", "nba")[0] == 0
    assert scores("homework", "歐洲人", "歐洲")[1] == pytest.approx(0.8)


def test_the_best_reference_counts() -> None:
    assert scores("squad", "red dog", "blue", "dog", "a red dog") == (1, 1)
    assert scores("cmrc", "主教", "总主教", "红衣主教") == pytest.approx((0, 0.8))


def test_mean_is_over_questions_whatever_the_batches() -> None:
    whole, parts = AnswerScores("squad"), AnswerScores("squad")
    answers, references = ["a dog", "cat", "red dog"], [["dog"], ["dog"], ["dog", "cow"]]
    whole.update(answers, references)
    parts.update(answers[:1], references[:1])
    parts.update(answers[1:], references[1:])
    parts.update([], [])
    for found in (whole.compute(), parts.compute()):
        assert found["exact_match"] == pytest.approx(1 / 3)
        assert found["f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
        assert found["f1"].dtype == torch.float32
    nothing = AnswerScores("cmrc")
    nothing.update([], [])
    assert nothing.compute() == {}, "no figure where nothing was counted"


def test_unknown_definitions_and_missing_references_are_errors() -> None:
    with pytest.raises(ValueError, match="no metric is called 'bleu': one of squad, cmrc, drcd, homework"):
        AnswerScores("bleu")
    with pytest.raises(ValueError, match="2 answers and 2 lists of references, 1 of them empty"):
        AnswerScores().update(["a", "b"], [["a"], []])
