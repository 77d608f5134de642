"""`benchmarks/README.md` names every script, and every script that a document names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INDEX = (ROOT / "benchmarks/README.md").read_text("utf8")
SCRIPTS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in ROOT.glob("benchmarks/*/*.py")
    if path.stem != "__init__" and path.parent.name != "tools"
)
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in INDEX.splitlines() if line.startswith("| ")][
    1:
]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "lhy_lightning/**/*.md", "recipes/**/*.yaml", "benchmarks/**/*.py", "notebooks/*.ipynb")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def test_every_script_stands_in_the_index_and_every_row_names_one() -> None:
    named = [re.match(r"`(benchmarks\.[\w.]+)", row[2]) for row in ROWS]
    assert {found[1] for found in named if found} == set(SCRIPTS)
    assert all(named)


def test_a_row_has_topic_claim_command_figure_and_date() -> None:
    for row in ROWS:
        topic, claim, command, figure, measured = row
        assert f"benchmarks.{topic}." in command
        assert claim
        assert figure
        assert re.fullmatch(r"\d{4}-\d\d-\d\d|at each change", measured)


def test_every_script_says_how_it_is_started() -> None:
    for script in SCRIPTS:
        text = (ROOT / f"{script.replace('.', '/')}.py").read_text("utf8")
        assert f"python -m {script}" in text or f"python {script.replace('.', '/')}.py" in text, script


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_benchmarks_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text("utf8")
    named = {name.replace(".", "/") + ".py" for name in re.findall(r"python -m (benchmarks(?:\.[a-z]\w*)+)", text)}
    named |= set(re.findall(r"\bbenchmarks/[\w/]+\.py", text))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
