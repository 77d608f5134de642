"""Files that documents, docstrings and comments name in back ticks are there.

A name is reckoned from where it stands, from the repository, outside the package's documents from the package, or from
the folder of the path before it on the line: `../metrics/texts/glue.py`, `entities.py`. `{glue,bleu}.py` is two names.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.house.plan import PACKAGE

ROOT = PACKAGE.parent
NAME = re.compile(r"`([\w./{},-]+\.pyi?)`")
MAPS = sorted(PACKAGE.rglob("*.md"))
DOCUMENTS = [*MAPS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]


def names(word: str) -> list[str]:
    """`a/{b,c}.py` as the names that it stands for."""
    parts = [part.split(",") if place % 2 else [part] for place, part in enumerate(re.split(r"[{}]", word))]
    return ["".join(chosen) for chosen in product(*parts)]


def absent(text: str, starts: list[Path]) -> Iterator[str]:
    """The names of a text that are no file, reckoned from any of `starts` or beside the file named before."""
    for line in text.splitlines():
        before: list[Path] = []
        for word in NAME.findall(line):
            for name in names(word):
                found = [start / name for start in [*starts, *before] if (start / name).is_file()]
                before = [found[0].parent] if found else before
                yield from [] if found else [name]


def topic(file: Path) -> list[Path]:
    """The room that a file of the package lies in, however deep."""
    return [PACKAGE / file.relative_to(PACKAGE).parts[0]] if file.parent != PACKAGE else []


def path_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", DOCUMENTS, ids=path_of)
def test_a_document_names_files_that_are_there(file: Path) -> None:
    starts = [file.parent, ROOT] if file.parent != ROOT else [ROOT, PACKAGE]
    assert list(absent(file.read_text("utf8"), starts)) == []


def test_the_package_names_files_that_are_there() -> None:
    assert {
        path_of(file): found
        for file in sorted(PACKAGE.rglob("*.py"))
        if (found := list(absent(file.read_text("utf8"), [file.parent, *topic(file), PACKAGE, ROOT])))
    } == {}


def test_every_topic_has_a_map_of_its_files() -> None:
    topics = [file.parent for file in MAPS if file.parent != PACKAGE]
    assert topics
    for topic in topics:
        assert len(NAME.findall((topic / "README.md").read_text("utf8"))) >= 5, topic.name


def test_a_name_is_reckoned_from_where_it_stands_or_from_the_one_before_it(tmp_path: Path) -> None:
    for name in ("gan/wgan.py", "metrics/texts/glue.py", "metrics/texts/bleu.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def looked_up(text: str) -> list[str]:
        return list(absent(text, [tmp_path / "gan"]))

    assert looked_up("`wgan.py`, `../metrics/texts/glue.py`, `bleu.py`; `../metrics/texts/{glue,bleu}.py`") == []
    assert looked_up("`../metrics/texts/glue.py`\n`bleu.py`") == ["bleu.py"]
    assert looked_up("`losses.py`, `metrics/texts/glue.py`") == ["losses.py", "metrics/texts/glue.py"]
    assert looked_up("`../metrics/texts/{glue,gone}.py`") == ["../metrics/texts/gone.py"]
