"""`TERMS.md`: each term of the lectures leads to a public name, perhaps its argument, and a file that has it."""

import re
from pathlib import Path

import pytest

import lhy_lightning
from lhy_lightning.core.arguments.signatures import constructor_arguments

ROOT = Path(__file__).parents[1]
LINES = [line.strip("| ") for line in (ROOT / "TERMS.md").read_text("utf8").splitlines() if line.startswith("| ")][1:]
ROWS = [[cell.strip(" `") for cell in line.split("|")] for line in LINES]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def words(text: str) -> str:
    """Without hyphens, line ends and capitals, as a reader searches."""
    return re.sub(r"[\s\-_]+", " ", text).lower()


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_term_leads_to_a_name_and_to_a_file_that_has_it(row: list[str]) -> None:
    term, chinese, name, file = row
    assert CHINESE.search(chinese)
    public, _, argument = name.rstrip(")").partition("(")
    assert public in lhy_lightning.__all__
    if argument:
        assert argument in constructor_arguments(getattr(lhy_lightning, public))
    folder = (ROOT / file).parent
    readmes = [path.read_text("utf8") for path in (folder / "README.md", folder.parent / "README.md") if path.is_file()]
    assert any(words(term) in words(text) for text in ((ROOT / file).read_text("utf8"), *readmes)), term


def test_no_term_stands_twice() -> None:
    assert len({row[0].lower() for row in ROWS}) == len(ROWS) >= 50
