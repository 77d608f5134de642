"""Reads files of columns: tab-separated rows, and a word per line with its tag behind it; odd lines are named."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lhy_lightning.data.sources.utf8_files import open_lines

Row = tuple[int, list[str]]
"""Number of the line, counted from 1, and its cells."""
WORD_HEADERS = frozenset(["word", "words", "token", "tokens", "form"])
TAG_HEADERS = {
    "tag", "tags", "label", "labels", "pos", "upos", "xpos", "ner", "chunk", "bio", "iob", "ner_tag", "ner_tags",
    "pos_tag",
}  # fmt: skip
"""What the first line of a file calls words and tags, where it is a header."""
SAMPLED_LINES = 100_000
"""Lines that tell how many columns most have."""
UNSPECIFIED = "_"
"""What CoNLL writes where a column is not filled in."""


# --- tab-separated rows -----------------------------------------------------------------------------------------------


def tabbed_rows(path: Path) -> list[Row]:
    """The rows of a tab-separated file; quotation marks are plain characters: GLUE's and CLUE's are unbalanced."""
    return [(number, line.split("\t")) for number, line in enumerate(open_lines(path), 1)]


def usual_width(rows: Sequence[Row]) -> int:
    """How many columns most rows have; the first of them where numbers of columns are equally frequent."""
    return Counter(len(row) for _, row in rows).most_common(1)[0][0]


def check_widths(rows: Sequence[Row], width: int, path: Path, *, header: int | None) -> None:
    """Cuts blank cells behind the last column, in place.

    Args:
        rows: of the file.
        width: how many columns each has to have.
        path: of the file, for messages.
        header: line of the header that has so many; None where most lines have.

    Raises:
        ValueError: a row has fewer or more: a tab in a text shifts what stands behind it into other columns.
    """
    odd: list[Row] = []
    for number, row in [item for item in rows if len(item[1]) != width]:
        if len(row) > width and not any(map(str.strip, row[width:])):
            del row[width:]
        else:
            odd.append((number, row))
    if odd:
        number, row = odd[0]
        why = "as most lines have" if header is None else f"as the header (line {header}) has"
        more = f"; {len(odd) - 1:,} more lines differ" if len(odd) > 1 else ""
        hint = " Is there a tab in a text? Write a blank instead." if len(row) > width else ""
        raise ValueError(
            f"{path}, line {number}: {len(row)} tab-separated columns where {width} are needed, {why}{more}.{hint}"
        )


# --- a word per line --------------------------------------------------------------------------------------------------


@dataclass
class WordColumns:
    """The sentences of a file with a word per line.

    Attributes:
        words: of each sentence.
        tags: of each word; None where the file has words alone, or "_" for every tag.
        width: columns of a line.
        told: what was passed over, for the user to know.
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    width: int
    told: list[str] = field(default_factory=list)


def word_columns(path: Path, tag_column: int | None = None) -> WordColumns:
    """Reads words and tags, sentences parted by empty lines.

    `-DOCSTART-` lines, a header and comments are passed over. A comment begins with # before the first word of a
    sentence, and has no tag that other words have: the word # has one.

    Args:
        path: tabs between the columns, or blanks; a no-break or ideographic space is then a word.
        tag_column: place of the tag, 1 for the first behind the word; the last if None.

    Raises:
        ValueError: a line has no word, no tag, or another number of columns than most; it is named.
    """
    lines = open_lines(path)
    sampled = [(0, _cells(line)) for line in _plain(lines[:SAMPLED_LINES])]
    width = usual_width(sampled) if sampled else 0
    place = width - 1 if tag_column is None else tag_column
    tags: Counter[str] | None = None  # of all words, counted where a line may be none
    found = WordColumns([], [], width)
    gold: list[list[str]] = []
    words_here: list[str] = []
    tags_here: list[str] = []
    comments: list[str] = []
    begins = first = True
    for number, line in enumerate(lines, 1):
        if not line or line.isspace() or line.startswith("-DOCSTART-"):
            begins = True
            continue
        cells = _cells(line)
        if begins and (line[0] == "#" or (first and _names_columns(cells, place))):
            tags = tags or Counter(row[place].strip() for row in map(_cells, _plain(lines)) if place < len(row))
            times = tags[cells[place].strip()] if len(cells) == width > place else 0
            if line[0] == "#" and not times:
                comments.append(line)
                continue
            if line[0] != "#" and times == 1:
                found.told.append(f"line {number} read as a header ({' '.join(cells)})")
                first = False
                continue
        first = False
        if len(cells) != width and line[0] == " " and "\t" not in line and len(cells) == width - 1:
            cells = [" ", *cells]  # a blank is a word in Chinese text
        word, tag = cells[0].strip() or cells[0], cells[place].strip() if place < len(cells) else ""
        if len(cells) != width or not word or not tag:
            _check_line(cells, place, width, f"{path}, line {number}", line, tag_column)
        if begins:
            words_here, tags_here = [], []
            found.words.append(words_here)
            gold.append(tags_here)
            begins = False
        words_here.append(word)
        tags_here.append(tag)
    if comments:
        count = f"{len(comments):,} comment line{'s' * (len(comments) > 1)} passed over"
        found.told.append(f"{count} ({comments[0][:40]!r}{' …' if len(comments) > 1 else ''})")
    labelled = width > 1 and not all(tag == UNSPECIFIED for row in gold for tag in row)
    found.tags = gold if labelled else None
    return found


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return line.split("\t")
    cells = line.split(" ")
    return [cell for cell in cells if cell] if "" in cells else cells


def _plain(lines: Sequence[str]) -> list[str]:
    """The lines that are words for certain."""
    return [line for line in lines if line and not line.isspace() and not line.startswith(("#", " ", "-DOCSTART-"))]


def _names_columns(cells: Sequence[str], place: int) -> bool:
    named = len(cells) > place > 0 and cells[0].strip().lower() in WORD_HEADERS
    return named and cells[place].strip().lower() in TAG_HEADERS


def _check_line(cells: list[str], place: int, width: int, where: str, line: str, tag_column: int | None) -> None:
    """Raises ValueError where a line has no word, no tag or another number of columns; blank ones behind are none."""
    if len(cells) > width and any(map(str.strip, cells[width:])):
        raise ValueError(f"{where}: {line[:40]!r} has {len(cells)} columns where most lines have {width}.")
    if len(cells) < width or place >= len(cells):
        column = "last" if tag_column is None else tag_column
        raise ValueError(
            f"{where}: {line[:40]!r} has no tag in column {column}: it has {len(cells)} "
            f"column{'s' * (len(cells) != 1)}, most lines have {width}."
        )
    if not cells[0]:
        raise ValueError(f"{where}: {line[:40]!r} has no word before its tag.")
    if not cells[place].strip():
        raise ValueError(f"{where}: the tag of {cells[0]!r} is empty.")
