"""Says in what two records of `tests/before/record.py` differ, and goes on with the killed runs of one.

    python -m tests.before.compare BEFORE AFTER
    python -m tests.before.compare resume BEFORE

Configurations, options and settings are compared as data, and classes by the last part of their address, as files of
the package may move; `metrics.csv` byte by byte; predictions and scores within 1e-5; weights to the bit; tests by name
without their file. Both records, and `resume`, are of one machine. The exit code is 1 where anything differs.
"""

import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.before import runs

ADDRESS = re.compile(r"\blhy_lightning(?:\.\w+)*\.(\w+)")
TOLERANCE = 1e-5


def without_addresses(value: Any) -> Any:
    """Nested settings with the package's dotted paths cut to their last part; settings in a text of JSON, too."""
    if isinstance(value, str):
        return without_addresses(json.loads(value)) if value.startswith("{") else ADDRESS.sub(r"\1", value)
    if isinstance(value, dict):
        return {without_addresses(key): without_addresses(item) for key, item in value.items()}
    return [without_addresses(item) for item in value] if isinstance(value, list | tuple) else value


def unequal(before: Any, after: Any, where: str = "", *, relative: float = 0.0, absolute: float = 0.0) -> Iterator[str]:
    """Where two nested values of plain data differ.

    Args:
        before, after: dicts, lists, texts and numbers.
        where: the place of the values, for the answer.
        relative, absolute: by how much floats may differ.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            place = f"{where}.{key}" if where else str(key)
            if key not in after:
                yield f"{place} is gone"
            elif key not in before:
                yield f"{place} is new"
            else:
                yield from unequal(before[key], after[key], place, relative=relative, absolute=absolute)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from unequal(*pair, f"{where}[{number}]", relative=relative, absolute=absolute)
    elif isinstance(before, float) and isinstance(after, float):
        both_nan = math.isnan(before) and math.isnan(after)
        if not both_nan and not math.isclose(before, after, rel_tol=relative, abs_tol=absolute):
            yield f"{where} was {before!r}, is {after!r}"
    elif type(before) is not type(after) or before != after:
        yield f"{where} was {before!r}, is {after!r}"


def pixels_apart(before: dict[str, list[int]], after: dict[str, list[int]], most: int = 1) -> list[str]:
    """Names of written images that are missing, new, or of which pixels differ by more than rounding."""
    found = [name for name in before | after if len(before.get(name, ())) != len(after.get(name, ()))]
    pairs = [(name, zip(before[name], after[name], strict=True)) for name in before if name not in found]
    return found + [name for name, pair in pairs if any(abs(old - new) > most for old, new in pair)]


def outputs_apart(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where predictions, images and scores (`runs.outputs`) differ by more than 1e-5."""
    before, after = dict(before), dict(after)
    pixels = pixels_apart(before.pop("pixels"), after.pop("pixels"))
    found = unequal(before, after, relative=TOLERANCE, absolute=TOLERANCE)
    return [*(f"pixels of {name} differ" for name in pixels), *found]


def difference_of_files(before: Path, after: Path) -> list[str]:
    """In what two files of a record differ, as the file's kind has it."""
    if before.name == "outputs.json":
        return outputs_apart(json.loads(before.read_text()), json.loads(after.read_text()))
    if before.name == "tests.json":
        return apart_in_tests(json.loads(before.read_text()), json.loads(after.read_text()))
    if before.suffix in (".yaml", ".json"):
        return list(unequal(*(without_addresses(yaml.safe_load(path.read_text())) for path in (before, after))))
    if before.suffix == ".ckpt":
        return checkpoints_apart(*(torch.load(path, weights_only=True, map_location="cpu") for path in (before, after)))
    if before.suffix == ".txt":
        return list(unequal(*(dict.fromkeys(path.read_text().splitlines()) for path in (before, after))))
    return [] if before.read_bytes() == after.read_bytes() else ["the bytes differ"]


def checkpoints_apart(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """In what two checkpoints differ: their entries, settings and weights."""
    old, new = (found["state_dict"] for found in (before, after))
    settings = [key for key in before if key.endswith(("hyper_parameters", "class_path"))]
    found = list(unequal(dict.fromkeys(before), dict.fromkeys(after)))
    found += unequal(*(without_addresses({key: side.get(key) for key in settings}) for side in (before, after)))
    found += unequal(dict.fromkeys(old), dict.fromkeys(new), "state_dict")
    return found + [f"weights {key} differ" for key in old if key in new and not torch.equal(old[key], new[key])]


def apart_in_tests(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Tests that are gone, and those that passed and do not any more. New ones are no difference."""
    names = [Counter(name.partition("::")[2] for name in side["names"]) for side in (before, after)]
    found = [f"{name} is gone ({count})" for name, count in sorted((names[0] - names[1]).items())]
    if "outcomes" in before and "outcomes" in after:
        passed = [Counter(name for _, name, told in side["outcomes"] if told == "passed") for side in (before, after)]
        found += [f"{name} passed, and does not ({count})" for name, count in sorted((passed[0] - passed[1]).items())]
    return found


def compared(record: Path) -> set[str]:
    """The files of a record that are compared."""
    kept = ("recipes/**/*.yaml", "options/*", "quickstarts/*.csv", "tests.json", "modules/*/outputs.json")
    kept += ("modules/*/runs/whole/metrics.csv", "modules/*/runs/whole/config.yaml", "modules/*/saved/config.json")
    kept += ("modules/*/runs/whole/checkpoints/last.ckpt",)
    return {path.relative_to(record).as_posix() for pattern in kept for path in record.glob(pattern)}


def differences(before: Path, after: Path) -> list[str]:
    """All in what two records differ."""
    old, new = compared(before), compared(after)
    found = [f"{name}: only in {before if name in old else after}" for name in sorted(old ^ new)]
    for name in sorted(old & new):
        found += [f"{name}: {said}" for said in difference_of_files(before / name, after / name)]
    return found


def resumed(record: Path) -> list[str]:
    """Goes on with each killed run, in a copy; the modules whose `metrics.csv` is not the unbroken run's then."""
    found = []
    with tempfile.TemporaryDirectory() as elsewhere:
        shutil.copytree(record / "modules", Path(elsewhere, "modules"))
        os.environ["XDG_CACHE_HOME"] = str(Path(elsewhere, "cache"))
        for folder in sorted(Path(elsewhere, "modules").iterdir()):
            killed, whole = runs.go_on(folder)
            found += [] if killed == whole else [f"{folder.name}: the resumed run's metrics.csv differs"]
            print(f"{folder.name} went on", flush=True)
    return found


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print(__doc__)
        return 2
    torch.set_num_threads(1)
    if argv[0] == "resume":
        found = resumed(Path(argv[1]))
    else:
        versions = [json.loads(Path(record, "versions.json").read_text())["versions"] for record in argv]
        print(*(f"note: version of {said}" for said in unequal(*versions)), sep="\n", end="")
        found = differences(Path(argv[0]), Path(argv[1]))
    print("\n".join(found) or "no difference")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
