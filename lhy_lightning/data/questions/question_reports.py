"""Opened questions, and what is said about them: how many there are, what is skipped, cut or misplaced."""

from dataclasses import dataclass

import numpy as np

from lhy_lightning.data.questions.question_batches import QuestionBatches
from lhy_lightning.data.questions.question_set import QuestionSet
from lhy_lightning.data.questions.window_batches import EvaluationWindows, WindowMaker
from lhy_lightning.data.questions.windows import AnswerTokens, WindowSettings
from lhy_lightning.data.texts.encoded_texts import EncodedTexts

MANY_CUT = 0.05  # share of the questions


@dataclass(frozen=True)
class OpenedQuestions:
    """One split, tokenised.

    Attributes:
        questions: N of them.
        paragraphs: their tokens and where these stand.
        maker: makes its windows.
        answers: in tokens.
    """

    questions: QuestionSet
    paragraphs: EncodedTexts
    maker: WindowMaker
    answers: AnswerTokens

    @property
    def asked(self) -> np.ndarray:
        """Rows that have a question and a paragraph: (N,) bool."""
        both: np.ndarray = (self.maker.question_lengths > 0) & (self.maker.lengths > 0)
        return both


def told_of_training(
    opened: OpenedQuestions,
    sampler: QuestionBatches,
    settings: WindowSettings,
    *,
    no_answer_share: float,
    unanswerable: bool,
) -> list[str]:
    """Sentences about the training questions: what is trained on, and which questions are not, for which reason.

    Args:
        opened: the training questions.
        sampler: of their windows.
        settings: of the windows.
        no_answer_share: what was asked for; there may be no window without an answer.
        unanswerable: whether questions that have no answer are trained on.
    """
    answers, asked = opened.answers, opened.asked
    told = f"{len(opened.questions):,} training questions, {sampler.with_answer:,} windows with an answer an epoch"
    said = [f"{told}, {sampler.without_answer:,} without."]
    labelled = np.array([bool(question.answers) for question in opened.questions.questions])
    too_long = answers.found & (answers.last - answers.first >= opened.maker.room)
    misplaced = int((labelled & ~answers.found & asked).sum())
    skipped = {
        "without text": int((~asked).sum()),
        "whose answer does not stand where it should": misplaced,
        "whose answer is longer than a window": int(too_long.sum()),
        "without an answer": int((~labelled).sum()) if not unanswerable else 0,
    }
    if any(skipped.values()):
        listed = ", ".join(f"{count:,} {why}" for why, count in skipped.items() if count)
        first = f" ({wrong})" if misplaced and (wrong := opened.questions.first_wrong()) else ""
        said.append(f"Training skips questions: {listed}{first}.")
    if no_answer_share and not sampler.without_answer:
        said.append("No paragraph is longer than a window, so there are no windows without an answer.")
    return said + _told_of_cuts("training", opened, settings)


def told_of_evaluated(name: str, opened: OpenedQuestions, settings: WindowSettings) -> list[str]:
    """Sentences about the questions of a split that is evaluated or predicted."""
    questions = opened.questions
    windows = len(EvaluationWindows(opened.maker).grid)
    unknown = sum(not question.labelled for question in questions.questions)
    without = "" if not unknown else f", {unknown:,} of them without a known answer"
    said = [f"{len(questions):,} {name} questions{without}, {windows:,} windows."]
    if empty := int((~opened.asked).sum()):
        said.append(f"{empty:,} {name} rows have no question or no paragraph.")
    if wrong := questions.wrong_answers():
        first = questions.first_wrong()
        said.append(f"{wrong:,} {name} answers do not stand where they should ({first}); their text still counts.")
    return said + _told_of_cuts(name, opened, settings)


def _told_of_cuts(name: str, opened: OpenedQuestions, settings: WindowSettings) -> list[str]:
    asked, most = opened.maker.questions.lengths, settings.max_question_length
    cut = int((asked > most).sum())
    if not cut:
        return []
    told = f"{cut:,} {name} questions cut to {most} tokens (longest {asked.max()})."
    if cut > MANY_CUT * len(asked):  # the setting is of other questions
        whole = int(np.quantile(asked, 0.99))
        length = settings.max_length + whole - most
        told += (
            f" --data.max_question_length {whole} leaves 99 of 100 whole, with --data.max_length {length} beside "
            "windows as long as now."
        )
    return [told]
