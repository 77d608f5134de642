"""Answers as a user gets them: cut out of the paragraph by the places of characters, never put together from tokens."""

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lhy_lightning.bert.questions.span_search import QuestionSpans
from lhy_lightning.data.sequences.ragged import Ragged

_JOINER = "\u200d"
_SKIN = range(0x1F3FB, 0x1F400)


class Span(NamedTuple):
    """One candidate.

    Attributes:
        text: `paragraph[start:end]`.
        start, end: its first character, and the one behind its last.
        score: start logit + end logit, less the null score where windows are compared so.
        probability: among the candidates of the question.
    """

    text: str
    start: int
    end: int
    score: float
    probability: float


class Answered(NamedTuple):
    """The answer to a question.

    Attributes:
        text: the best span's; "" where there is no answer, which otherwise only an empty paragraph has.
        start, end: its place in the paragraph, or None.
        score: the best span's, whether or not it is given as the answer.
        null_score: of there being no answer, to be held against `score`.
        n_best: the best spans, best first.
    """

    text: str
    start: int | None
    end: int | None
    score: float | None
    null_score: float
    n_best: tuple[Span, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {**self._asdict(), "n_best": [span._asdict() for span in self.n_best]}


def read_answers(
    found: QuestionSpans,
    paragraphs: Sequence[str],
    paragraph: np.ndarray,
    starts: Ragged,
    ends: Ragged,
    *,
    null_threshold: float | None = None,
) -> list[Answered]:
    """Turns spans of tokens into text.

    Args:
        found: spans of Q questions.
        paragraphs: the texts.
        paragraph: (Q,) int64, each question's paragraph.
        starts, ends: of the paragraphs' tokens, in characters.
        null_threshold: there is no answer where the null score is so much above the best span's; None for always one.
    """
    owner = np.repeat(np.arange(len(paragraph)), np.diff(found.offsets))
    first = starts.values[starts.offsets[paragraph[owner]] + found.first].tolist()
    last = ends.values[ends.offsets[paragraph[owner]] + found.last].tolist()
    score, offsets, null = found.score.tolist(), found.offsets.tolist(), found.null.tolist()
    answers = []
    for row, text in enumerate(paragraph.tolist()):
        part = range(offsets[row], offsets[row + 1])
        chances = _softmax(found.score[part.start : part.stop])
        spans = tuple(
            _span(paragraphs[text], first[place], last[place], score[place], chance)
            for place, chance in zip(part, chances, strict=True)
        )
        nothing = not spans or (null_threshold is not None and null[row] - spans[0].score > null_threshold)
        best = None if nothing else spans[0]
        answers.append(
            Answered(
                best.text if best else "",
                best.start if best else None,
                best.end if best else None,
                spans[0].score if spans else None,
                null[row],
                spans,
            )
        )
    return answers


def _softmax(scores: np.ndarray) -> list[float]:
    if not len(scores):
        return []
    chances = np.exp(scores - scores.max())
    listed: list[float] = (chances / chances.sum()).tolist()
    return listed


def _span(paragraph: str, start: int, end: int, score: float, probability: float) -> Span:
    start, end = whole_characters(paragraph, start, end)
    return Span(paragraph[start:end], start, end, score, probability)


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """The same span without spaces at its ends and without half characters.

    Tokens leave out what their tokenizer removes: accents that stand as characters of their own, the parts of an emoji
    behind its joiner. A span takes them along with the letter that they belong to.
    """
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start == end:
        return start, end
    while start > 0 and (_goes_on(text[start]) or text[start - 1] == _JOINER):
        start -= 1
    while end < len(text) and (_goes_on(text[end]) or text[end - 1] == _JOINER):
        end += 1
    return start, end


def _goes_on(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    return character == _JOINER or unicodedata.category(character)[0] == "M" or ord(character) in _SKIN
