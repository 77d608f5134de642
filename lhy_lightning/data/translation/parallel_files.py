"""Opens parallel text by name: two line-aligned files, a tab-separated file, a table, a hub id, an embedded set."""

import re
from collections.abc import Callable
from pathlib import Path

from lhy_lightning.data.sources.folders import nearest_existing, role_of
from lhy_lightning.data.sources.hub import is_saved, open_hub
from lhy_lightning.data.sources.tables import TABLES, read_table
from lhy_lightning.data.sources.utf8_files import open_lines
from lhy_lightning.data.texts.text_sources import Split
from lhy_lightning.data.translation.line_alignment import parting_line
from lhy_lightning.data.translation.parallel_tables import ParallelText, open_tabbed, open_table, paired

_TABBED = (".tsv", ".txt", ".tab")
_TRAIN = re.compile(r"^(?:raw|train_dev\.raw)$")  # what homework 5 calls its training lines
_PART = re.compile(r"^(train|valid|validation|val|dev|test)(?:[ ._-].*)?$")


def open_parallel(
    source: str,
    *,
    source_lang: str,
    target_lang: str,
    source_column: str | None = None,
    target_column: str | None = None,
) -> dict[Split, ParallelText]:
    """Opens parallel text and finds its splits; a source without any is all `train`.

    Args:
        source: `embedded:cldr`, `embedded:names` or `embedded:lists`; a folder with `train.en`, `train.zh`, `val.…`,
            `test.…` (or homework 5's `raw.…`), each plain or `.gz`; the common beginning of two files, `corpus/ted`
            for `ted.en` and `ted.zh`; a tab-separated .tsv or .txt file (further columns are ignored); a csv, json,
            jsonl or parquet file; a hub id. A folder may hold `train.tsv`, `train.parquet` … instead.
        source_lang, target_lang: file endings and column names.
        source_column, target_column: for tables whose columns are not named by language; places such as "0" in a
            tab-separated file.

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
        ValueError: two files of different length, bytes that are not UTF-8, no lines, no such column.
    """
    if source_lang == target_lang:
        raise ValueError(f"source_lang and target_lang are both {source_lang!r}.")
    langs, columns = (source_lang, target_lang), (source_column, target_column)
    if source.startswith("embedded:"):
        return _open_embedded(source, langs)
    path = Path(source).expanduser()
    if path.is_dir() and not is_saved(path):
        return _open_folder(path, langs, columns)
    if path.is_file():
        return {"train": _open_file(path, langs, columns)}
    pair = _language_files(path, langs)
    if pair[0] or pair[1]:
        return {"train": _open_pair(path, langs)}
    return _open_hub(source, langs, columns)


def _language_files(prefix: Path, langs: tuple[str, str]) -> tuple[Path | None, Path | None]:
    """The two files `prefix.en` and `prefix.zh`, plain or .gz; None where there is none."""

    def find(lang: str) -> Path | None:
        names = [prefix.parent / f"{prefix.name}.{lang}{ending}" for ending in ("", ".gz")]
        return next((name for name in names if name.is_file()), None)

    return find(langs[0]), find(langs[1])


def _open_pair(prefix: Path, langs: tuple[str, str], *, target_needed: bool = True) -> ParallelText:
    first, second = _language_files(prefix, langs)
    if first is None or (second is None and target_needed):
        there, missing = (second, langs[0]) if first is None else (first, langs[1])
        raise FileNotFoundError(f"{there} has no counterpart {prefix.name}.{missing} (or .gz) in {prefix.parent}.")
    source = open_lines(first)
    if second is None:
        return paired(source, None, str(first))
    target = open_lines(second)
    if len(source) != len(target):
        raise ValueError(_parting(source, target, first, second))
    return paired(source, target, f"{first} and {second.name}")


def _parting(source: list[str], target: list[str], first: Path, second: Path) -> str:
    """The message for two files of different length, with the line at which they part, as far as can be told."""
    near = parting_line(source, target)
    shorter, longer = (first, second) if len(source) < len(target) else (second, first)
    if near is None:
        guess = "Where they part cannot be told from the lines' lengths and marks."
    elif near > min(len(source), len(target)):
        guess = f"Up to its end {shorter.name} seems to fit; was it cut off?"
    else:
        more = abs(len(source) - len(target))
        guess = f"By the lines' lengths and marks they part near line {near:,}, where {longer.name} has {more:,} more."
    return (
        f"{first} has {len(source):,} lines, {second} has {len(target):,}: they are not aligned line by line. {guess}"
    )


def _open_folder(
    folder: Path, langs: tuple[str, str], columns: tuple[str | None, str | None]
) -> dict[Split, ParallelText]:
    """`train.en` and `train.zh` …, or `train.tsv`, `train.parquet` …"""
    prefixes: dict[Split, Path] = {}
    tables: dict[Split, Path] = {}
    for entry in sorted(folder.iterdir()):
        if not entry.is_file() or entry.name.startswith("."):
            continue
        name = entry.name.removesuffix(".gz")
        stem, _, ending = name.rpartition(".")
        role = _split_of(stem)
        if ending == langs[0] and role:
            _remember(prefixes, role, folder / stem, folder)
        elif f".{ending}" in (*TABLES, *_TABBED) and role:
            _remember(tables, role, entry, folder)
    if prefixes:
        return {role: _open_pair(prefix, langs, target_needed=role != "test") for role, prefix in prefixes.items()}
    if tables:
        return {role: _open_file(path, langs, columns) for role, path in tables.items()}
    raise FileNotFoundError(
        f"{folder} has neither train.{langs[0]} and train.{langs[1]} (also raw.…, .gz) nor a table such as train.tsv. "
        f"{nearest_existing(folder / f'train.{langs[0]}')}"
    )


def _split_of(stem: str) -> Split | None:
    if _TRAIN.match(stem):
        return "train"
    named = _PART.match(stem)
    role = role_of(named[1]) if named else None
    return role if role != "unlabelled" else None


def _remember(found: dict[Split, Path], role: Split, path: Path, folder: Path) -> None:
    if role in found:
        raise ValueError(
            f"{folder}: {found[role].name} and {path.name} both look like the {role} split. Name what is meant: "
            f"--data.source {folder / 'train'} --data.test_source {folder / 'test'}, each the beginning of two files."
        )
    found[role] = path


def _open_file(path: Path, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> ParallelText:
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in _TABBED:
        return open_tabbed(path, langs, columns)
    if ending not in TABLES:
        raise ValueError(
            f"{path}: parallel text comes from {', '.join([*_TABBED, *TABLES])} files, folders, hub ids, or the common "
            f"beginning of two files that end in .{langs[0]} and .{langs[1]}."
        )
    return open_table(read_table(path), str(path), langs, columns)


def _open_hub(source: str, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> dict[Split, ParallelText]:
    name = Path(source).name
    splits = open_hub(source, nor=f", nor do {name}.{langs[0]} and {name}.{langs[1]}")
    return {
        role: open_table(table, origin, langs, columns)
        for role, (origin, table) in splits.items()
        if role != "unlabelled"
    }


def _open_embedded(source: str, langs: tuple[str, str]) -> dict[Split, ParallelText]:
    load = EMBEDDED.get(source.removeprefix("embedded:"))
    if load is None:
        raise FileNotFoundError(
            f"no embedded source {source!r}; there is {', '.join(f'embedded:{name}' for name in EMBEDDED)}."
        )
    if langs != ("en", "zh"):
        raise ValueError(
            f"{source} is English to Chinese: set source_lang en and target_lang zh, not {langs[0]} and {langs[1]} "
            "(reverse: true translates the other way)."
        )
    return {split: ParallelText(pairs[0], pairs[1], f"{source}/{split}") for split, pairs in load().items()}


def _cldr() -> dict[Split, tuple[list[str], list[str]]]:
    from lhy_lightning.data.embedded.cldr import cldr_pairs

    return cldr_pairs()


def _lists() -> dict[Split, tuple[list[str], list[str]]]:
    from lhy_lightning.data.embedded.lists import lists_pairs

    return lists_pairs()


def _names() -> dict[Split, tuple[list[str], list[str]]]:
    from lhy_lightning.data.embedded.names import names_pairs

    return names_pairs()


EMBEDDED: dict[str, Callable[[], dict[Split, tuple[list[str], list[str]]]]] = {
    "cldr": _cldr,
    "names": _names,
    "lists": _lists,
}
"""Parallel text by the name after `embedded:`, English to Chinese."""
