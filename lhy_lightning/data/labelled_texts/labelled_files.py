"""Reads texts, or pairs of texts, with a label each: tab-separated files, tables, the hub, questions, embedded sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lhy_lightning.core.messages import short
from lhy_lightning.data.labelled_texts.answer_sentences import open_answer_sentences
from lhy_lightning.data.labelled_texts.gold_labels import Labels, classes_of, read_labels
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.sources.column_files import check_widths, tabbed_rows, usual_width
from lhy_lightning.data.sources.tables import TABLES, column_values, read_table
from lhy_lightning.data.texts.text_sources import Split, files_by_split, open_embedded, open_splits

Task = Literal["rows", "answer_sentences"]

TEXT = ("text", "sentence", "sentence1", "text_a", "premise", "question", "question1", "review", "content")
PAIR = ("text_pair", "sentence2", "text_b", "hypothesis", "question2", "answer")
LABEL = ("label", "labels", "class", "category", "target", "score", "similarity")
"""What columns are called that hold the text, the second text of a pair, and the label."""
NAMES = (TEXT, PAIR, LABEL)
TABBED = (".tsv", ".tab", ".txt")

Columns = tuple[str | None, str | None, str | None]
"""Names, or places such as "0", of text, second text and label; None where they are to be found."""


def label_names(text: LabelledText) -> Labels:
    """The labels of a split as strings, None where a row has none."""
    assert text.labels is not None
    names = text.names
    return [
        names[int(label)] if names is not None and isinstance(label, int | float) else label  # type: ignore[misc]
        for label in text.labels
    ]


def class_names_of(train: LabelledText) -> tuple[str, ...] | None:
    """The classes of training rows, in natural order, or in the source's own; None where there are no labels."""
    return None if train.labels is None else classes_of(label_names(train), train.names)


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
        return open_answer_sentences(source)
    if source.startswith("embedded:"):
        return open_embedded(source, EMBEDDED)
    return open_splits(
        source,
        files=lambda folder: files_by_split(folder, (*TABBED, *TABLES)),
        open_file=lambda path: open_text_file(path, columns),
        open_table=lambda table, origin: _from_table(table, origin, columns),
    )


def open_text_file(path: Path, columns: Columns = (None, None, None)) -> LabelledText:
    """Reads one file.

    Raises:
        ValueError: another ending, no rows, no such column, a row with too few columns.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in TABBED:
        return _from_tabbed(path, columns)
    if ending not in TABLES:
        raise ValueError(f"{path}: texts come from {', '.join([*TABBED, *TABLES])} files, folders or hub ids.")
    return _from_table(read_table(path), str(path), columns)


# --- tab-separated files ----------------------------------------------------------------------------------------------


def _from_tabbed(path: Path, columns: Columns) -> LabelledText:
    rows = tabbed_rows(path)
    if any(len(row) > 1 for _, row in rows):  # where a line is a text and nothing else, an empty one is a row as well
        rows = [(number, row) for number, row in rows if any(cell.strip() for cell in row)]
    first, unlabelled = rows[0], ""
    with_header = _is_header(first[1], columns)
    if with_header:
        while not first[1][-1].strip():
            first[1].pop()
        width, rows = len(first[1]), rows[1:]
        if not rows:
            raise ValueError(f"{path} has a header and no rows.")
        asked = columns[2]
        if asked is not None and not asked.isdecimal() and asked not in [cell.strip() for cell in first[1]]:
            unlabelled = f"has no column {asked!r} (set as label_column)"
        found = columns if not unlabelled else (columns[0], columns[1], None)
        places = [_named(first[1], given, names, path) for given, names in zip(found, NAMES, strict=True)]
        if unlabelled:
            places[2] = None
    else:
        width = usual_width(rows)
        places = _places(columns, width, path)
    check_widths(rows, width, path, header=first[0] if with_header else None)
    texts = [place for place in places[:2] if place is not None]
    if places[2] is not None and places[2] == width and max(texts) < width:
        places[2], unlabelled = None, f"has {width} columns, and none at the place {width} (set as label_column)"
    wanted = 1 + max(place for place in places if place is not None)
    if wanted > width:
        raise ValueError(f"{path}, line {rows[0][0]}: {width} tab-separated columns where {wanted} are needed.")
    one, two, gold = (None if place is None else [row[place] for _, row in rows] for place in places)
    assert one is not None
    labels = None if gold is None else read_labels(gold, str(path))
    apart = None if with_header or any(columns) else path
    return LabelledText(one, two, labels, str(path), unlabelled=unlabelled, without_header=apart)


def read_as_training(text: LabelledText, train: LabelledText) -> LabelledText:
    """Reads rows anew whose file has a column less than that of the training rows: the label, not the second text.

    Args:
        text: rows of another split.
        train: the training rows, which may be pairs.
    """
    if train.second is None or text.second is not None or text.labels is None or text.without_header is None:
        return text
    found = open_text_file(text.without_header, ("0", "1", None))
    return replace(found, unlabelled="has a column less than the training rows, so none for labels")


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


def _places(columns: Columns, count: int, path: Path) -> list[int | None]:
    """Without a header: the text, the label last, and between them the second text where there are three columns."""
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
    unlabelled = ""
    for given, names, kind in zip(columns, NAMES, ("text", "pair", "label"), strict=True):
        if given is not None and given not in there:
            message = f"has no column {given!r} (set as {kind}_column); it has {', '.join(there)}"
            if kind != "label":
                raise ValueError(f"{origin} {message}.")
            found.append(None)
            unlabelled = message
            continue
        found.append(given or next((name for name in names if name in there and name not in found), None))
    if found[0] is None:
        raise ValueError(f"{origin} has the columns {', '.join(there)}: which holds the text? Set --data.text_column.")
    first, second = (None if name is None else _texts(column_values(table, name), origin, name) for name in found[:2])
    assert first is not None
    if found[2] is None:
        return LabelledText(first, second, None, origin, unlabelled=unlabelled)
    classes = getattr(table.features[found[2]], "names", None)
    labels = read_labels(column_values(table, found[2]), origin, classes)
    return LabelledText(first, second, labels, origin, tuple(classes) if classes else None)


def _texts(texts: list[Any], origin: str, name: str) -> list[str]:
    wrong = next((row for row, value in enumerate(texts) if not isinstance(value, str | None)), None)
    if wrong is not None:
        raise ValueError(f"{origin}, row {wrong}: {name} is {short(texts[wrong])}, not text.")
    return [value or "" for value in texts]


def _reviews(language: Literal["en", "zh"]) -> Callable[[], dict[Split, LabelledText]]:
    def load() -> dict[Split, LabelledText]:
        from lhy_lightning.data.embedded.reviews import reviews

        found: dict[Split, LabelledText] = {}
        for split, (texts, labels) in reviews(language).items():
            gold: Labels = [*labels]
            found[split] = LabelledText(texts, None, gold, f"embedded:reviews/{split}")
        return found

    return load


EMBEDDED: dict[str, Callable[[], dict[Split, LabelledText]]] = {
    "reviews": _reviews("en"),
    "reviews_zh": _reviews("zh"),
}
"""Labelled text by the name after `embedded:`."""
