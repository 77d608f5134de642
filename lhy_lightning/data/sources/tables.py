"""Reads a table from a file: cells of csv are text as it stands, the other formats have types of their own."""

import csv
import hashlib
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lhy_lightning.core.quiet import quiet
from lhy_lightning.data.sources.utf8_files import opened_text

TABLES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
_COLUMN_NAME = re.compile(r"[\w.-]{1,40}")
BLOCK_ROWS = 20_000


def read_table(path: Path) -> Any:
    """Reads a csv, json, jsonl or parquet file, which may end in .gz, as a `datasets.Dataset`.

    Cells of csv are text, an empty one is None: `NA` and `null` are words, and `01` is not 1. Whoever knows what a
    column means makes numbers of it. The other formats keep their types. Blanks round column names are dropped.

    Raises:
        ValueError: no rows, a file that is cut off or in another encoding, a row of another length than the header, a
            column name twice; csv with the line.
    """
    kind = TABLES[Path(path.name.removesuffix(".gz")).suffix.lower()]
    table = _read_csv(path) if kind == "csv" else _read_typed(path, kind)
    if len(table) == 0:
        raise ValueError(f"{path} ({path.stat().st_size:,} bytes) has no rows.")
    names = _column_names(table.column_names, path)
    return (
        table
        if names == table.column_names
        else table.rename_columns(dict(zip(table.column_names, names, strict=True)))
    )


def column_values(table: Any, name: str) -> list[Any]:
    """A column of a `datasets.Dataset` as a list: numbers for classes, None where there is nothing.

    `list(table[name])` decodes row by row, which takes ten times as long and changes nothing of these kinds.
    """
    from datasets import ClassLabel, Value

    feature = table.features[name]
    if table._indices is not None or not isinstance(getattr(feature, "feature", feature), ClassLabel | Value):
        return list(table[name])
    values: list[Any] = table.data.column(name).to_pylist()
    return values


def file_fingerprint(path: Path) -> str:
    """Returns 32 hexadecimal digits that change with a file's place, size or time."""
    stat = path.stat()
    told = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _read_typed(path: Path, kind: str) -> Any:
    from datasets import load_dataset
    from datasets.utils import logging as remarks

    if kind == "json":
        with opened_text(path) as file:  # Arrow's reader takes any bytes for text, and decodes them when it is too late
            while file.read(1 << 20):
                pass
    try:
        with quiet(remarks, logging.CRITICAL):  # no bar per file, no error beside the one that is raised
            table = load_dataset(kind, data_files=str(path), split="train")
            return _without_dates(path) if kind == "json" and "timestamp" in str(table.features) else table
    except Exception as error:  # each format has its own
        why = error.__cause__ or error
        # of the formats and versions of `datasets`; the last is of parquet
        no_rows = ("corresponds to no data", "at least one example", "BatchSize must be greater than 0")
        if not path.stat().st_size or not str(why) or any(said in str(why) for said in no_rows):
            raise ValueError(f"{path} ({path.stat().st_size:,} bytes) has no rows.") from error
        if isinstance(why, UnicodeDecodeError):
            raise ValueError(f"{path} is not UTF-8 ({why.reason}): save it as UTF-8.") from error
        told = " ".join(str(why).split())
        raise ValueError(f"{path} could not be read as {kind} ({path.stat().st_size:,} bytes): {told}") from error


def _without_dates(path: Path) -> Any:
    """A json or jsonl file in which Arrow would take texts for dates, and forget how they were written."""
    from datasets import Dataset

    with opened_text(path) as file:
        content = file.read()
    rows = (
        json.loads(content) if content.lstrip()[:1] == "[" else map(json.loads, filter(str.strip, content.split("\n")))
    )
    return Dataset.from_list(list(rows))


def _column_names(names: Sequence[str], path: Path) -> list[str]:
    stripped = [name.strip() for name in names]
    twice = next((name for name, count in Counter(stripped).items() if count > 1), None)
    if twice is not None:
        raise ValueError(
            f"{path} has {stripped.count(twice)} columns called {twice!r}: rename or remove one. "
            "Has the file no header? Write one, such as text,label."
        )
    return stripped


# --- csv --------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path) -> Any:
    from datasets import Dataset

    limit = csv.field_size_limit(sys.maxsize)  # a cell may be a whole book
    try:
        with opened_text(path) as file:
            rows = _csv_rows(csv.reader(file, strict=True), path)
            header = next(rows, [])
            _check_separator(header, path)
            names = _column_names([name or f"Unnamed: {place}" for place, name in enumerate(header)], path)
            schema = pa.schema([(name, pa.string()) for name in names])
            blocks = [pa.table(_columns(block), schema=schema) for block in _blocks(rows)]
    finally:
        csv.field_size_limit(limit)
    table = pa.concat_tables(blocks) if blocks else schema.empty_table()
    return Dataset(table, fingerprint=file_fingerprint(path)[:16])


def _check_separator(header: list[str], path: Path) -> None:
    """Raises ValueError where a header of one cell is several names, parted by something else than commas."""
    for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if len(header) == 1 and mark in header[0] and all(map(_COLUMN_NAME.fullmatch, header[0].split(mark))):
            raise ValueError(
                f"{path} has its columns parted by {name} ({header[0]!r}): a csv has commas. Save it with commas, or, "
                "where tab-separated files are taken, with tabs as a .tsv."
            )


def _csv_rows(reader: Any, path: Path) -> Iterator[list[str]]:
    """The header and the rows, all of one length; lines without anything are passed over."""
    width, first, before = 0, 0, 0
    try:
        for row in reader:
            if row:
                if len(row) != width:
                    if width:
                        raise ValueError(
                            f"{path}, line {before + 1}: {len(row)} column{'s' * (len(row) != 1)} where the header "
                            f"(line {first}) has {width}. A comma inside a cell needs quotation marks round the cell."
                        )
                    width, first = len(row), before + 1
                yield row
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {before + 1}: the row that begins here has a quotation mark that does not end its cell "
            f'({error}). A cell in quotation marks ends with one, and inside it each is written twice: "".'
        ) from error


def _blocks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    block = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def _columns(block: list[list[str]]) -> list[Any]:
    return [pa.array([cell or None for cell in column], pa.string()) for column in zip(*block, strict=True)]
