"""The package's metadata, public names and tested versions agree with each other."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lhy_lightning

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PYPROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(line) for line in (*PYPROJECT["dependencies"], *(line for e in EXTRAS.values() for line in e))
]
DIRECT = [requirement for requirement in REQUIREMENTS if requirement.name != PYPROJECT["name"]]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in pins)}


@pytest.mark.parametrize("name", lhy_lightning.__all__)
def test_every_public_name_loads_from_where_it_is_defined(name: str) -> None:
    value = getattr(lhy_lightning, name)
    assert value.__name__ == name
    assert getattr(import_module(value.__module__), name) is value
    assert value.__doc__


def test_public_names_are_listed_before_they_are_loaded() -> None:
    assert set(lhy_lightning.__all__) <= set(dir(lhy_lightning))
    assert set(lhy_lightning.__all__) == set(lhy_lightning._PUBLIC)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'ImageClasifier'"):
        _ = lhy_lightning.ImageClasifier


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_tested_version_of_each_direct_dependency_is_pinned_and_allowed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(constraints()[canonicalize_name(requirement.name)])


def test_tested_versions_are_plain_releases_that_every_platform_has() -> None:
    for name, version in constraints().items():
        assert re.fullmatch(r"[\w.]+", version), f"{name}=={version}"
        assert not name.startswith(("nvidia-", "cuda-", "triton"))


def test_every_bound_of_a_runtime_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.split("\ndependencies = [\n")[1].split("\n]\n")[0].splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line.strip().startswith('"'):
            assert "#" in line or above.strip().startswith("#"), line


def test_the_readme_starts_with_the_two_commands_that_are_there() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])
    for command in ("scripts/quickstart", "scripts/test"):
        assert command in first_screen
        assert (ROOT / command).stat().st_mode & 0o100, f"{command} is not executable"
