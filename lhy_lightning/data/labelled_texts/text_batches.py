"""Batches of tokenised texts, or pairs of texts, with their special tokens, padded, as an encoder takes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.sequences.ragged import Ragged
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer


def cut_pairs(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of two texts that share `room`: the longer one gives way until both are equal, then both do.

    Args:
        first, second: (N,) pieces of the texts.
        room: the most pieces of both together.

    Returns:
        (N,) and (N,), how many pieces of each are kept; the texts' beginnings.
    """
    shorter = np.minimum(np.minimum(first, second), room // 2)
    longer = np.minimum(np.maximum(first, second), room - shorter)
    first_is_longer = first > second
    return np.where(first_is_longer, longer, shorter), np.where(first_is_longer, shorter, longer)


def write_rows(out: np.ndarray, source: Ragged, rows: np.ndarray, columns: np.ndarray, lengths: np.ndarray) -> None:
    """Writes the first `lengths[i]` values of row `rows[i]` into `out[i]`, from column `columns[i]` on.

    Args:
        out: (B, W).
        source: rows of values.
        rows, columns, lengths: (B,) int64.
    """
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    where = (np.repeat(np.arange(len(rows)), lengths), np.repeat(columns, lengths) + within)
    out[where] = source.values[np.repeat(source.offsets[rows], lengths) + within]


class TextBatches(Dataset[dict[str, Tensor]]):
    """Takes a list of rows, gives `input_ids`, `attention_mask`, where the encoder has segments `token_type_ids`, and
    `labels` where there are any.

    Args:
        pieces: pieces of every text.
        first: (N,) int64, which text each row has.
        second: (N,) the same of the second text of pairs; None for single texts.
        labels: (N,) int64 classes or float32 numbers; None where there are none.
        tokenizer: whose special tokens go round the texts.
        max_length: longer rows are cut to so many tokens, special ones included.
        pad_to_multiple: rows are padded to a multiple of it.
        index: batches carry `index`.

    Attributes:
        lengths: (N,) int64, tokens of each row, special ones included.
        cut: how many rows are longer than `max_length`.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import EncoderTokenizer, TextBatches, ragged
        >>> tokenizer = EncoderTokenizer.train(["a cat", "a dog"], vocabulary_size=40)
        >>> texts = ragged(tokenizer.encode(["a cat", "a dog"]))
        >>> batches = TextBatches(texts, np.arange(2), None, None, tokenizer, max_length=16)
        >>> tuple(batches[[0, 1]]["input_ids"].shape)  # padded to a multiple of 8
        (2, 8)
    """

    def __init__(
        self,
        pieces: Ragged,
        first: np.ndarray,
        second: np.ndarray | None,
        labels: np.ndarray | None,
        tokenizer: EncoderTokenizer,
        *,
        max_length: int,
        pad_to_multiple: int = 8,
        index: bool = False,
    ) -> None:
        self.pieces, self.first, self.second, self.labels = pieces, first, second, labels
        self.template = tokenizer.single_template if second is None else tokenizer.pair_template
        self.pad_id, self.token_types = tokenizer.pad_id, tokenizer.token_types
        self.pad_to_multiple, self.max_length, self.index = pad_to_multiple, max_length, index
        room = max_length - self.template.added
        if room < 1:
            raise ValueError(f"max_length={max_length} has no room beside {self.template.added} special tokens.")
        texts = pieces.lengths.astype(np.int64)
        kept = [np.minimum(texts[first], room)] if second is None else cut_pairs(texts[first], texts[second], room)
        self._kept: tuple[np.ndarray, ...] = tuple(kept)
        whole = texts[first] + (0 if second is None else texts[second])
        self.lengths = np.sum(self._kept, axis=0) + self.template.added
        self.cut = int((whole > room).sum())

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Sequence[int]) -> dict[str, Tensor]:
        chosen = np.asarray(rows, dtype=np.int64)
        width = min(-(-int(self.lengths[chosen].max()) // self.pad_to_multiple) * self.pad_to_multiple, self.max_length)
        ids = np.full((len(chosen), width), self.pad_id, dtype=np.int64)
        types = np.zeros_like(ids)
        at = np.zeros(len(chosen), dtype=np.int64)  # the column that each row is written to
        every = np.arange(len(chosen))[:, None]
        texts = (self.first, self.second)
        for place, (special, kinds) in enumerate(zip(self.template.ids, self.template.types, strict=True)):
            columns = at[:, None] + np.arange(len(special))
            ids[every, columns], types[every, columns] = special, kinds
            at = at + len(special)
            if place < len(self._kept):
                lengths, source = self._kept[place][chosen], texts[place]
                assert source is not None
                write_rows(ids, self.pieces, source[chosen], at, lengths)
                inside = (np.arange(width) >= at[:, None]) & (np.arange(width) < (at + lengths)[:, None])
                types[inside] = self.template.text_types[place]
                at = at + lengths
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((np.arange(width) < at[:, None]).astype(np.int64)),
        }
        if self.token_types:
            batch["token_type_ids"] = torch.from_numpy(types)
        if self.labels is not None:
            batch["labels"] = torch.from_numpy(self.labels[chosen])
        if self.index:
            batch["index"] = torch.from_numpy(chosen)
        return batch
