"""Opens text files in UTF-8, plain or gzipped (by content); says of others where they are not, and what they may be."""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lhy_lightning.data.sources.folders import nearest_existing

GUESSED = ("gb18030", "big5")
"""What a file that is not UTF-8 is tried as; the first where both would do."""
FREQUENT = frozenset(
    "的一是不了在人有我他这個个們们中來来上大為为和國国地到以說说時时要就出會会可也你對对生能而子那得着著下自之年"
)
"""Characters that any Chinese text has many of, and a text decoded wrongly hardly any."""
_GZIP = b"\x1f\x8b"


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Opens a file to read it a piece at a time: line ends as they are, without a byte order mark.

    Raises:
        ValueError: bytes that are not UTF-8 (says where, and what the file may be), a broken gzip file.
    """
    with path.open("rb") as file:
        zipped = file.peek(2)[:2] == _GZIP
        binary = gzip.GzipFile(fileobj=file) if zipped else file
        try:
            if b"\0" in binary.peek(1000)[:1000]:
                raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "zero bytes")  # English in UTF-16 is valid UTF-8
            yield io.TextIOWrapper(binary, "utf-8-sig", newline="")
        except UnicodeDecodeError as error:
            where, likely = not_utf8(whole_content(path))
            raise ValueError(f"{path} is not UTF-8 ({where}, {error.reason}): save it as UTF-8.{likely}") from error
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{path} is a broken gzip file: {error}.") from error


def open_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file, plain or gzipped (by content, whatever its name).

    A line ends at a line feed (a carriage return before it is dropped), and only there: `str.splitlines` would also
    cut at U+2028 or a form feed inside a sentence and shift everything below against the other language.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no lines, bytes that are not UTF-8 (said where), a broken gzip file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. {nearest_existing(path)}")
    content = whole_content(path)
    try:
        text = content.decode("utf-8-sig")  # without the byte order mark that Windows editors write
        if "\0" in text[:1000]:
            raise UnicodeDecodeError("utf-8", content, 0, 1, "zero bytes")
    except UnicodeDecodeError as error:
        where, likely = not_utf8(content)
        raise ValueError(f"{path}, {where} is not UTF-8 ({error.reason}): save it as UTF-8.{likely}") from error
    if not text.strip():
        raise ValueError(f"{path} is empty.")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def whole_content(path: Path) -> bytes:
    """Reads a file's bytes, unzipped.

    Raises:
        ValueError: a broken gzip file.
    """
    content = path.read_bytes()
    if content[:2] != _GZIP:
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} is a broken gzip file: {error}.") from error


def not_utf8(content: bytes) -> tuple[str, str]:
    """Returns `line 3, byte 4: 0xff`, the first byte at fault, and a sentence on what the file may be, if anything."""
    try:
        content.decode("utf-8")
        start = content.find(b"\0")
    except UnicodeDecodeError as first:
        start = first.start
    row = content.count(b"\n", 0, start) + 1
    column = start - (content.rfind(b"\n", 0, start) + 1) + 1
    where = f"line {row}, byte {column}: 0x{content[start]:02x}"
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in content[:1000]:
        return where, " It looks like UTF-16."
    if (name := likely_encoding(content)) is None:
        return where, ""
    return where, f" It might be {name}; `iconv -f {name} -t utf-8` would convert it."


def likely_encoding(content: bytes) -> str | None:
    """Guesses the encoding of a Chinese text: the one that gives the most frequent characters; None where none can."""
    best, most = None, -1
    for name in GUESSED:
        try:
            text = codecs.getincrementaldecoder(name)().decode(content[:100_000], final=len(content) <= 100_000)
        except UnicodeDecodeError:
            continue
        if (frequent := sum(character in FREQUENT for character in text)) > most:
            best, most = name, frequent
    return best
