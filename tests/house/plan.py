"""The plan of the package: its rooms, their floors, and what breaks the rules of the house.

`python -m tests.house.plan` prints rooms, floors, arrows, circles, files per folder and the longest files;
`--breaches` prints what `tests/house/breaches.py` must hold today; `--draw FILE.svg` draws the plan.

A room is the first folder of a file, and a loose file at the top is a room of its own. An arrow is an import, in a
function or for types alone too.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.house.imports import Imports, circles, read_imports

PACKAGE = Path(__file__).parents[2] / "lhy_lightning"

TOPICS = (
    "adaptation", "attacks", "autoencoders", "bert", "cnn", "compression", "detection", "dynamics", "explanations",
    "gan", "language_models", "lifelong", "meta", "regression", "reinforcement", "self_supervised", "seq2seq", "speech",
    "text_generation", "voice",
)  # fmt: skip

FLOORS: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("layers",),
    ("decoding", "optim"),
    ("metrics", "training"),
    ("data", "callbacks"),
    TOPICS,
    ("__init__",),
    ("cli",),
)
"""From the ground up. A room may import the rooms of all floors below its own, and none of its own floor."""

DATA_FLOORS: tuple[tuple[str, ...], ...] = (
    ("batches", "cache_checks", "class_counts", "controls", "samplers", "splits"),
    ("base", "sources", "embedded", "sequences"),
    ("tokenizers",),
    ("augmentation", "texts"),
    ("images", "questions"),
    ("image_pairs", "labelled_texts", "translation"),
    ("domains",),
)
"""The same inside `data`; rooms to come (speech, corpora, tables, tasks) get their place here."""

DATA_FILES = (
    "base.py", "batches.py", "cache_checks.py", "class_counts.py", "controls.py", "samplers.py", "splits.py",
)  # fmt: skip
"""The only files of `data` outside its sub-rooms."""

FINDER = "trusted_classes.py"
"""The one file below `cli` that may import the package's `__init__`: it finds the public classes that files name."""

WITHOUT_LIGHTNING = ("core", "layers", "decoding", "optim", "metrics")
LIGHTNING = frozenset({"lightning", "pytorch_lightning", "lightning_fabric", "lightning_utilities"})

FILES = 15
"""Files of a folder at most, `__init__.py` and sub-folders apart."""

LINES = 300
"""Lines of a file at most."""


def room(file: str) -> str:
    """The first folder of a file; a loose file is its own room."""
    return "__init__" if file == "__init__.py" else file.split("/")[0]


def data_room(file: str) -> str:
    """The sub-room of a file in `data/`."""
    return file.split("/")[1].removesuffix(".py")


def rooms(imports: Imports) -> dict[str, frozenset[str]]:
    """Room to the other rooms that it imports."""
    return _joined(counted(imports), {file: room(file) for file in imports.inside})


def counted(imports: Imports) -> dict[str, frozenset[str]]:
    """File to what it imports, without the one arrow up that the house needs: see `FINDER`."""
    front = frozenset({"__init__.py"})
    return {file: targets - front if Path(file).name == FINDER else targets for file, targets in imports.inside.items()}


def data_rooms(imports: Imports) -> dict[str, frozenset[str]]:
    """Sub-room of `data/` to the other sub-rooms that it imports."""
    return _joined(imports.inside, {file: data_room(file) for file in imports.inside if _in_data(file)})


def _in_data(file: str) -> bool:
    return file.startswith("data/") and file != "data/__init__.py"


def _joined(arrows: Mapping[str, Iterable[str]], names: Mapping[str, str]) -> dict[str, frozenset[str]]:
    joined: dict[str, set[str]] = {name: set() for name in names.values()}
    for file, name in names.items():
        joined[name] |= {names[target] for target in arrows[file] if target in names} - {name}
    return {name: frozenset(joined[name]) for name in sorted(joined)}


def files_of_folders(imports: Imports) -> dict[str, int]:
    """Folder to its number of Python files, `__init__.py` and sub-folders apart."""
    files = [file for file in imports.inside if Path(file).name != "__init__.py"]
    return dict(sorted(Counter(Path(file).parent.as_posix() for file in files).items()))


def depth(arrows: Mapping[str, Iterable[str]]) -> int:
    """The floors that the arrows need: the longest way down, where the rooms of a circle stand as one."""
    group = {name: circle[0] for circle in circles(arrows) for name in circle}
    merged = _joined(arrows, {name: group.get(name, name) for name in arrows})
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            heights[name] = 1 + max((height(target) for target in merged[name]), default=0)
        return heights[name]

    return max((height(name) for name in merged), default=0)


def breaches(imports: Imports) -> dict[str, list[str]]:
    """What breaks each rule, sorted."""
    inside, levels, data_levels = imports.inside, _levels(FLOORS), _levels(DATA_FLOORS)
    in_data = [(a, b) for a, b in imports.arrows if _in_data(a) and _in_data(b)]
    at_top = [file for file in inside if "/" not in file and file != "__init__.py"]
    topics = [(a, b) for a, b in imports.arrows if {room(a), room(b)} <= set(TOPICS)]
    upward = [(a, b) for a, b in imports.arrows if not {room(a), room(b)} <= set(TOPICS) and b != "__init__.py"]
    unknown = {room(file) for file in inside if "/" in file} - set(levels)
    unknown |= {f"data/{data_room(file)}" for file in inside if _in_data(file) and file.count("/") > 1} - {
        f"data/{name}" for name in data_levels
    }
    found: dict[str, Iterable[str]] = {
        "arrows up": [f"{a} -> {b}" for a, b in upward if _not_down(room(a), room(b), levels)],
        "users of the front": [a for a, b in imports.arrows if b == "__init__.py" and not _may_ask_the_front(a)],
        "arrows between topics": [f"{a} -> {b}" for a, b in topics if room(a) != room(b)],
        "arrows up in data": [f"{a} -> {b}" for a, b in in_data if _not_down(data_room(a), data_room(b), data_levels)],
        "circles of rooms": [", ".join(circle) for circle in circles(rooms(imports))],
        "circles of rooms in data": [", ".join(circle) for circle in circles(data_rooms(imports))],
        "circles of files": [", ".join(circle) for circle in circles(counted(imports))],
        "Lightning below": [file for file in inside if room(file) in WITHOUT_LIGHTNING and _lightning(file, imports)],
        "rooms on no floor": unknown,
        "loose files": at_top,
        "loose files of data": [file for file in inside if _in_data(file) and _loose(file)],
        "crowded folders": [folder for folder, number in files_of_folders(imports).items() if number > FILES],
        "long files": [file for file, number in imports.lines.items() if number > LINES],
    }
    return {rule: sorted(what) for rule, what in found.items()}


def _may_ask_the_front(file: str) -> bool:
    return room(file) == "cli" or Path(file).name == FINDER


def _levels(floors: Iterable[Iterable[str]]) -> dict[str, int]:
    return {name: level for level, names in enumerate(floors) for name in names}


def _not_down(source: str, target: str, levels: Mapping[str, int]) -> bool:
    known = source in levels and target in levels
    return known and source != target and levels[target] >= levels[source]


def _lightning(file: str, imports: Imports) -> bool:
    banned = LIGHTNING if room(file) == "metrics" else LIGHTNING | {"torchmetrics"}
    return bool(imports.outside[file] & banned)


def _loose(file: str) -> bool:
    return file.count("/") == 1 and file.removeprefix("data/") not in DATA_FILES


def summary(imports: Imports) -> str:
    """Rooms, floors, arrows and circles, files per folder, the longest files and the breaches counted."""
    arrows, data_arrows = rooms(imports), data_rooms(imports)
    folders = files_of_folders(imports)
    loose = sum(1 for file in imports.inside if "/" not in file and file != "__init__.py")
    lines = [_figures("the package", arrows), _figures("data/ alone", data_arrows)]
    lines += [f"files: {len(imports.inside)}, {len(imports.arrows)} arrows, {len(circles(counted(imports)))} circles"]
    finders = [file for file in imports.inside if Path(file).name == FINDER]
    lines += [
        f"{file}, which asks __init__ for public classes by name, is not counted as an arrow up" for file in finders
    ]
    lines += ["", "floors, from the top:"]
    for number, floor in reversed(list(enumerate(FLOORS, start=1))):
        there = [f"{name} ({files_of_room(imports, name)})" for name in floor if name in arrows]
        lines.append(f"  {number}  {'  '.join(there) or '-'}")
    lines += [f"  no floor: {loose} loose files"] if loose else []
    lines += ["", f"files per folder (at most {FILES}):", *(f"  {number:4} {name}" for name, number in folders.items())]
    longest = sorted(imports.lines.items(), key=lambda item: (-item[1], item[0]))[:15]
    lines += ["", f"longest files (at most {LINES} lines):", *(f"  {number:4} {name}" for name, number in longest)]
    lines += ["", "breaches:", *(f"  {len(what):4} {rule}" for rule, what in breaches(imports).items())]
    return "\n".join(lines)


def files_of_room(imports: Imports, name: str) -> int:
    """Python files of a room, sub-folders too, `__init__.py` apart unless it is the room."""
    own = [file for file in imports.inside if room(file) == name]
    return len(own) if name == "__init__" else sum(Path(file).name != "__init__.py" for file in own)


def _figures(where: str, arrows: Mapping[str, frozenset[str]]) -> str:
    number = sum(len(targets) for targets in arrows.values())
    return f"{where}: {len(arrows)} rooms, {depth(arrows)} floors, {number} arrows, {len(circles(arrows))} circles"


def breaches_file(imports: Imports) -> str:
    """The text of `tests/house/breaches.py` that lists what breaks the rules today."""
    lines = [
        '"""What breaks the rules of the house today; written by `python -m tests.house.plan --breaches`."""',
        "",
        "BREACHES: dict[str, list[str]] = {",
    ]
    for rule, found in breaches(imports).items():
        lines += [f'    "{rule}": [', *(f'        "{one}",' for one in found), "    ],"] if found else []
        lines += [] if found else [f'    "{rule}": [],']
    return "\n".join([*lines, "}"])


def main() -> None:
    """Prints or draws the plan."""
    parser = argparse.ArgumentParser(prog="python -m tests.house.plan", description="The plan of the package.")
    parser.add_argument("--breaches", action="store_true", help="print the file that lists today's breaches")
    parser.add_argument("--draw", type=Path, metavar="FILE.svg", help="draw the plan into an SVG or PNG file")
    args = parser.parse_args()
    imports = read_imports(PACKAGE)
    if args.draw:
        from tests.house.drawing import draw

        draw(imports, args.draw)
    else:
        print(breaches_file(imports) if args.breaches else summary(imports))


if __name__ == "__main__":
    main()
