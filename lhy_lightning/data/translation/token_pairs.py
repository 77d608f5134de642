"""Batches of sentence pairs, padded, out of a token store."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.sequences.ragged import Ragged
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS
from lhy_lightning.data.translation.token_store import TokenStore


class TokenPairs(Dataset[TranslationBatch]):
    """Batches of a store: takes a list of rows, gives padded tensors (`TranslationBatch`).

    Args:
        store: the tokens.
        rows: (N,) int64, rows of the store that are used; all if not given.
        max_length: longer sides are cut to so many tokens; BOS and EOS are not counted.
        pad_to_multiple: both sides are padded to a multiple of it.
        index: batches carry `index`.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        rows: np.ndarray | None = None,
        max_length: int | None = None,
        pad_to_multiple: int = 8,
        index: bool = False,
    ) -> None:
        self.store, self.index, self.pad_to_multiple = store, index, pad_to_multiple
        self.rows = np.arange(len(store)) if rows is None else rows
        limit = np.iinfo(np.int32).max if max_length is None else max_length
        self._source = np.minimum(store.source.lengths[self.rows], limit).astype(np.int64)
        target = store.target
        self._target = None if target is None else np.minimum(target.lengths[self.rows], limit).astype(np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def source_lengths(self) -> np.ndarray:
        """(N,) int64, EOS included."""
        lengths: np.ndarray = self._source + 1
        return lengths

    @property
    def target_lengths(self) -> np.ndarray | None:
        """(N,) int64, BOS and EOS included."""
        return None if self._target is None else self._target + 2

    def __getitem__(self, rows: Sequence[int]) -> TranslationBatch:
        chosen = np.asarray(rows, dtype=np.int64)
        stored, store = self.rows[chosen], self.store
        batch: TranslationBatch = {"source_ids": self._padded(store.source, stored, self._source[chosen], bos=False)}
        if store.target is not None and self._target is not None:
            batch["target_ids"] = self._padded(store.target, stored, self._target[chosen], bos=True)
        if store.copy is not None:
            batch["copy_ids"] = self._padded(store.copy, stored, self._source[chosen], bos=False)
            batch["unknown_words"] = [store.unknown_words(row) for row in stored.tolist()]
            if store.copy_target is not None and self._target is not None:
                batch["copy_targets"] = self._padded(store.copy_target, stored, self._target[chosen], bos=True)
        if self.index:
            batch["index"] = torch.from_numpy(chosen)
        return batch

    def _padded(self, side: Ragged, rows: np.ndarray, lengths: np.ndarray, *, bos: bool) -> Tensor:
        """(B, W) int64: BOS where asked for, the tokens, EOS, padding."""
        first = int(bos)
        width = -(-(int(lengths.max()) + first + 1) // self.pad_to_multiple) * self.pad_to_multiple
        out = np.zeros((len(rows), width), dtype=np.int64)  # PAD is 0
        side.fill(out[:, first:], rows, lengths)
        if bos:
            out[:, 0] = BOS
        out[np.arange(len(rows)), first + lengths] = EOS
        return torch.from_numpy(out)
