"""Data sets of the Hugging Face hub, and such as `datasets` saved to disk, by their splits."""

import re
from pathlib import Path
from typing import Any

from lhy_lightning.data.sources.folders import Role, nearest_existing, role_of

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?$")


def open_hub(source: str, *, nor: str = "") -> dict[Role, tuple[str, Any]]:
    """The splits of a data set of the Hugging Face hub whose names tell their part: origin for messages, and table.

    Args:
        source: hub id, or a folder that `save_to_disk` wrote.
        nor: what was looked for besides, for the message about a source that looks like a path.

    Raises:
        FileNotFoundError: it is a path and not a hub id, or could not be loaded.
    """
    from datasets import load_dataset

    path = Path(source).expanduser()
    if is_saved(path):
        return _splits_of(_load_saved(path), source)
    here = nearest_existing(path)
    if not _HUB_ID.match(source) or ("/" in source and path.parent.is_dir()):
        raise FileNotFoundError(f"source {source!r} does not exist{nor}. {here}")
    try:
        loaded = load_dataset(source)
    except Exception as error:  # offline, unknown, gated, no pictures …: the hub has an exception for each
        why = str(error).splitlines()[0] if str(error) else "no message"
        raise FileNotFoundError(
            f"source {source!r} is no file or folder here ({here}) and could not be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {why}). Without a network point --data.source to a local folder or file."
        ) from error
    return _splits_of(loaded, source)


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote this folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _load_saved(folder: Path) -> Any:
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except Exception as error:  # each broken file has its own
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder} is a data set that save_to_disk wrote, but not whole: {why}") from error


def _splits_of(loaded: Any, source: str) -> dict[Role, tuple[str, Any]]:
    """The splits by their parts; a table without splits is all `train`."""
    splits = {str(name): table for name, table in loaded.items()} if isinstance(loaded, dict) else {"train": loaded}
    return {role: (f"{source}/{name}", table) for name, table in splits.items() if (role := role_of(name))}
