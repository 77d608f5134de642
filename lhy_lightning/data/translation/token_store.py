"""Tokenised sentence pairs: once into a memory-mapped Arrow file, read a batch at a time without a loop over rows."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lhy_lightning.data.sequences.ragged import MappedTable, int_lists, ragged_column
from lhy_lightning.data.tokenizers.special_tokens import TAG
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.extended_vocabulary import extended_ids

VERSION = 1  # of the files' layout: raise it and old files are not used any more
AT_A_TIME = 20_000  # sentences that are tokenised in one go


class TokenStore(MappedTable):
    """The tokens of a list of sentence pairs, without BOS and EOS, in an Arrow file that is mapped and not read.

    Columns: `source` and `target`, lists of int32, and their lengths `source_length` and `target_length`; with copying
    `copy` and `copy_target`, ids of the extended target vocabulary, and `unknown`, the words it is extended by. The
    file is named by a hash of text and tokenizers, written whole or not at all, and made anew where it is damaged.

    Args:
        source: the cleaned source sentences.
        target: the cleaned target sentences; None where there are none.
        source_tokenizer, target_tokenizer: may be one and the same.
        folder: where the files are kept.
        copying: store what the copy mechanism needs.
        tagged_from: source rows from this one on start with TAG; None tags none.

    Attributes:
        source: the columns of the file, mapped; `target`, `copy`, `copy_target` and `unknown` are None where there
            are none.
    """

    mapped = ("source", "target", "copy", "copy_target", "unknown", "_words")

    def __init__(
        self,
        source: Sequence[str],
        target: Sequence[str] | None,
        source_tokenizer: TextTokenizer,
        target_tokenizer: TextTokenizer,
        *,
        folder: Path,
        copying: bool = False,
        tagged_from: int | None = None,
    ) -> None:
        self.copying, self.target_size = copying, len(target_tokenizer)
        tokenizers = (source_tokenizer, target_tokenizer)
        super().__init__(
            folder,
            _key(source, target, tokenizers, copying, tagged_from),
            len(source),
            lambda: _tokenised(source, target, tokenizers, copying, tagged_from),
        )

    def take_columns(self, table: Any) -> None:
        self.source = ragged_column(table, "source")
        self.target = ragged_column(table, "target") if "target" in table.column_names else None
        self.copy = ragged_column(table, "copy") if self.copying else None
        self.copy_target = ragged_column(table, "copy_target") if self.copying and self.target is not None else None
        self.unknown = ragged_column(table, "unknown") if self.copying else None
        self._words: Any = table.column("unknown").chunk(0).values.dictionary if self.copying else None

    def unknown_words(self, row: int) -> list[str]:
        """The words of a source row that the target vocabulary lacks, in order of first occurrence."""
        if self.unknown is None:
            return []
        return [self._words[int(place)].as_py() for place in self.unknown.row(row)]


# --- making a file ----------------------------------------------------------------------------------------------------


def _key(
    source: Sequence[str],
    target: Sequence[str] | None,
    tokenizers: tuple[TextTokenizer, TextTokenizer],
    copying: bool,
    tagged_from: int | None,
) -> str:
    digest = hashlib.blake2b(json.dumps([VERSION, len(source), copying, tagged_from]).encode(), digest_size=16)
    texts: list[Sequence[str]] = [source, target or [], [tokenizer.to_json() for tokenizer in tokenizers]]
    for side in texts:
        for first in range(0, len(side), AT_A_TIME):  # JSON, for it marks where each sentence ends
            digest.update(json.dumps(side[first : first + AT_A_TIME], ensure_ascii=False).encode())
    digest.update(b"no target" if target is None else b"target")
    return digest.hexdigest()


def _tokenised(
    source: Sequence[str],
    target: Sequence[str] | None,
    tokenizers: tuple[TextTokenizer, TextTokenizer],
    copying: bool,
    tagged_from: int | None,
) -> pa.Table:
    tagged = len(source) if tagged_from is None else tagged_from
    columns: dict[str, Any] = {}

    def add(name: str, rows: list[np.ndarray]) -> None:
        columns[name], columns[f"{name}_length"] = int_lists(rows)

    def tag(rows: list[np.ndarray]) -> list[np.ndarray]:
        mark = np.array([TAG], dtype=np.int32)
        return rows[:tagged] + [np.concatenate([mark, row]) for row in rows[tagged:]]

    add("source", tag(_encoded(tokenizers[0], source)))
    if target is not None:
        add("target", _encoded(tokenizers[1], target))
    if copying:
        words: dict[str, int] = {}
        copies, copy_targets, unknown = extended_ids(source, target, *tokenizers, words)
        add("copy", tag(copies))
        if target is not None:
            add("copy_target", copy_targets)
        lists, _ = int_lists(unknown)
        named = pa.DictionaryArray.from_arrays(lists.values, pa.array(list(words), type=pa.string()))
        columns["unknown"] = pa.ListArray.from_arrays(lists.offsets, named)
        columns["unknown_length"] = pa.array([len(row) for row in unknown], type=pa.int32())
    return pa.table(columns)


def _encoded(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    rows: list[np.ndarray] = []
    for first in range(0, len(texts), AT_A_TIME):
        rows += tokenizer.encode(list(texts[first : first + AT_A_TIME]))
    return rows
