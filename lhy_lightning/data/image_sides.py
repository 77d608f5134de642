"""Folders that hold two sides, such as `trainA` and `trainB`, and what data modules of two sides have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lhy_lightning.data.folders import Role, nearest_existing, role_of, subfolders
from lhy_lightning.data.image_sets import ImageSets
from lhy_lightning.data.image_splits import Division, Split, divide, report_duplicates, report_unreadable
from lhy_lightning.data.picture_store import Pool

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
        return None
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


def roles_of_stage(sets: ImageSets, stage: str, test_fraction: float) -> tuple[Role, ...]:
    """Which of the splits that a source hands out a stage reads.

    Args:
        sets: the opened source.
        stage: "fit", "validate", "test" or "predict".
        test_fraction: what is taken for the test where the source has none.

    Raises:
        ValueError: it has none, and none is to be made, or nothing to train on.
    """
    handed = sets.roles
    if stage == "predict":
        return ("test",) if "test" in handed else handed
    if stage == "test" and "test" in handed:
        return ("test",)
    if stage == "validate" and "val" in handed:
        return ("val",)
    if stage == "test" and not test_fraction:
        raise ValueError(f"{sets.source} has no test split and test_fraction is 0.")
    found = tuple(role for role in handed if role != "unlabelled" or "train" not in handed)
    if not {"train", "unlabelled"} & set(found):
        raise ValueError(f"{sets.source} has only a {' and a '.join(handed)} split: nothing to train on.")
    return found


def splits_of_stage(
    sets: ImageSets, roles: tuple[Role, ...], pool: Pool, stage: str, how: Division, report: Callable[[str], None]
) -> dict[str, Split]:
    """The splits that a stage asks for: those that are handed out, and those made of the training rows.

    Args:
        sets: the opened source.
        roles: what `roles_of_stage` says.
        pool: their pictures.
        stage: "fit", "validate", "test" or "predict".
        how: fractions and seed.
        report: is told about corrupt and repeated pictures.

    Raises:
        ValueError: a split is empty.
    """
    labels, rows = sets.labels_of(roles, sets.classes(None, None), strict=False), sets.rows_of(roles)
    if stage == "predict":
        order = sets.in_path_order(roles, pool)
        splits = {"predict": Split(pool, order, labels[order])}
    elif roles in (("test",), ("val",)):
        splits = {role: Split(pool, chosen, labels[chosen]) for role, chosen in rows.items()}
    else:
        splits = divide(pool, labels, rows, how, report)
        report_duplicates(splits, report)
    for name in {"test", "predict"} & splits.keys():
        report_unreadable(name, splits[name], report)
    return splits


def check_numbers(given: dict[str, object]) -> None:
    """Refuses numbers of a data module's arguments that make no sense.

    Raises:
        ValueError: names the argument.
    """
    val, test = given["val_fraction"], given["test_fraction"]
    assert isinstance(val, int | float)
    assert isinstance(test, int | float)
    if val <= 0 or test < 0 or val + test >= 1:
        raise ValueError(
            f"val_fraction={val} and test_fraction={test} must be positive and leave something to train on "
            "(test_fraction may be 0)."
        )
    for name in ("batch_size", "eval_batch_size", "steps_per_epoch"):
        value = given.get(name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{name}={value}: must be at least 1.")
    for name in ("channels", "input_channels", "target_channels"):
        if given.get(name) not in (None, 1, 3):
            raise ValueError(f"{name}={given[name]}: pictures are grey (1) or colour (3).")


def kept_and_cut(load_size: object, image_size: object) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The size that pictures are kept at and the one that is cut out of it, (height, width) each; None: as they are.

    Raises:
        ValueError: `load_size` without `image_size`, or smaller.
    """
    kept, cut = _pair(load_size), _pair(image_size)
    if kept is None:
        return cut, cut
    if cut is None:
        raise ValueError("load_size needs image_size, the size that is cut out of it.")
    if kept[0] < cut[0] or kept[1] < cut[1]:
        raise ValueError(f"load_size={load_size} must not be smaller than image_size={image_size}.")
    return kept, cut


def _pair(size: object) -> tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    assert isinstance(size, list | tuple)
    return int(size[0]), int(size[1])
