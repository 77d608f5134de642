"""Reads texts, or pairs of texts, with a label each: tab-separated files, tables, the hub, questions, embedded sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lhy_lightning.data.folders import natural
from lhy_lightning.data.parallel_text import open_lines
from lhy_lightning.data.table_reader import TABLES, read_table
from lhy_lightning.data.text_sources import Split, files_by_split, open_embedded, open_splits

Task = Literal["rows", "answer_sentences"]

TEXT = ("text", "sentence", "sentence1", "text_a", "premise", "question", "question1", "review", "content")
PAIR = ("text_pair", "sentence2", "text_b", "hypothesis", "question2", "answer")
LABEL = ("label", "labels", "class", "category", "target", "score", "similarity")
"""What columns are called that hold the text, the second text of a pair, and the label."""
NAMES = (TEXT, PAIR, LABEL)
_TABBED = (".tsv", ".tab", ".txt")

Columns = tuple[str | None, str | None, str | None]
"""Names, or places such as "0", of text, second text and label; None where they are to be found."""


@dataclass
class LabelledText:
    """Rows of one split, as they are in the source.

    Attributes:
        first: N texts.
        second: the second text of each pair; None for single texts.
        labels: N strings, or numbers where the source has such; None where there are none.
        names: of the classes that number labels stand for, where the source tells them.
        groups: N strings; rows of one may not be divided between splits. None where each row stands for itself.
        origin: where they come from, for messages.
        told: what was found in reading them that the user is to know.
    """

    first: list[str]
    second: list[str] | None
    labels: list[str] | list[float] | None
    origin: str
    names: tuple[str, ...] | None = None
    groups: list[str] | None = None
    told: str = ""

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int]) -> "LabelledText":
        """Some of the rows."""

        def some(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [values[row] for row in rows]

        taken = some(self.first)
        assert taken is not None
        labels, groups = some(self.labels), some(self.groups)
        return LabelledText(taken, some(self.second), labels, self.origin, self.names, groups, self.told)


def label_names(text: LabelledText) -> list[str]:
    """The labels of a split as strings: names where the source tells them, otherwise as they are written."""
    assert text.labels is not None
    if text.names is not None:
        return [text.names[int(label)] for label in text.labels]
    return [str(label) for label in text.labels]


def class_names_of(train: LabelledText) -> tuple[str, ...] | None:
    """The classes of training rows, in natural order, or in the source's own; None where there are no labels."""
    if train.labels is None:
        return None
    return train.names or tuple(sorted(set(label_names(train)), key=natural))


def open_labelled_text(
    source: str, *, task: Task = "rows", columns: Columns = (None, None, None)
) -> dict[Split, LabelledText]:
    """Opens labelled text and finds its splits; a source without any is all `train`.

    Args:
        source: `embedded:reviews` or another embedded set; a folder with `train`, `dev`, `test` files; a tab-separated
            .tsv or .txt file with a header or without (then text, second text where there are three columns, label); a
            csv, json, jsonl or parquet table; a hub id. With `task="answer_sentences"` whatever `open_questions` takes.
        task: "rows" as they are, or "answer_sentences": pairs of a question and a sentence, labelled by whether the
            sentence holds the answer.
        columns: of text, second text and label.

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
        ValueError: no rows, no such column, a row with too few columns.
    """
    if task == "answer_sentences":
        from lhy_lightning.data.answer_sentences import open_answer_sentences

        return open_answer_sentences(source)
    if source.startswith("embedded:"):
        return open_embedded(source, EMBEDDED)
    return open_splits(
        source,
        files=lambda folder: files_by_split(folder, (*_TABBED, *TABLES)),
        open_file=lambda path: open_text_file(path, columns),
        open_table=lambda table, origin: _from_table(table, origin, columns),
    )


def open_text_file(path: Path, columns: Columns = (None, None, None)) -> LabelledText:
    """Reads one file.

    Raises:
        ValueError: another ending, no rows, no such column, a row with too few columns.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in _TABBED:
        return _from_tabbed(path, columns)
    if ending not in TABLES:
        raise ValueError(f"{path}: texts come from {', '.join([*_TABBED, *TABLES])} files, folders or hub ids.")
    return _from_table(read_table(path), str(path), columns)


# --- tab-separated files ----------------------------------------------------------------------------------------------


def _from_tabbed(path: Path, columns: Columns) -> LabelledText:
    """Quotation marks are plain characters: GLUE's and CLUE's files have them unbalanced."""
    rows = [(number, line.split("\t")) for number, line in enumerate(open_lines(path), 1)]
    if any(len(row) > 1 for _, row in rows):  # where a line is a text and nothing else, an empty one is a row as well
        rows = [(number, row) for number, row in rows if any(cell.strip() for cell in row)]
    header = rows[0][1] if _is_header(rows[0][1], columns) else None
    if header is not None:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{path} has a header and no rows.")
        places = [_named(header, given, names, path) for given, names in zip(columns, NAMES, strict=True)]
    else:
        places = _places(columns, rows[0], path)
    wanted = 1 + max(place for place in places if place is not None)
    short = next(((number, row) for number, row in rows if len(row) < wanted), None)
    if short is not None:
        raise ValueError(f"{path}, line {short[0]}: {len(short[1])} tab-separated columns where {wanted} are needed.")
    first, second, labels = (None if place is None else [row[place] for _, row in rows] for place in places)
    assert first is not None
    return LabelledText(first, second, labels, str(path))


def _is_header(cells: list[str], columns: Columns) -> bool:
    """Whether a first line names columns: one that is asked for, or one that texts and labels go by."""
    asked = {given for given in columns if given is not None and not given.isdecimal()}
    known = {name for names in NAMES for name in names}
    return bool(asked) or any(cell.strip().lower() in known for cell in cells)


def _named(header: list[str], given: str | None, names: Sequence[str], path: Path) -> int | None:
    """The place of a column by its name, or by those that it often has."""
    cells = [cell.strip() for cell in header]
    if given is not None:
        if given.isdecimal() and int(given) < len(cells):
            return int(given)
        if given not in cells:
            raise ValueError(f"{path} has no column {given!r}; it has {', '.join(cells)}.")
        return cells.index(given)
    found = next((name for name in names if name in map(str.lower, cells)), None)
    if found is None and names is TEXT:
        raise ValueError(f"{path} has the columns {', '.join(cells)}: which holds the text? Set --data.text_column.")
    return None if found is None else [cell.lower() for cell in cells].index(found)


def _places(columns: Columns, first: tuple[int, list[str]], path: Path) -> list[int | None]:
    """Without a header: the text, the label last, and between them the second text where there are three columns."""
    count = len(first[1])
    usual = {1: (0, None, None), 2: (0, None, 1), 3: (0, 1, 2)}.get(count)
    if usual is None and columns[0] is None:
        raise ValueError(
            f"{path} has {count} tab-separated columns and no header: which are they? Set --data.text_column, "
            "--data.pair_column and --data.label_column to their places (0, 1, …)."
        )
    if any(given is not None for given in columns):
        return [None if given is None else int(given) for given in columns]
    assert usual is not None
    return list(usual)


# --- tables -----------------------------------------------------------------------------------------------------------


def _from_table(table: Any, origin: str, columns: Columns) -> LabelledText:
    if len(table) == 0:
        raise ValueError(f"{origin} has no rows.")
    there: Sequence[str] = table.column_names
    found: list[str | None] = []
    for given, names, kind in zip(columns, NAMES, ("text", "pair", "label"), strict=True):
        if given is not None and given not in there:
            raise ValueError(f"{origin} has no column {given!r} (set as {kind}_column); it has {', '.join(there)}.")
        found.append(given or next((name for name in names if name in there and name not in found), None))
    if found[0] is None:
        raise ValueError(f"{origin} has the columns {', '.join(there)}: which holds the text? Set --data.text_column.")
    first, second = (None if name is None else _texts(table[name], origin, name) for name in found[:2])
    assert first is not None
    if found[2] is None:
        return LabelledText(first, second, None, origin)
    labels, classes = list(table[found[2]]), getattr(table.features[found[2]], "names", None)
    missing = sum(label in (None, -1, "-1") for label in labels)  # the hub marks hidden labels by -1
    if missing == len(labels):
        return LabelledText(first, second, None, origin)
    if missing:
        raise ValueError(f"{origin}: {missing} of {len(labels)} rows have no label.")
    return LabelledText(first, second, labels, origin, tuple(classes) if classes else None)


def _texts(values: Any, origin: str, name: str) -> list[str]:
    texts = list(values)
    wrong = next((row for row, value in enumerate(texts) if not isinstance(value, str | None)), None)
    if wrong is not None:
        raise ValueError(f"{origin}, row {wrong}: {name} is {texts[wrong]!r}, not text.")
    return [value or "" for value in texts]


def _reviews(language: Literal["en", "zh"]) -> Callable[[], dict[Split, LabelledText]]:
    def load() -> dict[Split, LabelledText]:
        from lhy_lightning.data.reviews import reviews

        return {
            split: LabelledText(texts, None, labels, f"embedded:reviews/{split}")
            for split, (texts, labels) in reviews(language).items()
        }

    return load


EMBEDDED: dict[str, Callable[[], dict[Split, LabelledText]]] = {
    "reviews": _reviews("en"),
    "reviews_zh": _reviews("zh"),
}
"""Labelled text by the name after `embedded:`."""
