"""Several trained encoders as one: mean logits where they read the same windows, added span scores where not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.bert.questions.answers import Answered, Span
from lhy_lightning.bert.questions.reading import Reading
from lhy_lightning.bert.questions.span_search import QuestionSpans, WindowSpans
from lhy_lightning.data.questions.question_set import Question
from lhy_lightning.data.questions.windows import WindowSettings
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.metrics.texts.question_answering import AnswerScores
from lhy_lightning.training.checkpoints import load_modules

CANDIDATES = 20
"""Spans of each question that models of different tokenizers are asked for."""


class Member(Protocol):
    """What an ensemble asks of `BertQuestionAnswering`."""

    tokenizer: str | None
    vocabulary: EncoderTokenizer
    scores: AnswerScores
    unscored: str
    n_best: int
    null_threshold: float | None

    @property
    def settings(self) -> WindowSettings: ...

    def chunks(self, batch: dict[str, Any]) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]: ...

    def best_spans(
        self, logits: tuple[Tensor, Tensor], batch: dict[str, Any], part: slice, n_best: int
    ) -> WindowSpans: ...

    def combine(self, spans: Sequence[WindowSpans], batch: dict[str, Any], n_best: int) -> QuestionSpans: ...

    def read(self, found: QuestionSpans, opened: Any, rows: Sequence[int]) -> list[Answered]: ...


_ASKED = ("chunks", "best_spans", "combine", "read")


class QuestionAnsweringEnsemble(LightningModule):
    """Answers with several `BertQuestionAnswering`, in any mixture of encoders.

    Members whose tokenizer and window settings are equal read the same windows, and their logits are averaged. Between
    such groups the probabilities that each gives its best spans are averaged by the places of characters. The first
    member's settings search, and the data module reads with its tokenizer.

    Args:
        members: trained modules.

    Raises:
        ValueError: no member, or one that does not answer questions.
    """

    def __init__(self, members: list[Any]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one member.")
        if others := [type(member).__name__ for member in members if not all(hasattr(member, name) for name in _ASKED)]:
            raise ValueError(f"an ensemble that answers questions cannot have a {others[0]} as a member.")
        self.members = nn.ModuleList(members)
        groups: dict[Any, list[Member]] = {}
        for member in members:
            groups.setdefault((member.tokenizer, member.settings), []).append(member)
        self.groups = list(groups.values())
        self.save_hyperparameters(dict(members[0].hparams))

    @classmethod
    def from_checkpoints(cls, paths: list[Path]) -> "QuestionAnsweringEnsemble":
        """Loads each checkpoint with the class that made it."""
        return cls(load_modules(paths, "BertQuestionAnswering"))

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """As `BertQuestionAnswering.predict_step`."""
        return {"index": batch["index"], "answers": self._answers(batch, "predict")}

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Adds a batch to exact match and F1, as `BertQuestionAnswering.test_step`."""
        asked = self.trainer.datamodule.opened("test").questions.questions  # type: ignore[attr-defined]
        pairs = zip(self._answers(batch, "test"), batch["index"].tolist(), strict=True)
        known = [(answer.text, asked[row]) for answer, row in pairs if asked[row].labelled]
        references = [[answer.text for answer in question.answers] or [""] for _, question in known]
        self.groups[0][0].scores.update([text for text, _ in known], references)

    def on_test_epoch_end(self) -> None:
        scores = self.groups[0][0].scores
        figures = scores.compute()
        scores.reset()
        if not figures:
            rank_zero_warn(self.groups[0][0].unscored.format(split="test"))
        named = {f"test/{name}": value.float().to(self.device) for name, value in figures.items()}
        self.log_dict(named, prog_bar=True)

    def _answers(self, batch: dict[str, Any], split: str) -> list[Answered]:
        first, others = self.groups[0][0], self.groups[1:]
        kept = max(first.n_best, CANDIDATES) if others else first.n_best
        opened, rows = self.trainer.datamodule.opened(split), batch["index"].tolist()  # type: ignore[attr-defined]
        answers = first.read(_search(self.groups[0], batch, kept), opened, rows)
        if others:
            questions = [opened.questions.questions[row] for row in rows]
            each = [answers, *(self._read(group, questions, opened.questions.paragraphs, kept) for group in others)]
            settings: Any = {"n_best": first.n_best, "null_threshold": first.null_threshold}
            answers = [merge(of_one, **settings) for of_one in zip(*each, strict=True)]
        return answers

    def _read(
        self, group: list[Member], questions: list[Question], paragraphs: list[str], n_best: int
    ) -> list[Answered]:
        """Answers of members that read windows of their own."""
        used = sorted({question.paragraph for question in questions})
        place = {paragraph: number for number, paragraph in enumerate(used)}
        reading = Reading.of(
            [question.text for question in questions],
            [paragraphs[paragraph] for paragraph in used],
            [place[question.paragraph] for question in questions],
            group[0].vocabulary,
            group[0].settings,
        )
        found = _search(group, reading.on(self.device), n_best)
        return reading.read(found, null_threshold=group[0].null_threshold)


def _search(group: Sequence[Member], batch: dict[str, Any], n_best: int) -> QuestionSpans:
    """The best spans of the mean logits of members that read the same windows."""
    first, spans = group[0], []
    for of_members in zip(*(member.chunks(batch) for member in group), strict=True):
        starts, ends = zip(*(logits for _, logits in of_members), strict=True)
        mean = (torch.stack(starts).mean(0), torch.stack(ends).mean(0))
        spans.append(first.best_spans(mean, batch, of_members[0][0], n_best))
    return first.combine(spans, batch, n_best)


def merge(answers: Sequence[Answered], *, n_best: int, null_threshold: float | None = None) -> Answered:
    """One answer out of several models' candidates: the span with the highest mean probability.

    Args:
        answers: each model's, about the same question and text.
        n_best: candidates kept.
        null_threshold: as `read_answers`, in logarithms of mean probabilities; None for always an answer.

    Returns:
        Its score is the mean probability of its span, and its null score that of there being no answer.
    """
    chances: dict[tuple[int, int], float] = {}
    texts: dict[tuple[int, int], str] = {}
    nothing = 0.0
    for answer in answers:
        scores = np.array([span.score for span in answer.n_best] + [answer.null_score] * (null_threshold is not None))
        shares = np.exp(scores - scores.max(initial=-np.inf)) if len(scores) else scores
        shares = shares / max(shares.sum(), 1e-30) / len(answers)
        for span, share in zip(answer.n_best, shares.tolist(), strict=False):
            place = (span.start, span.end)
            chances[place] = chances.get(place, 0.0) + share
            texts[place] = span.text
        nothing += float(shares[-1]) if null_threshold is not None else 0.0
    ordered = sorted(chances, key=lambda place: (-chances[place], place))[:n_best]
    total = sum(chances[place] for place in ordered)
    spans = tuple(Span(texts[place], *place, chances[place], chances[place] / total) for place in ordered)
    best = spans[0] if spans else None
    if best and null_threshold is not None and np.log(nothing / best.score) > null_threshold:
        best = None
    return Answered(
        best.text if best else "",
        best.start if best else None,
        best.end if best else None,
        spans[0].score if spans else None,
        nothing,
        spans,
    )
