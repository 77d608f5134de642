"""Questions, their answers and the paragraphs that they are about, however a file writes them down."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from lhy_lightning.core.messages import short

Kind = Literal["squad", "cmrc", "drcd", "homework"]


@dataclass(frozen=True)
class Answer:
    """A span of a paragraph as the data has it, right or wrong.

    Attributes:
        text: the answer.
        start: place of its first character.
        last: place of its last character as the data has it; None where it does not say.
    """

    text: str
    start: int
    last: int | None = field(default=None, compare=False)

    def is_in(self, paragraph: str) -> bool:
        """Whether the text stands where it is said to stand."""
        return bool(self.text) and self.start >= 0 and paragraph.startswith(self.text, self.start)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: its name in the file.
        text: what is asked.
        paragraph: place of its paragraph in `QuestionSet.paragraphs`.
        answers: all that count as right; none where the question is to be predicted, or has no answer.
        impossible: the paragraph is known not to answer it (SQuAD 2).
    """

    id: str
    text: str
    paragraph: int
    answers: tuple[Answer, ...] = ()
    impossible: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the answer, or that there is none, is known."""
        return bool(self.answers) or self.impossible


@dataclass
class QuestionSet:
    """The questions of one file, in its order.

    Attributes:
        paragraphs: each different one once.
        questions: rows that point into them.
        kind: whose data it looks like; this chooses the metric.
        origin: where it comes from, for messages.
    """

    paragraphs: list[str]
    questions: list[Question]
    kind: Kind
    origin: str

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def labelled(self) -> bool:
        """Whether any answer is known: not so in homework 7's test file."""
        return any(question.labelled for question in self.questions)

    def take(self, rows: Iterable[int]) -> "QuestionSet":
        """The same paragraphs with some of the questions."""
        return QuestionSet(self.paragraphs, [self.questions[row] for row in rows], self.kind, self.origin)

    def wrong_answers(self) -> int:
        """How many answers do not stand in their paragraph where they are said to."""
        pairs = ((answer, self.paragraphs[q.paragraph]) for q in self.questions for answer in q.answers)
        return sum(not answer.is_in(paragraph) for answer, paragraph in pairs)

    def first_wrong(self) -> str:
        """The first of these answers and what stands in its place, in words; "" if there is none."""
        for question in self.questions:
            paragraph = self.paragraphs[question.paragraph]
            for answer in question.answers:
                if not answer.is_in(paragraph):
                    wanted = f"question {question.id}: answer {short(answer.text)}, answer_start {answer.start}"
                    if answer.start < 0:
                        return f"{wanted}, which is no place"
                    there = paragraph[answer.start : answer.start + max(1, len(answer.text))]
                    return f"{wanted}, where {short(there)} stands" if there else f"{wanted}, behind the paragraph"
        return ""

    def wrong_ends(self) -> str:
        """How many answers stand where they should, but end elsewhere than the data says, in words; "" if none does."""
        wrong = [
            (question.id, answer)
            for question in self.questions
            for answer in question.answers
            if answer.last not in (None, answer.start + len(answer.text) - 1)
            and answer.is_in(self.paragraphs[question.paragraph])
        ]
        if not wrong:
            return ""
        name, answer = wrong[0]
        return (
            f"{len(wrong):,} answers end elsewhere than answer_end says (question {name}: answer {short(answer.text)}, "
            f"answer_end {answer.last}, but its last character stands at {answer.start + len(answer.text) - 1}); "
            "their text counts. answer_end is the place of the last character, not the one behind it"
        )

    def check_ids(self) -> None:
        """Refuses questions that are told apart by nothing, as answers are written by id.

        Raises:
            ValueError: two have the same id.
        """
        ids = Counter(question.id for question in self.questions)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise ValueError(
                f"{self.origin}: {len(twice):,} ids stand for several questions, {twice[0]!r} for {ids[twice[0]]}. "
                "Answers are written by id: give every question one of its own."
            )
