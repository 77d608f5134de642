"""Folders that can be written, and what is said of those that cannot. Only the standard library is used here."""

import contextlib
import os
from pathlib import Path


def check_writable(folder: Path, advice: str) -> None:
    """Looks whether a folder is there, or could be made, and can be written, without making it.

    Args:
        folder: where a run is to write.
        advice: what to do otherwise.

    Raises:
        NotADirectoryError: a file is in its place, or in that of a folder above it.
        PermissionError: it is read-only.
    """
    for place in (folder, *folder.absolute().parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(f"{folder} cannot be written, as {place} is read-only: {advice}.")
            return
        if place.exists() or place.is_symlink():
            raise NotADirectoryError(f"{folder} cannot be written, as {place} is a file and no folder: {advice}.")


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it.

    Raises:
        OSError: it cannot be made; says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def write_error(path: Path, error: OSError) -> OSError:
    """The error of a file or folder that cannot be written as one of ours: path, and what is in the way."""
    itself = isinstance(error, FileExistsError | NotADirectoryError)  # the path was to be a folder
    with contextlib.suppress(OSError):
        for place in (path, *path.absolute().parents):
            if (itself or place != path) and (place.exists() or place.is_symlink()) and not place.is_dir():
                return NotADirectoryError(f"{path} cannot be written: {place} is a file and no folder.")
        if path.is_dir():
            return IsADirectoryError(f"{path} cannot be written: it is a folder.")
    return type(error)(f"{path} cannot be written: {error.strerror or error}.")
