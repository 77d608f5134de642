"""What each topic of the package lacks, one line each: `python -m tests.house.topics [TOPIC …]`.

A topic is a folder of the package on the topics' floor (`tests/house/plan.py`). Asked is for what all of them have: the
address where the lecture's chapter is found, a recipe that trains it, tests, a notebook, an entry in each list.
"""

import argparse
import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.house.plan import TOPICS

ROOT = Path(__file__).parents[2]
HEADER = ("lecture", "data", "hardware", "time", "expected", "command")
"""Fields that the header of a quickstart has."""
FIGURE = 100_000
"""Bytes of a README's figure at most."""
IDEA, MAP = 6, 5
"""Lines of the idea at most, and files that a map names at least."""


@dataclass(frozen=True)
class Topic:
    """One topic of the repository at `root`."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.root / "lhy_lightning" / self.name

    def read(self, path: str) -> str:
        """The text of a file of the repository; empty where there is none."""
        file = self.root / path
        return file.read_text("utf8") if file.is_file() else ""

    def public(self) -> dict[str, Path]:
        """Public names to the files that they stand in."""
        lines = re.findall(
            rf"^from \.({self.name}\.[\w.]+) import (\w+)", self.read("lhy_lightning/__init__.pyi"), re.M
        )
        return {name: self.root / "lhy_lightning" / f"{place.replace('.', '/')}.py" for place, name in lines}

    def recipes(self) -> dict[Path, str]:
        """Recipes that train a public class of the topic, to its name."""
        found = {path: str(_model(path)).removeprefix("lhy_lightning.") for path in self.root.glob("recipes/**/*.yaml")}
        return {path: name for path, name in sorted(found.items()) if name in self.public()}


def _model(recipe: Path) -> Any:
    model = yaml.safe_load(recipe.read_text("utf8")).get("model")
    return model.get("class_path") if isinstance(model, dict) else model


def topics(root: Path = ROOT) -> list[str]:
    """Folders of the package on the topics' floor."""
    return sorted(name for name in TOPICS if (root / "lhy_lightning" / name / "__init__.py").is_file())


def lacks(topic: Topic) -> list[str]:
    """What a topic lacks, in the order of the steps of `CONTRIBUTING.md`."""
    parts = (_code(topic), _registers(topic), _recipes(topic), _tests(topic), _notebook(topic), _readme(topic))
    return [line for part in (*parts, _lists(topic)) for line in part]


def _code(topic: Topic) -> Iterator[str]:
    if not topic.public():
        yield "no public name: a line in lhy_lightning/__init__.pyi"
    for name, file in topic.public().items():
        found = [node for node in _definitions(file) if node.name == name]
        if not found:
            yield f"{name} is not defined where lhy_lightning/__init__.pyi says"
        elif ">>> " not in (ast.get_docstring(found[0]) or ""):
            yield f"no >>> example in the docstring of {name}"


def _definitions(file: Path) -> list[ast.ClassDef | ast.FunctionDef]:
    tree = ast.parse(file.read_text("utf8")) if file.is_file() else ast.Module([], [])
    return [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def _registers(topic: Topic) -> Iterator[str]:
    for name in sorted(set(topic.recipes().values())):
        for file, what in (("smallest_modules.py", "its smallest arguments"), ("smallest_data.py", "a few rows")):
            if f'"{name}"' not in topic.read(f"tests/{file}"):
                yield f"{name} is not in tests/{file}, which has {what}"
        if not (topic.root / f"tests/before/fixtures/{name}.tar.xz").is_file():
            yield f"no fixture of {name}: python -m tests.before.record --only {name} --fixtures tests/before/fixtures"


def _recipes(topic: Topic) -> Iterator[str]:
    quick = [path for path in topic.recipes() if path.stem == "quickstart"]
    if not quick:
        yield f"no recipe recipes/{topic.name}/quickstart.yaml that trains a public class of it"
    for path in quick:
        header = path.read_text("utf8").partition("\n\n")[0]
        where = path.relative_to(topic.root).as_posix()
        for field in HEADER:
            if not re.search(rf"^# {field}: \S", header, re.M):
                yield f"{where} has no `{field}` in its header"
        if re.search(r"^# expected: not measured", header, re.M):
            yield f"{where} was not measured: train it and write its figure behind `expected`"


def _tests(topic: Topic) -> Iterator[str]:
    folder = topic.root / "tests" / topic.name
    if not any("def test_" in file.read_text("utf8") for file in folder.rglob("test_*.py")):
        yield f"no tests in tests/{topic.name}/"


def _notebook(topic: Topic) -> Iterator[str]:
    imported = re.compile(r"^from lhy_lightning import .*\b(?:" + "|".join(topic.public() or ["-"]) + r")\b")
    books = []
    for path in sorted(topic.root.glob("notebooks/*.ipynb")):
        cells = [cell for cell in json.loads(path.read_text("utf8"))["cells"] if cell["cell_type"] == "code"]
        if any(imported.match(line) for cell in cells for line in _joined_imports("".join(cell["source"]))):
            books.append((path, cells))
    if not books:
        yield "no notebook in notebooks/ that imports a public name of it"
    for path, cells in books:
        if not all(cell["execution_count"] for cell in cells):
            yield f"notebooks/{path.name} has cells that were not run"


def _joined_imports(code: str) -> list[str]:
    """The lines of code, with imports in parentheses on one."""
    return re.sub(r"\(([^()]*)\)", lambda found: " ".join(found[1].split()), code).splitlines()


def _readme(topic: Topic) -> Iterator[str]:
    readme = f"lhy_lightning/{topic.name}/README.md"
    text = topic.read(readme)
    if not text:
        yield f"no {readme}"
        return
    _, _, body = text.partition("\n\n")
    idea = body.partition("\n\n")[0].splitlines()
    if not text.startswith("# ") or len(idea) > IDEA or body.startswith(("#", "`", "!", "|")):
        yield f"{readme} does not begin with a title and the idea in at most {IDEA} lines"
    figures = [topic.folder / place for place in re.findall(r"^!\[[^]]*\]\(([^)]+)\)", text, re.M)]
    if not figures:
        yield f"{readme} has no figure"
    for figure in figures:
        if not figure.is_file() or figure.stat().st_size > FIGURE:
            yield f"{readme}: {figure.name} is not there, or has more than {FIGURE:,} bytes"
    wanted = {
        "command under its figure": r"^!\[.+\]\(.+\.png\)\n\n.+: `lhy fit --config \S+`",
        "example of use in a ```python block": r"^```python\n",
        "table of equations": r"^#+ Equations\n(?:(?!#)[^\n]*\n)*?\|",
        "section Results with a table": r"^## Results\n(?:(?!#)[^\n]*\n)*?\|",
        "link to RESULTS.md": r"\]\(RESULTS\.md\)",
    }
    for what, pattern in wanted.items():
        if not re.search(pattern, text, re.M):
            yield f"{readme} has no {what}"
    if len(re.findall(r"^\|.*`[\w./{},-]+\.py`", text, re.M)) < 1 or len(re.findall(r"`[\w./]+\.py`", text)) < MAP:
        yield f"{readme} has no map that names at least {MAP} files"
    if not topic.read(f"lhy_lightning/{topic.name}/RESULTS.md"):
        yield f"no lhy_lightning/{topic.name}/RESULTS.md"


def _lists(topic: Topic) -> Iterator[str]:
    if f"](lhy_lightning/{topic.name}/README.md)" not in topic.read("README.md"):
        yield "no row in the table of topics of README.md"
    if f"`{topic.name}/`" not in topic.read("lhy_lightning/README.md"):
        yield "not among the topics of lhy_lightning/README.md"
    if not any(re.search(rf"^\|.*`{name}\b", topic.read("TERMS.md"), re.M) for name in topic.public()):
        yield "no term of TERMS.md leads to a public name of it"
    trained = set(topic.recipes().values())
    if trained and not any(f"`{name}`" in topic.read("CHANGELOG.md") for name in trained):
        yield f"no line in CHANGELOG.md names {' or '.join(sorted(trained))}"


def main() -> int:
    """Prints what each topic lacks; returns 1 where one lacks anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.house.topics", description="What each topic lacks.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="of these alone; all of today otherwise")
    chosen = parser.parse_args().topics or topics()
    if unknown := sorted(set(chosen) - set(topics())):
        parser.error(f"{unknown[0]} is no topic of today: {', '.join(topics())}")
    found = {name: lacks(Topic(ROOT, name)) for name in chosen}
    for name, lines in found.items():
        print("\n".join(f"{name}: {line}" for line in lines) or f"{name}: lacks nothing")
    return int(any(found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
