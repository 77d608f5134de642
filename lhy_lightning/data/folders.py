"""Folders of pictures as people have them: class folders, flat folders, the course's food-11 tree.

Files are listed here, in sorted path order: `datasets`' imagefolder drops every label, without a word, on a tree
that mixes labelled and unlabelled folders.
"""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lhy_lightning.data.bit_depth import Range
from lhy_lightning.data.image_files import FORMATS
from lhy_lightning.data.pictures import FilePictures

Role = Literal["train", "val", "test", "unlabelled"]

SUFFIXES = set(FORMATS)
_AFTER = r"(?:[ _.-]?(?:data|set|split|images|pictures|folder))?(?:-\d+-of-\d+)?$"
_ROLE_NAMES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("train", re.compile(r"^(?:train|training)" + _AFTER)),
    ("val", re.compile(r"^(?:val|valid|validation|dev)" + _AFTER)),
    ("test", re.compile(r"^(?:test|testing|evaluation)" + _AFTER)),
    ("unlabelled", re.compile(r"^(?:unlabeled|unlabelled|unsupervised)" + _AFTER)),
)
_DIGITS = re.compile(r"(\d{1,4000})")  # digits that int() takes (not those of "②"), and not more than it takes
_SIGNED = re.compile(r"[-\u2212]\d{1,300}(?:\.\d{1,300})?")
_LABELLED = re.compile(r"^(?:labeled|labelled)" + _AFTER)


@dataclass
class ListedFiles:
    """The pictures of one split of a folder, in sorted path order; `labels` are places in `class_names`."""

    pictures: FilePictures
    labels: list[int] | None
    class_names: tuple[str, ...]


def role_of(name: str) -> Role | None:
    """The split that a folder, file or split name stands for: `training` → train, `dev` → val."""
    return next((role for role, pattern in _ROLE_NAMES if pattern.match(name.lower())), None)


def natural(name: str) -> tuple[tuple[int, float | str], ...]:
    """Sorts 2 before 10, -1 before 0, and names as people do; names that differ never tie.

    The last part is the name itself: sorting a set is thereby the same in every process, whatever its hash seed.
    """
    if _SIGNED.fullmatch(name):
        return (0, float(name.replace("\u2212", "-"))), (-1, name)
    parts = _DIGITS.split(name.lower())  # every second one is of digits
    key = [(0, int(part)) if place % 2 else (1, part) for place, part in enumerate(parts) if part]
    return *key, (-1, name)


def nearest_existing(path: Path) -> str:
    """'There is …' with what exists and looks like `path`, for the message about a missing folder."""
    parent, name = path.parent, path.name
    while not parent.is_dir() and parent != parent.parent:
        parent, name = parent.parent, parent.name
    here = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
    shown = near or here[:6]
    if not shown:
        return f"{parent} is empty."
    return f"{parent} has {', '.join(shown)}{' …' if not near and len(here) > 6 else ''}."


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, in natural order, without hidden and `__` ones."""
    found = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
    return sorted(found, key=lambda entry: natural(entry.name))


def list_pictures(folder: Path) -> list[str]:
    """Paths of all pictures below a folder, relative to it, sorted."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        relative = Path(place).relative_to(folder).as_posix()
        before = "" if relative == "." else f"{relative}/"
        found += [
            before + name
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return sorted(found)


def _folders_by_role(root: Path) -> dict[Role, tuple[Path, tuple[str, ...]]]:
    """For every split under `root` its folder, and the names in that folder that do not belong to it."""
    children = subfolders(root)
    labelled = next((child for child in children if _LABELLED.match(child.name.lower())), None)
    found: dict[Role, Path] = {}
    for child in children:
        role = role_of(child.name)
        if role and role in found:
            raise ValueError(f"{found[role]} and {child} both look like the {role} split; name the one meant.")
        if role:
            found[role] = child
    others = [c for c in children if c != labelled and not role_of(c.name) and list_pictures(c)]
    if len(found) == 1 and "unlabelled" not in found and others and not any(subfolders(c) for c in found.values()):
        found = {}  # a class that happens to be called "train", among other classes
    if labelled is not None:
        found.setdefault("train", labelled)
    splits: dict[Role, tuple[Path, tuple[str, ...]]] = {role: (folder, ()) for role, folder in found.items()}
    if "train" not in found and (others or not found):
        splits["train"] = (root, tuple(folder.name for folder in found.values()))
    elif "train" in found and found["train"] != labelled:  # training/labeled, training/unlabeled
        for child in subfolders(found["train"]):
            if _LABELLED.match(child.name.lower()):
                splits["train"] = (child, ())
            elif role_of(child.name) == "unlabelled":
                splits.setdefault("unlabelled", (child, ()))
                if splits["train"][0] == found["train"]:
                    splits["train"] = (found["train"], (child.name,))
    return splits


def _list_split(
    folder: Path, role: Role, leave_out: tuple[str, ...], labels: bool, value_range: Range | None
) -> ListedFiles:
    """Labelled by its class folders where there are two or more and `labels` are wanted, else unlabelled."""
    classes = [child for child in subfolders(folder) if child.name not in leave_out]
    paths = [path for path in list_pictures(folder) if path.split("/", 1)[0] not in leave_out]
    if role == "unlabelled" or not labels or len(classes) < 2:
        if not paths:
            raise ValueError(f"{folder} holds no picture (looked for {', '.join(sorted(SUFFIXES))}).")
        return ListedFiles(FilePictures(folder, paths, value_range), None, ())
    names = tuple(child.name for child in classes)
    place = {name: number for number, name in enumerate(names)}
    inside = [path for path in paths if "/" in path]
    numbers = [place[path.split("/", 1)[0]] for path in inside]
    empty = [str(folder / name) for number, name in enumerate(names) if number not in set(numbers)]
    if empty:
        raise ValueError(f"class folder{'s' * (len(empty) > 1)} without a picture: {', '.join(empty)}.")
    if len(inside) < len(paths):
        beside = next(path for path in paths if "/" not in path)
        raise ValueError(
            f"{len(paths) - len(inside)} pictures lie beside the class folders of {folder} ({beside} …): "
            "which class are they?"
        )
    return ListedFiles(FilePictures(folder, inside, value_range), numbers, names)


def list_folder(root: Path, *, labels: bool = True, value_range: Range | None = None) -> dict[Role, ListedFiles]:
    """Lists a folder's splits.

    Recognised: `train`, `val`, `test` under their usual names, each with class folders or flat; `labeled` and
    `unlabeled` under the root or under `train`; class folders at once; a flat folder. A split with fewer than two
    class folders is unlabelled: food-11's `testing/00` is not class 0.

    Args:
        root: the folder.
        labels: without them, all splits are unlabelled and may lie in folders of any kind.
        value_range: (black, white) of pictures of more than 8 bits.

    Raises:
        ValueError: a class folder or a split without a picture, or two folders for one split.
    """
    return {
        role: _list_split(folder, role, leave_out, labels, value_range)
        for role, (folder, leave_out) in _folders_by_role(root).items()
    }
