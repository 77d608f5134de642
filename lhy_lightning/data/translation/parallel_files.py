"""Opens parallel text by name: two line-aligned files, a tab-separated file, a table, a hub id, an embedded set."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lhy_lightning.data.sources.column_files import check_widths, tabbed_rows, usual_width
from lhy_lightning.data.sources.folders import nearest_existing, role_of
from lhy_lightning.data.sources.hub import is_saved, open_hub
from lhy_lightning.data.sources.tables import TABLES, column_values, read_table, short
from lhy_lightning.data.sources.utf8_files import open_lines
from lhy_lightning.data.translation.line_alignment import parting_line

Split = Literal["train", "val", "test"]

_TABBED = (".tsv", ".txt", ".tab")
_TRAIN = re.compile(r"^(?:raw|train_dev\.raw)$")  # what homework 5 calls its training lines
_PART = re.compile(r"^(train|valid|validation|val|dev|test)(?:[ ._-].*)?$")


@dataclass
class ParallelText:
    """Line-aligned text, untouched.

    Attributes:
        source: N lines.
        target: N lines; None where there are only sources.
        origin: where it comes from, for messages.
        placeholder: all targets are one and the same line (homework 5's `test.zh` is one 。 a line): no references.
    """

    source: list[str]
    target: list[str] | None
    origin: str
    placeholder: bool = False

    def __len__(self) -> int:
        return len(self.source)


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


def _paired(source: list[str], target: list[str] | None, origin: str) -> ParallelText:
    if not any(line.strip() for line in source):
        raise ValueError(f"{origin}: every source line is empty.")
    placeholder = target is not None and len(target) > 1 and len(set(target)) == 1 and len(set(source)) > 1
    return ParallelText(source, target, origin, placeholder)


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
        return _paired(source, None, str(first))
    target = open_lines(second)
    if len(source) != len(target):
        raise ValueError(_parting(source, target, first, second))
    return _paired(source, target, f"{first} and {second.name}")


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
        return _open_tabbed(path, langs, columns)
    if ending not in TABLES:
        raise ValueError(
            f"{path}: parallel text comes from {', '.join([*_TABBED, *TABLES])} files, folders, hub ids, or the common "
            f"beginning of two files that end in .{langs[0]} and .{langs[1]}."
        )
    return _open_table(read_table(path), str(path), langs, columns)


def _open_tabbed(path: Path, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> ParallelText:
    """Source and target, further columns are ignored; with one column alone there are no targets."""
    rows = tabbed_rows(path)
    filled = [item for item in rows if item[1] != [""]]  # an empty line is an empty pair
    header = _header(filled[0][1], langs, columns)
    unknown = next((g for g in columns if g is not None and g not in header and not g.isdecimal()), None)
    if unknown is not None:
        raise ValueError(f"{path} has no column names; give the place of a column (0, 1, …), not {unknown!r}.")
    if header:
        rows, width = [row for row in rows if row[0] > filled[0][0]], len(filled[0][1])
        check_widths(filled[1:], width, path, header=filled[0][0])
    else:
        width = usual_width(filled)
        check_widths(filled, width, path, header=None)
    places: list[int] = []
    for given, place, lang in zip(columns, (0, 1), langs, strict=True):
        name = given or lang
        places.append(header.index(name) if name in header else int(given or place))
    if width == 1 and columns == (None, None):
        return _paired([row[0] for _, row in rows], None, str(path))
    if max(places) >= width:
        raise ValueError(f"{path}, line 1: {width} tab-separated columns where {max(places) + 1} are needed.")
    sides = [[row[place] if len(row) == width else "" for _, row in rows] for place in places]
    return _paired(sides[0], sides[1], str(path))


def _header(cells: list[str], langs: tuple[str, str], columns: tuple[str | None, str | None]) -> list[str]:
    """The names of the columns where a first line is a header: it has those asked for, or both languages."""
    names = [cell.strip() for cell in cells]
    asked = [given for given in columns if given is not None and not given.isdecimal()]
    lower = [name.lower() for name in names]
    if asked and all(name in names for name in asked):
        return names
    if set(langs) <= set(lower):
        return lower
    return ["source", "target"] if lower[:2] in (["source", "target"], ["src", "tgt"], ["src", "trg"]) else []


def _open_hub(source: str, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> dict[Split, ParallelText]:
    name = Path(source).name
    splits = open_hub(source, nor=f", nor do {name}.{langs[0]} and {name}.{langs[1]}")
    return {
        role: _open_table(table, origin, langs, columns)
        for role, (origin, table) in splits.items()
        if role != "unlabelled"
    }


def _open_table(
    table: Any, origin: str, langs: tuple[str, str], columns: tuple[str | None, str | None]
) -> ParallelText:
    """Two text columns, or the hub's `translation` column of {"en": …, "zh": …}."""
    if len(table) == 0:
        raise ValueError(f"{origin} has no rows.")
    names: Sequence[str] = table.column_names
    if "translation" in names and columns == (None, None):
        feature = table.features["translation"]
        there: Iterable[str] = getattr(feature, "languages", None) or (feature if isinstance(feature, dict) else ())
        missing = [lang for lang in langs if lang not in there]
        if missing:
            raise ValueError(
                f"{origin} has translations of {', '.join(there) or 'no language'}, but not {' and '.join(missing)}."
            )
        rows = column_values(table, "translation")
        if (without := next((place for place, row in enumerate(rows) if row is None), None)) is not None:
            raise ValueError(f"{origin}, row {without}: the translation is missing.")
        texts = [[row[lang] for row in rows] for lang in langs]
    else:
        texts = []
        for lang, given, kind in zip(langs, columns, ("source", "target"), strict=True):
            name = given if given is not None else lang
            if name not in names:
                raise ValueError(
                    f"{origin} has the columns {', '.join(names)}: which holds the {kind} ({lang})? "
                    f"Set --data.{kind}_column."
                )
            texts.append(column_values(table, name))
    for text, lang in zip(texts, langs, strict=True):
        wrong = next((row for row, value in enumerate(text) if not isinstance(value, str | None)), None)
        if wrong is not None:
            raise ValueError(f"{origin}, row {wrong}: {lang} is {short(text[wrong])}, not text.")
    source, target = ([value or "" for value in text] for text in texts)
    return _paired(source, target if any(target) else None, origin)


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
