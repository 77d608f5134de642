"""What names of folders and files tell: which split they are, their order, and what looks like a missing one."""

import difflib
import re
from pathlib import Path
from typing import Literal

Role = Literal["train", "val", "test", "unlabelled"]

_AFTER = r"(?:[ _.-]?(?:data|set|split|images|pictures|folder))?(?:-\d+-of-\d+)?$"
_ROLE_NAMES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("train", re.compile(r"^(?:train|training)" + _AFTER)),
    ("val", re.compile(r"^(?:val|valid|validation|dev)" + _AFTER)),
    ("test", re.compile(r"^(?:test|testing|evaluation)" + _AFTER)),
    ("unlabelled", re.compile(r"^(?:unlabeled|unlabelled|unsupervised)" + _AFTER)),
)
_DIGITS = re.compile(r"(\d{1,4000})")  # digits that int() takes (not those of "②"), and not more than it takes
_SIGNED = re.compile(r"[-\u2212]\d{1,300}(?:\.\d{1,300})?")


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
    """Folders in a folder, in natural order, without hidden and `__` ones and links that lead back."""
    found = [
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "__")) and not leads_up(entry)
    ]
    return sorted(found, key=lambda entry: natural(entry.name))


def leads_up(entry: Path) -> bool:
    """Whether a link leads to a folder that it lies in."""
    return entry.is_symlink() and entry.resolve() in (entry.parent.resolve(), *entry.parent.resolve().parents)
