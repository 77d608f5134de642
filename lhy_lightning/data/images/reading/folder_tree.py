"""Folders of pictures as people have them: class folders, flat folders, the course's food-11 tree.

Files are listed here, in sorted path order: `datasets`' imagefolder drops every label, without a word, on a tree
that mixes labelled and unlabelled folders.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lhy_lightning.data.images.reading.bit_depth import Range
from lhy_lightning.data.images.reading.image_files import FORMATS
from lhy_lightning.data.images.reading.readers import FilePictures
from lhy_lightning.data.sources.folders import _AFTER, Role, leads_up, role_of, subfolders

SUFFIXES = set(FORMATS)


NO_IMAGES = {
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".yaml", ".yml", ".log", ".ini", ".db",
    ".py", ".ipynb", ".pdf",
}  # fmt: skip
"""Endings of files that lie beside images as a rule."""


_SURROGATE = re.compile("[\ud800-\udfff]")


_LABELLED = re.compile(r"^(?:labeled|labelled)" + _AFTER)


@dataclass
class ListedFiles:
    """The pictures of one split of a folder, in sorted path order; `labels` are places in `class_names`.

    `notes` are facts about how the folder was read, `doubts` what may not be meant.
    """

    pictures: FilePictures
    labels: list[int] | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass
class Walk:
    """What lies below a folder.

    Attributes:
        paths: of the pictures, relative to the folder, sorted.
        left_out: number of other files by their ending.
        links: that lead back into the folder, and are not followed.
    """

    paths: list[str]
    left_out: Counter[str]
    links: list[str]


def list_pictures(folder: Path) -> list[str]:
    """Paths of all pictures below a folder, relative to it, sorted."""
    return walk(folder).paths


def walk(folder: Path) -> Walk:
    """Lists what lies below a folder; hidden folders and those called `__…` do not count.

    Raises:
        OSError: a folder cannot be listed.
        ValueError: a name that is not UTF-8: it could be neither printed nor written into predictions.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = Walk([], Counter(), [])
    root = folder.resolve()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(place)
        for name in [name for name in folders if (here / name).is_symlink()]:
            target = (here / name).resolve()
            if target.is_relative_to(root) or leads_up(here / name):
                folders.remove(name)
                found.links.append(str(here / name))
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        relative = here.relative_to(folder).as_posix()
        before = "" if relative == "." else f"{relative}/"
        for name in (*folders, *files):
            if not name.isascii() and _SURROGATE.search(name):
                shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                raise ValueError(f"{here}: the name {shown} is not UTF-8: rename it.")
        for name in files:
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                found.left_out["hidden"] += ending in SUFFIXES and not name.startswith("._")
            elif ending in SUFFIXES:
                found.paths.append(before + name)
            else:
                found.left_out[ending or "without ending"] += 1
    found.paths.sort()
    return found


def _left_out(found: Walk, folder: Path) -> tuple[list[str], list[str]]:
    """Notes and doubts about files and links that are left out."""
    doubts = [f"{link} leads back into {folder} and is left out." for link in found.links]
    counts = {ending: number for ending, number in found.left_out.most_common() if number}
    if not counts:
        return [], doubts
    listed = ", ".join(f"{number:,} {ending}" for ending, number in [*counts.items()][:6])
    told = f"{folder}: {listed}{' …' if len(counts) > 6 else ''} left out; images end in {', '.join(sorted(SUFFIXES))}."
    return ([told], doubts) if counts.keys() <= NO_IMAGES else ([], [told, *doubts])


def _one_level_down(root: Path) -> tuple[Path, list[str]]:
    """The folder that has the splits, where `root` holds it alone, as unpacked archives do; and a note.

    Raises:
        ValueError: `root` has splits one level down, in a folder beside others.
    """
    children = subfolders(root)
    if any(role_of(child.name) for child in children):
        return root, []
    deeper = [child for child in children if _has_splits(child)]
    if not deeper:
        return root, []
    if len(children) > 1:
        named = ", ".join(f"{deeper[0].name}/{inner.name}" for inner in subfolders(deeper[0])[:3])
        raise ValueError(
            f"{root} has {named} one level down. Is {deeper[0].name} the data set? Give {deeper[0]} as the source"
            f"{f', or another of its {len(deeper)} like it' if len(deeper) > 1 else ''}."
        )
    found, notes = _one_level_down(deeper[0])
    return found, [f"{root} holds one folder, {deeper[0].name}, which has the splits: read as {found}.", *notes[1:]]


def _has_splits(folder: Path) -> bool:
    children = subfolders(folder)
    roles = {role_of(child.name) for child in children} - {None}
    if "train" in roles and (len(roles) > 1 or len(children) == 1):
        return True
    return len(children) == 1 and _has_splits(children[0])


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
    whole = walk(folder)
    paths = [path for path in whole.paths if path.split("/", 1)[0] not in leave_out]
    notes, doubts = map(tuple, _left_out(whole, folder))
    if role == "unlabelled" or not labels or len(classes) < 2:
        if not paths:
            others = f" {' '.join([*notes, *doubts])}" if notes or doubts else ""
            raise ValueError(f"{folder} holds no picture (looked for {', '.join(sorted(SUFFIXES))}).{others}")
        return ListedFiles(FilePictures(folder, paths, value_range), None, (), notes, doubts)
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
    return ListedFiles(FilePictures(folder, inside, value_range), numbers, names, notes, doubts)


def list_folder(root: Path, *, labels: bool = True, value_range: Range | None = None) -> dict[Role, ListedFiles]:
    """Lists a folder's splits.

    Recognised: `train`, `val`, `test` under their usual names, each with class folders or flat; `labeled` and
    `unlabeled` under the root or under `train`; class folders at once; a flat folder. A split with fewer than two
    class folders is unlabelled: food-11's `testing/00` is not class 0. A folder that holds nothing but the folder with
    the splits, as archives unpack, is passed through.

    Args:
        root: the folder.
        labels: without them, all splits are unlabelled and may lie in folders of any kind.
        value_range: (black, white) of pictures of more than 8 bits.

    Raises:
        ValueError: a class folder or a split without a picture, two folders for one split, or splits one level down.
    """
    root, notes = _one_level_down(root)
    by_role = _folders_by_role(root)
    found = {
        role: _list_split(folder, role, leave_out, labels, value_range) for role, (folder, leave_out) in by_role.items()
    }
    first = next(iter(found.values()))
    first.notes = (*notes, *first.notes)
    first.doubts = (*first.doubts, *_of_no_split(root, [folder for folder, _ in by_role.values()]))
    return found


def _of_no_split(root: Path, splits: list[Path]) -> list[str]:
    """A doubt about folders with pictures that belong to no split."""
    if root in splits:
        return []
    others = {child.name: len(list_pictures(child)) for child in subfolders(root) if not role_of(child.name)}
    others = {name: number for name, number in others.items() if number and root / name not in splits}
    if not others:
        return []
    listed = ", ".join(f"{name} ({number:,} images)" for name, number in [*others.items()][:5])
    return [f"{root}: {listed}{' …' if len(others) > 5 else ''} belong to no split and are left out."]
