"""Tokenised texts: once into a memory-mapped Arrow file, with the places of their pieces in the text."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lhy_lightning.data.sequences.ragged import MappedTable, int_lists, ragged_column
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

VERSION = 1  # of the files' layout: raise it and old files are not used any more
AT_A_TIME = 10_000  # texts that are tokenised in one go
COLUMNS = ("ids", "starts", "ends")

_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Half characters, which a JSON file can hold but no tokenizer and no UTF-8 file, become U+FFFD, one for one."""
    return _SURROGATE.sub("\ufffd", text)


class EncodedTexts(MappedTable):
    """The pieces of a list of texts without special tokens, in an Arrow file that is mapped and not read.

    The file is named by a hash of texts and tokenizer, written whole or not at all, and made anew where it is damaged.

    Args:
        texts: N texts; half surrogates in them are read as U+FFFD.
        tokenizer: any encoder's.
        folder: where the files are kept.

    Attributes:
        ids: N rows of pieces.
        starts, ends: where in the text each piece begins and ends, in characters.
    """

    mapped = COLUMNS

    def __init__(self, texts: Sequence[str], tokenizer: EncoderTokenizer, *, folder: Path) -> None:
        super().__init__(folder, _key(texts, tokenizer), len(texts), lambda: _encoded(texts, tokenizer))

    def take_columns(self, table: Any) -> None:
        self.ids, self.starts, self.ends = (ragged_column(table, name) for name in COLUMNS)


def _key(texts: Sequence[str], tokenizer: EncoderTokenizer) -> str:
    digest = hashlib.blake2b(json.dumps([VERSION, len(texts), tokenizer.to_json()]).encode(), digest_size=16)
    for first in range(0, len(texts), AT_A_TIME):  # JSON, for it marks where each text ends
        digest.update(json.dumps(texts[first : first + AT_A_TIME]).encode())
    return digest.hexdigest()


def _encoded(texts: Sequence[str], tokenizer: EncoderTokenizer) -> Any:
    parts: tuple[list[Any], ...] = ([], [], [])
    for first in range(0, len(texts), AT_A_TIME):
        chunk = [without_surrogates(text) for text in texts[first : first + AT_A_TIME]]
        for part, found in zip(parts, tokenizer.encode_with_offsets(chunk), strict=True):
            part += found
    columns: dict[str, Any] = {}
    for name, rows in zip(COLUMNS, parts, strict=True):
        columns[name], columns[f"{name}_length"] = int_lists(rows)
    return pa.table(columns)
