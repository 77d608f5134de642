"""Rows of different length end to end, and the Arrow files that keep them: mapped, not read."""

import json
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lhy_lightning.core.atomic_files import atomic_open
from lhy_lightning.data.cache_checks import BLOCK, same_blocks, tell_damage


@dataclass(frozen=True)
class Ragged:
    """Rows of different length, end to end.

    Attributes:
        values: (L,) int32.
        offsets: (N + 1,) int32 or int64: row n is `values[offsets[n] : offsets[n + 1]]`.
        lengths: (N,) int32.
    """

    values: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def fill(self, out: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> None:
        """Writes the first `lengths[i]` values of row `rows[i]` into the first columns of `out[i]`.

        Args:
            out: (B, W) with W at least the longest.
            rows, lengths: (B,) int64.
        """
        total = int(lengths.sum())
        # the k-th value written is the k-th of its batch, less those of the rows before it, from where its row starts
        shift = np.repeat(self.offsets[rows] - (np.cumsum(lengths) - lengths), lengths)
        out[np.arange(out.shape[1]) < lengths[:, None]] = self.values[shift + np.arange(total)]


def ragged(rows: list[np.ndarray]) -> Ragged:
    """Rows end to end, as int32.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import ragged
        >>> rows = ragged([np.array([1, 2]), np.array([3])])
        >>> rows.lengths.tolist()
        [2, 1]
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    values = np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, dtype=np.int32)
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]), lengths.astype(np.int32))


# --- files ------------------------------------------------------------------------------------------------------------


def int_lists(rows: list[np.ndarray]) -> tuple[Any, Any]:
    """A list<int32> column and its lengths."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{offsets[-1]:,} tokens in one split: a store holds at most 2³¹ - 1.")
    values = np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, dtype=np.int32)
    lists = pa.ListArray.from_arrays(_column(offsets), _column(values))
    return lists, _column(lengths)


class MappedTable:
    """An Arrow file of a key's name, made where it is missing or damaged, and mapped; a subclass takes its columns.

    Args:
        folder: where it is kept.
        key: hash of all that it is made of.
        rows: how many it has.
        make: makes the table.
    """

    mapped: tuple[str, ...]
    """Attributes that are views of the file: a worker process that is not forked opens it itself."""

    def __init__(self, folder: Path, key: str, rows: int, make: Callable[[], Any]) -> None:
        self.rows, self.key, self.path = rows, key, folder / f"{key}.arrow"
        if not self._open():
            write_table(make(), self.path, self.key)
            if not self._open():
                raise OSError(f"{self.path} was written but cannot be read back.")

    def __len__(self) -> int:
        return self.rows

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if not self._open():
            raise OSError(f"{self.path} is gone or damaged: start again, and it is made anew.")

    def _open(self) -> bool:
        """Whether a whole file of these rows is there; maps it."""
        table = open_table(self.path, self.key, self.rows)
        if table is not None:
            self.take_columns(table)
        return table is not None

    def take_columns(self, table: Any) -> None:
        """Sets the attributes that are views of the table."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its columns are")


def _column(values: np.ndarray) -> Any:
    """An int32 column. `pyarrow.array` would import pandas, which takes a fifth of a second."""
    plain = np.ascontiguousarray(values, dtype=np.int32)
    return pa.Array.from_buffers(pa.int32(), len(plain), [None, pa.py_buffer(plain)])


def write_table(table: Any, path: Path, key: str) -> None:
    """Writes an Arrow table whole or not at all; `key` says what it was made of."""
    try:
        table = table.combine_chunks()
        told = {"key": key, "sums": json.dumps(_sums(table))}
        with atomic_open(path) as file, pa.ipc.new_file(file, table.schema.with_metadata(told)) as writer:
            for batch in table.to_batches():
                writer.write_batch(batch)
    except OSError as error:
        raise OSError(
            error.errno,
            f"tokenised text could not be written to {path.parent} ({error.strerror}); make room there or choose "
            "another place with --data.cache_dir",
        ) from error


def open_table(path: Path, key: str, rows: int) -> Any | None:
    """Maps a table; None where there is none, or, with a word, where it is not what was written."""
    if not path.is_file():
        return None
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
        told = table.schema.metadata or {}
        if b"sums" not in told and told.get(b"key") == key.encode():
            return None  # an older version wrote it, without checksums
        whole = told.get(b"key") == key.encode() and table.num_rows == rows and _same(table, told[b"sums"])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        whole = False
    if not whole:
        tell_damage(path)
    return table if whole else None


def _sums(table: Any) -> list[int]:
    """Rows of a block, the checksum of the words that columns share, and that of each block."""
    step = max(1, math.ceil(table.num_rows * BLOCK / max(1, table.nbytes)))
    count = math.ceil(table.num_rows / step)
    return [step, _sum_of_words(table), *(_sum_of_rows(table, step, block) for block in range(count))]


def _same(table: Any, told: bytes) -> bool:
    step, words, *blocks = json.loads(told)
    if len(blocks) != math.ceil(table.num_rows / step) or words != _sum_of_words(table):
        return False
    return same_blocks(blocks, lambda block: _sum_of_rows(table, step, block))


def _sum_of_rows(table: Any, step: int, block: int) -> int:
    """Of so many rows, as Arrow would send them: whatever lies between the columns of a file."""
    return zlib.crc32(table.slice(block * step, step).to_batches()[0].serialize())


def _sum_of_words(table: Any) -> int:
    total = 0
    for column in table.columns:
        for chunk in column.chunks:
            if pa.types.is_list(chunk.type) and pa.types.is_dictionary(chunk.type.value_type):
                total = zlib.crc32("\0".join(chunk.values.dictionary.to_pylist()).encode(), total)
    return total


def ragged_column(table: Any, name: str) -> Ragged:
    """Views of a mapped column of lists; its lengths are the column `<name>_length`."""
    lists, lengths = table.column(name).chunk(0), table.column(f"{name}_length").chunk(0)
    values = lists.values.indices if pa.types.is_dictionary(lists.values.type) else lists.values
    return Ragged(*map(_view, (values, lists.offsets, lengths)))


def _view(array: Any) -> np.ndarray:
    """An int32 array without a copy. `to_numpy` would import pandas, which takes a second."""
    if not len(array):
        return np.zeros(0, dtype=np.int32)
    return np.frombuffer(array.buffers()[1], dtype=np.int32, count=len(array), offset=4 * array.offset)


def text_cache_folder(given: str | None) -> Path:
    """Where tokenised text is kept: `given`, else `lhy_lightning/text` in the user's cache folder."""
    if given is not None:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "lhy_lightning" / "text"
