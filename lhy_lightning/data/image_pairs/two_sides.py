"""Folders that hold two sides, such as `trainA` and `trainB`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lhy_lightning.data.sources.folders import Role, nearest_existing, role_of, subfolders

_LETTERED = re.compile(r"^(.+?)[ _.-]?([ab])$")
_NAMED = (("a", "b"), ("input", "target"))


@dataclass(frozen=True)
class Side:
    """Where the pictures of one side lie; each is anything that `open_source` takes.

    Attributes:
        source: hands out one split or several.
        val_source, test_source: where those lie apart.
    """

    source: str
    val_source: str | None = None
    test_source: str | None = None

    @property
    def name(self) -> str:
        return Path(self.source.removeprefix("embedded:")).name


def find_sides(source: str, *, any_two: bool) -> tuple[Side, Side] | None:
    """The two sides of a folder, None where it does not look like two.

    Recognised, in small or capital letters: `trainA` and `trainB` with `testA`, `testB`, `valA`, `valB` (the data sets
    of CycleGAN); `A` and `B`, or `input` and `target`, each with pictures or with `train`, `val` and `test`; `train`,
    `val` and `test` each with two such folders. First comes A, or the input.

    Args:
        source: a folder.
        any_two: take any two folders without others beside them too, in natural order.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: only one side of a split is there, or no training split.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"source {source!r} is no folder. {nearest_existing(folder)}")
    lettered: dict[Role, dict[str, Path]] = {}
    for child in subfolders(folder):
        found = _LETTERED.match(child.name.lower())
        role = role_of(found[1]) if found else None
        if found and role:
            lettered.setdefault(role, {})[found[2]] = child
    for role, sides in lettered.items():
        if len(sides) == 1:
            [path] = sides.values()
            missing = path.name[:-1] + {"a": "b", "b": "a", "A": "B", "B": "A"}[path.name[-1]]
            raise ValueError(f"{folder} has {path.name} but no {missing}: the {role} split wants both domains.")
    two = {role: (sides["a"], sides["b"]) for role, sides in lettered.items()}
    whole = None if two else _two_folders(folder, any_two)
    if whole is not None:
        return Side(str(whole[0])), Side(str(whole[1]))
    if not two:
        inside = {role: _two_folders(child, any_two) for child in subfolders(folder) if (role := role_of(child.name))}
        two = {role: pair for role, pair in inside.items() if pair is not None}
    if not two:
        children = subfolders(folder)
        return find_sides(str(children[0]), any_two=any_two) if len(children) == 1 else None  # an archive's own folder
    if "train" not in two:
        raise ValueError(f"{folder} has two sides for {', '.join(two)} but none to train on.")

    def side(number: int) -> Side:
        places = {role: str(pair[number]) for role, pair in two.items()}
        return Side(places["train"], places.get("val"), places.get("test"))

    return side(0), side(1)


def _two_folders(folder: Path, any_two: bool) -> tuple[Path, Path] | None:
    children = subfolders(folder)
    by_name = {child.name.lower(): child for child in children}
    for first, second in _NAMED:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    if any_two and len(children) == 2 and not any(role_of(child.name) for child in children):
        return children[0], children[1]
    return None
