"""Opens any picture source by name: a folder, a table file, a `.npy` array, an embedded set, a hub id."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lhy_lightning.core.messages import first_of
from lhy_lightning.data.embedded.digits import EMBEDDED
from lhy_lightning.data.images.reading.bit_depth import Range
from lhy_lightning.data.images.reading.float_arrays import FloatPictures
from lhy_lightning.data.images.reading.folder_tree import list_folder
from lhy_lightning.data.images.reading.image_labels import one_hot_columns, read_class_labels, read_labels, read_one_hot
from lhy_lightning.data.images.reading.readers import ArrayPictures, PictureSet
from lhy_lightning.data.images.reading.table_readers import TablePictures
from lhy_lightning.data.sources.folders import Role, role_of
from lhy_lightning.data.sources.hub import is_saved, open_hub
from lhy_lightning.data.sources.tables import TABLES, file_fingerprint, read_table

IMAGE_COLUMNS = ("image", "img", "picture", "path", "image_path", "file_name", "filename", "file", "pixels")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "fine_label", "y")


@dataclass(frozen=True)
class ReadAs:
    """How a source is read: as the arguments of `open_source` of the same names."""

    image_column: str | None = None
    label_column: str | None = None
    value_range: Range | None = None
    labels: bool = True


@dataclass
class OpenedSplit:
    """One split as its source hands it out.

    Attributes:
        pictures: its pictures, in row order.
        labels: (N,) int64, or None where unlabelled.
        class_names: what the labels are places in; None where the source has bare numbers.
        file_order: the rows are in sorted path order.
        unread: what might label the rows, but was not asked for.
        notes: facts about how the source was read.
        doubts: what may not be meant.
    """

    pictures: PictureSet
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    file_order: bool = False
    unread: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def open_source(
    source: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    value_range: tuple[float, float] | None = None,
    labels: bool = True,
) -> dict[Role, OpenedSplit]:
    """Opens a source and finds its splits; a source without any is all `train`.

    Args:
        source: `embedded:<name>`, a folder, a parquet, csv, json, jsonl or npy file, or a hub id.
        image_column, label_column: for tables; found by type and name where None.
        value_range: (black, white) of a npy file of numbers other than bytes, and of pictures of more than 8 bits.
        labels: read them where there are any; otherwise they are only told of in `unread`.

    Returns:
        The splits that the source itself hands out.

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
        ValueError: it holds no pictures, or nothing that looks like them.
    """
    if source.startswith("embedded:"):
        name = source.removeprefix("embedded:")
        if name not in EMBEDDED:
            raise FileNotFoundError(f"no embedded source {name!r}; there is embedded:{', embedded:'.join(EMBEDDED)}.")
        array, numbers, names = EMBEDDED[name]()
        pictures = ArrayPictures(array, source, source)
        return {"train": OpenedSplit(pictures, numbers, names) if labels else OpenedSplit(pictures, None, None)}
    path = Path(source).expanduser()
    how = ReadAs(image_column, label_column, value_range, labels)
    if path.is_file():
        return {"train": _open_file(path, how)}
    if path.is_dir() and not is_saved(path):
        files = _files_by_role(path)
        if files:
            return {role: _open_file(file, how) for role, file in files.items()}
        return {
            role: OpenedSplit(
                listed.pictures,
                None if listed.labels is None else np.array(listed.labels, dtype=np.int64),
                listed.class_names if listed.labels is not None else None,
                file_order=True,
                unread="" if labels else _folders_of(listed.pictures.paths),
                notes=listed.notes,
                doubts=listed.doubts,
            )
            for role, listed in list_folder(path, labels=labels, value_range=value_range).items()
        }
    return _open_hub(source, how)


def _folders_of(paths: Sequence[str]) -> str:
    """'10 folders' where pictures lie in several, else nothing."""
    folders = {path.split("/", 1)[0] for path in paths if "/" in path}
    return f"{len(folders)} folders" if len(folders) > 1 else ""


def _files_by_role(folder: Path) -> dict[Role, Path]:
    """`train.parquet`, `testingset.npy` … in a folder; empty where the folder has no data files."""
    files = sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_file() and entry.suffix.lower() in (*TABLES, ".npy") and not entry.name.startswith(".")
    )
    found: dict[Role, Path] = {}
    for file in files:
        role = role_of(file.stem)
        if role in found:
            raise ValueError(f"{found[role]} and {file} both look like the {role} split; give the file itself.")
        if role:
            found[role] = file
    if not found and files and all(file.suffix.lower() in (".parquet", ".npy") for file in files):
        if len(files) > 1:
            raise ValueError(
                f"{folder} has {', '.join(file.name for file in files)}: which of them? Give the file itself as the "
                "source, or call them train, val and test."
            )
        return {"train": files[0]}
    return found


def _open_file(path: Path, how: ReadAs) -> OpenedSplit:
    fingerprint = file_fingerprint(path)
    if path.suffix.lower() == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"{path} is not a plain numpy array of pictures ({path.stat().st_size:,} bytes): {not_plain(path)}."
            ) from error
        if array.dtype != np.uint8 and array.dtype.kind in "fiub":
            return OpenedSplit(FloatPictures(array, str(path), fingerprint, how.value_range), None, None)
        return OpenedSplit(ArrayPictures(array, str(path), fingerprint, file=path), None, None)
    if path.suffix.lower() not in TABLES:
        raise ValueError(f"{path}: pictures come from {', '.join([*TABLES, '.npy'])} files, folders or hub ids.")
    return _open_table(read_table(path), str(path), fingerprint, how)


def not_plain(path: Path) -> str:
    """What lacks a file that numpy does not read: its own message advises to read Python objects, which run code."""
    with path.open("rb") as file:
        start = file.read(6)
    if start != b"\x93NUMPY":
        return "it is empty" if not start else "it is another file, or holds Python objects"
    return "it is cut off, or holds Python objects, which are never read"


def _open_hub(source: str, how: ReadAs) -> dict[Role, OpenedSplit]:
    return {
        role: _open_table(table, origin, table._fingerprint, how) for role, (origin, table) in open_hub(source).items()
    }


def _open_table(table: Any, source: str, fingerprint: str, how: ReadAs) -> OpenedSplit:
    from datasets import ClassLabel, Image

    if len(table) == 0:
        raise ValueError(f"{source} has no rows.")
    image_column = _find_column(table, source, "image", how.image_column, (Image,), IMAGE_COLUMNS)
    assert image_column is not None
    pictures = _pictures_of(table, image_column, source, fingerprint, how.value_range)
    if not how.labels:
        typed = [name for name, feature in table.features.items() if isinstance(feature, ClassLabel)]
        named = [name for name in (how.label_column, *typed) if name in table.features]
        named += [name for name in table.features if name.lower() in LABEL_COLUMNS]
        return OpenedSplit(pictures, None, None, unread=f"column {named[0]!r}" if named else "")
    label_column = _find_column(table, source, "label", how.label_column, (ClassLabel,), LABEL_COLUMNS)
    if label_column is None:
        return _one_hot(table, pictures, source, image_column)
    where = f"{source}, column {label_column!r}"
    names = getattr(table.features[label_column], "names", None)
    if names:
        labels = read_class_labels(table[label_column], names, where)
        return OpenedSplit(pictures, labels, tuple(names) if labels is not None else None)
    return OpenedSplit(pictures, *read_labels(table[label_column], where))


def _one_hot(table: Any, pictures: PictureSet, source: str, image_column: str) -> OpenedSplit:
    """Labels of columns that are a class each, where there are such; otherwise unlabelled."""
    others = [name for name in table.column_names if name != image_column]
    columns = {name: list(table[name]) for name in others if _is_plain(table.features[name])}
    names = one_hot_columns(columns)
    if not names:
        return OpenedSplit(pictures, None, None)
    listed = first_of(names, 6)
    labels, wrong = read_one_hot(columns, names)
    if len(wrong):
        note = (
            f"{source}: the {len(names)} columns {listed} hold 0 and 1, but not exactly one 1 in {len(wrong):,} rows, "
            f"such as row {wrong[0]}: they are not read as classes."
        )
        return OpenedSplit(pictures, None, None, doubts=(note,))
    note = f"{source}: the {len(names)} columns {listed} have one 1 in each row: each is read as a class."
    return OpenedSplit(pictures, labels, tuple(names), notes=(note,))


def _is_plain(feature: Any) -> bool:
    """Whether a column is of numbers or texts."""
    return getattr(feature, "dtype", "").startswith(("int", "uint", "float", "bool", "string"))


def _pictures_of(table: Any, column: str, source: str, fingerprint: str, value_range: Range | None) -> TablePictures:
    """One column of a table, and nothing of the others."""
    from datasets import Image

    table = table.select_columns([column])
    if isinstance(table.features[column], Image):
        table = table.cast_column(column, Image(decode=False))
    if table._indices is not None:
        table = table.flatten_indices()
    return TablePictures(table, column, source, f"{fingerprint}-{column}", value_range)


def _find_column(
    table: Any, source: str, kind: str, given: str | None, types: tuple[type, ...], names: Sequence[str]
) -> str | None:
    """The column asked for, or the one of a telling type, or of a telling name."""
    features: Mapping[str, Any] = table.features
    if given is not None:
        if given not in features:
            raise ValueError(f"{source} has no column {given!r} (set as {kind}_column); it has {', '.join(features)}.")
        return given
    typed = [name for name, feature in features.items() if isinstance(feature, types)]
    if len(typed) == 1:
        return typed[0]
    known = {name.lower(): name for name in reversed(typed or list(features))}
    named = next((known[name] for name in names if name in known), None)
    if named is None and (typed or kind == "image"):
        raise ValueError(
            f"{source} has the columns {', '.join(features)}: which holds the {kind}? Set --data.{kind}_column."
        )
    return named


def cache_folder(given: str | None) -> Path:
    """Where decoded pictures are kept: `given`, else `lhy_lightning/pictures` in the user's cache folder."""
    if given is not None:
        return Path(given).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "lhy_lightning" / "pictures"
