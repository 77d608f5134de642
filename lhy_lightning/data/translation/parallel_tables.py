"""Parallel text of one table: a tab-separated file, or a table whose two columns are told by name or by language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhy_lightning.core.messages import short
from lhy_lightning.data.sources.column_files import check_widths, tabbed_rows, usual_width
from lhy_lightning.data.sources.tables import column_values


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


def paired(source: list[str], target: list[str] | None, origin: str) -> ParallelText:
    """Line-aligned text, of which is found whether its targets are placeholders.

    Raises:
        ValueError: every source line is empty.
    """
    if not any(line.strip() for line in source):
        raise ValueError(f"{origin}: every source line is empty.")
    placeholder = target is not None and len(target) > 1 and len(set(target)) == 1 and len(set(source)) > 1
    return ParallelText(source, target, origin, placeholder)


def open_tabbed(path: Path, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> ParallelText:
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
        return paired([row[0] for _, row in rows], None, str(path))
    if max(places) >= width:
        raise ValueError(f"{path}, line 1: {width} tab-separated columns where {max(places) + 1} are needed.")
    sides = [[row[place] if len(row) == width else "" for _, row in rows] for place in places]
    return paired(sides[0], sides[1], str(path))


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


def open_table(table: Any, origin: str, langs: tuple[str, str], columns: tuple[str | None, str | None]) -> ParallelText:
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
    return paired(source, target if any(target) else None, origin)
