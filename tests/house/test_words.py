"""Phrases that a student cannot search for do not come back into docstrings, comments and READMEs."""

import re
from pathlib import Path

import pytest

from tests.house.plan import PACKAGE
from tests.house.words_alone import skeleton

PHRASES = {
    r"\bNone for (none|no limit)\b": "None disables clipping",
    r"\b(0|none) for none\b": "0 disables it",
    r"\b(number|name)s? that makes? no sense\b": "an argument is out of range or unknown",
    r"\band its kin\b": "Adam-type optimizers",
    r"by its name in small letters": "by its lower-case name",
    r"[Nn]etworks? of one's own (is|are)\b": "to use networks of your own, override …",
    r"\bsteps? a step\b": "per step",
}
"""What is not written any more, and what is written instead."""


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_of_our_own_does_not_come_back(phrase: str) -> None:
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md"), PACKAGE.parent / "README.md"]
    texts = {file: re.sub(r"\s+", " ", file.read_text("utf8")) for file in files}
    found = {str(file.relative_to(PACKAGE.parent)) for file, text in texts.items() if re.search(phrase, text)}
    assert found == set(), f"write: {PHRASES[phrase]}"


def test_words_are_left_out_where_two_commits_are_compared(tmp_path: Path) -> None:
    one = skeleton('"""A."""\ndef f(x):\n    """B."""\n    raise ValueError(f"{x} is bad: take 1")  # C\n')
    other = skeleton('"""D."""\ndef f(x):\n    """E."""\n    raise ValueError(f"{x} is wrong, take 1")\n')
    assert one == other
    assert one != skeleton('"""A."""\ndef g(x):\n    """B."""\n    raise ValueError(f"{x} is bad: take 1")\n')
    assert skeleton("x = {'key': 1}") != skeleton("x = {'other': 1}")
