"""The house against its rules (`plan.py`), and the rules against small houses that break one each."""

from pathlib import Path

import pytest

from tests.house.breaches import BREACHES
from tests.house.drawing import draw, drawn_arrows, recorded_arrows
from tests.house.imports import Imports, circles, read_imports
from tests.house.plan import DATA_FLOORS, FILES, FLOORS, LINES, PACKAGE, TOPICS, breaches, breaches_file, depth, rooms
from tests.house.plan import summary as printed


@pytest.fixture(scope="module")
def today() -> Imports:
    return read_imports(PACKAGE)


def house(folder: Path, files: dict[str, str]) -> Imports:
    """A package of these files, read."""
    root = folder / "lhy_lightning"
    for name, source in {"__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        for parent in path.relative_to(root).parents[:-1]:
            (root / parent / "__init__.py").touch()
    return read_imports(root)


def broken(imports: Imports) -> dict[str, list[str]]:
    return {rule: found for rule, found in breaches(imports).items() if found}


# --- the package ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", BREACHES)
def test_a_rule_of_the_house_is_broken_in_the_listed_places_alone(rule: str, today: Imports) -> None:
    found, listed = set(breaches(today)[rule]), set(BREACHES[rule])
    assert not found - listed, f"{rule}: new"
    assert not listed - found, f"{rule}: mended, to be taken off tests/house/breaches.py"


def test_the_printed_list_of_breaches_is_the_one_to_keep(today: Imports) -> None:
    there: dict[str, dict[str, list[str]]] = {}
    exec(breaches_file(today), {}, there)
    assert there["BREACHES"] == breaches(today)
    assert list(BREACHES) == list(breaches(today))


def test_no_room_stands_on_two_floors() -> None:
    for floors in (FLOORS, DATA_FLOORS):
        names = [name for floor in floors for name in floor]
        assert len(names) == len(set(names))


def test_the_picture_of_the_plan_shows_todays_arrows(today: Imports) -> None:
    command = "python -m tests.house.plan --draw lhy_lightning/plan.svg"
    assert recorded_arrows(PACKAGE / "plan.svg") == drawn_arrows(today), f"draw it again: {command}"


def test_the_plan_in_words_has_a_line_for_every_room(today: Imports) -> None:
    words = (PACKAGE / "README.md").read_text("utf8")
    assert [name for name in rooms(today) if f"`{name}/`" not in words and f"`{name}.pyi`" not in words] == []


# --- what counts as an import -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "import lhy_lightning.layers.norms",
        "from lhy_lightning.layers.norms import Norm",
        "from lhy_lightning.layers import norms",
        "from ..layers.norms import Norm",
        "from ..layers import norms",
        "def f():\n    from lhy_lightning.layers.norms import Norm",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lhy_lightning.layers.norms",
        "import importlib\nimportlib.import_module('lhy_lightning.layers.norms')",
        "from importlib import import_module\ndef f():\n    return import_module('lhy_lightning.layers.norms')",
    ],
)
def test_every_way_to_import_is_an_arrow(source: str, tmp_path: Path) -> None:
    imports = house(tmp_path, {"layers/norms.py": "", "optim/schedules.py": source})
    assert imports.arrows == [("optim/schedules.py", "layers/norms.py")]


def test_what_a_package_or_a_stub_imports_counts_for_its_module(tmp_path: Path) -> None:
    files = {
        "__init__.pyi": "from .gan.gan import GAN",
        "gan/gan.py": "from lhy_lightning import layers",
        "layers/a.py": "",
    }
    assert house(tmp_path, files).arrows == [("__init__.py", "gan/gan.py"), ("gan/gan.py", "layers/__init__.py")]


def test_an_import_of_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cli/a\.py imports lhy_lightning\.core\.gone, which is not there"):
        house(tmp_path, {"cli/a.py": "import lhy_lightning.core.gone"})


# --- each rule fails where it is broken -------------------------------------------------------------------------------

FROM = "from lhy_lightning."
SMALL: dict[str, tuple[dict[str, str], dict[str, list[str]]]] = {
    "a house in order": (
        {"core/a.py": "import torch", "layers/b.py": f"{FROM}core.a import x", "gan/c.py": f"{FROM}layers.b import x"},
        {},
    ),
    "layers that import a topic": (
        {"layers/a.py": f"def f():\n    {FROM}gan.b import x", "gan/b.py": ""},
        {"arrows up": ["layers/a.py -> gan/b.py"]},
    ),
    "a room that imports another of its floor": (
        {"metrics/a.py": f"{FROM}training.b import x", "training/b.py": ""},
        {"arrows up": ["metrics/a.py -> training/b.py"]},
    ),
    "a topic that imports a topic": (
        {"gan/a.py": f"{FROM}cnn.b import x", "cnn/b.py": ""},
        {"arrows between topics": ["gan/a.py -> cnn/b.py"]},
    ),
    "a topic that imports the front": (
        {
            "gan/a.py": "import lhy_lightning",
            "cli/b.py": "from lhy_lightning import __version__",
            "training/trusted_classes.py": "import lhy_lightning",
            "__init__.pyi": "from .cnn.b import x",
            "cnn/b.py": f"{FROM}training.trusted_classes import find_class",
        },
        {"users of the front": ["gan/a.py"]},
    ),
    "two files that import each other": (
        {"gan/a.py": f"{FROM}gan.b import x", "gan/b.py": f"def f():\n    {FROM}gan.a import y"},
        {"circles of files": ["gan/a.py, gan/b.py"]},
    ),
    "two rooms that import each other": (
        {
            "data/base.py": f"{FROM}training.b import x",
            "training/a.py": f"{FROM}data.splits import x",
            "training/b.py": "",
            "data/splits.py": "",
        },
        {"arrows up": ["training/a.py -> data/splits.py"], "circles of rooms": ["data, training"]},
    ),
    "rooms of data that import each other": (
        {
            "data/texts/a.py": f"{FROM}data.images.b import x",
            "data/images/b.py": "",
            "data/images/c.py": f"{FROM}data.texts.a import x",
        },
        {
            "arrows up in data": ["data/texts/a.py -> data/images/b.py"],
            "circles of rooms in data": ["images, texts"],
        },
    ),
    "Lightning on the ground floors": (
        {
            "core/a.py": "if TYPE_CHECKING:\n    from lightning.pytorch import Trainer",
            "optim/b.py": "import torchmetrics",
            "metrics/c.py": "import torchmetrics",
            "training/d.py": "import lightning",
        },
        {"Lightning below": ["core/a.py", "optim/b.py"]},
    ),
    "rooms that nobody planned": (
        {"helpers/a.py": "", "data/things/b.py": ""},
        {"rooms on no floor": ["data/things", "helpers"]},
    ),
    "files outside the rooms": (
        {"module.py": "", "data/pictures.py": "", "data/splits.py": ""},
        {"loose files": ["module.py"], "loose files of data": ["data/pictures.py"]},
    ),
    "a folder of sixteen files": (
        {f"gan/f{n}.py": "" for n in range(FILES)}
        | {f"gan/losses/f{n}.py": "" for n in range(FILES)}
        | {f"bert/f{n}.py": "" for n in range(FILES + 1)},
        {"crowded folders": ["bert"]},
    ),
    "a file of 301 lines": (
        {"gan/a.py": "x = 1\n" * (LINES + 1), "gan/b.py": "x = 1\n" * LINES},
        {"long files": ["gan/a.py"]},
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_plan_finds_what_is_broken_and_nothing_else(name: str, tmp_path: Path) -> None:
    files, expected = SMALL[name]
    assert broken(house(tmp_path, files)) == expected


def test_circles_are_the_groups_that_reach_each_other() -> None:
    arrows = {"a": "b", "b": "c", "c": "ad", "d": "e", "e": "d", "f": "a", "g": ""}
    assert circles(arrows) == [("a", "b", "c"), ("d", "e")]


def test_floors_are_counted_along_the_longest_way_down_with_a_circle_as_one() -> None:
    assert depth({"cli": ["gan"], "gan": ["layers", "core"], "layers": ["core"], "core": []}) == 4
    assert depth({"cli": ["gan"], "gan": ["cnn"], "cnn": ["gan", "core"], "core": []}) == 3


# --- what is printed and drawn ----------------------------------------------------------------------------------------


def test_the_printed_plan_has_rooms_floors_arrows_and_circles(today: Imports) -> None:
    found = rooms(today)
    arrows = sum(map(len, found.values()))
    first = f"the package: {len(found)} rooms, {depth(found)} floors, {arrows} arrows, {len(circles(found))} circles"
    text = printed(today)
    assert text.splitlines()[0] == first
    assert all(f"{topic} (" in text for topic in TOPICS if topic in found)


def test_a_picture_records_its_arrows_and_is_the_same_each_time(tmp_path: Path) -> None:
    files = {"gan/a.py": f"{FROM}layers.b import x", "layers/b.py": f"{FROM}core.c import x", "core/c.py": ""}
    imports = house(tmp_path, files)
    for name in ("one.svg", "two.svg"):
        draw(imports, tmp_path / name)
    assert recorded_arrows(tmp_path / "one.svg") == ["gan -> layers", "layers -> core"]
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
