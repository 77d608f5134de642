"""Where the windows of a paragraph lie: arithmetic on numbers of tokens, for all questions at once.

A paragraph that is too long to be read together with its question is read in windows. In evaluation they lie on a grid
that covers it, each sharing `window_overlap` tokens with the next one. (`doc_stride` is not taken: it means this
overlap in `transformers`, and the step from one window to the next in homework 7.) In training a question has one
window an epoch, round its answer, and a share of the windows holds no answer.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lhy_lightning.data.questions.question_set import QuestionSet
from lhy_lightning.data.sequences.ragged import Ragged

Position = Literal["random", "centre"]


@dataclass(frozen=True)
class WindowSettings:
    """How question and paragraph share a sequence; in numbers of tokens.

    Args:
        max_length: of the sequence: special tokens, question and window.
        max_question_length: of the question; longer ones are cut.
        window: of the paragraph in a window, at most; whatever `max_length` leaves if None.
        window_overlap: that a window shares with the next one.
    """

    max_length: int = 384
    max_question_length: int = 64
    window: int | None = None
    window_overlap: int = 128

    def check(self, added: int) -> None:
        """Checks the numbers against each other.

        Args:
            added: special tokens of a sequence.

        Raises:
            ValueError: the longest question leaves no room, or no more than the overlap, or a window never has the
                size asked for.
        """
        for name, least in (("max_length", 1), ("max_question_length", 1), ("window", 1), ("window_overlap", 0)):
            given = getattr(self, name)
            if given is not None and given < least:
                raise ValueError(f"{name}={given}: a number of tokens, at least {least}.")
        room = int(self.room(np.array([self.max_question_length]), added)[0])
        if room < 1:
            raise ValueError(
                f"max_length={self.max_length} has no room for a paragraph beside a question of "
                f"max_question_length={self.max_question_length} and {added} special tokens: raise max_length "
                "or lower max_question_length."
            )
        if self.window is not None and self.window > (most := self.max_length - added - 1):
            raise ValueError(
                f"window={self.window}, but max_length={self.max_length} holds {most} tokens of the paragraph at most "
                f"beside a question and {added} special tokens: lower window, leave it out for all the room there is, "
                "or raise max_length."
            )
        if room <= self.window_overlap:
            raise ValueError(
                f"window_overlap={self.window_overlap}, but a window beside a long question has only {room} tokens of "
                "the paragraph, so it would never move on: lower window_overlap or max_question_length, or raise "
                "max_length."
            )

    def room(self, question_lengths: np.ndarray, added: int) -> np.ndarray:
        """Tokens of the paragraph that a window has beside questions of these lengths: (N,) int64."""
        left: np.ndarray = (
            self.max_length - added - np.minimum(question_lengths, self.max_question_length).astype(np.int64)
        )
        return left if self.window is None else np.minimum(left, self.window)


@dataclass(frozen=True)
class Windows:
    """Windows of paragraphs, those of one question one after the other.

    Attributes:
        question: (W,) int64, row of its question.
        first: (W,) int64, the paragraph's token it begins with.
        count: (W,) int64, how many of the paragraph's tokens it has.
    """

    question: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def __len__(self) -> int:
        return len(self.question)


def window_grid(lengths: np.ndarray, room: np.ndarray, overlap: int) -> Windows:
    """Windows that cover each paragraph, the last one as short as need be.

    Args:
        lengths: (N,) tokens of each question's paragraph; an empty one has one empty window.
        room: (N,) tokens of the paragraph that a window has; all above `overlap`.
        overlap: tokens shared with the next window.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import window_grid
        >>> grid = window_grid(np.array([10]), np.array([6]), 2)
        >>> grid.first.tolist(), grid.count.tolist()
        ([0, 4], [6, 6])
    """
    step = room - overlap
    number = np.maximum(0, -(-(lengths - room) // step)) + 1
    question = np.repeat(np.arange(len(lengths)), number)
    place = np.arange(len(question)) - np.repeat(np.cumsum(number) - number, number)
    first = place * step[question]
    return Windows(question, first, np.minimum(room[question], lengths[question] - first))


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnswerTokens:
    """The first right answer of each question, in tokens of its paragraph.

    Attributes:
        first, last: (N,) int64, both inclusive; -1 where there is none.
        impossible: (N,) bool, where it is known that there is none.
    """

    first: np.ndarray
    last: np.ndarray
    impossible: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Where there is an answer: (N,) bool."""
        return self.first >= 0


def answer_tokens(questions: QuestionSet, starts: Ragged, ends: Ragged) -> AnswerTokens:
    """Finds the tokens that hold each answer's characters.

    Args:
        questions: N questions; answers that do not stand where they are said to are passed over.
        starts, ends: of the paragraphs' tokens, in characters.
    """
    first, last = (np.full(len(questions), -1, dtype=np.int64) for _ in range(2))
    impossible = np.array([question.impossible for question in questions.questions], dtype=bool)
    spans = []
    for row, question in enumerate(questions.questions):
        paragraph = questions.paragraphs[question.paragraph]
        right = next((answer for answer in question.answers if answer.is_in(paragraph)), None)
        if right is not None:
            spans.append((row, question.paragraph, right.start, right.start + len(right.text)))
    if not spans or not len(starts.values):
        return AnswerTokens(first, last, impossible)
    rows, paragraph, begin, end = np.array(spans, dtype=np.int64).T
    # Paragraphs one behind the other on one line of characters, so that one search finds all answers.
    origin = np.concatenate([[0], np.cumsum([len(text) + 1 for text in questions.paragraphs])])
    shift = np.repeat(origin[:-1], starts.lengths)
    line_starts = np.maximum.accumulate(starts.values + shift)
    line_ends = np.maximum.accumulate(ends.values + shift)
    from_token = np.searchsorted(line_ends, begin + origin[paragraph], side="right")
    to_token = np.searchsorted(line_starts, end + origin[paragraph], side="left") - 1
    lowest, highest = starts.offsets[paragraph], starts.offsets[paragraph + 1]
    there = (from_token <= to_token) & (lowest <= from_token) & (to_token < highest)  # not where tokens leave it out
    first[rows[there]] = (from_token - lowest)[there]
    last[rows[there]] = (to_token - lowest)[there]
    return AnswerTokens(first, last, impossible)


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where a training window may begin: `before` places from `low` on, and `after` more behind a gap.

    Attributes:
        low, before, gap, after: (N,) int64.
    """

    low: np.ndarray
    before: np.ndarray
    gap: np.ndarray
    after: np.ndarray

    @property
    def number(self) -> np.ndarray:
        """(N,) int64, how many places there are."""
        number: np.ndarray = self.before + self.after
        return number

    def draw(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """One place for each of `rows`, from numbers (len(rows),) in [0, 1): (len(rows),) int64."""
        drawn = (uniform * self.number[rows]).astype(np.int64)
        places: np.ndarray = self.low[rows] + drawn + np.where(drawn < self.before[rows], 0, self.gap[rows])
        return places


def places_with_answer(answers: AnswerTokens, lengths: np.ndarray, room: np.ndarray) -> Places:
    """Places from which a window holds the whole answer; none where the answer is longer than a window, or unknown.

    Args:
        answers: N answers.
        lengths: (N,) tokens of the paragraphs.
        room: (N,) tokens of the paragraph that a window has.
    """
    low = np.maximum(0, answers.last - room + 1)
    high = np.minimum(answers.first, np.maximum(0, lengths - room))
    fits = answers.found & (answers.last - answers.first < room)
    none = np.zeros_like(low)
    return Places(low, np.where(fits, high - low + 1, 0), none, none)


def places_without_answer(answers: AnswerTokens, lengths: np.ndarray, room: np.ndarray) -> Places:
    """Places from which a window of a long paragraph lacks a part of the answer or all of it.

    Where there is no answer every place is one, also that of a short paragraph's only window.
    """
    places = np.maximum(0, lengths - room) + 1
    before = np.clip(answers.last - room + 1, 0, places)
    gap = np.minimum(answers.first, places - 1) + 1 - before
    before, gap = np.where(answers.found, before, places), np.where(answers.found, np.maximum(gap, 0), 0)
    return Places(np.zeros_like(before), before, gap, places - before - gap)


def centred(answers: AnswerTokens, room: np.ndarray, holding: Places) -> np.ndarray:
    """Homework 7's window: the answer in its middle, as far as the paragraph's ends allow. (N,) int64."""
    middle = (answers.first + answers.last) // 2 - room // 2
    first: np.ndarray = np.clip(middle, holding.low, holding.low + np.maximum(holding.before, 1) - 1)
    return first
