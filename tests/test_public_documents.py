"""READMEs, notebooks, examples, docstrings and recipes use public addresses alone: files below may move."""

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lhy_lightning
from lhy_lightning.cli.settings_file import read_settings
from tests.public_names import CLASSES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("lhy_lightning/**/*.md")),
    *sorted(ROOT.glob("examples/*.md")), *sorted(ROOT.glob("benchmarks/*.md")),
]  # fmt: skip
RECIPES = sorted(ROOT.glob("recipes/**/*.yaml"))


def wrong(code: str) -> Iterator[str]:
    """The addresses of ours in Python code that are not public."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lhy_lightning":
            if node.module != "lhy_lightning":
                yield node.module or ""
            yield from (alias.name for alias in node.names if alias.name not in lhy_lightning.__all__)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("lhy_lightning."))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lhy_lightning":
            yield from {node.attr} - {*lhy_lightning.__all__, "__version__", "__all__"}


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def cells(notebook: Path) -> Iterator[str]:
    for cell in json.loads(notebook.read_text("utf8"))["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            yield "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def class_paths(settings: Any) -> Iterator[str]:
    """All `class_path` of settings, and models and data that are a class's name alone."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            if isinstance(value, str) and name in ("class_path", "model", "data"):
                yield value
            yield from class_paths(value)
    elif isinstance(settings, list):
        for item in settings:
            yield from class_paths(item)


def of_lightning_or_public(path: str) -> bool:
    short = path.removeprefix("lhy_lightning.")
    return short in CLASSES or path.startswith("lightning.pytorch.")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_fenced_code_imports_public_names_alone(path: Path) -> None:
    text = path.read_text("utf8")
    for block in fenced(text, "python"):
        assert not list(wrong(textwrap.dedent(block)))
    for block in fenced(text, "yaml"):
        for named in re.findall(r"class_path: *(\S+)", block):
            assert of_lightning_or_public(named) or not named.startswith("lhy_lightning"), named


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_import_public_names_alone(path: Path) -> None:
    assert not [name for cell in cells(path) for name in wrong(cell)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem)
def test_examples_import_public_names_alone(path: Path) -> None:
    assert not list(wrong(path.read_text("utf8")))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_recipes_name_classes_by_public_addresses_alone(path: Path) -> None:
    named = list(class_paths(read_settings(path)))
    assert named
    assert [name for name in named if not of_lightning_or_public(name)] == []


def test_docstring_examples_import_public_names_alone() -> None:
    for file in ROOT.glob("lhy_lightning/**/*.py"):
        for line in re.findall(r"^\s*(?:>>>|\.\.\.) (.*lhy_lightning.*)$", file.read_text("utf8"), re.MULTILINE):
            assert not list(wrong(line.strip())), f"{file}: {line}"


@pytest.mark.parametrize(
    "code",
    [
        "from lhy_lightning.gan.gan import GAN",
        "from lhy_lightning import gan",
        "import lhy_lightning.gan.gan",
        "import lhy_lightning\nlhy_lightning.gan.gan.GAN()",
    ],
)
def test_a_document_that_imports_from_inside_would_be_told(code: str) -> None:
    assert list(wrong(code))
    assert not list(wrong("import lhy_lightning\nfrom lhy_lightning import GAN\nlhy_lightning.GAN()"))
