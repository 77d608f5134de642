"""Pairs of a question and a sentence of its paragraph: does the sentence hold the answer?

The lecture's "two sentences in, one class out", made of any extractive question answering data. Each question gives two
rows: the sentence that its answer stands in, and another sentence of the same paragraph, so that half of the rows are
positive and the topic of the paragraph tells nothing.
"""

import re
from itertools import pairwise

from lhy_lightning.core.seeding import derive_seed
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.questions.question_files import open_questions
from lhy_lightning.data.questions.question_set import Question, QuestionSet
from lhy_lightning.data.texts.text_sources import Split

LABELS = ("no_answer", "answer")

_END = re.compile(r"[。！？!?…；]+[”’」』）)\"]*|[.](?=\s|$)[”’\")]*|\n+")
"""Where a sentence ends: full-width and other marks, a full stop before a space, a line's end."""


def sentences_of(paragraph: str) -> list[tuple[int, int]]:
    """Where the sentences of a paragraph begin and end, in characters; spaces round them are left out."""
    ends = [found.end() for found in _END.finditer(paragraph)]
    edges = [0, *ends, *([] if ends and ends[-1] == len(paragraph) else [len(paragraph)])]
    spans = []
    for first, end in pairwise(edges):
        text = paragraph[first:end]
        start = first + len(text) - len(text.lstrip())
        if text.strip():
            spans.append((start, start + len(text.strip())))
    return spans


def answer_sentences(questions: QuestionSet, *, seed: int = 0) -> LabelledText:
    """Two rows for each question whose answer stands in one sentence of a paragraph that has another without it.

    Questions that give none are counted: no answer or a wrong span, an answer that goes over two sentences, no other
    sentence without the answer.

    Args:
        questions: labelled ones; the first answer of each counts.
        seed: of the choice of the other sentence; it depends on nothing else but the question's place.

    Raises:
        ValueError: no question gives a pair.
    """
    spans = [sentences_of(paragraph) for paragraph in questions.paragraphs]
    first: list[str] = []
    second: list[str] = []
    groups: list[str] = []
    for number, question in enumerate(questions.questions):
        paragraph = questions.paragraphs[question.paragraph]
        found = _sentences(question, paragraph, spans[question.paragraph])
        if found is None:
            continue
        holding, others = found
        other = others[derive_seed(seed, number) % len(others)]
        first += [question.text, question.text]
        second += [paragraph[slice(*holding)], paragraph[slice(*other)]]
        groups += [paragraph, paragraph]
    if not first:
        raise ValueError(
            f"{questions.origin}: none of {len(questions):,} questions has an answer in one sentence of a paragraph "
            "with another sentence to compare it with."
        )
    skipped = len(questions) - len(first) // 2
    told = f"{skipped:,} of {len(questions):,} questions give no pair" if skipped else ""
    labels = [1.0, 0.0] * (len(first) // 2)
    return LabelledText(first, second, labels, questions.origin, names=LABELS, groups=groups, told=told)


def _sentences(
    question: Question, paragraph: str, spans: list[tuple[int, int]]
) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """The sentence that holds the answer, and those in which none of the question's answers occurs."""
    if not question.answers or not question.answers[0].is_in(paragraph):
        return None
    answer = question.answers[0]
    holding = next((s for s in spans if s[0] <= answer.start and answer.start + len(answer.text) <= s[1]), None)
    texts = {known.text for known in question.answers if known.text}
    others = [span for span in spans if not any(text in paragraph[slice(*span)] for text in texts)]
    return (holding, others) if holding is not None and others else None


def open_answer_sentences(source: str) -> dict[Split, LabelledText]:
    """The pairs of every split of a source of questions (`open_questions`); splits without answers give none."""
    found: dict[Split, LabelledText] = {}
    for split, questions in open_questions(source).items():
        if questions.labelled:
            found[split] = answer_sentences(questions)
    return found
