"""Finds the splits of a source of text by its name: an embedded set, a folder of files, a file, a hub id."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from lhy_lightning.data.sources.folders import nearest_existing, role_of
from lhy_lightning.data.sources.hub import is_saved, open_hub

Split = Literal["train", "val", "test"]
Text = TypeVar("Text")

_PART = re.compile(r"(?:^|[ ._-])(train|training|dev|val|valid|validation|test|testing)(?=$|[ ._-])")


def open_embedded(source: str, known: Mapping[str, Callable[[], dict[Split, Text]]]) -> dict[Split, Text]:
    """The set of this name, such as `embedded:reviews`.

    Raises:
        FileNotFoundError: there is none of this name; lists those that there are.
    """
    if (load := known.get(source.removeprefix("embedded:"))) is None:
        there = ", ".join(f"embedded:{name}" for name in known)
        raise FileNotFoundError(f"no embedded source {source!r}; there is {there}.")
    return load()


def open_splits(
    source: str,
    *,
    files: Callable[[Path], Mapping[Split, Path]],
    open_file: Callable[[Path], Text],
    open_table: Callable[[Any, str], Text],
) -> dict[Split, Text]:
    """Opens a folder, a file, which is all `train`, or a data set of the hub.

    Args:
        source: what to open.
        files: finds a folder's files, one for each split.
        open_file: reads one.
        open_table: reads a split of the hub, and takes its origin for messages.

    Raises:
        FileNotFoundError: there is no such thing, neither here nor, as far as can be seen, on the hub.
    """
    path = Path(source).expanduser()
    if path.is_dir() and not is_saved(path):
        return {role: open_file(file) for role, file in files(path).items()}
    if path.is_file():
        return {"train": open_file(path)}
    return {
        role: open_table(table, origin) for role, (origin, table) in open_hub(source).items() if role != "unlabelled"
    }


def files_by_split(
    folder: Path, endings: Sequence[str], *, zipped: bool = True, wanted: str | None = None
) -> dict[Split, Path]:
    """The files of a folder that name a split: `train.tsv`, `en_ewt-ud-dev.conllu`, `test.jsonl.gz` …

    Args:
        folder: where they are; others in it are passed over.
        endings: what they may end in; the first is named as an example.
        zipped: whether a file may end in .gz as well.
        wanted: what the folder should have, for the message; told by the endings if None.

    Raises:
        FileNotFoundError: there is none.
        ValueError: two for one split.
    """
    files: dict[Split, Path] = {}
    for entry in sorted(folder.iterdir()):
        name = entry.name.removesuffix(".gz") if zipped else entry.name
        named = _PART.search(Path(name).stem.lower())
        if not entry.is_file() or name.startswith(".") or Path(name).suffix.lower() not in endings or named is None:
            continue
        role = role_of(named[1])
        assert role in ("train", "val", "test")
        if role in files:
            raise ValueError(
                f"{folder}: {files[role].name} and {entry.name} both look like the {role} split. Name the files that "
                "are meant: --data.source, --data.val_source and --data.test_source take one each."
            )
        files[role] = entry
    if not files:
        usual = f"file such as train{endings[0]} or dev{endings[0]} (also {', '.join(endings[1:])})"
        raise FileNotFoundError(f"{folder} has no {wanted or usual}. {nearest_existing(folder / f'train{endings[0]}')}")
    return files
