"""Packages of an extra are asked for in one place, which names the extra."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import lhy_lightning
from lhy_lightning.bert.lora import add_lora
from lhy_lightning.core.extras import EXTRAS, need

PACKAGE = Path(lhy_lightning.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf8"))["project"]
INSTALLED_AS = {"yaml": "pyyaml", "PIL": "pillow", "sklearn": "scikit-learn", "cv2": "opencv-python-headless"}


def imports() -> list[tuple[Path, str, int]]:
    """(file, top-level module, line) of every import of other packages, at whatever depth."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found += [(path, name.partition(".")[0], node.lineno) for name in names]
    return [(path, name, line) for path, name, line in found if name not in {*sys.stdlib_module_names, "lhy_lightning"}]


def required(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", requirement)[0].replace("_", "-").lower() for requirement in requirements}


def test_every_import_is_of_a_dependency_or_asks_for_its_extra_first() -> None:
    dependencies, seen = required(PROJECT["dependencies"]), set()
    for path, name, line in imports():
        if INSTALLED_AS.get(name, name.replace("_", "-")).lower() in dependencies:
            continue
        assert name in EXTRAS, f"{path}, line {line}: {name} is no dependency; name its extra in EXTRAS"
        assert f'need("{name}"' in path.read_text("utf8"), f"{path}, line {line}: call need() before importing {name}"
        seen.add(name)
    assert seen == {"cv2", "peft"}  # W&B is imported by Lightning


@pytest.mark.parametrize("module", EXTRAS)
def test_each_extra_is_one_of_the_project_and_brings_its_package(module: str) -> None:
    _, extra = EXTRAS[module]
    assert INSTALLED_AS.get(module, module) in required(PROJECT["optional-dependencies"][extra])


@pytest.mark.parametrize("module", EXTRAS)
def test_a_missing_package_names_its_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(ModuleNotFoundError, match=rf'it needs .*: pip install "lhy-lightning\[{EXTRAS[module][1]}\]"'):
        need(module, "it")


def test_lora_asks_for_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)  # type: ignore[arg-type]
    with pytest.raises(ModuleNotFoundError, match=r"lora_rank=4 needs PEFT"):
        add_lora(None, rank=4, alpha=8, dropout=0)
