"""Batches of windows: special tokens, question and a part of the paragraph put together without a loop over rows."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lhy_lightning.data.batches import AnswerBatch, QuestionBatch
from lhy_lightning.data.questions.windows import AnswerTokens, Windows, WindowSettings, window_grid
from lhy_lightning.data.sequences.ragged import Ragged
from lhy_lightning.data.sequences.token_batches import fill_batches, round_up
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

IGNORED = -100  # target of a window that the loss leaves out, as torch's cross entropy has it


class WindowMaker:
    """Puts sequences together: special tokens, question, special tokens, window, special tokens, padding.

    Args:
        questions: tokens of N questions.
        paragraphs: tokens of the paragraphs.
        paragraph: (N,) int64, row of each question's paragraph.
        tokenizer: the one that made them.
        settings: how question and paragraph share a sequence.
        pad_to_multiple: to which sequences are padded, but not beyond `max_length`.

    Attributes:
        question_lengths: (N,) int64, after cutting.
        lengths: (N,) int64, tokens of each question's paragraph.
        room: (N,) int64, tokens of the paragraph that a window has.
        added: special tokens of a sequence.
    """

    def __init__(
        self,
        questions: Ragged,
        paragraphs: Ragged,
        paragraph: np.ndarray,
        tokenizer: EncoderTokenizer,
        settings: WindowSettings,
        *,
        pad_to_multiple: int = 8,
    ) -> None:
        self.questions, self.paragraphs, self.paragraph = questions, paragraphs, paragraph
        self.template, self.pad_id, self.token_types = tokenizer.pair_template, tokenizer.pad_id, tokenizer.token_types
        self.added = self.template.added
        settings.check(self.added)
        self.settings, self.pad_to_multiple = settings, pad_to_multiple
        self.question_lengths = np.minimum(questions.lengths, settings.max_question_length).astype(np.int64)
        self.lengths = paragraphs.lengths[paragraph].astype(np.int64)
        self.room = settings.room(questions.lengths, self.added)

    def sequence_lengths(self, windows: Windows) -> np.ndarray:
        """Tokens of each window's sequence before padding: (W,) int64."""
        lengths: np.ndarray = self.added + self.question_lengths[windows.question] + windows.count
        return lengths

    def context_start(self, question: np.ndarray) -> np.ndarray:
        """Where in the sequences of these questions the paragraph begins: (W,) int64."""
        start: np.ndarray = len(self.template.ids[0]) + self.question_lengths[question] + len(self.template.ids[1])
        return start

    def sequences(self, windows: Windows) -> dict[str, torch.Tensor]:
        """What the encoder takes.

        Args:
            windows: W of them.

        Returns:
            `input_ids` and `attention_mask`, and `token_type_ids` where the encoder takes them, each (W, L) int64.
        """
        total = self.sequence_lengths(windows)
        width = int(min(round_up(total, self.pad_to_multiple).max(), max(self.settings.max_length, total.max())))
        ids = np.full((len(windows), width), self.pad_id, dtype=np.int64)
        types = np.zeros_like(ids)
        place = np.zeros(len(windows), dtype=np.int64)
        parts = (
            (self.questions, windows.question, np.zeros_like(place), self.question_lengths[windows.question]),
            (self.paragraphs, self.paragraph[windows.question], windows.first, windows.count),
        )
        for number, (special, kinds) in enumerate(zip(self.template.ids, self.template.types, strict=True)):
            columns = place[:, None] + np.arange(len(special))
            np.put_along_axis(ids, columns, np.broadcast_to(special, columns.shape), axis=1)
            np.put_along_axis(types, columns, np.broadcast_to(kinds, columns.shape), axis=1)
            place = place + len(special)
            if number < len(parts):
                texts, rows, first, count = parts[number]
                row = np.repeat(np.arange(len(windows)), count)
                within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
                ids[row, place[row] + within] = texts.values[(texts.offsets[rows] + first)[row] + within]
                types[row, place[row] + within] = self.template.text_types[number]
                place = place + count
        made = {"input_ids": ids, "attention_mask": (np.arange(width) < total[:, None]).astype(np.int64)}
        if self.token_types:
            made["token_type_ids"] = types
        return {name: torch.from_numpy(value) for name, value in made.items()}

    def targets(self, windows: Windows, answers: AnswerTokens) -> tuple[np.ndarray, np.ndarray]:
        """First and last token of the answer in each window's sequence; 0, which is [CLS], where it is not whole.

        Returns:
            (W,) int64 each.
        """
        first, last = answers.first[windows.question], answers.last[windows.question]
        whole = (first >= windows.first) & (last < windows.first + windows.count) & (first >= 0)
        shift = self.context_start(windows.question) - windows.first
        return np.where(whole, first + shift, 0), np.where(whole, last + shift, 0)


class TrainingWindows(Dataset[QuestionBatch]):
    """One window a row: `dataset[rows]` takes (B, 2) int64, the question's row and the window's first token."""

    def __init__(self, maker: WindowMaker, answers: AnswerTokens) -> None:
        self.maker, self.answers = maker, answers

    def __len__(self) -> int:
        return len(self.maker.lengths)

    def __getitem__(self, rows: Any) -> QuestionBatch:
        question, first = np.asarray(rows, dtype=np.int64).T
        maker = self.maker
        windows = Windows(question, first, np.minimum(maker.room[question], maker.lengths[question] - first))
        start, end = (torch.from_numpy(target) for target in maker.targets(windows, self.answers))
        return {**maker.sequences(windows), "start_positions": start, "end_positions": end}  # type: ignore[typeddict-item]


class EvaluationWindows(Dataset[AnswerBatch]):
    """All windows of some questions: `dataset[rows]` takes a list of question rows.

    The windows of a batch are sorted by length and divided into `chunks`, each of which is read by the encoder at once.

    Args:
        maker: puts the sequences together.
        answers: where known, for the loss.
        null_windows: windows without the answer aim at [CLS]; otherwise the loss leaves them out.
        at_once: most windows of a chunk.
        max_tokens: most padded tokens of a chunk instead.

    Attributes:
        tokens: (N,) int64, of all windows of each question.
    """

    def __init__(
        self,
        maker: WindowMaker,
        answers: AnswerTokens | None = None,
        *,
        null_windows: bool = False,
        at_once: int = 32,
        max_tokens: int | None = None,
    ) -> None:
        self.maker, self.answers, self.null_windows = maker, answers, null_windows
        self.at_once, self.max_tokens = at_once, max_tokens
        self.grid = window_grid(maker.lengths, maker.room, maker.settings.window_overlap)
        self.ends = np.searchsorted(self.grid.question, np.arange(len(maker.lengths)), side="right")
        self.tokens = np.bincount(
            self.grid.question, weights=maker.sequence_lengths(self.grid), minlength=len(maker.lengths)
        ).astype(np.int64)

    def __len__(self) -> int:
        return len(self.maker.lengths)

    def __getitem__(self, rows: Any) -> AnswerBatch:
        rows, maker = np.asarray(rows, dtype=np.int64), self.maker
        begin = np.where(rows > 0, self.ends[rows - 1], 0)
        number = self.ends[rows] - begin
        chosen = np.repeat(begin - (np.cumsum(number) - number), number) + np.arange(number.sum())
        windows = Windows(self.grid.question[chosen], self.grid.first[chosen], self.grid.count[chosen])
        order = np.argsort(-maker.sequence_lengths(windows), kind="stable")
        windows = Windows(windows.question[order], windows.first[order], windows.count[order])
        batch: dict[str, Any] = maker.sequences(windows)
        batch |= {
            "index": torch.from_numpy(rows),
            "question": torch.from_numpy(windows.question),
            "first": torch.from_numpy(windows.first),
            "context_start": torch.from_numpy(maker.context_start(windows.question)),
            "context_length": torch.from_numpy(windows.count),
            "chunks": self._chunks(windows, batch["input_ids"].shape[1]),
        }
        if self.answers is not None:
            start, end = maker.targets(windows, self.answers)
            known = self.answers.found | self.answers.impossible
            ignored = ~known[windows.question] if self.null_windows else end == 0
            batch["start_positions"], batch["end_positions"] = (
                torch.from_numpy(np.where(ignored, IGNORED, target)) for target in (start, end)
            )
        return batch  # type: ignore[return-value]

    def _chunks(self, windows: Windows, width: int) -> list[tuple[int, int, int]]:
        """(first, end, width) of each chunk: the longest first, so that it is as wide as its first window."""
        widths = np.minimum(round_up(self.maker.sequence_lengths(windows), self.maker.pad_to_multiple), width)
        if self.max_tokens is None:
            ends = np.append(np.arange(self.at_once, len(widths), self.at_once), len(widths))
        else:
            ends = fill_batches(widths, np.array([len(widths)]), max(self.max_tokens, width))
        firsts = np.concatenate([[0], ends[:-1]])
        return list(zip(firsts.tolist(), ends.tolist(), widths[firsts].tolist(), strict=True))
