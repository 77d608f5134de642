"""Files that appear whole or not at all, also where the disk is full or the writer is killed."""

import csv
import errno
import io
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lhy_lightning.core.writable import make_folder

fcntl: Any = None
with suppress(ImportError):  # Windows has none
    import fcntl

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PARTIAL = re.compile(r"\..+\.[0-9a-f]{32}\.partial")
_swept: set[Path] = set()


class DiskFullError(OSError):
    """A file could not be written for want of space; says how many bytes lack."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def atomic_open(path: Path, *, flush_to_disk: bool = False, size: int | None = None) -> Iterator[BinaryIO]:
    """Opens a hidden file beside `path` and renames it over `path` at the end.

    A kill or a full disk leaves what was there; after an error no partial file remains. What a killed writer left goes
    with the first file that this process writes into the folder.

    Args:
        path: the file; its folder is made.
        flush_to_disk: wait until the disk has it, so that a power cut does not leave an empty file either.
        size: bytes that will be written, where that is known, for the message of a full disk.

    Raises:
        DiskFullError: the disk, a quota or a limit of file sizes does not allow for it, whatever the library that was
            to write made of that.
    """
    make_folder(path.parent)
    if path.parent not in _swept:
        _swept.add(path.parent)
        remove_partials(path.parent)
    partial, handle = _new_partial(path)
    recorder: _Recorder | None = None
    try:
        recorder = _Recorder(os.fdopen(handle, "wb", 0))
        with io.BufferedWriter(recorder) as file:
            yield file
            file.flush()
            if flush_to_disk:
                os.fsync(handle)
            if fcntl is not None:  # while it is locked: no other process takes it for a dead writer's
                os.replace(partial, path)
        if fcntl is None:  # Windows renames no file that is open
            os.replace(partial, path)
    except Exception as error:
        partial.unlink(missing_ok=True)
        raised = error if isinstance(error, OSError) and error.errno in FULL else recorder and recorder.failed
        if raised and raised.errno in FULL and not isinstance(error, DiskFullError):
            _tell_full(path, raised, size)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _new_partial(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, with the permissions that the user's others have, locked for as long as it is open."""
    while True:
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl is not None:
            with suppress(OSError):  # file systems without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return partial, handle
        os.close(handle)  # taken for a dead writer's in the moment before it was locked


def remove_partials(folder: Path) -> None:
    """Removes what killed writers left in a folder; a live one holds a lock on its file, which the system gives up."""
    if fcntl is None:
        return
    for path in folder.glob(".*.partial"):
        if PARTIAL.fullmatch(path.name):
            with suppress(OSError):
                handle = os.open(path, os.O_WRONLY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(handle)


class _Recorder(io.RawIOBase):
    """A raw file that keeps the error of a failed write: libraries raise errors of their own for it."""

    def __init__(self, raw: Any) -> None:
        self.raw, self.failed = raw, None

    failed: OSError | None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self.raw.seekable())

    def write(self, data: Any) -> int:
        try:
            return int(self.raw.write(data))
        except OSError as error:
            self.failed = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.raw.seek(offset, whence))

    def tell(self) -> int:
        return int(self.raw.tell())

    def truncate(self, size: int | None = None) -> int:
        return int(self.raw.truncate(size))

    def close(self) -> None:
        super().close()
        self.raw.close()


@contextmanager
def full_disk_told(path: Path, size: int) -> Iterator[None]:
    """Turns the error of a full disk into one that says how many bytes lack, for files that are appended to."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            _tell_full(path, error, size)
        raise


def _tell_full(path: Path, error: OSError, size: int | None) -> NoReturn:
    """Raises the error that says what lacks; of a file whose size is not known that of the one to be replaced."""
    needed = size if size is not None else path.stat().st_size if path.exists() else None
    free = shutil.disk_usage(path.parent).free
    text = f"{os.strerror(error.errno or 0)}: {path.parent} has {free:,} bytes free"
    if needed is not None:
        text += f", {path.name} needs {needed:,}"
        text += f", so {needed - free:,} are lacking" if needed > free else ""
    cure = {errno.EFBIG: "raise the limit of file sizes (`ulimit -f`)", errno.EDQUOT: "make room within your quota"}
    raise DiskFullError(error.errno, f"{text}; {cure.get(error.errno or 0, 'make room there')}") from error


def atomic_write(path: Path, content: str | bytes) -> None:
    """Writes a small file at once."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_open(path, size=len(data)) as file:
        file.write(data)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as csv, lines ended by a newline alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
