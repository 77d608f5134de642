"""Reads sentences whose words have a tag each: CoNLL-U, columns with a tag behind each word (BIO), tables, the hub."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lhy_lightning.data.sources.column_files import UNSPECIFIED, word_columns
from lhy_lightning.data.sources.tables import TABLES, column_values, read_table
from lhy_lightning.data.sources.utf8_files import open_lines
from lhy_lightning.data.texts.text_sources import Split, files_by_split, open_embedded, open_splits

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of a CoNLL-U file."""
IGNORED = -100
"""What torch passes over in a loss."""

WORDS = ("tokens", "words", "text")
"""What columns of tables are called that hold the words."""
_COLUMNS = (".bio", ".iob", ".conll", ".txt", ".tsv", ".tags")
_ENDINGS = (".conllu", *_COLUMNS, *TABLES)
_WORD_LINE = re.compile(r"\d+")


@dataclass
class TaggedText:
    """The sentences of one split, as they are in the source.

    Attributes:
        words: N lists of words.
        tags: N lists with a tag for each word; None where there are none.
        origin: where they come from, for messages.
        told: what was found in reading them that the user is to know.
        width: columns of a line, in files of columns whose last one is the tag.
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    origin: str
    told: tuple[str, ...] = ()
    width: int | None = None

    def __len__(self) -> int:
        return len(self.words)

    def take(self, rows: Sequence[int]) -> "TaggedText":
        """Some of the sentences."""
        tags = None if self.tags is None else [self.tags[row] for row in rows]
        return replace(self, words=[self.words[row] for row in rows], tags=tags)


def open_tagged_text(source: str, *, tag_column: str | None = None) -> dict[Split, TaggedText]:
    """Opens tagged sentences and finds their splits; a source without any is all `train`.

    Args:
        source: `embedded:mentions` or another embedded set; a folder with files such as `train.conllu.gz`,
            `en_ewt-ud-dev.conllu`, `test.bio`; such a file; a json, jsonl or parquet table with lists of words and of
            tags; a hub id.
        tag_column: in CoNLL-U "upos" (if None), "xpos", "deprel" …; in files of columns the place of the tag (1, 2, …;
            the last if None); in tables the name of the column (the first that ends in `tags` if None).

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
        ValueError: no sentences, no such column, a line that lacks it.

    Example:
        >>> from lhy_lightning import open_tagged_text
        >>> sorted(open_tagged_text("embedded:mentions"))
        ['test', 'train', 'val']
    """
    if source.startswith("embedded:"):
        return open_embedded(source, EMBEDDED)
    return open_splits(
        source,
        files=lambda folder: files_by_split(folder, _ENDINGS),
        open_file=lambda path: open_tagged_file(path, tag_column),
        open_table=lambda table, origin: _from_table(table, origin, tag_column),
    )


def open_tagged_file(path: Path, tag_column: str | None = None) -> TaggedText:
    """Reads one file; arguments and errors as `open_tagged_text`."""
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in TABLES:
        return _from_table(read_table(path), str(path), tag_column)
    if ending not in _ENDINGS:
        raise ValueError(f"{path}: tagged sentences come from {', '.join(_ENDINGS)} files, folders or hub ids.")
    found = _from_conllu(path, tag_column) if ending == ".conllu" else _from_columns(path, tag_column)
    if not len(found):
        raise ValueError(f"{path} has no sentences.")
    return found


def read_as_training(text: TaggedText, train: TaggedText) -> TaggedText:
    """Reads the sentences of another split as the training ones: in a file with a column less the last is no tag."""
    if text.width is None or train.width is None or text.width != train.width - 1:
        return text
    return replace(text, tags=None)


def open_words(path: Path) -> TaggedText:
    """Reads sentences to tag: CoNLL-U, or a text file of one sentence per line with spaces between the words."""
    if Path(path.name.removesuffix(".gz")).suffix.lower() == ".conllu":
        return TaggedText([words for words, _ in _conllu(path, "upos")], None, str(path))
    return TaggedText([line.split() for line in open_lines(path)], None, str(path))


def _conllu(path: Path, tag_column: str | None) -> list[tuple[list[str], list[str]]]:
    """Words with whole numbers: ranges (1-2) and empty nodes (1.1) are no words of their own."""
    column = tag_column or "upos"
    if column not in CONLLU:
        raise ValueError(f"tag_column={tag_column!r}: a CoNLL-U file has {', '.join(CONLLU)}.")
    place = CONLLU.index(column)
    found: list[tuple[list[str], list[str]]] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*open_lines(path), ""], 1):
        if not line.strip():
            if words:
                found.append((words, tags))
            words, tags = [], []
            continue
        cells = line.split("\t")
        if line.startswith("#") or not _WORD_LINE.fullmatch(cells[0]):
            if not line.startswith("#") and len(cells) != len(CONLLU):
                raise ValueError(f"{path}, line {number}: {line[:40]!r} is no line of CoNLL-U, which has 10 columns.")
            continue
        if len(cells) != len(CONLLU):
            raise ValueError(f"{path}, line {number}: {len(cells)} tab-separated columns, CoNLL-U has {len(CONLLU)}.")
        word, tag = cells[1].strip() or cells[1], cells[place].strip()
        if not word or not tag:
            missing = f"the {column} of {word!r} is empty" if word else "it has no word (form)"
            raise ValueError(f"{path}, line {number}: {missing}; CoNLL-U writes _ for what is not filled in.")
        words.append(word)
        tags.append(tag)
    return found


def _from_conllu(path: Path, tag_column: str | None) -> TaggedText:
    """A file whose tags all are `_` has none: it is to be tagged."""
    found = _conllu(path, tag_column)
    hidden = all(tag == UNSPECIFIED for _, tags in found for tag in tags)
    return TaggedText([words for words, _ in found], None if hidden else [tags for _, tags in found], str(path))


def _from_columns(path: Path, tag_column: str | None) -> TaggedText:
    found = word_columns(path, None if tag_column is None else _place(tag_column))
    width = found.width if tag_column is None else None
    return TaggedText(found.words, found.tags, str(path), tuple(found.told), width)


def _place(tag_column: str) -> int:
    if not tag_column.isdecimal() or tag_column == "0":
        raise ValueError(f"tag_column={tag_column!r}: files of columns have places, 1 for the first behind the word.")
    return int(tag_column)


def _from_table(table: Any, origin: str, tag_column: str | None) -> TaggedText:
    names: Sequence[str] = table.column_names
    words = next((name for name in WORDS if name in names), None)
    tags = tag_column or next((name for name in names if name.endswith("tags")), None)
    if words is None or (tag_column is not None and tag_column not in names):
        wanted = f"tags in {tag_column!r}" if words is not None else f"words in {' or '.join(WORDS)}"
        raise ValueError(f"{origin} has the columns {', '.join(names)}, not the {wanted}.")
    if len(table) == 0:
        raise ValueError(f"{origin} has no rows.")
    sentences = [
        [
            _cell(word, f"{origin}, row {row}: word {place}")
            for place, word in enumerate(_listed(cells, origin, row, words))
        ]
        for row, cells in enumerate(column_values(table, words))
    ]
    if tags is None:
        return TaggedText(sentences, None, origin)
    classes = getattr(getattr(table.features[tags], "feature", None), "names", None)
    marked = [_listed(cells, origin, row, tags) for row, cells in enumerate(column_values(table, tags))]
    if classes and all(tag == -1 for cells in marked for tag in cells):
        return TaggedText(sentences, None, origin)
    rows = [
        [_tag(tag, classes, f"{origin}, row {row}: tag {place}") for place, tag in enumerate(cells)]
        for row, cells in enumerate(marked)
    ]
    for row, (some, marks) in enumerate(zip(sentences, rows, strict=True)):
        if len(some) != len(marks):
            raise ValueError(f"{origin}, row {row}: {len(some)} words and {len(marks)} tags.")
    return TaggedText(sentences, rows, origin)


def _listed(cells: Any, origin: str, row: int, column: str) -> list[Any]:
    if not isinstance(cells, list):
        kind = "is missing" if cells is None else f"is {str(cells)[:40]!r}"
        raise ValueError(
            f"{origin}, row {row}: {column!r} {kind}, not a list; csv has none: take json, jsonl or parquet."
        )
    return cells


def _cell(value: Any, where: str) -> str:
    if isinstance(value, list | dict | bytes):
        raise ValueError(f"{where} is {str(value)[:40]!r}, not text.")
    if isinstance(value, float) and value.is_integer():  # a column of whole numbers with a gap
        value = int(value)
    text = "" if value is None else str(value)
    if not text:
        raise ValueError(f"{where} is {'missing' if value is None else 'empty'}.")
    return text


def _tag(tag: Any, classes: Sequence[str] | None, where: str) -> str:
    if classes and isinstance(tag, int):
        if not 0 <= tag < len(classes):
            raise ValueError(f"{where} is {tag}, none of the {len(classes)} tags from 0 on.")
        return classes[tag]
    if isinstance(tag, int | float) and tag == IGNORED:
        raise ValueError(
            f"{where} is {IGNORED}, which says in labels for word pieces that one is not scored: give the words as the "
            "data set has them, with a tag each."
        )
    return _cell(tag.strip() if isinstance(tag, str) else tag, where)


def _mentions(side: int) -> Callable[[], dict[Split, TaggedText]]:
    def load() -> dict[Split, TaggedText]:
        from lhy_lightning.data.embedded.mentions import mentions

        return {
            split: TaggedText([words for words, _ in rows], [tags for _, tags in rows], f"embedded:mentions/{split}")
            for split, rows in mentions(side).items()
        }

    return load


EMBEDDED: dict[str, Callable[[], dict[Split, TaggedText]]] = {"mentions": _mentions(0), "mentions_zh": _mentions(1)}
"""Tagged sentences by the name after `embedded:`, in English and Chinese."""
