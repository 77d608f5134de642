"""Reads sentences whose words have a tag each: CoNLL-U, columns with a tag behind each word (BIO), tables, the hub."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhy_lightning.data.parallel_text import open_lines
from lhy_lightning.data.table_reader import TABLES, read_table
from lhy_lightning.data.text_sources import Split, files_by_split, open_embedded, open_splits

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of a CoNLL-U file."""
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
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    origin: str

    def __len__(self) -> int:
        return len(self.words)

    def take(self, rows: Sequence[int]) -> "TaggedText":
        """Some of the sentences."""
        tags = None if self.tags is None else [self.tags[row] for row in rows]
        return TaggedText([self.words[row] for row in rows], tags, self.origin)


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
    sentences = _conllu(path, tag_column) if ending == ".conllu" else _columns(path, tag_column)
    if not sentences:
        raise ValueError(f"{path} has no sentences.")
    return TaggedText([words for words, _ in sentences], [tags for _, tags in sentences], str(path))


def open_words(path: Path) -> TaggedText:
    """Sentences to tag: CoNLL-U, or a text file of one sentence a line with spaces between the words."""
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
        words.append(cells[1])
        tags.append(cells[place])
    return found


def _columns(path: Path, tag_column: str | None) -> list[tuple[list[str], list[str]]]:
    """A word a line with its tag behind it, sentences parted by empty lines; `-DOCSTART-` lines are left out."""
    place = -1 if tag_column is None else _place(tag_column)
    found: list[tuple[list[str], list[str]]] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*open_lines(path), ""], 1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                found.append((words, tags))
            words, tags = [], []
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) < 2 or place >= len(cells):
            raise ValueError(f"{path}, line {number}: {line[:40]!r} has no tag in column {tag_column or 'last'}.")
        words.append(cells[0])
        tags.append(cells[place])
    return found


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
    sentences = [[str(word) for word in row] for row in table[words]]
    if tags is None:
        return TaggedText(sentences, None, origin)
    feature = table.features[tags]
    classes = getattr(getattr(feature, "feature", None), "names", None)
    rows = [[classes[tag] if classes and isinstance(tag, int) else str(tag) for tag in row] for row in table[tags]]
    for row, (some, marks) in enumerate(zip(sentences, rows, strict=True)):
        if len(some) != len(marks):
            raise ValueError(f"{origin}, row {row}: {len(some)} words and {len(marks)} tags.")
    return TaggedText(sentences, rows, origin)


def _mentions(side: int) -> Callable[[], dict[Split, TaggedText]]:
    def load() -> dict[Split, TaggedText]:
        from lhy_lightning.data.mentions import mentions

        return {
            split: TaggedText([words for words, _ in rows], [tags for _, tags in rows], f"embedded:mentions/{split}")
            for split, rows in mentions(side).items()
        }

    return load


EMBEDDED: dict[str, Callable[[], dict[Split, TaggedText]]] = {"mentions": _mentions(0), "mentions_zh": _mentions(1)}
"""Tagged sentences by the name after `embedded:`, in English and Chinese."""
