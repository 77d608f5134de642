"""Files that appear whole or not at all."""

import csv
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def whole_file(path: Path, *, flush_to_disk: bool = False) -> Iterator[BinaryIO]:
    """Opens a hidden file beside `path` and renames it over `path` at the end.

    A kill or a full disk leaves what was there; after an error no partial file remains.

    Args:
        path: the file; its folder is made.
        flush_to_disk: wait until the disk has it, so that a power cut does not leave an empty file either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        # a new file, with the permissions that the user's others have
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            yield file
            if flush_to_disk:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a small file at once."""
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as csv, lines ended by a newline alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
