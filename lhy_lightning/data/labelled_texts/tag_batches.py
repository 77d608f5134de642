"""Batches of sentences with a tag for the first piece of each word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.labelled_texts.text_batches import write_rows
from lhy_lightning.data.labelled_texts.word_pieces import WordPieces, parts_of_sentences
from lhy_lightning.data.sequences.ragged import Ragged
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

IGNORED = -100
"""The label of every piece that is not a word's first (Devlin et al. 2018, section 5.3)."""


class TagBatches(Dataset[dict[str, Tensor]]):
    """Takes a list of rows, gives `input_ids`, `attention_mask`, where the encoder has segments `token_type_ids`, and
    `labels` where there are any.

    A row is a sentence, or a part of one that is longer than `max_length`, so that every word is tagged once. In
    evaluation and prediction batches also carry `index`, `first_pieces` (N, T) bool, and for each row `sentence` (N,).

    Args:
        pieces: words and pieces of all sentences.
        tags: (W,) int64, the tag of each word; None where there are none.
        tokenizer: whose special tokens go round a row.
        max_length: tokens of a row, special ones included.
        pad_to_multiple: rows are padded to a multiple of it.
        index: whether batches carry what evaluation needs.

    Attributes:
        parts: (R, 3) int64: sentence, first word, end of the words of each row.
        lengths: (R,) int64, tokens of each row, special ones included.
    """

    def __init__(
        self,
        pieces: WordPieces,
        tags: np.ndarray | None,
        tokenizer: EncoderTokenizer,
        *,
        max_length: int,
        pad_to_multiple: int = 8,
        index: bool = False,
    ) -> None:
        self.tags, self.index, self.max_length, self.pad_to_multiple = tags, index, max_length, pad_to_multiple
        self.template, self.pad_id, self.token_types = (
            tokenizer.single_template, tokenizer.pad_id, tokenizer.token_types,
        )  # fmt: skip
        room = max_length - self.template.added
        if room < 1:
            raise ValueError(f"max_length={max_length} has no room beside {self.template.added} special tokens.")
        self.pieces, self.parts = pieces, parts_of_sentences(pieces, room)
        begins = pieces.word_ends[self.parts[:, 1]]
        self._kept = np.minimum(pieces.word_ends[self.parts[:, 2]] - begins, room)  # a word may be longer than a row
        self.lengths = self._kept + self.template.added
        self._pieces = Ragged(pieces.ids, begins, self._kept)
        self._words = self.parts[:, 2] - self.parts[:, 1]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, rows: Sequence[int]) -> dict[str, Tensor]:
        chosen = np.asarray(rows, dtype=np.int64)
        width = min(-(-int(self.lengths[chosen].max()) // self.pad_to_multiple) * self.pad_to_multiple, self.max_length)
        ids = np.full((len(chosen), width), self.pad_id, dtype=np.int64)
        types = np.zeros_like(ids)
        (before, after), (types_before, types_after) = self.template.ids, self.template.types
        ids[:, : len(before)], types[:, : len(before)] = before, types_before
        start = np.full(len(chosen), len(before))
        kept = self._kept[chosen]
        write_rows(ids, self._pieces, chosen, start, kept)
        every, end = np.arange(len(chosen))[:, None], start + kept
        columns = np.arange(width)
        types[(columns >= len(before)) & (columns < end[:, None])] = self.template.text_types[0]
        ids[every, end[:, None] + np.arange(len(after))] = after
        types[every, end[:, None] + np.arange(len(after))] = types_after
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((columns < self.lengths[chosen][:, None]).astype(np.int64)),
        }
        if self.token_types:
            batch["token_type_ids"] = torch.from_numpy(types)
        first, word = self._first_pieces(chosen, start)
        if self.tags is not None:
            labels = np.full_like(ids, IGNORED)
            labels[first] = self.tags[word]
            batch["labels"] = torch.from_numpy(labels)
        if self.index:
            mask = np.zeros(ids.shape, dtype=bool)
            mask[first] = True
            sentence = torch.from_numpy(self.parts[chosen, 0])
            batch |= {"first_pieces": torch.from_numpy(mask), "index": torch.from_numpy(chosen), "sentence": sentence}
        return batch

    def _first_pieces(self, chosen: np.ndarray, start: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Row and column of every word's first piece in a batch, and the words."""
        words = self._words[chosen]
        row = np.repeat(np.arange(len(chosen)), words)
        within = np.arange(len(row)) - np.repeat(np.cumsum(words) - words, words)
        word = np.repeat(self.parts[chosen, 1], words) + within
        column = self.pieces.word_ends[word] - np.repeat(self._pieces.offsets[chosen], words)
        return (row, column + np.repeat(start, words)), word
