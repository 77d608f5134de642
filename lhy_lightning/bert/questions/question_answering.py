"""Extractive question answering: an encoder, the best span of all windows, exact match. Homework 7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch.nn import functional

from lhy_lightning.bert.module import BertArguments, BertModule
from lhy_lightning.bert.predictions import AnswersById, AnswersJson
from lhy_lightning.bert.questions.answers import Answered, read_answers
from lhy_lightning.bert.questions.ensemble import QuestionAnsweringEnsemble
from lhy_lightning.bert.questions.reading import Reading, questions_about
from lhy_lightning.bert.questions.span_search import QuestionSpans, Search, WindowSpans, best_spans, combine
from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, any_number, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import AnswerBatch, QuestionBatch
from lhy_lightning.data.questions.window_batches import IGNORED
from lhy_lightning.data.questions.windows import WindowSettings
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Sum
from lhy_lightning.metrics.texts.answer_texts import Definition
from lhy_lightning.metrics.texts.question_answering import AnswerScores
from lhy_lightning.training.module import EvaluatedSplit

WindowScore = Literal["span", "span_minus_null"]
Logits = tuple[Tensor, Tensor]


class BertQuestionAnswering(BertModule):
    """Fine-tunes an encoder to point at the first and last token of an answer, and answers questions about any text.

    Devlin et al. 2018 (https://arxiv.org/abs/1810.04805), section 4.2 and, for questions without an answer, 4.3. The
    loss is the mean cross entropy of first and last token. An answer is the best span over all windows of the text,
    cut out of the text itself.

    The last arguments are taken from the data module when training starts and travel in the checkpoint, so that a
    checkpoint answers questions about plain text alone.

    Args:
        span_search: "joint" looks for the best start + end with start no later than end; "independent" (homework 7)
            takes the best start and the best end, each for itself.
        max_answer_length: most tokens of an answer.
        n_best: candidates of a question in prediction.
        window_score: how the windows of a question compare: by the "span" score alone (homework 7), or by
            "span_minus_null", less the window's own score of having no answer; if None the latter where the data
            trains windows without an answer.
        null_threshold: answer "" where the null score is so much above the best span's; None for always an answer,
            or 0 where the data has unanswerable questions.
        max_question_length: tokens of a question; from the data if not given, as the next four.
        window: most tokens of the paragraph in a window; None for what `max_length` leaves.
        window_overlap: tokens that two windows share.
        metric: "squad", "cmrc", "drcd" or "homework"; a data module's own comes first.
        arguments: those of `BertModule`.

    Example:
        >>> from lhy_lightning import BertQuestionAnswering, EncoderTokenizer
        >>> tokenizer = EncoderTokenizer.train(["who came", "ann came by"], vocabulary_size=40)
        >>> model = BertQuestionAnswering(
        ...     layers=1, width=8, heads=2, feedforward=8, tokenizer=tokenizer.to_json(), metric="squad",
        ...     max_length=24, max_question_length=4, window=12, window_overlap=2,
        ... )
        >>> type(model.answer("who came", "ann came by")[0]).__name__
        'str'
    """

    argument_ranges = ranges(
        max_answer_length=COUNT, n_best=COUNT, null_threshold=any_number("a difference of two scores"),
        max_question_length=COUNT, window=COUNT, window_overlap=NOT_NEGATIVE,
    )  # fmt: skip

    monitor: tuple[str, Literal["max", "min"]] = ("val/exact_match", "max")
    head = "question_answering"
    data_modules = ("QuestionAnsweringDataModule",)
    learned = ("max_length", "max_question_length", "window", "window_overlap", "metric")
    unscored = (
        "no answer of the {split} questions is known: there is no {split}/exact_match. `lhy predict` writes "
        "the answers."
    )

    def __init__(
        self,
        *,
        span_search: Search = "joint",
        max_answer_length: int = 30,
        n_best: int = 5,
        window_score: WindowScore | None = None,
        null_threshold: float | None = None,
        max_question_length: int | None = None,
        window: int | None = None,
        window_overlap: int | None = None,
        metric: Definition | None = None,
        **arguments: Unpack[BertArguments],
    ) -> None:
        super().__init__(**arguments)
        self.span_search, self.max_answer_length, self.n_best = span_search, max_answer_length, n_best
        self.window_score, self.null_threshold = window_score, null_threshold
        self.max_question_length, self.window, self.window_overlap = max_question_length, window, window_overlap
        self.metric = metric
        self.loss_sum, self.loss_windows = Sum(), Sum()
        self.build_if_known()

    @property
    def is_known(self) -> bool:
        return super().is_known and None not in (
            self.max_length,
            self.max_question_length,
            self.window_overlap,
            self.metric,
        )

    def build(self) -> None:
        """Builds the network and what it is scored by."""
        super().build()
        self.settings.check(self.vocabulary.pair_template.added)
        assert self.metric is not None
        self.scores = AnswerScores(self.metric)

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and self.window_score is None:
            self.set_hparam("window_score", "span_minus_null" if data.null_windows else "span")
        if data is not None and self.null_threshold is None and data.unanswerable:
            self.set_hparam("null_threshold", 0.0)
        super().setup(stage)
        if data is not None and data.metric != self.scores.definition:  # another language's test questions
            self.scores = AnswerScores(data.metric).to(self.device)

    @property
    def settings(self) -> WindowSettings:
        """How question and window share a sequence."""
        assert self.max_length is not None
        assert self.max_question_length is not None
        assert self.window_overlap is not None
        return WindowSettings(self.max_length, self.max_question_length, self.window, self.window_overlap)

    # --- training --------------------------------------------------------------------------------------------------

    def loss(self, start_logits: Tensor, end_logits: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Cross entropy of first and last token, halved and summed over windows, and how many windows it is of."""
        start, end = batch["start_positions"], batch["end_positions"]
        first, last = (
            functional.cross_entropy(logits.float(), target, ignore_index=IGNORED, reduction="sum")
            for logits, target in ((start_logits, start), (end_logits, end))
        )
        return (first + last) / 2, (start != IGNORED).sum()

    def training_step(self, batch: QuestionBatch, batch_idx: int) -> Tensor:
        found = self.network(**self.inputs(batch))
        loss, windows = self.loss(found.start_logits, found.end_logits, batch)
        self.log_training(batch_idx, {"train/loss": loss.detach() / windows})
        return self.normalization.add(loss, windows)

    # --- search ----------------------------------------------------------------------------------------------------

    def forward(self, **inputs: Tensor) -> Logits:
        """What the encoder takes, each (W, L), to the logits of first and last token, each (W, L) float32."""
        found = self.network(**inputs)
        return found.start_logits.float(), found.end_logits.float()

    def chunks(self, batch: Mapping[str, Any]) -> Iterator[tuple[slice, Logits]]:
        """Which windows of a batch, and the logits of their first and last token: (w, l) each."""
        for first, end, width in batch["chunks"]:
            part = slice(first, end)
            yield part, self(**{name: value[part, :width] for name, value in self.inputs(batch).items()})

    def best_spans(self, logits: Logits, batch: Mapping[str, Any], part: slice, n_best: int) -> WindowSpans:
        """The best spans of some windows of a batch."""
        return best_spans(
            *logits,
            batch["context_start"][part],
            batch["context_length"][part],
            search=self.span_search,
            max_answer_length=self.max_answer_length,
            n_best=n_best,
        )

    def combine(self, spans: Sequence[WindowSpans], batch: Mapping[str, Any], n_best: int) -> QuestionSpans:
        """The best spans of a batch's questions, from those of its windows."""
        index = batch["index"].cpu().numpy()
        order = np.argsort(index)
        row = order[np.searchsorted(index[order], batch["question"].cpu().numpy())]
        columns = [torch.cat([getattr(part, name) for part in spans]) for name in ("score", "first", "last", "null")]
        return combine(
            WindowSpans(*columns),
            row,
            batch["first"].cpu().numpy(),
            len(index),
            minus_null=self.window_score == "span_minus_null",
            n_best=n_best,
        )

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: AnswerBatch, split: EvaluatedSplit) -> None:
        """Adds a batch to loss, exact match and F1. Questions whose answer is not known have no part in them."""
        opened = self.data.opened(split)
        spans = []
        for part, logits in self.chunks(batch):
            targets = {name: batch[name][part] for name in ("start_positions", "end_positions")}
            loss, windows = self.loss(*logits, targets)
            self.loss_sum.update(loss)
            self.loss_windows.update(windows)
            spans.append(self.best_spans(logits, batch, part, 1))
        rows = batch["index"].tolist()
        answers = self.read(self.combine(spans, batch, 1), opened, rows)
        asked = [(answer.text, opened.questions.questions[row]) for answer, row in zip(answers, rows, strict=True)]
        known = [(text, question) for text, question in asked if question.labelled]
        references = [[answer.text for answer in question.answers] or [""] for _, question in known]
        self.scores.update([text for text, _ in known], references)

    def read(self, found: QuestionSpans, opened: Any, rows: Sequence[int]) -> list[Answered]:
        """Answers as text, of the questions `rows` of an opened split."""
        paragraph = opened.maker.paragraph[np.asarray(rows, dtype=np.int64)]
        texts = opened.questions.paragraphs
        encoded = opened.paragraphs
        return read_answers(found, texts, paragraph, encoded.starts, encoded.ends, null_threshold=self.null_threshold)

    @property
    def data(self) -> Any:
        """The data module, which has the paragraphs that answers are cut out of."""
        data = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "opened"):
            raise ValueError(
                "answers are cut out of the paragraphs, which a QuestionAnsweringDataModule has: give the Trainer one, "
                "or call answer(question, text)."
            )
        return data

    def computed_metrics(self, split: EvaluatedSplit) -> dict[str, Tensor]:
        loss, windows, scores = self.loss_sum.compute(), self.loss_windows.compute(), self.scores.compute()
        for metric in (self.loss_sum, self.loss_windows, self.scores):
            metric.reset()
        return {"loss": loss / windows, **scores} if scores else {}

    # --- answers ---------------------------------------------------------------------------------------------------

    def predict_step(self, batch: AnswerBatch, batch_idx: int) -> dict[str, Any]:
        """Returns `index` (N,) int64 and `answers`, N `Answered`."""
        spans = [self.best_spans(logits, batch, part, self.n_best) for part, logits in self.chunks(batch)]
        found = self.combine(spans, batch, self.n_best)
        answers = self.read(found, self.data.opened("predict"), batch["index"].tolist())
        return {"index": batch["index"], "answers": answers}

    @torch.inference_mode()
    def answer(
        self, question: str | Sequence[str], text: str, *, n_best: int | None = None, batch_size: int = 32
    ) -> Any:
        """Answers questions about a text of any length.

        Args:
            question: one, or several about the same text.
            text: what is read.
            n_best: candidates of each answer; the module's own if None.
            batch_size: windows read at once.

        Returns:
            An `Answered`, or a list of them for several questions.

        Raises:
            RuntimeError: there is no network yet.
            TypeError: a question or the text is no text.
            ValueError: one of them has nothing to read, or a number is below 1.
        """
        self.built()
        questions = questions_about(question, text)
        kept = self.n_best if n_best is None else n_best
        if kept < 1 or batch_size < 1:
            raise ValueError(f"n_best={kept} and batch_size={batch_size}: both at least 1.")
        if not questions:
            return []
        about = [0] * len(questions)
        reading = Reading.of(questions, [text], about, self.vocabulary, self.settings, at_once=batch_size)
        batch = reading.on(self.device)
        with evaluation_mode(self):
            spans = [self.best_spans(logits, batch, part, kept) for part, logits in self.chunks(batch)]
        answers = reading.read(self.combine(spans, batch, kept), null_threshold=self.null_threshold)
        return answers[0] if isinstance(question, str) else answers

    def prediction_writers(self) -> list[Callback]:
        return [AnswersJson(), AnswersById()]

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> QuestionAnsweringEnsemble:
        return QuestionAnsweringEnsemble.from_checkpoints(checkpoints)
